/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_stage.c - where a disk stands, held against laws
 *
 * Every action with every combination of the facts that a stage depends on, judged by laws; and
 * what comes next. */
#include "convert/decide.h"

#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

static const struct coffer_geometry geometry = {64 * MIB, 4 * MIB, 56 * MIB, 512};

/* What each action is to a person where no fact changes that. */
static const struct row {
	enum coffer_operation operation;
	enum coffer_stage stage;
	enum coffer_next next;
} rows[] = {
	{COFFER_OP_REDO_PLACEMENT, COFFER_STAGE_PLACING, COFFER_NEXT_ENCRYPT},
	{COFFER_OP_FINISH_PLACEMENT, COFFER_STAGE_PLACING, COFFER_NEXT_ENCRYPT},
	{COFFER_OP_FINALIZE, COFFER_STAGE_WIPE_PENDING, COFFER_NEXT_ENCRYPT},
	{COFFER_OP_FINISH_UNDO, COFFER_STAGE_UNDOING, COFFER_NEXT_ABORT},
	{COFFER_OP_SHRUNK, COFFER_STAGE_SHRUNK, COFFER_NEXT_NOTHING},
	{COFFER_OP_DAMAGED, COFFER_STAGE_DAMAGED, COFFER_NEXT_LOOK},
};

static unsigned int broken, seen_stages, seen_nexts;

static void holds(bool good, const char *law, enum coffer_operation a, unsigned int bits)
{
	if (!good && broken++ < 5)
		note("broken: %s; action %s, facts %#x", law, coffer_operation_name(a), bits);
}

static void judge(enum coffer_operation a, const struct coffer_facts *f,
	const struct coffer_plain_facts *plain, unsigned int bits)
{
	const enum coffer_stage s = coffer_stage_of(a, f, plain);
	const enum coffer_next n = coffer_next_of(s, f);
	const bool untouched =
		f->conversion.pointer == f->conversion.geometry.length && !f->conversion.hot;

	holds((unsigned int)s < COFFER_N_STAGES, "a stage", a, bits);
	holds((unsigned int)n < COFFER_N_NEXTS, "a next", a, bits);
	seen_stages |= 1u << s;
	seen_nexts |= 1u << n;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].operation == a)
			holds(s == rows[i].stage && n == rows[i].next, "the row's", a, bits);
	holds((s == COFFER_STAGE_PLACED) == (a == COFFER_OP_CONVERT && untouched),
		"placed is a conversion whose pointer never moved, not even hot", a, bits);
	holds((s == COFFER_STAGE_CONVERTING) == (a == COFFER_OP_CONVERT && !untouched),
		"converting is one in which something was moved", a, bits);
	holds((s == COFFER_STAGE_OTHER) == (a == COFFER_OP_OTHER), "other is other", a, bits);
	if (a == COFFER_OP_START && (plain->luks2 || plain->torn))
		holds(s == COFFER_STAGE_DAMAGED && n == COFFER_NEXT_LOOK,
			"what was LUKS2, or is torn, is never called plain", a, bits);
	else if (a == COFFER_OP_START)
		holds(s == (plain->luks		  ? COFFER_STAGE_ENCRYPTED
				   : plain->ready ? COFFER_STAGE_RESERVED
						  : COFFER_STAGE_PLAIN),
			"a disk without a conversion", a, bits);
	if (a == COFFER_OP_ENCRYPTED || a == COFFER_OP_SYNC_FINAL)
		holds(s == COFFER_STAGE_ENCRYPTED, "encrypted", a, bits);
	if (s == COFFER_STAGE_ENCRYPTED)
		holds(n == (f->header.newest < 0     ? COFFER_NEXT_NOTHING
				   : f->header.agree ? COFFER_NEXT_VERIFY
						     : COFFER_NEXT_REPAIR),
			"of an encrypted volume repair is next when its copies differ", a, bits);
	if (s == COFFER_STAGE_OTHER)
		holds(n == (f->conversion.hot	? COFFER_NEXT_STOCK_REPAIR
				   : f->is_file ? COFFER_NEXT_STOCK_RESUME_FILE
						: COFFER_NEXT_STOCK_RESUME),
			"cryptsetup resumes inside a step only after its repair", a, bits);
}

static void every_combination(void)
{
	for (enum coffer_operation a = COFFER_OP_START; a < COFFER_N_OPERATIONS; a++)
		for (unsigned int bits = 0; bits < 1024; bits++) {
			const struct coffer_plain_facts plain = {.luks = bits & 1,
				.luks2 = bits & 2,
				.ready = bits & 4,
				.torn = bits & 8};
			struct coffer_facts f = {
				.header.newest = bits & 16 ? -1 : 0, .header.agree = bits & 32};

			f.conversion.geometry = geometry;
			f.conversion.hot = bits & 64;
			f.is_file = bits & 512;
			f.conversion.pointer = bits & 128   ? geometry.length
					       : bits & 256 ? 8 * MIB
							    : 0;
			judge(a, &f, &plain, bits);
		}
	ok(broken == 0, "every action with every combination of facts");
	ok(seen_stages == (1u << COFFER_N_STAGES) - 1, "every stage is one of some disk");
	ok(seen_nexts == (1u << COFFER_N_NEXTS) - 1, "every next comes after some disk");
	ok(coffer_stage_of(COFFER_N_OPERATIONS, &(struct coffer_facts){0},
		   &(struct coffer_plain_facts){0}) == COFFER_STAGE_DAMAGED,
		"what is not an action is damage");
}

static void names_and_commands(void)
{
	for (enum coffer_stage s = 0; s < COFFER_N_STAGES; s++)
		for (enum coffer_stage t = 0; t < s; t++)
			if (strcmp(coffer_stage_name(s), coffer_stage_name(t)) == 0)
				ok(false, "two stages are called %s", coffer_stage_name(s));
	ok(strcmp(coffer_stage_name(COFFER_N_STAGES), "unknown") == 0 &&
			strcmp(coffer_stage_name((enum coffer_stage) - 1), "unknown") == 0,
		"what is not a stage has no name");
	for (enum coffer_next n = 0; n < COFFER_N_NEXTS; n++) {
		const char *words[COFFER_NEXT_WORDS];
		const size_t count = coffer_next_words(n, words);

		ok(!words[count] && (n == COFFER_NEXT_NOTHING ? count == 0
					    : n >= COFFER_NEXT_STOCK_RESUME
						    ? strcmp(words[0], "cryptsetup") == 0
						    : strcmp(words[0], "coffer") == 0),
			"next %d is a command: '%s %s'", (int)n, count > 0 ? words[0] : "",
			count > 1 ? words[1] : "");
	}
}

int main(void)
{
	every_combination();
	names_and_commands();
	return done_testing();
}
