/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashlab.c - one disk after another, and each way to recover it */
#include "crashlab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum {
	PIECE = 65536,
	FIRST_FAILURES = 10
};

static uint64_t pieces(const struct lab *l)
{
	return (l->size + PIECE - 1) / PIECE;
}

static uint64_t piece_size(const struct lab *l, uint64_t i)
{
	return l->size - i * PIECE < PIECE ? l->size - i * PIECE : PIECE;
}

void lab_init(struct lab *l, const struct row *row, const uint8_t *content, uint64_t grown,
	struct span *used, size_t n_used, struct tally *t)
{
	*l = (struct lab){.row = row,
		.name = row->name,
		.trail = "",
		.content = content,
		.size = disk_size(row) + grown,
		.used = used,
		.n_used = n_used,
		.oracle = oracle_new(content, row->length),
		.effort = {.stock = 1, .anew = 1, .repair = 1, .program = 64, .checker = 32},
		.tally = t};
	layer_init(&l->durable, content, l->size);
	layer_init(&l->state, l->durable.mem, l->size);
	layer_init(&l->work, l->state.mem, l->size);
	l->hashes = malloc(pieces(l) * sizeof(*l->hashes));
	l->hashed = calloc(pieces(l), sizeof(*l->hashed));
	if (!l->hashes || !l->hashed)
		abort();
}

void lab_free(struct lab *l)
{
	layer_free(&l->durable);
	layer_free(&l->state);
	layer_free(&l->work);
	oracle_free(l->oracle);
	free(l->hashes);
	free(l->hashed);
}

/* What the state is about to give up, or has got, the work has to take over. */
static void mark_work(struct lab *l)
{
	for (size_t i = 0; i < l->state.n; i++) {
		const uint64_t at = (uint64_t)l->state.list[i] * LAYER_BLOCK;

		layer_mark(&l->work, at, l->size - at < LAYER_BLOCK ? l->size - at : LAYER_BLOCK);
	}
}

static void forget_state(struct lab *l)
{
	mark_work(l);
	layer_reset(&l->state);
	layer_reset(&l->work);
}

void lab_cut(struct lab *l, const struct crash_log *log, const struct crash_cut *cut)
{
	mark_work(l);
	layer_reset(&l->state);
	crash_cut_apply(log, cut, &l->state);
	mark_work(l);
	layer_reset(&l->work);
}

void lab_change(struct lab *l, uint64_t off, const uint8_t *p, size_t n)
{
	layer_write(&l->state, off, p, n);
	layer_mark(&l->work, off, n);
	layer_reset(&l->work);
}

void lab_begin(struct lab *l, const uint8_t *base)
{
	const uint64_t size = disk_size(l->row);

	forget_state(l);
	for (uint64_t i = 0; i * PIECE < size; i++) {
		const uint64_t at = i * PIECE, n = size - at < PIECE ? size - at : PIECE;

		if (memcmp(l->durable.mem + at, base + at, n) == 0)
			continue;
		layer_follow(&l->durable, at, base + at, n);
		layer_follow(&l->state, at, base + at, n);
		layer_follow(&l->work, at, base + at, n);
		l->hashed[i] = false;
	}
}

void lab_advance(struct lab *l, const struct crash_op *op)
{
	if (op->flush)
		return;
	forget_state(l);
	layer_follow(&l->durable, op->off, op->data, op->n);
	layer_follow(&l->state, op->off, op->data, op->n);
	layer_follow(&l->work, op->off, op->data, op->n);
	for (uint64_t i = op->off / PIECE; i * PIECE < op->off + op->n; i++)
		l->hashed[i] = false;
}

static bool is_marked(const struct lab *l, uint64_t piece)
{
	const uint64_t first = piece * (PIECE / LAYER_BLOCK);

	for (uint64_t b = first; b < first + PIECE / LAYER_BLOCK && b * LAYER_BLOCK < l->size; b++)
		if (l->state.marked[b])
			return true;
	return false;
}

void lab_hash(struct lab *l, uint8_t ret[COFFER_SHA256_SIZE])
{
	struct coffer_digest *all;

	if (coffer_digest_new("sha256", &all) < 0)
		abort();
	for (uint64_t i = 0; i < pieces(l); i++) {
		uint8_t own[COFFER_SHA256_SIZE], *h = l->hashes[i];

		if (is_marked(l, i)) {
			h = own;
			if (coffer_sha256(l->state.mem + i * PIECE, piece_size(l, i), h) < 0)
				abort();
		} else if (!l->hashed[i]) {
			if (coffer_sha256(l->durable.mem + i * PIECE, piece_size(l, i), h) < 0)
				abort();
			l->hashed[i] = true;
		}
		if (coffer_digest_add(all, h, COFFER_SHA256_SIZE) < 0)
			abort();
	}
	if (coffer_digest_end(all, ret, NULL) < 0)
		abort();
}

struct crashdev *lab_device(struct lab *l)
{
	layer_reset(&l->work);
	return crashdev_over(&l->work);
}

void lab_fail(struct lab *l, const char *what, const char *why)
{
	if (!l->lost && l->tally->lost < FIRST_FAILURES)
		note("%s%s, %s: %s: %s", l->name, l->trail, l->cut, what, why);
	l->lost = true;
}

/* --- bytes --- */

bool lab_plain_equals(const struct lab *l, const uint8_t *disk, char why[256])
{
	for (size_t i = 0; i < l->n_used; i++) {
		const struct span *s = &l->used[i];

		if (memcmp(disk + s->start, l->content + s->start, s->end - s->start) == 0)
			continue;
		for (uint64_t at = s->start; at < s->end; at++)
			if (disk[at] != l->content[at]) {
				(void)snprintf(why, 256, "the used byte %llu differs",
					(unsigned long long)at);
				return false;
			}
	}
	return true;
}

bool lab_volume_equals(struct lab *l, const uint8_t *disk, char why[256])
{
	uint8_t *now;
	bool clean = true;

	if (!oracle_equals(
		    l->oracle, disk, l->size, PASSWORD, shift_of(l->row), l->used, l->n_used, why))
		return false;
	if (l->row->content != CRASH_FILES || l->tally->states % l->effort.checker != 0)
		return true;
	now = malloc(l->row->length);
	if (!now || !oracle_volume_read(
			    disk, l->size, PASSWORD, shift_of(l->row), now, l->row->length, why))
		abort();
	clean = usedfs_is_clean(now, l->row->length);
	if (!clean)
		(void)snprintf(why, 256, "e2fsck finds errors");
	free(now);
	return clean;
}

bool lab_shows_nothing(const struct lab *l, const uint8_t *disk, char why[256])
{
	if (memmem(disk, l->size, USED_MARKER, strlen(USED_MARKER))) {
		(void)snprintf(why, 256, "plain content is left on the disk");
		return false;
	}
	if (l->row->free_space == COFFER_FREE_FILL &&
		memmem(disk, l->size, FREE_MARKER, strlen(FREE_MARKER))) {
		(void)snprintf(why, 256, "a deleted file is left on the disk");
		return false;
	}
	return true;
}

/* Whoever has a passphrase of today could open the volume with such a sector after that passphrase
 * was taken away. */
uint64_t lab_stray_keyslot(const struct lab *l, const uint8_t *disk)
{
	const uint64_t start = 2 * copy_size(l->row), end = start + (1 << 19);
	static uint16_t at[1 << 16]; /* by its first two bytes, the number of a sector, from 1 on */

	memset(at, 0, sizeof(at));
	for (uint64_t i = start; i < end && i < shift_of(l->row); i += 512)
		if (disk[i] || memcmp(disk + i, disk + i + 1, 511) != 0) /* no zeros */
			at[disk[i] << 8 | disk[i + 1]] = (uint16_t)(i / 512);
	for (uint64_t i = shift_of(l->row); i + 512 <= l->size; i += 512) {
		const unsigned int sector = at[disk[i] << 8 | disk[i + 1]];

		if (sector && memcmp(disk + i, disk + sector * 512, 512) == 0)
			return i;
	}
	return 0;
}

/* A torn one may stay where a placement that was interrupted put it, at the former end of a device
 * that has grown since: nothing leads there, and it decodes as nothing; or one of saving, which
 * says nothing but a hash. */
static bool has_record(const struct lab *l, const uint8_t *disk)
{
	struct coffer_record record;

	if (!memmem(disk, l->size, "COFFER-", 7))
		return false;
	if (l->size == disk_size(l->row))
		return true;
	for (uint64_t at = 0; at + COFFER_BLOCK <= l->size; at += 512)
		if (memcmp(disk + at, "COFFER-", 7) == 0 &&
			(at < COFFER_BLOCK || (coffer_record_decode(disk + at, &record) == 0 &&
						      record.kind != COFFER_RECORD_SAVE)))
			return true;
	return false;
}

bool lab_finished_well(struct lab *l, const uint8_t *disk, char why[256])
{
	uint64_t stray;

	if (!lab_volume_equals(l, disk, why) || !lab_shows_nothing(l, disk, why))
		return false;
	if (has_record(l, disk)) {
		(void)snprintf(why, 256, "a record is left on the disk");
		return false;
	}
	stray = lab_stray_keyslot(l, disk);
	if (stray)
		(void)snprintf(why, 256, "a keyslot lies at byte %llu", (unsigned long long)stray);
	return stray == 0;
}
