/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sysfs.c - small files of /proc and /sys */
#include "io/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

enum {
	LARGEST = 1 << 20
};

int coffer_sysfs_read(int dir_fd, const char *path, char **ret, size_t *ret_n)
{
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *text = NULL;
	size_t n = 0, size = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t k;

		if (n + 1 >= size) {
			char *more;

			if (size >= LARGEST)
				return -EFBIG;
			size = size ? 4 * size : 1024;
			more = realloc(text, size);
			if (!more)
				return -ENOMEM;
			text = more;
		}
		k = read(fd, text + n, size - n - 1);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	text[n] = '\0';
	*ret = TAKE_PTR(text);
	*ret_n = n;
	return 0;
}

bool coffer_sysfs_read_line(int dir_fd, const char *path, char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;
	size_t n;

	ret[0] = '\0';
	if (coffer_sysfs_read(dir_fd, path, &text, &n) < 0 || !text)
		return false;
	text[strcspn(text, "\n")] = '\0';
	(void)snprintf(ret, size, "%s", text);
	return ret[0] != '\0';
}

/* Digits only: no sign, no blank. */
static bool take_number(const char **at, unsigned int *ret)
{
	unsigned long long v = 0;
	const char *p = *at;

	for (; *p >= '0' && *p <= '9' && v <= UINT_MAX; p++)
		v = 10 * v + (unsigned long long)(*p - '0');
	if (p == *at || v > UINT_MAX)
		return false;
	*at = p;
	*ret = (unsigned int)v;
	return true;
}

bool coffer_sysfs_read_dev(int dir_fd, const char *path, dev_t *ret)
{
	const char *p;
	char line[32];
	unsigned int maj, min;

	if (!coffer_sysfs_read_line(dir_fd, path, line, sizeof(line)))
		return false;
	p = line;
	if (!take_number(&p, &maj) || *p++ != ':' || !take_number(&p, &min) || *p)
		return false;
	*ret = makedev(maj, min);
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
