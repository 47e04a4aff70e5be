/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moved_segment_refuse.c - what an interrupted cryptsetup has left, and nobody may begin on or go
 * on with */
#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "base/quote.h"
#include "convert/moved_segment_read.h"

int coffer_refuse_leftovers(
	const struct coffer_disk *disk, const struct coffer_evidence *v, struct coffer_err *e)
{
	const char *name = disk->dev->name;
	struct coffer_evidence torn = *v;
	const struct coffer_command look = coffer_command("coffer repair --dry-run", name);
	char why[512];

	/* What is too little to put a head back is enough not to write over its copy. */
	torn.ambiguous = false;
	torn.unconverted = true;
	if (disk->action == COFFER_ACT_START && !v->used_map &&
		coffer_head_is_torn(&torn, why, sizeof(why)))
		return coffer_err_repair(e, EUCLEAN,
			"%s: its first bytes are half overwritten with a LUKS2 header, and a "
			"copy of them lies at byte %" PRIu64 "; nothing was changed; see %s",
			name, coffer_head_copy(&v->geometry), look.s);
	if (disk->action == COFFER_ACT_START && coffer_head_is_doubtful(v, why, sizeof(why)))
		return coffer_err_repair(
			e, EUCLEAN, "%s: %s; nothing was changed; see %s", name, why, look.s);
	if (v->keyslot_torn)
		return coffer_err_repair(e, EUCLEAN,
			"%s: a keyslot of its header is half written, so no key opens it; nothing "
			"was changed; see %s",
			name, look.s);
	if (disk->action == COFFER_ACT_CONVERT && coffer_copy_is_incomplete(v, why, sizeof(why)))
		return coffer_err_repair(
			e, EUCLEAN, "%s: %s; nothing was changed; see %s", name, why, look.s);
	return 0;
}
