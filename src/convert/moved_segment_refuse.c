/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_refuse.c - what an interrupted cryptsetup has left, and nobody may begin on or go
 * on with */
#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "base/quote.h"
#include "convert/moved_segment_read.h"

static int refuse(const struct coffer_disk *disk, const struct coffer_moved_segment *v,
	enum coffer_finding_id *ret_id, struct coffer_err *e)
{
	const char *name = disk->dev->name;
	struct coffer_moved_segment torn = *v;
	const struct coffer_command look = coffer_command("coffer repair --dry-run", name);
	char why[512];

	/* What is too little to put a head back is enough not to write over its copy. */
	torn.ambiguous = false;
	torn.unconverted = true;
	*ret_id = COFFER_FINDING_MOVED_SEGMENT_TORN;
	if (disk->operation == COFFER_OP_START && !v->used_map &&
		coffer_moved_segment_is_torn(&torn, why, sizeof(why)))
		return coffer_err_needs_repair(e, EUCLEAN,
			"%s: its first bytes are half overwritten with a LUKS2 header, and a "
			"copy of them lies at byte %" PRIu64 "; nothing was changed; see %s",
			name, coffer_segment_copy_offset(&v->geometry), look.s);
	*ret_id = COFFER_FINDING_MOVED_SEGMENT_AMBIGUOUS;
	if (disk->operation == COFFER_OP_START &&
		coffer_moved_segment_is_ambiguous(v, why, sizeof(why)))
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: %s; nothing was changed; see %s", name, why, look.s);
	*ret_id = COFFER_FINDING_KEYSLOT;
	if (v->keyslot_torn)
		return coffer_err_needs_repair(e, EUCLEAN,
			"%s: a keyslot of its header is half written, so no key opens it; nothing "
			"was changed; see %s",
			name, look.s);
	*ret_id = COFFER_FINDING_MOVED_SEGMENT_COPY;
	if (disk->operation == COFFER_OP_CONVERT &&
		coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why)))
		return coffer_err_needs_repair(
			e, EUCLEAN, "%s: %s; nothing was changed; see %s", name, why, look.s);
	return 0;
}

int coffer_moved_segment_refuse(
	const struct coffer_disk *disk, const struct coffer_moved_segment *v, struct coffer_err *e)
{
	enum coffer_finding_id id;
	const int r = refuse(disk, v, &id, e);

	return coffer_err_id(e, r, id);
}
