/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* leftovers.c - what an interrupted cryptsetup has left, and nobody may begin on or go on with */
#include <errno.h>
#include <inttypes.h>

#include "base/err.h"
#include "story/evidence.h"

int coffer_refuse_leftovers(
	const struct coffer_disk *disk, const struct coffer_evidence *v, struct coffer_err *e)
{
	const char *name = disk->dev->name;
	struct coffer_evidence torn = *v;
	char why[512];

	/* What is too little to put a head back is enough not to write over its copy. */
	torn.ambiguous = torn.used_map = false;
	torn.unconverted = true;
	if (disk->action == COFFER_ACT_START && v->has_copy && v->used_map)
		return coffer_err_repair(e, EUCLEAN,
			"%s: a map of what is used, as coffer keeps it behind its header, lies in "
			"the first bytes, and a copy of a filesystem's start at byte %" PRIu64
			", but there is no header; restore a backup of it with 'coffer "
			"header restore'; keep a copy of the disk first; nothing was changed",
			name, coffer_head_copy(&v->geometry));
	if (disk->action == COFFER_ACT_START && coffer_head_is_torn(&torn, why, sizeof(why)))
		return coffer_err_repair(e, EUCLEAN,
			"%s: its first bytes are half overwritten with a LUKS2 header, and a "
			"copy of them lies at byte %" PRIu64
			"; see 'coffer repair --dry-run %s'; nothing was changed",
			name, coffer_head_copy(&v->geometry), name);
	if (disk->action == COFFER_ACT_START && coffer_head_is_doubtful(v, why, sizeof(why)))
		return coffer_err_repair(e, EUCLEAN,
			"%s: %s; see 'coffer repair --dry-run %s'; nothing was changed", name, why,
			name);
	if (v->keyslot_torn)
		return coffer_err_repair(e, EUCLEAN,
			"%s: a keyslot of its header is half written, so no key opens it; see "
			"'coffer repair --dry-run %s'; nothing was changed",
			name, name);
	if (v->copy_lost)
		return coffer_err_repair(e, EUCLEAN,
			"%s: the saved copy of its first bytes, at byte %" PRIu64
			", holds no filesystem, though a spare superblock of %s lies further "
			"behind; see 'coffer repair --dry-run %s'; nothing was changed",
			name, coffer_head_copy(&v->geometry), coffer_fs_name(v->fs.kind), name);
	if (disk->action == COFFER_ACT_CONVERT && v->has_copy && v->unsaved > 0)
		return coffer_err_repair(e, EUCLEAN,
			"%s: the saved copy of its first bytes, at byte %" PRIu64
			", is not complete; see 'coffer repair --dry-run %s'; nothing was changed",
			name, coffer_head_copy(&v->geometry), name);
	if (v->copy_unknown)
		return coffer_err_repair(e, EUCLEAN,
			"%s: nothing that is known lies at byte %" PRIu64
			", where the saved copy of its first bytes must be; see 'coffer repair "
			"--dry-run %s'; nothing was changed",
			name, coffer_head_copy(&v->geometry), name);
	return 0;
}
