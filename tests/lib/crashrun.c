/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crashrun.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "story/disk.h"
#include "story/encrypt.h"
#include "story/repair.h"
#include "story/status.h"
#include "tap.h"
#include "usedfs.h"

#define MARKER USED_MARKER

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
		.used_only = row->used_only ? COFFER_USED_YES : COFFER_USED_NO,
		.free_space = row->free_space,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = 1000,
		.threads = 1,
		.callbacks = {.passphrase = ask}};
}

uint64_t disk_size(const struct row *row)
{
	return row->length + 2 * MIB;
}

/* A real filesystem in the first bytes of @p, made by its own mkfs. */
static void make_ext4(uint8_t *p, uint64_t length)
{
	char path[] = "/tmp/coffer-crash-XXXXXX", command[256];
	const int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0)
		abort();
	snprintf(command, sizeof(command),
		"mkfs.ext4 -q -F -b 1024 -g 1024 -L "
		"crash"
		" %s >&2",
		path);
	if (system(command) != 0 || pread(fd, p, length, 0) != (ssize_t)length)
		abort();
	close(fd);
	unlink(path);
}

/* What of the rows' content is used: asked once, since it takes a process. */
static struct span *used_spans;
static size_t n_used_spans;

/* Every sector carries the marker and its number, so nothing plain can hide. */
uint8_t *make_content(const struct row *row)
{
	const uint64_t size = disk_size(row);
	uint8_t *p = calloc(1, size);

	if (!p)
		abort();
	if (row->used_only) {
		usedfs_make(p, row->length);
		free(used_spans);
		n_used_spans = usedfs_spans(p, row->length, &used_spans);
		return p;
	}
	if (row->ext4) {
		make_ext4(p, row->length);
		return p;
	}
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

/* Equal in what is used? What is free may have been written over, also before an abort. */
static bool plain_equals(
	const struct row *row, const uint8_t *now, const uint8_t *content, char why[256])
{
	const struct span all = {0, row->length}, *s = row->used_only ? used_spans : &all;
	const size_t n = row->used_only ? n_used_spans : 1;

	for (size_t i = 0; i < n; i++) {
		for (uint64_t at = s[i].start; at < s[i].end; at += 512) {
			if (memcmp(now + at, content + at, 512) == 0)
				continue;
			snprintf(why, 256, "the used byte %llu differs", (unsigned long long)at);
			return false;
		}
	}
	return true;
}

/* And a filesystem that its checker likes? */
static bool used_equals(
	const struct row *row, const uint8_t *disk, const uint8_t *content, char why[256])
{
	uint8_t *now = malloc(row->length);
	bool good = now &&
		    oracle_volume_read(disk, disk_size(row), PASSWORD, now, row->length, why) &&
		    plain_equals(row, now, content, why);

	if (good && !usedfs_is_clean(now, row->length)) {
		snprintf(why, 256, "e2fsck finds errors");
		good = false;
	}
	free(now);
	return good;
}

static bool content_is(
	const struct row *row, const uint8_t *disk, const uint8_t *content, char why[256])
{
	if (row->used_only)
		return used_equals(row, disk, content, why);
	return oracle_volume_equals(disk, disk_size(row), PASSWORD, content, row->length, why);
}

/* Nothing that was used, and with fill nothing at all, may be read without the key. */
static bool shows_nothing(const struct row *row, const uint8_t *disk, char why[256])
{
	if (memmem(disk, disk_size(row), MARKER, strlen(MARKER))) {
		snprintf(why, 256, "plain content is left on the disk");
		return false;
	}
	if (row->free_space == COFFER_FREE_FILL &&
		memmem(disk, disk_size(row), FREE_MARKER, strlen(FREE_MARKER))) {
		snprintf(why, 256, "a deleted file is left on the disk");
		return false;
	}
	return true;
}

/* A sector of the header's keyslots that lies elsewhere, too; 0: none does. Whoever has a
 * passphrase of today could open the volume with it after that passphrase was taken away. */
static uint64_t stray_keyslot(const uint8_t *disk, uint64_t size)
{
	enum {
		START = 32768,
		END = START + (1 << 19)
	};
	static uint16_t at[1 << 16]; /* by its first two bytes, the number of a sector, from 1 on */

	memset(at, 0, sizeof(at));
	for (unsigned int i = START; i < END; i += 512)
		if (disk[i] || memcmp(disk + i, disk + i + 1, 511) != 0) /* no zeros */
			at[disk[i] << 8 | disk[i + 1]] = (uint16_t)(i / 512);
	for (uint64_t i = MIB; i < size; i += 512) {
		const unsigned int sector = at[disk[i] << 8 | disk[i + 1]];

		if (sector && memcmp(disk + i, disk + sector * 512, 512) == 0)
			return i;
	}
	return 0;
}

/* The finished disk: content right, nothing plain, nothing of a record left. */
bool finished_well(
	const struct row *row, const struct crash_log *log, const uint8_t *content, char why[256])
{
	uint64_t stray;

	if (!content_is(row, log->mem, content, why) || !shows_nothing(row, log->mem, why))
		return false;
	if (memmem(log->mem, log->size, "COFFER-", 7)) {
		snprintf(why, 256, "a record is left on the disk");
		return false;
	}
	stray = stray_keyslot(log->mem, log->size);
	if (stray)
		snprintf(why, 256, "a keyslot lies at byte %llu", (unsigned long long)stray);
	return stray == 0;
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
	c->keyslots += f.newest >= 0 && stray_keyslot(state, disk_size(row)) > 0;
	if (action == COFFER_ACT_ENCRYPTED) {
		/* the last flush only makes sure what is there already */
		log.mem = malloc(disk_size(row));
		log.size = disk_size(row);
		memcpy(log.mem, state, log.size);
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
	char why[256] = "";

	if (!coffer_can_abort(action, &f))
		return;
	if (undo(row, state, false, &log, &e) < 0)
		fail(c, row, k, policy, seed, "abort", e.msg);
	else if (!plain_equals(row, log.mem, content, why))
		fail(c, row, k, policy, seed, "abort", why);
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
		!content_is(row, log.mem, content, why) || !shows_nothing(row, log.mem, why))
		fail(c, row, k, policy, seed, "stock", why);
	else
		c->stock++;
	crash_log_free(&log);
}

/* --- what status and repair say of a state, and whether it is true -----------------------------
 */

/* A copy of @state to be looked at only. A write would be in the log. */
static struct crashdev *look_only(
	const struct row *row, const uint8_t *state, struct crash_log *ret_log)
{
	struct crashdev *d = crashdev_new(state, disk_size(row));

	d->dev.read_only = true;
	d->recording = true;
	crashdev_keep(d, ret_log);
	return d;
}

static int repair(const struct row *row, const uint8_t *state, bool dry_run,
	struct crash_log *ret_log, struct coffer_repair_result **ret, struct coffer_err *e)
{
	const struct coffer_repair_options o = {.device = "test-disk",
		.dry_run = dry_run,
		.threads = 1,
		.callbacks = {.passphrase = ask}};
	struct crashdev *d = look_only(row, state, ret_log);

	d->dev.read_only = dry_run;
	return coffer_repair_dev(&d->dev, &o, ret, e);
}

static bool same_actions(const struct coffer_repair_result *a, const struct coffer_repair_result *b)
{
	bool same = a->n_actions == b->n_actions && a->findings.n == b->findings.n;

	for (size_t i = 0; i < a->n_actions && same; i++)
		same = a->actions[i].kind == b->actions[i].kind &&
		       strcmp(a->actions[i].text, b->actions[i].text) == 0;
	for (size_t i = 0; i < a->findings.n && same; i++)
		same = strcmp(a->findings.items[i].id, b->findings.items[i].id) == 0 &&
		       strcmp(a->findings.items[i].text, b->findings.items[i].text) == 0;
	return same;
}

/* Is the disk in @log what its stage says: the encrypted content, or the plain one? */
static bool is_at(const struct row *row, const struct crash_log *log, const uint8_t *content,
	enum coffer_stage stage, char why[256])
{
	if (stage == COFFER_STAGE_ENCRYPTED)
		return content_is(row, log->mem, content, why);
	snprintf(why, 256, "the plain content is not what it was");
	return (stage == COFFER_STAGE_PLAIN || stage == COFFER_STAGE_RESERVED) &&
	       plain_equals(row, log->mem, content, why);
}

/* The dry run changes nothing and says what the run then does; the run does all of it, and leaves
 * a disk that is right and asks for nothing more. */
static void check_repair(const struct row *row, const uint8_t *content, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, struct count *c)
{
	struct coffer_repair_result *said = NULL, *done = NULL, *again = NULL;
	struct crash_log looked = {0}, log = {0}, rest = {0};
	struct coffer_err e = {0};
	char why[256] = "";

	if (repair(row, state, true, &looked, &said, &e) < 0 || looked.n > 0)
		fail(c, row, k, policy, seed, "repair --dry-run",
			looked.n > 0 ? "it has written" : e.msg);
	else if (said->n_actions > 0 &&
		 said->actions[said->n_actions - 1].kind == COFFER_REPAIR_RESUME &&
		 c->states % (said->n_actions == 1 ? 16 : 4) != 0)
		c->skipped++; /* the stages that check_encrypt has run on this very state */
	else if (repair(row, state, false, &log, &done, &e) < 0)
		fail(c, row, k, policy, seed, "repair", e.msg);
	else if (!same_actions(said, done) || done->n_done != said->n_actions)
		fail(c, row, k, policy, seed, "repair", "it did not do what the dry run said");
	else if (!is_at(row, &log, content, done->changed ? done->stage_after : said->status->stage,
			 why))
		fail(c, row, k, policy, seed, "repair", why);
	else if (repair(row, log.mem, true, &rest, &again, &e) < 0 || again->n_actions > 0)
		fail(c, row, k, policy, seed, "repair",
			again ? again->findings.items[0].text : e.msg);
	else
		c->repaired++;
	coffer_repair_free(said);
	coffer_repair_free(done);
	coffer_repair_free(again);
	crash_log_free(&looked);
	crash_log_free(&log);
	crash_log_free(&rest);
}

/* What the disk is, told by its bytes alone and by nothing of coffer's judgement. */
static enum coffer_stage stage_by_oracle(
	const struct row *row, const uint8_t *content, const uint8_t *state)
{
	const bool luks = memcmp(state, "LUKS\xba\xbe", 6) == 0 ||
			  memcmp(state + 16384, "SKUL\xba\xbe", 6) == 0;
	char why[256];

	if (!state)
		abort();
	if (memcmp(state, content, row->length) == 0)
		return row->ext4 || row->used_only ? COFFER_STAGE_RESERVED : COFFER_STAGE_PLAIN;
	if (memmem(state, 4096, "COFFER-TRANSIT", 14) || !luks)
		return COFFER_STAGE_PLACING; /* or RESTORING, in an abort */
	if (memmem(state, MIB, "online-reencrypt", 16))
		/* with one zone nothing but the head is to be moved, and this cannot tell */
		return memcmp(state + MIB, content + MIB, row->length - MIB) == 0
			       ? COFFER_STAGE_PLACED
			       : COFFER_STAGE_CONVERTING;
	if (content_is(row, state, content, why))
		return COFFER_STAGE_ENCRYPTED;
	return COFFER_STAGE_DAMAGED;
}

/* Some stages look alike to the oracle. */
static bool stage_fits(const struct row *row, enum coffer_stage told, enum coffer_stage oracle)
{
	switch (told) {
	case COFFER_STAGE_RESTORING:
		return oracle == COFFER_STAGE_PLACING || oracle == COFFER_STAGE_PLACED;
	case COFFER_STAGE_PLACING:
		/* copies in place, the record still there */
		return oracle == COFFER_STAGE_PLACING || oracle == COFFER_STAGE_PLACED;
	case COFFER_STAGE_PLACED:
		/* the first step's data is there, its commit is not */
		return oracle == COFFER_STAGE_PLACED || oracle == COFFER_STAGE_CONVERTING;
	case COFFER_STAGE_WIPE_PENDING:
		return oracle == COFFER_STAGE_CONVERTING || oracle == COFFER_STAGE_ENCRYPTED ||
		       (oracle == COFFER_STAGE_PLACED && row->length == MIB);
	case COFFER_STAGE_ENCRYPTED:
		/* the final header in one copy, the one before in the other */
		return oracle == COFFER_STAGE_ENCRYPTED || oracle == COFFER_STAGE_CONVERTING ||
		       (oracle == COFFER_STAGE_PLACED && row->length == MIB);
	case COFFER_STAGE_CONVERTING:
		return oracle == COFFER_STAGE_CONVERTING || oracle == COFFER_STAGE_PLACED;
	default:
		return told == oracle;
	}
}

static bool next_fits(const struct coffer_status *s)
{
	switch (s->stage) {
	case COFFER_STAGE_PLAIN:
		return strcmp(s->next, "coffer plan test-disk") == 0;
	case COFFER_STAGE_RESERVED:
		return strcmp(s->next, "coffer encrypt --reduce-device-size 2M test-disk") == 0;
	case COFFER_STAGE_RESTORING:
		return strcmp(s->next, "coffer abort test-disk") == 0 && s->can_abort;
	case COFFER_STAGE_ENCRYPTED:
		return strcmp(s->next, s->why[0] ? "coffer repair test-disk"
						 : "coffer verify test-disk") == 0;
	default:
		return strcmp(s->next, "coffer encrypt test-disk") == 0;
	}
}

/* The stage is the right one, and so is the command that comes next. */
static void check_status(const struct row *row, const uint8_t *content, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, struct count *c)
{
	const enum coffer_stage oracle = stage_by_oracle(row, content, state);
	struct crash_log looked = {0};
	struct crashdev *d = look_only(row, state, &looked);
	struct coffer_status *s = NULL;
	struct coffer_err e = {0};
	char why[256] = "";

	if (coffer_status_of(&d->dev, &s, NULL, NULL, &e) < 0)
		abort();
	coffer_dev_close(&d->dev);
	if (looked.n > 0)
		fail(c, row, k, policy, seed, "status", "it has written");
	if (!stage_fits(row, s->stage, oracle)) {
		snprintf(why, sizeof(why), "%s, but it is %s", coffer_stage_name(s->stage),
			coffer_stage_name(oracle));
		fail(c, row, k, policy, seed, "status", why);
	}
	/* check_encrypt, check_abort and check_repair run on this very state, so what is left to
	 * see is that the right one of them is named. */
	if (!next_fits(s))
		fail(c, row, k, policy, seed, "what comes next", s->next);
	coffer_status_free(s);
	crash_log_free(&looked);
}

void check_state(const struct row *row, const uint8_t *content, const uint8_t *state, size_t k,
	enum crash_policy policy, uint64_t seed, bool stock, struct count *c)
{
	check_encrypt(row, content, state, k, policy, seed, c);
	check_abort(row, content, state, k, policy, seed, c);
	check_status(row, content, state, k, policy, seed, c);
	/* It is the larger part of the time, and tells little more of such a row than of others. */
	if (!row->used_only || c->states % 4 == 0)
		check_repair(row, content, state, k, policy, seed, c);
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
	size_t end;

	if (!state)
		abort();
	end = !again ? log->n : until_first_step(row, base, log, state);
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
	note("%s: %u states, %u finished by coffer, %u taken back by abort, %u finished by stock, "
	     "%u repaired as the dry run said, %u only asked; %u began with keyslots beside the "
	     "header",
		row->name, c->states, c->coffer, c->aborted, c->stock, c->repaired, c->skipped,
		c->keyslots);
	return c->failed == 0 && c->states > 0;
}
