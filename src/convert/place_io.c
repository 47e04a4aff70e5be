/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place_io.c - the writes that placement and undo share */
#include "convert/place_io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "fs/signatures.h"
#include "io/read_back.h"

enum {
	BTRFS_SUPERBLOCK = 65536
};

int coffer_write_record(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);

	if (!block || coffer_record_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the placement record");
	return coffer_dev_write_verified(
		d, block, COFFER_BLOCK, coffer_record_offset(&rec->geometry, rec->kind), e);
}

int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_BLOCK);
	int r;

	if (!block || coffer_transition_encode(rec, block) < 0)
		return coffer_err_errno(e, ENOMEM, "write the transition block");
	r = coffer_dev_write(d, block, COFFER_BLOCK, 0, e);
	return r < 0 ? r : coffer_dev_flush(d, e);
}

/* Every block, except block 0, in which libblkid finds a signature: until the body is complete
 * nothing may take the disk for a filesystem. The place of btrfs is always among them. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t at, struct coffer_record *rec, struct coffer_err *e)
{
	struct coffer_content c = {0};
	int r;

	r = coffer_signatures_read(d, at, rec->geometry.shift, &c, e);
	if (r < 0)
		return r;
	if (c.n_magics == COFFER_MAX_MAGICS)
		return coffer_err_refuse(e, E2BIG,
			"%s: too many signatures in its first bytes; wipe the wrong ones (wipefs)",
			d->name);
	rec->masked[rec->n_masked++] = BTRFS_SUPERBLOCK;
	for (uint32_t i = 0; i < c.n_magics; i++) {
		const uint64_t block = round_down_u64(c.magics[i], COFFER_BLOCK);
		bool known = block == 0 || block >= rec->geometry.shift;

		for (uint32_t k = 0; k < rec->n_masked; k++)
			known = known || rec->masked[k] == block;
		if (known)
			continue;
		if (rec->n_masked == COFFER_MAX_MASKED)
			return coffer_err_refuse(e, E2BIG,
				"%s: more than %d signatures of filesystems in its first bytes",
				d->name, COFFER_MAX_MASKED);
		rec->masked[rec->n_masked++] = block;
	}
	return 0;
}
