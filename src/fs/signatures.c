/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signatures.c - the only door to libblkid: what is on a device, and hibernated systems */
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

static void add_foreign(struct coffer_content *c, const char *type, const char *offset)
{
	(void)snprintf(c->foreign, sizeof(c->foreign), "%s", type);
	c->foreign_at = strtoull(offset, NULL, 10);
}

static void add_finding(blkid_probe pr, struct coffer_content *c)
{
	const char *type = value(pr, "TYPE");
	const char *offset = value(pr, "SBMAGIC_OFFSET");

	if (!*type)
		offset = value(pr, "PTMAGIC_OFFSET");
	if (!c->type[0]) {
		(void)snprintf(c->type, sizeof(c->type), "%s", type);
		(void)snprintf(c->uuid, sizeof(c->uuid), "%s", value(pr, "UUID"));
		(void)snprintf(c->label, sizeof(c->label), "%s", value(pr, "LABEL"));
	}
	if (!c->partitions[0])
		(void)snprintf(c->partitions, sizeof(c->partitions), "%s", value(pr, "PTTYPE"));
	if (strncmp(type, "crypto_LUKS", 11) == 0) {
		c->luks = true;
		c->luks2 = c->luks2 || strcmp(value(pr, "VERSION"), "2") == 0;
	} else if (!c->foreign[0] && !*value(pr, "SBBADCSUM"))
		add_foreign(c, *type ? type : value(pr, "PTTYPE"), offset);
	if (strcmp(type, "swsuspend") == 0)
		c->suspended = true;
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
		return coffer_err_set(e, EIO, "libblkid cannot look at %s", name);
	/* Bad checksums too: a damaged LUKS header is LUKS, a damaged swap may be hibernated. */
	if (blkid_probe_enable_superblocks(pr, 1) < 0 ||
		blkid_probe_set_superblocks_flags(pr,
			BLKID_SUBLKS_TYPE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_UUID |
				BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM) <
			0 ||
		blkid_probe_enable_partitions(pr, 1) < 0 ||
		blkid_probe_set_partitions_flags(pr, BLKID_PARTS_MAGIC) < 0)
		return coffer_err_set(e, ENOMEM, "libblkid cannot look at %s", name);
	errno = 0;
	while ((r = blkid_do_probe(pr)) == 0)
		add_finding(pr, &c);
	if (r < 0)
		return coffer_err_set(e, EIO, "libblkid cannot look for signatures on %s: %s", name,
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

	/* A cache of our own without a file: reading must not write to the system's. */
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
				"%s holds the memory of a hibernated system, which must not find "
				"its filesystems changed",
				blkid_dev_devname(dev)),
			"resume that system and shut it down, or run mkswap on %s",
			blkid_dev_devname(dev));
	if (it)
		blkid_dev_iterate_end(it);
	blkid_put_cache(cache);
	return r;
}
