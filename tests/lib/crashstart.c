/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashstart.c - the disks on which runs begin */
#include "crashstart.h"

#include <stdlib.h>
#include <string.h>

#include "lib/on_device.h"
#include "rescue/repair.h"

/* --- what runs --- */

int run_encrypt(const struct row *row, struct coffer_dev *d, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);

	return coffer_encrypt_dev(d, &o, NULL, e);
}

int run_abort(const struct row *row, struct coffer_dev *d, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);

	return coffer_abort_dev(d, &o, NULL, e);
}

int run_repair(const struct row *row, struct coffer_dev *d, struct coffer_err *e)
{
	const struct coffer_repair_options o = {.device = "test-disk", .threads = 1};
	struct coffer_repair_result *result = NULL;
	int r;

	(void)row;
	r = coffer_repair_dev(d, &o, &result, e);
	coffer_repair_free(result);
	return r;
}

static void see_steps(void *userdata, const struct coffer_progress *p)
{
	bool *seen = userdata;

	*seen = *seen || p->phase == COFFER_PHASE_CONVERT;
}

static bool stop_at_steps(void *userdata)
{
	const bool *seen = userdata;

	return *seen;
}

int run_place(const struct row *row, struct coffer_dev *d, struct coffer_err *e)
{
	struct coffer_encrypt_options o = options(row);
	struct coffer_err stopped = {0};
	bool seen = false;
	int r;

	o.callbacks.progress = see_steps;
	o.callbacks.stop = stop_at_steps;
	o.callbacks.userdata = &seen;
	r = coffer_encrypt_dev(d, &o, NULL, &stopped);
	if (r < 0 && stopped.outcome == COFFER_INTERRUPTED)
		return 0;
	*e = stopped;
	return r;
}

/* --- disks to begin on --- */

/* The first of the disks that @run flushes which is @wanted; the disk becomes that. */
static void first_flushed(const struct row *row, uint8_t *disk, verb run,
	bool (*wanted)(const struct row *row, const uint8_t *disk, enum coffer_operation a,
		const struct coffer_facts *f))
{
	struct traces t = {0};
	struct coffer_err e = {0};
	struct layer l;
	bool found = false;

	if (trails_record(&t, row, disk, run, "", &e) < 0)
		abort();
	layer_init(&l, disk, disk_size(row));
	for (size_t i = 0; i < t.items[0].log.n && !found; i++) {
		const struct crash_op *op = &t.items[0].log.ops[i];
		enum coffer_operation operation;
		struct coffer_facts f;

		if (!op->flush) {
			layer_write(&l, op->off, op->data, op->n);
			continue;
		}
		f = facts_of(row, l.mem, &operation);
		found = wanted(row, l.mem, operation, &f);
	}
	if (!found)
		abort();
	memcpy(disk, l.mem, disk_size(row));
	layer_free(&l);
	trails_free(&t);
}

static bool is_placed(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	return a == COFFER_OP_CONVERT && f->header.agree;
}

static bool is_half(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	return is_placed(row, disk, a, f) && f->conversion.pointer < row->length;
}

static bool is_at_end(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	return a == COFFER_OP_FINALIZE && f->header.agree;
}

static bool is_marked(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	(void)f;
	return a == COFFER_OP_REDO_PLACEMENT;
}

static bool is_masked(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	return is_marked(row, disk, a, f) && f->masks_complete;
}

/* Both header copies are there, and so is the record. */
static bool is_unfinished(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	(void)f;
	return a == COFFER_OP_FINISH_PLACEMENT;
}

static bool is_undone_in_part(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	(void)f;
	return a == COFFER_OP_FINISH_UNDO;
}

/* The record is there, the filesystem is untouched. */
static bool is_recorded(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)f;
	return a == COFFER_OP_START && memcmp(disk + row->length, "COFFER-RECORD", 14) == 0;
}

static bool is_restored(const struct row *row, const uint8_t *disk, enum coffer_operation a,
	const struct coffer_facts *f)
{
	(void)row;
	(void)disk;
	return a == COFFER_OP_FINISH_UNDO && f->transition.kind == COFFER_RECORD_UNDONE;
}

void placed(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_encrypt, is_placed);
}

void half_done(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_encrypt, is_half);
}

void at_end(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_encrypt, is_at_end);
}

void half_placed(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_place, is_masked);
}

void unfinished(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_place, is_unfinished);
}

void half_undone(const struct row *row, uint8_t *disk)
{
	placed(row, disk);
	first_flushed(row, disk, run_abort, is_undone_in_part);
}

void stale_record(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_encrypt, is_recorded);
}

void torn_copy(const struct row *row, uint8_t *disk)
{
	half_done(row, disk);
	memset(disk + copy_size(row) + 4096, 0, 512);
}

void image_lost(const struct row *row, uint8_t *disk)
{
	first_flushed(row, disk, run_encrypt, is_masked);
	disk[row->length + 4096 + 100] ^= 1;
}

void used_under_mark(const struct row *row, uint8_t *disk)
{
	uint8_t now[512];

	memcpy(now, disk + 8192, sizeof(now));
	disk[8192] ^= 1;
	first_flushed(row, disk, run_encrypt, is_marked);
	memcpy(disk + 8192, now, sizeof(now));
}

void mark_left(const struct row *row, uint8_t *disk)
{
	uint8_t *content = malloc(shift_of(row));

	if (!content)
		abort();
	memcpy(content, disk, shift_of(row));
	placed(row, disk);
	first_flushed(row, disk, run_abort, is_restored);
	memcpy(disk + 1024, content + 1024, shift_of(row) - 1024);
	memset(disk + row->length + shift_of(row), 0x77, 65536);
	free(content);
}

/* What cryptsetup leaves when its header arrived in part: the moved segment is saved, nothing else
 * is. */
static void torn_by_stock(const struct row *row, uint8_t *disk, uint64_t arrived)
{
	uint8_t *with_header = malloc(disk_size(row));

	if (!with_header)
		abort();
	memcpy(with_header, disk, disk_size(row));
	placed(row, with_header);
	memcpy(disk + row->length + shift_of(row), disk, shift_of(row));
	memcpy(disk, with_header, arrived);
	free(with_header);
}

void torn_in_first_copy(const struct row *row, uint8_t *disk)
{
	torn_by_stock(row, disk, 4096);
}

void torn_in_json(const struct row *row, uint8_t *disk)
{
	torn_by_stock(row, disk, 8192);
}
