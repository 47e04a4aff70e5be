/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c - the stage of a disk, and the command that comes next */
#include "convert/stage.h"

#include <string.h>

#include "base/names.h"

DEFINE_NAMES(coffer_stage_name, enum coffer_stage, COFFER_N_STAGES, [COFFER_STAGE_PLAIN] = "plain",
	[COFFER_STAGE_RESERVED] = "reserved", [COFFER_STAGE_PLACING] = "placing",
	[COFFER_STAGE_PLACED] = "placed", [COFFER_STAGE_CONVERTING] = "converting",
	[COFFER_STAGE_WIPE_PENDING] = "wipe-pending", [COFFER_STAGE_ENCRYPTED] = "encrypted",
	[COFFER_STAGE_UNDOING] = "undoing", [COFFER_STAGE_OTHER] = "other",
	[COFFER_STAGE_SHRUNK] = "shrunk", [COFFER_STAGE_DAMAGED] = "damaged")

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
	static const enum coffer_stage stages[COFFER_N_OPERATIONS] = {
		[COFFER_OP_UNKNOWN] = COFFER_STAGE_DAMAGED,
		[COFFER_OP_REDO_PLACEMENT] = COFFER_STAGE_PLACING,
		[COFFER_OP_FINISH_PLACEMENT] = COFFER_STAGE_PLACING,
		[COFFER_OP_CONVERT] = COFFER_STAGE_CONVERTING,
		[COFFER_OP_FINALIZE] = COFFER_STAGE_WIPE_PENDING,
		[COFFER_OP_SYNC_FINAL] = COFFER_STAGE_ENCRYPTED,
		[COFFER_OP_ENCRYPTED] = COFFER_STAGE_ENCRYPTED,
		[COFFER_OP_FINISH_UNDO] = COFFER_STAGE_UNDOING,
		[COFFER_OP_OTHER] = COFFER_STAGE_OTHER,
		[COFFER_OP_SHRUNK] = COFFER_STAGE_SHRUNK,
		[COFFER_OP_DAMAGED] = COFFER_STAGE_DAMAGED,
	};

	if (a == COFFER_OP_START)
		return stage_of_plain(plain);
	/* hot: stock has begun a step, so more than the header was written */
	if (a == COFFER_OP_CONVERT && f->conversion.pointer == f->conversion.geometry.length &&
		!f->conversion.hot)
		return COFFER_STAGE_PLACED;
	return (unsigned int)a < COFFER_N_OPERATIONS ? stages[a] : COFFER_STAGE_DAMAGED;
}

enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f)
{
	static const enum coffer_next nexts[COFFER_N_STAGES] = {
		[COFFER_STAGE_PLAIN] = COFFER_NEXT_PLAN,
		[COFFER_STAGE_RESERVED] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_PLACING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_PLACED] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_CONVERTING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_WIPE_PENDING] = COFFER_NEXT_ENCRYPT,
		[COFFER_STAGE_ENCRYPTED] = COFFER_NEXT_VERIFY,
		[COFFER_STAGE_UNDOING] = COFFER_NEXT_ABORT,
		[COFFER_STAGE_OTHER] = COFFER_NEXT_STOCK_RESUME,
		[COFFER_STAGE_DAMAGED] = COFFER_NEXT_LOOK,
	};

	/* newest < 0: LUKS1, which has one header */
	if (s == COFFER_STAGE_ENCRYPTED && f->header.newest < 0)
		return COFFER_NEXT_NOTHING;
	if (s == COFFER_STAGE_ENCRYPTED && !f->header.agree)
		return COFFER_NEXT_REPAIR;
	if (s == COFFER_STAGE_OTHER && f->conversion.hot)
		return COFFER_NEXT_STOCK_REPAIR;
	if (s == COFFER_STAGE_OTHER && f->is_file)
		return COFFER_NEXT_STOCK_RESUME_FILE;
	return (unsigned int)s < COFFER_N_STAGES ? nexts[s] : COFFER_NEXT_NOTHING;
}

size_t coffer_next_words(enum coffer_next next, const char *ret[COFFER_NEXT_WORDS])
{
	static const char *const commands[COFFER_N_NEXTS][COFFER_NEXT_WORDS] = {
		[COFFER_NEXT_PLAN] = {"coffer", "plan"},
		[COFFER_NEXT_ENCRYPT] = {"coffer", "encrypt"},
		[COFFER_NEXT_ABORT] = {"coffer", "abort"},
		[COFFER_NEXT_REPAIR] = {"coffer", "repair"},
		[COFFER_NEXT_LOOK] = {"coffer", "repair", "--dry-run"},
		[COFFER_NEXT_VERIFY] = {"coffer", "verify"},
		[COFFER_NEXT_STOCK_RESUME] = {"cryptsetup", "reencrypt", "--resume-only"},
		[COFFER_NEXT_STOCK_RESUME_FILE] = {"cryptsetup", "reencrypt", "--resume-only",
			"--force-offline-reencrypt"},
		[COFFER_NEXT_STOCK_REPAIR] = {"cryptsetup", "repair"},
	};
	size_t n = 0;

	memcpy(ret, commands[next], sizeof(commands[next]));
	while (ret[n])
		n++;
	return n;
}

const char *const *coffer_stock_command(
	const struct coffer_facts *f, const char *device, const char *words[COFFER_NEXT_WORDS])
{
	words[coffer_next_words(coffer_next_of(COFFER_STAGE_OTHER, f), words)] = device;
	return words;
}
