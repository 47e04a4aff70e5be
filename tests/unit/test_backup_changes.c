/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_backup_changes.c - the disk becomes another one while its header is backed up
 *
 * At each read of the backup in turn. What comes out is a file of one of the two disks, or no file
 * and a reason. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crashdev.h"
#include "header/backup.h"
#include "io/new_file.h"
#include "lib/keydisk.h"
#include "tap.h"

enum {
	AREA = 1 << 20,
	MAX_READS = 1000
};

static const struct coffer_dev_ops *real_ops;
static struct coffer_dev_ops changing_ops;
static unsigned int reads, change_at;
static const uint8_t *other;

static int changing_read(
	struct coffer_dev *d, void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	if (++reads == change_at)
		memcpy(((struct crashdev *)d)->mem, other, KEYDISK_SIZE);
	return real_ops->read(d, buf, n, off, e);
}

/* Is the file at @path a backup of the volume and the keyslots on @disk? */
static bool is_of(const char *path, const uint8_t *disk)
{
	_cleanup_free_ uint8_t *file = NULL;
	struct coffer_areas areas;
	struct coffer_backup b;
	bool same;
	uint64_t n;

	if (coffer_file_read(path, COFFER_MAX_HEADER_IMAGE, &file, &n, NULL) < 0 ||
		coffer_backup_read(file, n, &b, NULL) < 0)
		return false;
	areas = b.areas;
	same = memcmp(file, disk, KEYDISK_COPY) == 0;
	for (size_t i = 0; i < areas.n; i++)
		same = same && memcmp(file + areas.a[i].offset, disk + areas.a[i].offset,
				       areas.a[i].size) == 0;
	coffer_backup_reset(&b);
	return same;
}

static int back_up(const uint8_t *disk, const char *path, struct coffer_err *e)
{
	const struct coffer_header_backup_options o = {.device = "test-disk", .file = path};
	_cleanup_new_file_ struct coffer_new_file file = {.folder = -1};
	struct coffer_header_backup_result *result = NULL;
	struct crashdev *d = crashdev_new(disk, KEYDISK_SIZE);
	int r;

	real_ops = d->dev.ops;
	changing_ops = *real_ops;
	changing_ops.read = changing_read;
	d->dev.ops = &changing_ops;
	reads = 0;
	if (coffer_new_file_open(path, &file, NULL) < 0)
		abort();
	r = coffer_header_backup_dev(&d->dev, &file, &o, &result, e);
	coffer_header_backup_free(result);
	return r;
}

static void test_change(const char *name, const uint8_t *before, const uint8_t *after,
	const char *folder, bool gone)
{
	unsigned int old = 0, new = 0, refused = 0, wrong = 0;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/backup", folder);
	other = after;
	for (change_at = 1; change_at < MAX_READS; change_at++) {
		struct coffer_err e = {0};
		const int r = back_up(before, path, &e);
		const bool there = access(path, F_OK) == 0;

		if (r < 0 && !there && e.msg[0])
			refused++;
		else if (r == 0 && is_of(path, before))
			old++;
		else if (r == 0 && is_of(path, after))
			new ++;
		else
			wrong++;
		if (there && unlink(path) < 0)
			abort();
		if (reads < change_at)
			break;
	}
	note("%s: %u reads; of before %u, of after %u, refused %u", name, reads, old, new, refused);
	ok(wrong == 0 && change_at < MAX_READS, "%s: never a file of neither", name);
	ok(old > 0 && (gone ? refused > 0 && new == 0 : new > 0), "%s: all that can be", name);
}

int main(void)
{
	char folder[] = "/tmp/coffer-changes-XXXXXX";
	_cleanup_free_ uint8_t *none = calloc(1, KEYDISK_SIZE), *disk = NULL, *later = NULL;
	_cleanup_free_ uint8_t *half = NULL;
	uint8_t key[64];

	if (!none || !mkdtemp(folder))
		abort();
	disk = keydisk_new(AREA, "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01", key);
	keydisk_add(disk, 0, "alpha", key);
	later = keydisk_copy(disk);
	keydisk_kill(later, 0);
	keydisk_add(later, 0, "beta", key);
	half = keydisk_copy(disk);
	half[2 * KEYDISK_COPY + 100] ^= 1;
	half[2 * KEYDISK_COPY + 200000] ^= 1;
	test_change("the header goes", disk, none, folder, true);
	test_change("a key is changed", disk, later, folder, false);
	test_change("a keyslot alone is written", disk, half, folder, false);
	if (rmdir(folder) < 0)
		abort();
	return done_testing();
}
