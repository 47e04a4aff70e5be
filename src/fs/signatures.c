/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signatures.c - signatures on a device, and hibernated systems: the only user of libblkid */
#include "fs/signatures.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <blkid/blkid.h>

#include "base/cleanup.h"
#include "base/err.h"

DEFINE_CLEANUP(blkid_probe, probe, blkid_free_probe);

static const char *value(blkid_probe pr, const char *name)
{
	const char *s = NULL;

	return blkid_probe_lookup_value(pr, name, &s, NULL) == 0 && s ? s : "";
}

#define SET_TEXT(to, from) ((void)snprintf(to, sizeof(to), "%s", from))

static void add_signature(blkid_probe pr, struct coffer_content *c)
{
	const char *type = value(pr, "TYPE"), *table = value(pr, "PTTYPE");
	const char *offset = value(pr, *type ? "SBMAGIC_OFFSET" : "PTMAGIC_OFFSET");

	if (!c->type[0]) {
		SET_TEXT(c->type, type);
		SET_TEXT(c->uuid, value(pr, "UUID"));
		SET_TEXT(c->label, value(pr, "LABEL"));
	}
	if (!c->partitions[0])
		SET_TEXT(c->partitions, table);
	if (strncmp(type, "crypto_LUKS", 11) == 0) {
		c->luks = true;
		c->luks2 = c->luks2 || strcmp(value(pr, "VERSION"), "2") == 0;
	} else if (!c->foreign[0] && !*value(pr, "SBBADCSUM")) {
		SET_TEXT(c->foreign, *type ? type : table);
		c->foreign_at = strtoull(offset, NULL, 10);
	}
	c->suspended = c->suspended || strcmp(type, "swsuspend") == 0;
	if (*offset && c->n_magics < COFFER_MAX_MAGICS)
		c->magics[c->n_magics++] = strtoull(offset, NULL, 10);
}

int coffer_signatures_read(const struct coffer_dev *d, uint64_t off, uint64_t n,
	struct coffer_content *ret, struct coffer_err *e)
{
	if (d->fd < 0) {
		*ret = (struct coffer_content){0};
		return 0;
	}
	return coffer_signatures_read_fd(d->fd, d->name, off, n, ret, e);
}

int coffer_signatures_read_fd(int fd, const char *name, uint64_t off, uint64_t n,
	struct coffer_content *ret, struct coffer_err *e)
{
	_cleanup_(cleanup_probe) blkid_probe pr = blkid_new_probe();
	struct coffer_content c = {0};
	int r;

	if (!pr || blkid_probe_set_device(pr, fd, (blkid_loff_t)off, (blkid_loff_t)n) < 0)
		return coffer_err_set(e, EIO, "libblkid cannot probe %s", name);
	/* Bad checksums, too: a damaged LUKS header is LUKS, a damaged swap may be hibernated. */
	if (blkid_probe_enable_superblocks(pr, 1) < 0 ||
		blkid_probe_set_superblocks_flags(pr,
			BLKID_SUBLKS_TYPE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_UUID |
				BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM) <
			0 ||
		blkid_probe_enable_partitions(pr, 1) < 0 ||
		blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC) < 0)
		return coffer_err_set(e, ENOMEM, "libblkid cannot probe %s", name);
	errno = 0;
	while ((r = blkid_do_probe(pr)) == 0)
		add_signature(pr, &c);
	if (r < 0)
		return coffer_err_set(e, EIO, "libblkid cannot read the signatures on %s: %s", name,
			errno ? strerror(errno) : "unknown error");
	*ret = c;
	return 0;
}

int coffer_refuse_hibernation(struct coffer_err *e)
{
	blkid_cache cache = NULL;
	blkid_dev_iterate it;
	blkid_dev dev;
	int r = 0;

	/* A cache without a file: the cache of the system must not change. */
	if (blkid_get_cache(&cache, "/dev/null") < 0 || blkid_probe_all(cache) < 0) {
		if (cache)
			blkid_put_cache(cache);
		return 0;
	}
	it = blkid_dev_iterate_begin(cache);
	if (it && blkid_dev_set_search(it, "TYPE", "swsuspend") == 0 &&
		blkid_dev_next(it, &dev) == 0 && (dev = blkid_verify(cache, dev)))
		r = coffer_err_advise(e,
			coffer_err_refuse(e, EBUSY,
				"%s holds a hibernated system, whose filesystems must not change",
				blkid_dev_devname(dev)),
			"resume that system and shut it down, or discard it: mkswap %s",
			blkid_dev_devname(dev));
	if (it)
		blkid_dev_iterate_end(it);
	blkid_put_cache(cache);
	return r;
}
