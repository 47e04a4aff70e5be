/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c - the stage of a disk, and the command that comes next */
#include "convert/stage.h"

#include "base/names.h"

DEFINE_NAMES(coffer_stage_name, enum coffer_stage, COFFER_N_STAGES, [COFFER_STAGE_PLAIN] = "plain",
	[COFFER_STAGE_RESERVED] = "reserved", [COFFER_STAGE_PLACING] = "placing",
	[COFFER_STAGE_PLACED] = "placed", [COFFER_STAGE_CONVERTING] = "converting",
	[COFFER_STAGE_WIPE_PENDING] = "wipe-pending", [COFFER_STAGE_ENCRYPTED] = "encrypted",
	[COFFER_STAGE_UNDOING] = "undoing", [COFFER_STAGE_OTHER] = "other",
	[COFFER_STAGE_SHRUNK] = "shrunk", [COFFER_STAGE_DAMAGED] = "damaged")

DEFINE_NAMES(coffer_stage_meaning, enum coffer_stage,
	COFFER_N_STAGES, [COFFER_STAGE_PLAIN] = "not encrypted, not ready for encryption",
	[COFFER_STAGE_RESERVED] = "not encrypted, ready for encryption",
	[COFFER_STAGE_PLACING] = "the LUKS2 header is partly placed; nothing is encrypted yet",
	[COFFER_STAGE_PLACED] = "the LUKS2 header is placed; nothing is encrypted yet",
	[COFFER_STAGE_CONVERTING] = "the conversion is not finished",
	[COFFER_STAGE_WIPE_PENDING] =
		"all data is encrypted; the plain copy of the first bytes is not wiped yet",
	[COFFER_STAGE_ENCRYPTED] = "LUKS volume, no conversion in progress",
	[COFFER_STAGE_UNDOING] = "an abort is not finished",
	[COFFER_STAGE_OTHER] = "a reencryption by cryptsetup is not finished",
	[COFFER_STAGE_SHRUNK] = "the device is smaller than the conversion on it",
	[COFFER_STAGE_DAMAGED] = "damaged")

DEFINE_NAMES(coffer_next_command, enum coffer_next, COFFER_N_NEXTS, [COFFER_NEXT_NOTHING] = "",
	[COFFER_NEXT_PLAN] = "coffer plan", [COFFER_NEXT_ENCRYPT] = "coffer encrypt",
	[COFFER_NEXT_ABORT] = "coffer abort", [COFFER_NEXT_REPAIR] = "coffer repair",
	[COFFER_NEXT_LOOK] = "coffer repair --dry-run", [COFFER_NEXT_VERIFY] = "coffer verify",
	[COFFER_NEXT_STOCK_RESUME] = "cryptsetup reencrypt --resume-only",
	[COFFER_NEXT_STOCK_REPAIR] = "cryptsetup repair")

static enum coffer_stage stage_of_plain(const struct coffer_plain_facts *plain)
{
	if (plain->luks2 || plain->torn)
		return COFFER_STAGE_DAMAGED;
	if (plain->luks)
		return COFFER_STAGE_ENCRYPTED;
	return plain->ready ? COFFER_STAGE_RESERVED : COFFER_STAGE_PLAIN;
}

enum coffer_stage coffer_stage_of(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain)
{
	switch (a) {
	case COFFER_OP_START:
		return stage_of_plain(plain);
	case COFFER_OP_REDO_PLACEMENT:
	case COFFER_OP_FINISH_PLACEMENT:
		return COFFER_STAGE_PLACING;
	case COFFER_OP_CONVERT:
		/* hot: stock has begun a step, so more than the header was written */
		return f->conversion.pointer == f->conversion.geometry.length && !f->conversion.hot
			       ? COFFER_STAGE_PLACED
			       : COFFER_STAGE_CONVERTING;
	case COFFER_OP_FINALIZE:
		return COFFER_STAGE_WIPE_PENDING;
	case COFFER_OP_SYNC_FINAL:
	case COFFER_OP_ENCRYPTED:
		return COFFER_STAGE_ENCRYPTED;
	case COFFER_OP_FINISH_UNDO:
		return COFFER_STAGE_UNDOING;
	case COFFER_OP_OTHER:
		return COFFER_STAGE_OTHER;
	case COFFER_OP_SHRUNK:
		return COFFER_STAGE_SHRUNK;
	default:
		return COFFER_STAGE_DAMAGED;
	}
}

enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f)
{
	switch (s) {
	case COFFER_STAGE_PLAIN:
		return COFFER_NEXT_PLAN;
	case COFFER_STAGE_RESERVED:
	case COFFER_STAGE_PLACING:
	case COFFER_STAGE_PLACED:
	case COFFER_STAGE_CONVERTING:
	case COFFER_STAGE_WIPE_PENDING:
		return COFFER_NEXT_ENCRYPT;
	case COFFER_STAGE_ENCRYPTED:
		/* newest < 0: LUKS1, which has one header */
		if (f->header.newest < 0)
			return COFFER_NEXT_NOTHING;
		return f->header.agree ? COFFER_NEXT_VERIFY : COFFER_NEXT_REPAIR;
	case COFFER_STAGE_UNDOING:
		return COFFER_NEXT_ABORT;
	case COFFER_STAGE_OTHER:
		return f->conversion.hot ? COFFER_NEXT_STOCK_REPAIR : COFFER_NEXT_STOCK_RESUME;
	case COFFER_STAGE_DAMAGED:
		return COFFER_NEXT_LOOK;
	default:
		return COFFER_NEXT_NOTHING;
	}
}
