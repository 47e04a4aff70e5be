/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_restore_crash.c - cut the power at every write and every flush of a header's restore
 *
 * At each state that a cut can leave, stock libcryptsetup opens the volume with all keys of before
 * or with all of the backup's; the same call, run again, ends with the backup's; also when that
 * run is cut in its turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "crashdev.h"
#include "header/backup.h"
#include "lib/keydisk.h"
#include "tap.h"

/* Of the cuts each so many-th, and of the calls that fail; COFFER_DEEP takes all. With sanitizers a
 * state takes half a second, and what they find does not depend on the cut. */
#ifdef __SANITIZE_ADDRESS__
#define SHARE	    50
#define SHARE_FAULT 5
#else
#define SHARE	    10
#define SHARE_FAULT 1
#endif

#define UUID_1 "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01"
#define UUID_2 "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a02"

enum {
	SMALL_AREA = (1 << 20) - 2 * KEYDISK_COPY, /* space for three keyslots */
	LARGE_AREA = 2 << 20
};

/* A backup, and a disk as it became since. */
struct scene {
	uint8_t *disk;
	uint8_t *backup;
	uint64_t n;
	uint8_t key[64], then_key[64]; /* the disk's, the backup's */
	const char *now[4], *then[4];  /* passphrases that open the one and the other */
	uint64_t old_end;	       /* of the disk's header, where it is larger; else 0 */
};

enum wreck {
	WHOLE,
	FIRST_TORN,
	SECOND_TORN,
	SECOND_BEHIND,
	DEAD,
	ZEROED
};

struct row {
	const char *name;
	void (*make)(struct scene *s);
	enum wreck wreck;
	unsigned int seeds;
	bool twice; /* cut the second run, too; of the first cuts not all, unless COFFER_DEEP is set
		     */
	bool anew;  /* the headers differ in size: in between nothing opens it */
};

/* --- scenes --- */

static void begin(struct scene *s, uint64_t area, const char *first, const char *second)
{
	s->disk = keydisk_new(area, UUID_1, s->key);
	memcpy(s->then_key, s->key, sizeof(s->key));
	keydisk_add(s->disk, 0, first, s->key);
	if (second)
		keydisk_add(s->disk, 1, second, s->key);
	s->then[0] = first;
	s->then[1] = second;
	s->backup = keydisk_backup(s->disk, &s->n);
}

static void make_removed(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", "beta");
	keydisk_kill(s->disk, 1);
	s->now[0] = "alpha";
}

static void make_added(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", NULL);
	keydisk_add(s->disk, 1, "beta", s->key);
	s->now[0] = "alpha";
	s->now[1] = "beta";
}

/* The new keyslot took the place of the old one. */
static void make_changed(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", NULL);
	keydisk_kill(s->disk, 0);
	keydisk_add(s->disk, 0, "gamma", s->key);
	for (int i = 0; i < 20; i++) /* and much has happened since */
		keydisk_label(s->disk, i % 2 ? "odd" : "even");
	s->now[0] = "gamma";
}

static void make_all_changed(struct scene *s)
{
	begin(s, LARGE_AREA, "alpha", "beta");
	keydisk_kill(s->disk, 0);
	keydisk_kill(s->disk, 1);
	keydisk_add(s->disk, 1, "delta", s->key); /* where keyslot 0 was */
	keydisk_add(s->disk, 0, "gamma", s->key); /* where keyslot 1 was */
	keydisk_add(s->disk, 2, "epsilon", s->key);
	s->now[0] = "gamma";
	s->now[1] = "delta";
	s->now[2] = "epsilon";
}

static void make_same(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", "beta");
	s->now[0] = "alpha";
	s->now[1] = "beta";
}

/* The disk's own keyslot 1 is damaged; the metadata are those of the backup. */
static void make_worn(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", "beta");
	memset(s->disk + 2 * KEYDISK_COPY + 258048 + 4096, 0x55, 8192);
	s->now[0] = "alpha";
}

static void make_another_volume(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", "beta");
	free(s->disk);
	s->disk = keydisk_new(SMALL_AREA, UUID_2, s->key);
	keydisk_add(s->disk, 0, "gamma", s->key);
	s->now[0] = "gamma";
}

/* The same UUID with a larger keyslots area, and a keyslot beyond the end of the backup's. */
static void make_larger(struct scene *s)
{
	begin(s, SMALL_AREA, "alpha", "beta");
	free(s->disk);
	s->disk = keydisk_new(LARGE_AREA, UUID_1, s->key);
	for (int i = 0; i < 5; i++)
		keydisk_add(s->disk, i, "gamma", s->key);
	for (int i = 0; i < 4; i++)
		keydisk_kill(s->disk, i);
	s->now[0] = "gamma";
	s->old_end = 2 * KEYDISK_COPY + LARGE_AREA;
}

static void damage(uint8_t *disk, unsigned int copy)
{
	memset(disk + copy * KEYDISK_COPY + 5000, 0xaa, 600);
}

static void wreck(struct scene *s, enum wreck w)
{
	_cleanup_free_ uint8_t *before = keydisk_copy(s->disk);

	if (w == FIRST_TORN || w == DEAD)
		damage(s->disk, 0);
	if (w == SECOND_TORN || w == DEAD)
		damage(s->disk, 1);
	if (w == ZEROED)
		memset(s->disk, 0, 2 << 20);
	if (w == SECOND_BEHIND) {
		/* the first copy has the label alone, as a cut in the middle leaves it */
		keydisk_label(s->disk, "ahead");
		memcpy(s->disk + KEYDISK_COPY, before + KEYDISK_COPY, KEYDISK_COPY);
	}
}

static void scene_free(struct scene *s)
{
	free(s->disk);
	free(s->backup);
}

/* --- runs --- */

struct outcome {
	int status;
	struct coffer_err e;
	bool changed, same;
};

/* Restore onto a copy of @disk. */
static struct outcome restore(const struct scene *s, const uint8_t *disk, bool record,
	enum crash_call fail_call, uint64_t fail_at, struct crash_log *ret_log)
{
	const struct coffer_header_restore_options o = {.device = "test-disk",
		.file = "backup",
		.allow = COFFER_ALLOW_UUID | COFFER_ALLOW_KEYSLOTS | COFFER_ALLOW_VOLUME_KEY |
			 COFFER_ALLOW_GEOMETRY};
	struct coffer_header_restore_result *result = NULL;
	struct crashdev *d = crashdev_new(disk, KEYDISK_SIZE);
	uint8_t *file = coffer_dev_buffer(s->n);
	struct outcome r = {0};

	if (!file)
		abort();
	memcpy(file, s->backup, s->n);
	d->recording = record;
	d->fail_call = fail_call;
	d->fail_at = fail_at;
	crashdev_keep(d, ret_log);
	r.status = coffer_header_restore_dev(&d->dev, file, s->n, false, &o, &result, &r.e);
	r.changed = result && result->changed;
	r.same = result && result->same;
	coffer_header_restore_free(result);
	return r;
}

static bool opens_all(const uint8_t *disk, const char *const passphrases[4], const uint8_t key[64])
{
	return passphrases[0] && keydisk_opens(disk, passphrases, 4, key);
}

static bool opens(const struct scene *s, const uint8_t *disk)
{
	return opens_all(disk, s->now, s->key) || opens_all(disk, s->then, s->then_key);
}

/* The backup's header is there, in both copies, and nothing else in its keyslots area; the data
 * are untouched; and no header of before opens anything with a key that is no more. */
static bool is_restored(const struct scene *s, const uint8_t *disk, const char **why)
{
	const uint64_t end = s->old_end ? s->old_end : s->n;
	_cleanup_free_ uint8_t *image = malloc(s->n), *old = keydisk_copy(disk);
	struct coffer_backup b;

	if (!image)
		abort();
	memcpy(image, s->backup, s->n);
	if (coffer_backup_read(image, s->n, &b, NULL) < 0)
		abort();
	coffer_image_clean(image, s->n, KEYDISK_COPY, &b.areas);
	coffer_backup_reset(&b);
	*why = "a header copy is not the backup's";
	for (int i = 0; i < 2; i++)
		if (strcmp((const char *)disk + i * KEYDISK_COPY + 4096,
			    (const char *)image + 4096) != 0 ||
			memcmp(disk + i * KEYDISK_COPY + 168, image + 168, 40) != 0)
			return false;
	if (memcmp(disk + 16, disk + KEYDISK_COPY + 16, 8) != 0)
		return false;
	*why = "the keyslots area is not the backup's";
	if (memcmp(disk + 2 * KEYDISK_COPY, image + 2 * KEYDISK_COPY, s->n - 2 * KEYDISK_COPY) != 0)
		return false;
	*why = "something of the old header is left";
	if (end > s->n && !bytes_are_zero(disk + s->n, end - s->n))
		return false;
	*why = "something after the header changed";
	if (memcmp(disk + end, s->disk + end, KEYDISK_SIZE - end) != 0)
		return false;
	*why = "it does not open";
	if (!opens_all(disk, s->then, s->then_key))
		return false;
	*why = "an old header copy brings a removed key back";
	memcpy(old, s->disk, 2 * KEYDISK_COPY);
	for (int i = 0; i < 4 && s->now[i]; i++) {
		bool stays = false;

		for (int k = 0; k < 4 && s->then[k]; k++)
			stays = stays || strcmp(s->now[i], s->then[k]) == 0;
		if (!stays && keydisk_opens(old, &s->now[i], 1, s->key))
			return false;
	}
	return true;
}

/* --- cuts --- */

struct count {
	unsigned int states, opened, failed;
};

static void fail(struct count *c, const struct row *row, size_t k, enum crash_policy policy,
	uint64_t seed, const char *what, const char *why)
{
	if (c->failed++ < 10)
		note("%s: cut after op %zu, %s, seed %llu: %s: %s", row->name, k,
			crash_policy_names[policy], (unsigned long long)seed, what, why);
}

static void check_log(const struct row *row, const struct scene *s, const uint8_t *base,
	const struct crash_log *log, bool again, struct count *c);

/* One state: it opens, and the next run ends well. */
static void check_state(const struct row *row, const struct scene *s, const uint8_t *state,
	size_t k, enum crash_policy policy, uint64_t seed, bool again, struct count *c)
{
	struct crash_log log = {0};
	const char *why = "";
	struct outcome r;

	c->states++;
	if (row->wreck < DEAD && !row->anew) {
		if (opens(s, state))
			c->opened++;
		else
			fail(c, row, k, policy, seed, "the state", "no set of keys opens it");
	}
	r = restore(s, state, again, CRASH_READ, 0, &log);
	if (r.status < 0)
		fail(c, row, k, policy, seed, "the next run", r.e.msg);
	else if (!is_restored(s, log.mem, &why))
		fail(c, row, k, policy, seed, "the next run", why);
	else if (again)
		check_log(row, s, state, &log, false, c);
	crash_log_free(&log);
}

/* Every state of @log on @base. */
static void check_log(const struct row *row, const struct scene *s, const uint8_t *base,
	const struct crash_log *log, bool again, struct count *c)
{
	_cleanup_free_ uint8_t *state = malloc(KEYDISK_SIZE);
	const size_t stride = getenv("COFFER_DEEP") ? 1 : (again ? 13 : 1) * SHARE;

	if (!state)
		abort();
	for (size_t k = 0; k <= log->n; k++) {
		for (enum crash_policy p = 0; p < N_CRASH_POLICIES; p++) {
			const unsigned int seeds = p == CRASH_RANDOM ? row->seeds : 1;

			if ((k * N_CRASH_POLICIES + p) % stride != 0)
				continue;
			for (uint64_t seed = 0; seed < seeds; seed++) {
				crash_state(base, KEYDISK_SIZE, log, k, p, seed, state);
				check_state(row, s, state, k, p, seed, again, c);
			}
		}
	}
}

static void make(const struct row *row, struct scene *s)
{
	memset(s, 0, sizeof(*s));
	row->make(s);
	wreck(s, row->wreck);
}

static void test_cuts(const struct row *row)
{
	struct crash_log log = {0};
	struct count c = {0};
	const char *why = "";
	struct outcome r;
	struct scene s;

	make(row, &s);
	ok(row->wreck >= DEAD || opens_all(s.disk, s.now, s.key), "%s: the disk opens before",
		row->name);
	r = restore(&s, s.disk, true, CRASH_READ, 0, &log);
	if (ok(r.status == 0 && is_restored(&s, log.mem, &why), "%s: an uncut run (%s%s)",
		    row->name, r.e.msg, why)) {
		check_log(row, &s, s.disk, &log, row->twice, &c);
		note("%s: %zu operations, %u states, %u opened", row->name, log.n, c.states,
			c.opened);
		ok(c.failed == 0 && c.states > 0, "%s: every cut is recovered", row->name);
	}
	crash_log_free(&log);
	scene_free(&s);
}

/* A call has failed: an error comes out that says whether the disk was changed, and nothing is
 * written or flushed any more. */
static void check_stop(const struct row *row, const struct outcome *r, const struct crash_log *log,
	size_t n, struct count *c)
{
	if (r->status >= 0 || !log->failed)
		fail(c, row, n, CRASH_ALL, 0, "the failure", "was swallowed");
	else if (r->e.outcome != (r->changed ? COFFER_INTERRUPTED : COFFER_FAILED))
		fail(c, row, n, CRASH_ALL, 0, "the failure", "has a wrong outcome");
	else if (!r->changed && log->calls[CRASH_WRITE] > 0)
		fail(c, row, n, CRASH_ALL, 0, "the failure", "and the disk was changed before");
	if (log->after[CRASH_WRITE] > 0 || log->after[CRASH_FLUSH] > 0)
		fail(c, row, n, CRASH_ALL, 0, "the failure", "did not stop the run");
}

/* What that leaves: all that was written; if the power fails now, only what was flushed; and as a
 * flush that failed has made nothing durable, anything between the two. @last: the state before. */
static void check_left(const struct row *row, const struct scene *s, const struct crash_log *log,
	enum crash_call call, size_t n, uint8_t *last, struct count *c)
{
	const enum crash_policy policies = call == CRASH_FLUSH ? N_CRASH_POLICIES : CRASH_LOST + 1;
	_cleanup_free_ uint8_t *state = malloc(KEYDISK_SIZE);

	if (!state)
		abort();
	for (enum crash_policy p = CRASH_ALL; p < policies; p++) {
		crash_state(s->disk, KEYDISK_SIZE, log, log->n, p, n, state);
		if (memcmp(state, last, KEYDISK_SIZE) == 0)
			continue;
		memcpy(last, state, KEYDISK_SIZE);
		check_state(row, s, state, n, p, n, false, c);
	}
}

/* Each call fails once, or a share of them: never a success, and the next run ends well. */
static void test_faults(const struct row *row)
{
	_cleanup_free_ uint8_t *last = calloc(1, KEYDISK_SIZE);
	uint64_t share = SHARE_FAULT;
	struct crash_log whole = {0};
	struct scene s;

	if (getenv("COFFER_DEEP"))
		share = 1;
	make(row, &s);
	if (!last || restore(&s, s.disk, false, CRASH_READ, 0, &whole).status < 0)
		abort();
	for (enum crash_call call = CRASH_READ; call <= CRASH_FLUSH; call++) {
		struct count c = {0};

		for (uint64_t n = 1; n <= whole.calls[call]; n += share) {
			struct crash_log log = {0};
			const struct outcome r = restore(&s, s.disk, true, call, n, &log);

			check_stop(row, &r, &log, n, &c);
			check_left(row, &s, &log, call, n, last, &c);
			crash_log_free(&log);
		}
		ok(c.failed == 0 && c.states > 0 && whole.calls[call] > 0,
			"%s: one of %llu %s calls fails, %u disks that this leaves are resumable",
			row->name, (unsigned long long)whole.calls[call], crash_call_names[call],
			c.states);
	}
	crash_log_free(&whole);
	scene_free(&s);
}

/* A second restore of the same finds nothing to do, and writes nothing. */
static void test_idle(void)
{
	static const struct row row = {"the same once more", make_changed, WHOLE, 0, false, false};
	struct crash_log first = {0}, second = {0};
	struct outcome r;
	struct scene s;

	make(&row, &s);
	if (restore(&s, s.disk, false, CRASH_READ, 0, &first).status < 0)
		abort();
	r = restore(&s, first.mem, true, CRASH_READ, 0, &second);
	ok(r.status == 0 && r.same && !r.changed && second.calls[CRASH_WRITE] == 0,
		"%s: nothing is written", row.name);
	crash_log_free(&first);
	crash_log_free(&second);
	scene_free(&s);
}

/* Flip a byte of keyslot 0, at the question or with the first write. */
static const struct coffer_dev_ops *real_ops;
static struct coffer_dev_ops rotting_ops;

static void rot(struct crashdev *d)
{
	d->mem[2 * KEYDISK_COPY + 1000] ^= 1;
}

static bool rot_and_agree(void *userdata, const struct coffer_header_restore_result *r)
{
	(void)r;
	rot(userdata);
	return true;
}

static int rotting_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	struct crashdev *c = (struct crashdev *)d; /* its first member */

	if (d->ops == &rotting_ops) {
		d->ops = real_ops;
		rot(c);
	}
	return real_ops->write(d, buf, n, off, e);
}

/* Nothing changes between the look and the end without being seen. */
static void test_rot(bool asked)
{
	struct coffer_header_restore_options o = {
		.device = "test-disk", .file = "backup", .allow = COFFER_ALLOW_KEYSLOTS};
	struct coffer_header_restore_result *result = NULL;
	struct crash_log log = {0};
	struct coffer_err e = {0};
	struct crashdev *d;
	struct scene s = {0};
	uint8_t *file;
	int r;

	make_removed(&s);
	d = crashdev_new(s.disk, KEYDISK_SIZE);
	file = coffer_dev_buffer(s.n);
	if (!file)
		abort();
	memcpy(file, s.backup, s.n);
	crashdev_keep(d, &log);
	if (asked) {
		o.confirm = rot_and_agree;
		o.userdata = d;
	} else {
		real_ops = d->dev.ops;
		rotting_ops = *real_ops;
		rotting_ops.write = rotting_write;
		d->dev.ops = &rotting_ops;
	}
	r = coffer_header_restore_dev(&d->dev, file, s.n, false, &o, &result, &e);
	if (asked)
		ok(r == -EAGAIN && e.outcome == COFFER_REFUSED && log.calls[CRASH_WRITE] == 0,
			"a keyslot that changes at the question: nothing is written (%s)", e.msg);
	else
		ok(r == -EIO && e.outcome == COFFER_INTERRUPTED,
			"a keyslot that was right, and rots meanwhile: no success (%s)", e.msg);
	coffer_header_restore_free(result);
	crash_log_free(&log);
	scene_free(&s);
}

/* A full keyslots area has no space for those of today beside those of then. */
static void test_no_room(void)
{
	struct crash_log log = {0};
	struct scene s = {0};
	struct outcome r;

	begin(&s, SMALL_AREA, "alpha", "beta");
	keydisk_kill(s.disk, 0);
	keydisk_kill(s.disk, 1);
	keydisk_add(s.disk, 0, "gamma", s.key);
	keydisk_add(s.disk, 1, "delta", s.key);
	r = restore(&s, s.disk, true, CRASH_READ, 0, &log);
	ok(r.status < 0 && r.e.outcome == COFFER_REFUSED && log.calls[CRASH_WRITE] == 0,
		"no space: refused, nothing written (%s)", r.e.msg);
	ok(strstr(r.e.msg, "space") || strstr(r.e.msg, "full"), "no space: it says so");
	crash_log_free(&log);
	scene_free(&s);
}

static const struct row rows[] = {
	{"a key removed since", make_removed, WHOLE, 3, false, false},
	{"a key added since", make_added, WHOLE, 3, false, false},
	{"a key changed since", make_changed, WHOLE, 4, false, false},
	{"all keys changed, places swapped", make_all_changed, WHOLE, 4, false, false},
	{"a damaged keyslot", make_worn, WHOLE, 3, false, false},
	{"another volume", make_another_volume, WHOLE, 2, false, false},
	{"a larger header", make_larger, WHOLE, 2, false, true},
	{"a key changed, first copy torn", make_changed, FIRST_TORN, 3, false, false},
	{"a key changed, second copy torn", make_changed, SECOND_TORN, 3, false, false},
	{"a key changed, second copy out of date", make_changed, SECOND_BEHIND, 3, false, false},
	{"all the same, first copy torn", make_same, FIRST_TORN, 2, false, false},
	{"all the same, second copy torn", make_same, SECOND_TORN, 2, false, false},
	{"a key changed, header dead", make_changed, DEAD, 3, false, false},
	{"header and keyslots zeroed", make_removed, ZEROED, 3, false, false},
	{"a key changed, cut twice", make_changed, WHOLE, 1, true, false},
	{"a key changed, second copy torn, cut twice", make_changed, SECOND_TORN, 1, true, false},
};

int main(void)
{
	const char *only = getenv("SCENARIO");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!only || strstr(rows[i].name, only))
			test_cuts(&rows[i]);
	test_faults(&rows[2]);
	test_faults(&rows[12]);
	test_idle();
	test_no_room();
	test_rot(true);
	test_rot(false);
	return done_testing();
}
