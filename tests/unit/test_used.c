/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_used.c - what a resume believes of the map of what is used, and what it says of free space
 *
 * test_crash.c cuts such conversions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/on_device.h"
#include "convert/stored_map.h"
#include "crashlab.h"
#include "rescue/repair.h"
#include "tap.h"
#include "usedfs.h"

static const struct row rows[] = {
	{.name = "keep",
		.length = 5 * MIB,
		.sector_size = 512,
		.content = CRASH_FILES,
		.used_only = true,
		.free_space = COFFER_FREE_KEEP},
	{.name = "fill",
		.length = 5 * MIB,
		.sector_size = 512,
		.content = CRASH_FILES,
		.used_only = true,
		.free_space = COFFER_FREE_FILL},
	{.name = "discard",
		.length = 5 * MIB,
		.sector_size = 512,
		.content = CRASH_FILES,
		.used_only = true,
		.free_space = COFFER_FREE_DISCARD},
};

/* --- a resume, and what it believes ------------------------------------------------------------
 */

/* The first state with both header copies alike in which @action is due and the pointer moved. */
static uint8_t *state_for(
	const struct row *row, const uint8_t *content, enum coffer_operation wanted)
{
	uint8_t *state = malloc(disk_size(row));
	struct crash_log log = {0};
	struct coffer_err e = {0};
	enum coffer_operation operation;
	struct coffer_facts f = {0};

	if (!state || encrypt(row, content, true, &log, &e) < 0)
		abort();
	for (size_t k = 1; k <= log.n; k++) {
		if (!log.ops[k - 1].flush)
			continue;
		crash_state(content, disk_size(row), &log, k, CRASH_ALL, 0, state);
		f = facts_of(row, state, &operation);
		if (operation == wanted && f.header.agree &&
			f.conversion.pointer < f.conversion.geometry.length)
			break;
	}
	crash_log_free(&log);
	return state;
}

/* The state after the first commit of a step. */
static uint8_t *half_converted(const struct row *row, const uint8_t *content)
{
	return state_for(row, content, COFFER_OP_CONVERT);
}

/* Where the map lies: after header copies of 16 KiB and keyslots of half of S. */
enum {
	MAP = 32768 + (1 << 19)
};

static void nothing(uint8_t *state)
{
	(void)state;
}

static void damage(uint8_t *state)
{
	state[MAP + 4096] ^= 1;
}

static void lose(uint8_t *state)
{
	memset(state + MAP, 0, 8192);
}

/* What a mount changes, in the moved-segment copy, where the superblock lies now. */
static void use(uint8_t *state)
{
	state[6 * MIB + 1024 + 0x2c] ^= 1;
}

static void make_void(uint8_t *state)
{
	if (coffer_stored_map_encode_void("x", COFFER_FREE_KEEP, 8192, state + MAP) < 0)
		abort();
}

static const struct {
	const char *name;
	void (*change)(uint8_t *state);
	enum coffer_used_only used_only;
	enum coffer_free_space free_space;
	bool refused, followed;
	enum coffer_free_space told;
	const char *why;
} resumes[] = {
	{"as it was", nothing, COFFER_USED_AUTO, COFFER_FREE_DEFAULT, false, true, COFFER_FREE_KEEP,
		""},
	{"as it was, yes", nothing, COFFER_USED_YES, COFFER_FREE_KEEP, false, true,
		COFFER_FREE_KEEP, ""},
	{"filled from here on", nothing, COFFER_USED_AUTO, COFFER_FREE_FILL, false, true,
		COFFER_FREE_KEEP, ""},
	{"everything from here on", nothing, COFFER_USED_NO, COFFER_FREE_DEFAULT, false, false,
		COFFER_FREE_KEEP, ""},
	{"the map is damaged", damage, COFFER_USED_AUTO, COFFER_FREE_DEFAULT, false, false,
		COFFER_FREE_KEEP, "damaged"},
	{"the map is damaged, yes", damage, COFFER_USED_YES, COFFER_FREE_DEFAULT, true, false,
		COFFER_FREE_DEFAULT, "damaged"},
	{"the map is lost", lose, COFFER_USED_AUTO, COFFER_FREE_DEFAULT, false, false,
		COFFER_FREE_DEFAULT, "no used map"},
	{"the filesystem was used", use, COFFER_USED_AUTO, COFFER_FREE_DEFAULT, false, false,
		COFFER_FREE_KEEP, "used after"},
	{"the filesystem was used, yes", use, COFFER_USED_YES, COFFER_FREE_DEFAULT, true, false,
		COFFER_FREE_DEFAULT, "used after"},
	{"the map is another volume's", make_void, COFFER_USED_AUTO, COFFER_FREE_DEFAULT, false,
		false, COFFER_FREE_KEEP, "another volume"},
};

/* The disk, resumed with the options of @i; the log of writes is kept in @ret. */
static int resume(const struct row *row, const uint8_t *state, size_t i, struct crash_log *ret,
	struct coffer_encrypt_result *result, struct coffer_err *e)
{
	struct coffer_encrypt_options o = options(row);
	struct crashdev *d = crashdev_new(state, disk_size(row));

	o.used_only = resumes[i].used_only;
	o.free_space = resumes[i].free_space;
	d->recording = true;
	crashdev_keep(d, ret);
	return coffer_encrypt_dev(&d->dev, &o, result, e);
}

static void test_resumes(const struct row *row)
{
	uint8_t *content = make_content(row), *half = half_converted(row, content);
	uint8_t *state = malloc(disk_size(row));
	struct tally t = {0};
	struct span *spans;
	const size_t n_spans = usedfs_spans(content, row->length, &spans);
	struct lab l;

	lab_init(&l, row, content, 0, spans, n_spans, &t);
	for (size_t i = 0; i < sizeof(resumes) / sizeof(resumes[0]) && state; i++) {
		struct coffer_encrypt_result result = {0};
		struct crash_log log = {0};
		struct coffer_err e = {0};
		char why[256] = "";
		bool good;
		int r;

		memcpy(state, half, disk_size(row));
		resumes[i].change(state);
		r = resume(row, state, i, &log, &result, &e);
		good = (r < 0) == resumes[i].refused && result.used_only == resumes[i].followed &&
		       result.free_space == resumes[i].told;
		if (r < 0)
			good = good && e.outcome == COFFER_REFUSED && crash_log_writes(&log) == 0 &&
			       strstr(e.msg, resumes[i].why);
		else
			good = good && strstr(result.all_because, resumes[i].why) &&
			       (resumes[i].change == use || lab_finished_well(&l, log.mem, why));
		ok(good, "%s: %s (%s%s; told %s, %s)", resumes[i].name,
			result.used_only ? "followed" : "not followed", e.msg, why,
			coffer_free_space_name(result.free_space), result.all_because);
		crash_log_free(&log);
	}
	lab_free(&l);
	free(spans);
	free(state);
	free(half);
	free(content);
}

/* Both header copies damaged on a disk that is half converted: plain free space is no proof that
 * nothing is encrypted, so nobody may put the moved segment back. */
static void test_moved_segment(const struct row *row, bool magic, bool is_void)
{
	uint8_t *content = make_content(row), *half = half_converted(row, content);
	const struct coffer_repair_options o = {.device = "test-disk", .dry_run = true};
	struct coffer_repair_result *said = NULL;
	struct coffer_encrypt_options again = options(row);
	struct coffer_err e = {0};
	struct crashdev *d;
	bool restores = false;
	int r;

	memset(half + 4096, 0, 600);
	memset(half + 16384 + 4096, 0, 600);
	if (!magic) {
		memset(half, 0, 4096);
		memset(half + 16384, 0, 4096);
	}
	if (is_void)
		make_void(half);
	d = crashdev_new(half, disk_size(row));
	d->dev.read_only = true;
	if (coffer_repair_dev(&d->dev, &o, &said, &e) == 0 || said)
		for (size_t i = 0; said && i < said->n_actions; i++)
			restores = restores ||
				   said->actions[i].kind == COFFER_REPAIR_UNDO_STOCK_PLACEMENT;
	ok(!restores, "a moved segment is not put back %s (%s)",
		is_void ? "where a void map lies" : "where a map of what is used lies", e.msg);
	coffer_repair_free(said);
	again.used_only = COFFER_USED_NO;
	d = crashdev_new(half, disk_size(row));
	r = coffer_encrypt_dev(&d->dev, &again, NULL, &e);
	ok(r < 0 && e.outcome == COFFER_NEEDS_REPAIR, "and nothing is begun on it (%s)", e.msg);
	free(half);
	free(content);
}

/* What a run says of free space that an earlier one was to discard, and may not have. */
static const struct {
	const char *name;
	enum coffer_operation from;
	enum coffer_used_only used_only;
	enum coffer_free_space free_space, told;
} owed[] = {
	/* Bug: discards that an interruption left out were reported as done */
	{"goes on discarding", COFFER_OP_CONVERT, COFFER_USED_AUTO, COFFER_FREE_DEFAULT,
		COFFER_FREE_DISCARD},
	{"fills from here on", COFFER_OP_CONVERT, COFFER_USED_AUTO, COFFER_FREE_FILL,
		COFFER_FREE_KEEP},
	{"everything from here on", COFFER_OP_CONVERT, COFFER_USED_NO, COFFER_FREE_DEFAULT,
		COFFER_FREE_KEEP},
	{"only the end is left", COFFER_OP_FINALIZE, COFFER_USED_AUTO, COFFER_FREE_DEFAULT,
		COFFER_FREE_KEEP},
};

static void test_owed_discards(const struct row *row)
{
	uint8_t *content = make_content(row);

	for (size_t i = 0; i < sizeof(owed) / sizeof(owed[0]); i++) {
		uint8_t *state = state_for(row, content, owed[i].from);
		struct coffer_encrypt_options o = options(row);
		struct crashdev *d = crashdev_new(state, disk_size(row));
		struct coffer_encrypt_result result = {0};
		struct coffer_err e = {0};
		int r;

		o.used_only = owed[i].used_only;
		o.free_space = owed[i].free_space;
		r = coffer_encrypt_dev(&d->dev, &o, &result, &e);
		ok(r == 0 && result.free_space == owed[i].told, "%s, %s: told %s (%s)", row->name,
			owed[i].name, coffer_free_space_name(result.free_space), e.msg);
		free(state);
	}
	free(content);
}

int main(void)
{
	test_owed_discards(&rows[2]);
	test_resumes(&rows[0]);
	test_moved_segment(&rows[0], true, false);
	test_moved_segment(&rows[0], true, true);
	test_moved_segment(&rows[0], false, false);
	test_moved_segment(&rows[0], false, true);
	return done_testing();
}
