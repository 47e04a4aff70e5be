/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usedfs.c - which bytes of a filesystem in memory are used */
#include "usedfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILES = 11,
	SECTOR = 512
};

static void write_temp(const uint8_t *p, uint64_t n, char *path)
{
	const int fd = mkstemp(path);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd) < 0)
		abort();
}

static void run(const char *command)
{
	if (system(command) != 0)
		abort();
}

static void write_file(const char *path, bool deleted, unsigned int number)
{
	FILE *f = fopen(path, "we");

	if (!f)
		abort();
	for (unsigned int i = 0; i < 200 + number * 70; i++) {
		uint8_t sector[SECTOR];

		for (unsigned int k = 0; k < SECTOR; k++)
			sector[k] = (uint8_t)(number * 131 + i * 17 + k * 7);
		(void)snprintf((char *)sector, 64, "%s %u %u", deleted ? FREE_MARKER : USED_MARKER,
			number, i);
		if (fwrite(sector, SECTOR, 1, f) != 1)
			abort();
	}
	if (fclose(f) != 0)
		abort();
}

/* Every third file is deleted again, so its blocks are free and full of old content. */
static bool is_deleted(unsigned int number)
{
	return number % 3 == 1;
}

void usedfs_make(uint8_t *p, uint64_t length)
{
	char image[] = "/tmp/coffer-crash-XXXXXX", dir[] = "/tmp/coffer-crash-XXXXXX";
	char command[512], path[64];
	int fd = mkstemp(image);

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0 || !mkdtemp(dir))
		abort();
	for (unsigned int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		write_file(path, is_deleted(i), i);
	}
	/* Inode tables that are written as a whole: what of them counts as free is not asked here.
	 */
	(void)snprintf(command, sizeof(command),
		"mkfs.ext4 -q -F -b 1024 -N 64 -J size=1 -E lazy_itable_init=0 -d %s %s >&2", dir,
		image);
	run(command);
	for (unsigned int i = 0; i < FILES; i++) {
		if (is_deleted(i)) {
			(void)snprintf(command, sizeof(command),
				"debugfs -w -R 'rm /f%u' %s >/dev/null 2>&1", i, image);
			run(command);
		}
		(void)snprintf(path, sizeof(path), "%s/f%u", dir, i);
		(void)unlink(path);
	}
	if (pread(fd, p, length, 0) != (ssize_t)length)
		abort();
	(void)close(fd);
	(void)unlink(image);
	(void)rmdir(dir);
}

/* All blocks but those in the "Free blocks:" lines of dumpe2fs' groups. */
size_t usedfs_spans(const uint8_t *p, uint64_t length, struct span **ret)
{
	char image[] = "/tmp/coffer-crash-XXXXXX", command[128], line[4096];
	struct span *s = calloc(10000, sizeof(*s));
	uint64_t at = 0;
	size_t n = 0;
	FILE *f;

	write_temp(p, length, image);
	(void)snprintf(command, sizeof(command), "dumpe2fs %s 2>/dev/null", image);
	f = popen(command, "re");
	if (!f || !s)
		abort();
	while (fgets(line, sizeof(line), f)) {
		char *word = strstr(line, "  Free blocks: ");

		if (word != line)
			continue;
		for (word = strtok(line + strlen("  Free blocks: "), ", \n"); word;
			word = strtok(NULL, ", \n")) {
			unsigned long long first, last;
			const int k = sscanf(word, "%llu-%llu", &first, &last);

			if (k < 1)
				abort();
			last = k == 1 ? first : last;
			if (first * 1024 > at)
				s[n++] = (struct span){at, first * 1024};
			at = (last + 1) * 1024;
		}
	}
	if (pclose(f) != 0 || n == 0 || n > 9000)
		abort();
	if (at < length)
		s[n++] = (struct span){at, length};
	(void)unlink(image);
	*ret = s;
	return n;
}

bool usedfs_is_clean(const uint8_t *p, uint64_t length)
{
	char image[] = "/tmp/coffer-crash-XXXXXX", command[128];
	int status;

	write_temp(p, length, image);
	(void)snprintf(command, sizeof(command), "e2fsck -fn %s >/dev/null 2>&1", image);
	status = system(command);
	(void)unlink(image);
	return status == 0;
}
