/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_disk.c - fuzz target: whole disks, in every state of a conversion, changed
 *
 * Input: which disk, of those that conversions and aborts pass through and one that cryptsetup has
 * torn; which questions to ask; then changes: a place, how many bytes, and these. Afterwards the
 * sums of header copies, records, transition sectors and used map are put right, as the second byte
 * says.
 *
 * Whatever is on a disk, those that only look must neither write nor fall over, and end with an
 * outcome. The disks have new keys and ids each time, made by coffer itself; what a change
 * overwrites does not depend on them. */
#include <stdio.h>

#include "base/findings.h"
#include "convert/moved_segment.h"
#include "convert/stored_map.h"
#include "crashrun.h"
#include "header/backup.h"
#include "header/check.h"
#include "luks2/copy.h"
#include "memdev.h"
#include "report/plan.h"
#include "report/status.h"
#include "rescue/repair.h"

enum {
	SHIFT = 1 << 20,
	LENGTH = 2 << 20,
	SIZE = LENGTH + 2 * SHIFT,
	COPY = 16384, /* of a header */
	GAP = LENGTH,
	RESTORE_AT = SIZE - SHIFT - 4096,
	AT_SUM = 128, /* of records, marks and maps */
	AT_HEADER_SUM = 448,
	MAX_DISKS = 24,
};

static const struct row rows[] = {
	{.name = "ext4", .length = LENGTH, .sector_size = 512, .content = CRASH_EXT4},
	{.name = "used only",
		.length = LENGTH,
		.sector_size = 512,
		.content = CRASH_EXT4,
		.used_only = true},
};

static struct {
	uint8_t *mem;
	enum coffer_operation operation;
	uint64_t pointer;
	uint64_t map; /* where the used map lies; 0: there is none */
} disks[MAX_DISKS];
static size_t n_disks;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* --- the disks --- */

static uint64_t find_map(const uint8_t *disk)
{
	for (uint64_t at = 2 * COPY; at < SHIFT; at += COFFER_BLOCK)
		if (coffer_stored_map_trace(disk + at))
			return at;
	return 0;
}

/* One for each action and pointer that is met on the way, but not twice. */
static void add_disk(const uint8_t *mem)
{
	struct memdev d = memdev_over(mem, SIZE, SIZE);
	struct coffer_disk disk = {0};
	bool known = n_disks == MAX_DISKS;

	d.dev.no_locks = true;
	if (coffer_disk_examine(&d.dev, &disk, NULL) < 0)
		abort();
	for (size_t i = 0; i < n_disks; i++)
		known = known || (disks[i].operation == disk.operation &&
					 disks[i].pointer == disk.facts.conversion.pointer &&
					 disks[i].map == find_map(mem));
	if (!known) {
		disks[n_disks].mem = malloc(SIZE);
		if (!disks[n_disks].mem)
			abort();
		memcpy(disks[n_disks].mem, mem, SIZE);
		disks[n_disks].operation = disk.operation;
		disks[n_disks].pointer = disk.facts.conversion.pointer;
		disks[n_disks++].map = find_map(mem);
	}
	coffer_disk_reset(&disk);
}

static void add_all(const uint8_t *base, const struct crash_log *log)
{
	uint8_t *state = malloc(SIZE);

	if (!state)
		abort();
	memcpy(state, base, SIZE);
	for (size_t k = 0; k < log->n; k++) {
		if (log->ops[k].flush)
			continue;
		memcpy(state + log->ops[k].off, log->ops[k].data, log->ops[k].n);
		add_disk(state);
	}
	free(state);
}

static const uint8_t *find_disk(enum coffer_operation operation)
{
	for (size_t i = 0; i < n_disks; i++)
		if (disks[i].operation == operation)
			return disks[i].mem;
	(void)fprintf(stderr, "no disk was '%s' on the way\n", coffer_operation_name(operation));
	abort();
}

/* What cryptsetup leaves that was cut within the first write of its header. */
static void add_torn(const uint8_t *content)
{
	uint8_t *mem = malloc(SIZE);

	if (!mem)
		abort();
	memcpy(mem, content, SIZE);
	memcpy(mem + SIZE - SHIFT, mem, SHIFT);
	memcpy(mem, find_disk(COFFER_OP_CONVERT), 4096);
	memcpy(mem + COPY, find_disk(COFFER_OP_CONVERT) + COPY, 4096 + 512);
	add_disk(mem);
	free(mem);
}

static void make_disks(const struct row *row)
{
	struct crash_log there = {0}, back = {0};
	uint8_t *content = make_content(row);
	struct coffer_err e = {0};

	add_disk(content);
	if (encrypt(row, content, true, &there, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	add_all(content, &there);
	if (undo(row, find_disk(COFFER_OP_FINISH_PLACEMENT), true, &back, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	add_all(find_disk(COFFER_OP_FINISH_PLACEMENT), &back);
	add_torn(content);
	(void)find_disk(COFFER_OP_REDO_PLACEMENT);
	(void)find_disk(COFFER_OP_FINISH_UNDO);
	(void)find_disk(COFFER_OP_FINALIZE);
	(void)find_disk(COFFER_OP_SYNC_FINAL);
	(void)find_disk(COFFER_OP_ENCRYPTED);
	crash_log_free(&there);
	crash_log_free(&back);
	free(content);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		make_disks(&rows[i]);
	return 0;
}

/* --- right sums over whatever is there --- */

static void seal_block(
	struct undo *u, uint64_t at, uint64_t n, unsigned int field, unsigned int size)
{
	static const uint8_t zero[64];
	uint8_t sum[64] = {0};

	if (at + n > SIZE)
		return;
	undo_put(u, at + field, zero, size);
	if (coffer_sha256(u->mem + at, n, sum) == 0)
		undo_put(u, at + field, sum, size);
}

static void seal(struct undo *u, uint8_t what, uint64_t map)
{
	static const char mark[] = "COFFER-TRANSIT";
	uint64_t size;

	for (uint64_t i = 0; i < 2; i++)
		if (what >> i & 1 && coffer_luks2_magic(u->mem + i * COPY, i > 0))
			seal_block(u, i * COPY, COPY, AT_HEADER_SUM, 64);
	if (what & 4)
		seal_block(u, GAP, COFFER_BLOCK, AT_SUM, 32);
	if (what & 8)
		seal_block(u, RESTORE_AT, COFFER_BLOCK, AT_SUM, 32);
	for (uint64_t at = 0; what & 16 && at < COFFER_BLOCK; at += COFFER_SECTOR)
		if (memcmp(u->mem + at, mark, sizeof(mark)) == 0)
			seal_block(u, at, COFFER_SECTOR, AT_SUM, 32);
	if (what & 32 && map && coffer_stored_map_peek(u->mem + map, &size) == 0 &&
		size <= SHIFT - map)
		seal_block(u, map, size, AT_SUM, 32);
}

/* --- questions --- */

static void demand_outcome(int r, const struct coffer_err *e)
{
	if (r > 0)
		abort();
	if (r < 0 && (e->code == 0 || !e->msg[0] || e->outcome == COFFER_DONE ||
			     e->outcome == COFFER_USAGE || e->outcome > COFFER_NEEDS_REPAIR))
		abort();
}

static void ask_status(struct coffer_dev *d, enum coffer_stage *ret)
{
	struct coffer_status *s = NULL;
	struct coffer_err e = {0};
	const int r = coffer_status_of(d, &s, NULL, NULL, &e);

	demand_outcome(r, &e);
	if (r < 0)
		abort(); /* every stage is an answer, and the disk can be read */
	if (s->stage >= COFFER_N_STAGES || s->converted > s->total || s->total > s->data_size ||
		(s->data_size && s->data_offset > s->size && s->stage != COFFER_STAGE_SHRUNK) ||
		!memchr(s->why, 0, sizeof(s->why)) || !memchr(s->next, 0, sizeof(s->next)) ||
		(s->stage == COFFER_STAGE_DAMAGED && !s->why[0]))
		abort();
	*ret = s->stage;
	coffer_status_free(s);
}

static void ask_check(struct coffer_dev *d)
{
	struct coffer_findings l = {0};
	struct coffer_err e = {0};
	const int r = coffer_header_checks(d, &l, &e);

	demand_outcome(r, &e);
	if (r < 0)
		abort();
	coffer_findings_free(&l);
}

static void ask_plan(struct coffer_dev *d)
{
	const struct coffer_encrypt_options encrypt = {.device = "disk", .threads = 1};
	const struct coffer_plan_options o = {.encrypt = &encrypt, .no_speed = true};
	struct coffer_plan *p = NULL;
	struct coffer_err e = {0};
	const int r = coffer_plan_dev(d, &o, &p, &e);

	demand_outcome(r, &e);
	if (r == 0 && (p->possible != (p->outcome == COFFER_DONE) || p->data_size > p->device_size))
		abort();
	if (r == 0)
		coffer_plan_free(p);
}

static void ask_repair(struct coffer_dev *d, enum coffer_stage stage)
{
	const struct coffer_repair_options o = {.device = "disk", .dry_run = true, .threads = 1};
	struct coffer_repair_result *p = NULL;
	struct coffer_err e = {0};
	const int r = coffer_repair_dev(d, &o, &p, &e);

	demand_outcome(r, &e);
	if (r == 0 && (!p || p->changed || p->n_done || p->status->stage != stage))
		abort();
	coffer_repair_free(p);
}

static void ask_backup(struct coffer_dev *d)
{
	const struct coffer_new_file nowhere = {
		.folder = -1, .name = (char[]){"x"}, .path = (char[]){"x"}};
	const struct coffer_header_backup_options o = {.device = "disk", .file = "x"};
	struct coffer_header_backup_result *p = NULL;
	struct coffer_err e = {0};
	const int r = coffer_header_backup_dev(d, &nowhere, &o, &p, &e);

	demand_outcome(r, &e);
	if (r == 0)
		abort(); /* there is no such folder */
}

static uint64_t place_of(uint8_t how, uint32_t off, uint64_t map)
{
	switch (how % 8) {
	case 0: /* the first copy's block */
		return off % 512;
	case 1:
		return COPY + off % 512;
	case 2: /* and its metadata */
	case 3:
		return COFFER_LUKS2_BIN + off % 4096;
	case 4:
		return GAP + off % 1600;
	case 5:
		return RESTORE_AT + off % 512;
	case 6:
		return map + off % (2 * COFFER_BLOCK);
	default:
		return off;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct undo u;
	struct input in = {data, n};
	const size_t i = input_number(&in, 1) % n_disks;
	const uint8_t sums = (uint8_t)input_number(&in, 1), asked = (uint8_t)input_number(&in, 1);
	struct memdev d = memdev_over(disks[i].mem, SIZE, SIZE - (asked & 8 ? COFFER_SECTOR : 0));
	enum coffer_stage stage;

	d.dev.no_locks = true;
	u.mem = disks[i].mem;
	u.size = SIZE;
	while (in.n > 0) {
		const uint8_t how = (uint8_t)input_number(&in, 1);
		const uint64_t at = place_of(how, (uint32_t)input_number(&in, 3), disks[i].map);
		const size_t want = 1 + input_number(&in, 1) % 64;
		size_t k;
		const uint8_t *p = input_take(&in, want, &k);

		undo_put(&u, at, p, k);
		/* The same in both copies, as a hostile one has it. */
		if (how % 8 == 2)
			undo_put(&u, at + COPY, p, k);
	}
	seal(&u, sums, disks[i].map);
	ask_status(&d.dev, &stage);
	if (asked & 1)
		ask_check(&d.dev);
	if (asked & 2)
		ask_repair(&d.dev, stage);
	/* To make a new header on trial, and to have libcryptsetup look at one, takes a process. */
	if (asked & 4 && stage != COFFER_STAGE_PLAIN && stage != COFFER_STAGE_RESERVED)
		ask_plan(&d.dev);
	if (asked == 0xf7)
		ask_backup(&d.dev);
	undo_all(&u);
	return 0;
}
