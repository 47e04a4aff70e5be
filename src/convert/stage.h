/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.h - the facts of a disk in the words of its owner: which stage, which command comes next
 *
 * decide.h tells what the program would do; this tells a person what that means. */
#pragma once
#include "coffer/stage.h"
#include "convert/decide.h"

/* What the content of a disk without a conversion adds to the facts. */
struct coffer_plain_facts {
	bool luks;     /* libblkid sees LUKS of any version */
	bool luks2;    /* LUKS2 among it, yet no header that counts */
	bool ready;    /* no guard of 'coffer encrypt' is in the way */
	bool torn;     /* the head was overwritten in part, or may be, and its copy is there */
	bool readable; /* false: the content could not be looked at */
};

enum coffer_stage coffer_stage_of(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain);

/* What comes next on a disk that nobody is at work on. */
enum coffer_next {
	COFFER_NEXT_NOTHING,
	COFFER_NEXT_PLAN,	  /* coffer plan: it tells what is in the way */
	COFFER_NEXT_ENCRYPT,	  /* coffer encrypt begins or goes on */
	COFFER_NEXT_ABORT,	  /* coffer abort goes on */
	COFFER_NEXT_REPAIR,	  /* coffer repair */
	COFFER_NEXT_LOOK,	  /* coffer repair --dry-run: look first */
	COFFER_NEXT_VERIFY,	  /* coffer verify */
	COFFER_NEXT_STOCK_RESUME, /* cryptsetup reencrypt --resume-only */
	COFFER_NEXT_STOCK_REPAIR, /* cryptsetup repair: what was cut inside a step resumes later */
	COFFER_N_NEXTS,
};
enum coffer_next coffer_next_of(enum coffer_stage s, const struct coffer_facts *f);
/* The command, without the device; "" for NOTHING. */
const char *coffer_next_command(enum coffer_next n);
