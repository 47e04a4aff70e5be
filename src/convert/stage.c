/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c - the facts of a disk in the words of its owner: which stage, which command comes next */
#include "convert/stage.h"

#include <assert.h>

#include "base/cleanup.h"

static const char *const stage_names[] = {
	[COFFER_STAGE_PLAIN] = "plain",
	[COFFER_STAGE_RESERVED] = "reserved",
	[COFFER_STAGE_PLACING] = "placing",
	[COFFER_STAGE_PLACED] = "placed",
	[COFFER_STAGE_CONVERTING] = "converting",
	[COFFER_STAGE_WIPE_PENDING] = "wipe-pending",
	[COFFER_STAGE_ENCRYPTED] = "encrypted",
	[COFFER_STAGE_UNDOING] = "undoing",
	[COFFER_STAGE_OTHER] = "other",
	[COFFER_STAGE_SHRUNK] = "shrunk",
	[COFFER_STAGE_DAMAGED] = "damaged",
};
static_assert(ARRAY_SIZE(stage_names) == COFFER_N_STAGES, "every stage has a name");

const char *coffer_stage_name(enum coffer_stage s)
{
	return (unsigned int)s < COFFER_N_STAGES ? stage_names[s] : "unknown";
}

static const char *const next_commands[] = {
	[COFFER_NEXT_NOTHING] = "",
	[COFFER_NEXT_PLAN] = "coffer plan",
	[COFFER_NEXT_ENCRYPT] = "coffer encrypt",
	[COFFER_NEXT_ABORT] = "coffer abort",
	[COFFER_NEXT_REPAIR] = "coffer repair",
	[COFFER_NEXT_LOOK] = "coffer repair --dry-run",
	[COFFER_NEXT_VERIFY] = "coffer verify",
	[COFFER_NEXT_STOCK_RESUME] = "cryptsetup reencrypt --resume-only",
	[COFFER_NEXT_STOCK_REPAIR] = "cryptsetup repair",
};
static_assert(ARRAY_SIZE(next_commands) == COFFER_N_NEXTS, "every next has a command");

const char *coffer_next_command(enum coffer_next n)
{
	return next_commands[n];
}

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
	case COFFER_OP_DAMAGED:
	case COFFER_OP_UNKNOWN:
	case COFFER_N_OPERATIONS:
		break;
	}
	return COFFER_STAGE_DAMAGED;
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
		/* newest < 0: LUKS1, which has one header and needs nothing of coffer */
		if (f->header.newest < 0)
			return COFFER_NEXT_NOTHING;
		return f->header.agree ? COFFER_NEXT_VERIFY : COFFER_NEXT_REPAIR;
	case COFFER_STAGE_UNDOING:
		return COFFER_NEXT_ABORT;
	case COFFER_STAGE_OTHER:
		return f->conversion.hot ? COFFER_NEXT_STOCK_REPAIR : COFFER_NEXT_STOCK_RESUME;
	case COFFER_STAGE_DAMAGED:
		return COFFER_NEXT_LOOK;
	case COFFER_STAGE_SHRUNK:
	case COFFER_N_STAGES:
		break;
	}
	return COFFER_NEXT_NOTHING;
}
