/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sysfs.c - small files of /proc and /sys */
#include "io/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

int coffer_sysfs_read(int dir_fd, const char *path, char **ret)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *text = NULL;
	char buffer[1 << 14];
	size_t size = 1;
	int r = 0;

	if (!f)
		return -errno;
	(void)TAKE_FD(fd);
	/* Few large reads: the text may change between two. */
	(void)setvbuf(f, buffer, _IOFBF, sizeof(buffer));
	text = calloc(1, size); /* stays as it is if the file is empty */
	errno = text ? 0 : ENOMEM;
	if (!text || getdelim(&text, &size, '\0', f) < 0)
		r = -errno;
	else if (ferror(f)) /* after a part of the text */
		r = errno ? -errno : -EIO;
	(void)fclose(f);
	if (r == 0)
		*ret = TAKE_PTR(text);
	return r;
}

bool coffer_sysfs_read_line(int dir_fd, const char *path, char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;

	ret[0] = '\0';
	if (coffer_sysfs_read(dir_fd, path, &text) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(ret, size, "%s", text);
	return ret[0] != '\0';
}

bool coffer_sysfs_read_dev(int dir_fd, const char *path, dev_t *ret)
{
	char line[32], maj[11], min[11], more;

	/* Digits only: no sign, no blank. */
	if (!coffer_sysfs_read_line(dir_fd, path, line, sizeof(line)) ||
		sscanf(line, "%10[0-9]:%10[0-9]%c", maj, min, &more) != 2 ||
		strtoull(maj, NULL, 10) > UINT_MAX || strtoull(min, NULL, 10) > UINT_MAX)
		return false;
	*ret = makedev(
		(unsigned int)strtoull(maj, NULL, 10), (unsigned int)strtoull(min, NULL, 10));
	return true;
}

const char *coffer_dir_next(DIR *dir)
{
	const struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			return d->d_name;
	return NULL;
}

void coffer_dir_close(DIR *dir)
{
	if (dir)
		(void)closedir(dir);
}
