/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crashrun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "story/disk.h"
#include "story/encrypt.h"
#include "tap.h"

#define PASSWORD "correct horse"
#define MARKER	 "PLAIN-MARKER-0123456789"

static int ask(void *user, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	(void)user;
	(void)why;
	(void)size;
	(void)e;
	memcpy(buf, PASSWORD, strlen(PASSWORD));
	return (int)strlen(PASSWORD);
}

struct coffer_encrypt_options options(const struct row *row)
{
	return (struct coffer_encrypt_options){.device = "test-disk",
		.reserve = 2 * MIB,
		.device_size = row->length,
		.sector_size = row->sector_size,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = 1000,
		.threads = 1,
		.callbacks = {.passphrase = ask}};
}

uint64_t disk_size(const struct row *row)
{
	return row->length + 2 * MIB;
}

/* Every sector carries the marker and its number, so nothing plain can hide. */
uint8_t *make_content(const struct row *row)
{
	const uint64_t size = disk_size(row);
	uint8_t *p = calloc(1, size);

	if (!p)
		abort();
	for (uint64_t at = 0; at < row->length; at += 512) {
		snprintf((char *)p + at, 64, MARKER " %llu", (unsigned long long)at);
		for (unsigned int i = 64; i < 512; i++)
			p[at + i] = (uint8_t)(at / 512 * 131 + i * 7);
	}
	return p;
}

/* Run encrypt on @content; *ret_log gets what it did. */
int encrypt(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);
	struct crashdev *d = crashdev_new(content, disk_size(row));

	d->recording = record;
	crashdev_keep(d, ret_log);
	return coffer_encrypt_dev(&d->dev, &o, NULL, e);
}

int undo(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(row);
	struct crashdev *d = crashdev_new(content, disk_size(row));

	d->recording = record;
	crashdev_keep(d, ret_log);
	return coffer_abort_dev(&d->dev, &o, NULL, e);
}

struct coffer_facts facts_of(
	const struct row *row, const uint8_t *state, enum coffer_action *action)
{
	struct crashdev *d = crashdev_new(state, disk_size(row));
	struct coffer_disk disk = {0};
	struct coffer_facts f;

	if (coffer_examine(&d->dev, &disk, NULL) < 0)
		abort();
	*action = disk.action;
	f = disk.facts;
	coffer_disk_reset(&disk);
	coffer_dev_close(&d->dev);
	return f;
}

/* The finished disk: content right, nothing plain, nothing of a record left. */
bool finished_well(
	const struct row *row, const struct crash_log *log, const uint8_t *content, char why[256])
{
	if (!oracle_volume_equals(log->mem, log->size, PASSWORD, content, row->length, why))
		return false;
	if (memmem(log->mem, log->size, MARKER, strlen(MARKER))) {
		snprintf(why, 256, "plain content is left on the disk");
		return false;
	}
	if (memmem(log->mem, log->size, "COFFER-", 7)) {
		snprintf(why, 256, "a record is left on the disk");
		return false;
	}
	return true;
}

void fail(struct count *c, const struct row *row, size_t k, enum crash_policy policy, uint64_t seed,
	const char *what, const char *why)
{
	if (c->failed++ < 10)
		printf("# %s: cut after op %zu, %s, seed %llu: %s: %s\n", row->name, k,
			crash_policy_names[policy], (unsigned long long)seed, what, why);
}

/* coffer goes on from @state. */
static void check_encrypt(const struct row *row, const uint8_t *content, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, struct count *c)
{
	struct crash_log log = {0};
	struct coffer_err e = {0};
	char why[256] = "";
	enum coffer_action action;
	const struct coffer_facts f = facts_of(row, state, &action);

	c->states++;
	if (action == COFFER_ACT_ENCRYPTED) {
		/* the last flush only makes sure what is there already */
		log.mem = malloc(disk_size(row));
		log.size = disk_size(row);
		memcpy(log.mem, state, log.size);
		(void)f;
	} else if (encrypt(row, state, false, &log, &e) < 0) {
		fail(c, row, k, policy, seed, coffer_action_name(action), e.msg);
		crash_log_free(&log);
		return;
	}
	if (finished_well(row, &log, content, why))
		c->coffer++;
	else
		fail(c, row, k, policy, seed, coffer_action_name(action), why);
	crash_log_free(&log);
}

/* 'abort' gives the content back wherever it says that it can. */
static void check_abort(const struct row *row, const uint8_t *content, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, struct count *c)
{
	struct crash_log log = {0};
	struct coffer_err e = {0};
	enum coffer_action action;
	const struct coffer_facts f = facts_of(row, state, &action);

	if (!coffer_can_abort(action, &f))
		return;
	if (undo(row, state, false, &log, &e) < 0)
		fail(c, row, k, policy, seed, "abort", e.msg);
	else if (memcmp(log.mem, content, row->length) != 0)
		fail(c, row, k, policy, seed, "abort", "the content is not what it was");
	else
		c->aborted++;
	crash_log_free(&log);
}

/* Stock cryptsetup goes on, where the header says that a conversion is under way. */
static void check_stock(const struct row *row, const uint8_t *content, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, struct count *c)
{
	struct crash_log log = {.size = disk_size(row)};
	enum coffer_action action;
	const struct coffer_facts f = facts_of(row, state, &action);
	char why[256] = "";

	if (f.newest < 0 || f.kind != COFFER_LUKS2_CONVERTING || f.conversion.pointer == 0 ||
		f.has_record[COFFER_RESTORE])
		return;
	log.mem = malloc(log.size);
	memcpy(log.mem, state, log.size);
	if (!oracle_stock_resume(log.mem, log.size, PASSWORD, false, why) ||
		!oracle_volume_equals(log.mem, log.size, PASSWORD, content, row->length, why))
		fail(c, row, k, policy, seed, "stock", why);
	else
		c->stock++;
	crash_log_free(&log);
}

void check_state(const struct row *row, const uint8_t *content, const uint8_t *state, size_t k,
	enum crash_policy policy, uint64_t seed, bool stock, struct count *c)
{
	check_encrypt(row, content, state, k, policy, seed, c);
	check_abort(row, content, state, k, policy, seed, c);
	if (stock)
		check_stock(row, content, state, k, policy, seed, c);
}

/* The operation after which the first step is committed; all of the log if none is. */
static size_t until_first_step(
	const struct row *row, const uint8_t *base, const struct crash_log *log, uint8_t *state)
{
	for (size_t k = 0; k < log->n; k++) {
		enum coffer_action action;
		struct coffer_facts f;

		crash_state(base, disk_size(row), log, k, CRASH_ALL, 0, state);
		f = facts_of(row, state, &action);
		if (action == COFFER_ACT_CONVERT &&
			f.conversion.pointer < f.conversion.geometry.length)
			return k;
	}
	return log->n;
}

/* All states of @log, begun on @base. */
void check_cuts(const struct row *row, const uint8_t *content, const uint8_t *base,
	const struct crash_log *log, bool again, struct count *c)
{
	uint8_t *state = malloc(disk_size(row));
	/* A second cut is about the stage that is done again; its log ends where steps begin,
	 * which the first level covers. */
	const size_t end = !again ? log->n : until_first_step(row, base, log, state);

	for (size_t k = 0; k <= end; k++) {
		for (enum crash_policy p = 0; p < N_CRASH_POLICIES; p++) {
			const unsigned int n = p == CRASH_RANDOM ? row->seeds : 1;

			/* After a flush every policy gives the same state: once is enough. */
			if (p != CRASH_ALL && (k == 0 || log->ops[k - 1].flush))
				continue;
			if (again && (p == CRASH_TORN || p == CRASH_LAST))
				continue; /* the random ones are of these kinds too */
			for (uint64_t seed = 0; seed < n; seed++) {
				crash_state(base, disk_size(row), log, k, p, seed, state);
				check_state(row, content, state, k, p, seed,
					!again && (p == CRASH_ALL || p == CRASH_LOST), c);
			}
		}
	}
	free(state);
}

bool report(const struct row *row, const struct count *c)
{
	note("%s: %u states, %u finished by coffer, %u taken back by abort, %u finished by stock",
		row->name, c->states, c->coffer, c->aborted, c->stock);
	return c->failed == 0 && c->states > 0;
}
