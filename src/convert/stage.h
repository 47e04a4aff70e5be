/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.h - the stage of a disk, and the command that comes next */
#pragma once
#include "coffer/stage.h"
#include "convert/decide.h"

/* What the content of a disk without a conversion adds to the facts. */
struct coffer_plain_facts {
	bool luks;     /* libblkid finds LUKS of any version */
	bool luks2;    /* LUKS2 among it, yet no header that counts */
	bool ready;    /* all preflight checks of 'coffer encrypt' pass */
	bool torn;     /* the moved segment is torn, or may be, and has a copy */
	bool readable; /* the content could be read */
};

enum coffer_stage coffer_stage_of(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain);

/* What comes next on a disk without a running conversion. */
enum coffer_next {
	COFFER_NEXT_NOTHING,
	COFFER_NEXT_PLAN,
	COFFER_NEXT_ENCRYPT, /* start or resume */
	COFFER_NEXT_ABORT,   /* finish the undo */
	COFFER_NEXT_REPAIR,
	COFFER_NEXT_LOOK, /* coffer repair --dry-run */
	COFFER_NEXT_VERIFY,
	COFFER_NEXT_STOCK_RESUME,      /* cryptsetup reencrypt --resume-only */
	COFFER_NEXT_STOCK_RESUME_FILE, /* the same with --force-offline-reencrypt */
	COFFER_NEXT_STOCK_REPAIR, /* cryptsetup repair: interrupted inside a step, resumes later */
	COFFER_N_NEXTS,
};
enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f);

enum {
	COFFER_NEXT_WORDS = 8 /* of a command, with options, device and NULL */
};
/* The command without options and device, ended by NULL. Returns the number of its words. */
size_t coffer_next_words(enum coffer_next next, const char *ret[COFFER_NEXT_WORDS]);
/* The command that continues another program's conversion of @device. Returns @words. */
const char *const *coffer_stock_command(
	const struct coffer_facts *f, const char *device, const char *words[COFFER_NEXT_WORDS]);
