/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashrun.c - the verbs of coffer on a device in memory */
#include "crashrun.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/disk.h"
#include "lib/on_device.h"
#include "rescue/repair.h"
#include "usedfs.h"

int crash_ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	(void)userdata;
	(void)why;
	(void)size;
	(void)e;
	memcpy(buf, PASSWORD, strlen(PASSWORD));
	return (int)strlen(PASSWORD);
}

struct coffer_encrypt_options options(const struct row *row)
{
	return (struct coffer_encrypt_options){.device = "test-disk",
		.reserve = 2 * shift_of(row),
		/* Else the filesystem says where it ends. */
		.device_size = row->content == CRASH_MARKERS ? row->length : 0,
		.sector_size = row->sector_size,
		.used_only = row->used_only ? COFFER_USED_YES : COFFER_USED_NO,
		.free_space = row->free_space,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = 1000,
		.threads = row->threads ? row->threads : 1,
		.callbacks = {.passphrase = crash_ask}};
}

/* --- content --- */

/* Every sector carries the marker and its number, so nothing plain can hide. */
static void fill_marked(uint8_t *p, uint64_t n)
{
	for (uint64_t at = 0; at < n; at += 512) {
		(void)snprintf((char *)p + at, 64, USED_MARKER " %llu", (unsigned long long)at);
		for (unsigned int i = 64; i < 512; i++)
			p[at + i] = (uint8_t)(at / 512 * 131 + i * 7);
	}
}

/* Each makes a filesystem in the empty file $IMG, with what lies in the folder $DIR. */
static const char *const mkfs[] = {
	[CRASH_EXT4] =
		"mkfs.ext4 -q -F -b 1024 -g 1024 -L crash -E lazy_itable_init=0 -d $DIR $IMG",
	/* It refuses less than 300 MB, unless it believes to be in xfstests. */
	[CRASH_XFS] = "printf '/none\\n0 0\\nd--755 0 0\\nfile ---644 0 0 %s/file\\n$\\n' $DIR "
		      ">$DIR/../$$.proto; TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -f -p "
		      "$DIR/../$$.proto $IMG; r=$?; rm $DIR/../$$.proto; exit $r",
	[CRASH_BTRFS] = "mkfs.btrfs -q -f --mixed --rootdir $DIR -b $(stat -c %s $IMG) $IMG",
};

/* A real filesystem in the first bytes of @p, made by its own mkfs. */
static void make_fs(uint8_t *p, uint64_t length, enum crash_content content)
{
	char image[] = "/tmp/coffer-crash-XXXXXX", dir[] = "/tmp/coffer-crash-XXXXXX";
	char path[64], command[1024];
	const uint64_t n = length / 4;
	uint8_t *data = malloc(n);
	const int fd = mkstemp(image);
	FILE *f;

	if (fd < 0 || !data || ftruncate(fd, (off_t)length) < 0 || !mkdtemp(dir))
		abort();
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	fill_marked(data, n);
	f = fopen(path, "we");
	if (!f || fwrite(data, n, 1, f) != 1 || fclose(f) != 0)
		abort();
	(void)snprintf(
		command, sizeof(command), "{ DIR=%s; IMG=%s; %s; } >&2", dir, image, mkfs[content]);
	if (system(command) != 0 || pread(fd, p, length, 0) != (ssize_t)length)
		abort();
	(void)close(fd);
	(void)unlink(image);
	(void)unlink(path);
	(void)rmdir(dir);
	free(data);
}

uint8_t *make_content(const struct row *row)
{
	uint8_t *p = calloc(1, disk_size(row));

	if (!p)
		abort();
	if (row->content == CRASH_FILES)
		usedfs_make(p, row->length);
	else if (row->content == CRASH_MARKERS)
		fill_marked(p, row->length);
	else
		make_fs(p, row->length, row->content);
	return p;
}

/* --- verbs --- */

static struct crashdev *copy_of(
	const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log)
{
	struct crashdev *d = crashdev_new(content, disk_size(row));

	d->recording = record;
	crashdev_keep(d, ret_log);
	return d;
}

int encrypt(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);

	return coffer_encrypt_dev(&copy_of(row, content, record, ret_log)->dev, &o, NULL, e);
}

int undo(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);

	return coffer_abort_dev(&copy_of(row, content, record, ret_log)->dev, &o, NULL, e);
}

int repair(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e)
{
	const struct coffer_repair_options o = {.device = "test-disk", .threads = 1};
	struct coffer_repair_result *result = NULL;
	int r;

	r = coffer_repair_dev(&copy_of(row, content, record, ret_log)->dev, &o, &result, e);
	coffer_repair_free(result);
	return r;
}

struct coffer_facts facts_of_device(struct crashdev *d, enum coffer_operation *operation)
{
	struct coffer_disk disk = {0};
	struct coffer_facts f;

	if (coffer_disk_examine(&d->dev, &disk, NULL) < 0)
		abort();
	*operation = disk.operation;
	f = disk.facts;
	coffer_disk_reset(&disk);
	coffer_dev_close(&d->dev);
	return f;
}

struct coffer_facts facts_of(
	const struct row *row, const uint8_t *state, enum coffer_operation *operation)
{
	return facts_of_device(crashdev_new(state, disk_size(row)), operation);
}
