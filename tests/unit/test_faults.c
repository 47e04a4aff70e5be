/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_faults.c - each call to the disk fails once, in everything that writes to one
 *
 * Law 4: a read, write or flush that fails stops the run: an error comes out that says whether the
 * disk was changed, nothing is written or flushed any more, and another run gets all of it back;
 * also if the power fails then and takes what was not flushed. A flush that failed has made nothing
 * durable, so after one any of its writes may be lost or torn.
 *
 * COFFER_DEEP=1 lets each call fail, and takes more of those cuts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "lib/on_device.h"
#include "crashstart.h"
#include "explore.h"
#include "tap.h"

enum {
	SEEN = 1 << 13, /* distinct states of a row, twice at least */
};

/* With sanitizers a run takes four times as long: then one call of each kind fails. */
#ifdef __SANITIZE_ADDRESS__
#define ONE_OF_EACH true
#else
#define ONE_OF_EACH false
#endif

/* A row at work. */
struct faults {
	const struct scenario *s;
	uint8_t *content, *disk; /* and what the device has grown by */
	struct layer run;	 /* the disk, and what a run makes of it */
	struct span *used;
	size_t n_used;
	bool deep;
	unsigned int hold; /* milliseconds, where there are several threads; see crashdev.h */
	uint64_t late;	   /* writes that may begin after the failure, from other threads */
	struct tally tally;
	struct lab lab;
	uint64_t seen[SEEN];
	unsigned int runs;   /* that were made to fail */
	unsigned int wrong;  /* of these, that did not do as they should */
	unsigned int cached; /* runs after a failed flush that were shown what was not written */
};

static uint64_t size_of(const struct faults *f)
{
	return disk_size(&f->s->row) + f->s->grown;
}

static void faults_begin(struct faults *f, const struct scenario *s)
{
	const uint64_t size = disk_size(&s->row);
	uint8_t *plain = make_content(&s->row);

	*f = (struct faults){.s = s, .deep = getenv("COFFER_DEEP") != NULL};
	f->content = malloc(size_of(f));
	f->disk = malloc(size_of(f));
	if (!f->content || !f->disk)
		abort();
	memcpy(f->content, plain, size);
	memset(f->content + size, 0xa5, s->grown);
	free(plain);
	memcpy(f->disk, f->content, size_of(f));
	if (s->prepare)
		s->prepare(&s->row, f->disk);
	if (s->row.used_only) {
		f->n_used = usedfs_spans(f->content, s->row.length, &f->used);
	} else {
		f->used = malloc(sizeof(*f->used));
		if (!f->used)
			abort();
		*f->used = (struct span){0, s->row.length};
		f->n_used = 1;
	}
	layer_init(&f->run, f->disk, size_of(f));
	lab_init(&f->lab, &s->row, f->content, s->grown, f->used, f->n_used, &f->tally);
	f->lab.effort =
		(struct effort){.stock = 16, .anew = 4, .repair = 8, .program = 4, .checker = 16};
}

static void faults_end(struct faults *f)
{
	lab_free(&f->lab);
	layer_free(&f->run);
	free(f->used);
	free(f->content);
	free(f->disk);
}

static struct crashdev *device(struct faults *f, struct crash_log *ret)
{
	struct crashdev *d;

	layer_reset(&f->run);
	d = crashdev_over(&f->run);
	d->recording = true;
	d->hold = f->hold;
	crashdev_keep(d, ret);
	return d;
}

/* --- one state --- */

static bool is_new(struct faults *f)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	uint64_t key;

	lab_hash(&f->lab, hash);
	memcpy(&key, hash, sizeof(key));
	key += key == 0;
	for (uint64_t i = key % SEEN;; i = (i + 1) % SEEN) {
		if (f->seen[i] == key)
			return false;
		if (f->seen[i] == 0) {
			f->seen[i] = key;
			return true;
		}
	}
}

static void judge(struct faults *f, const char *what, const char *state)
{
	if (f->tally.states >= SEEN / 2 || !is_new(f))
		return;
	(void)snprintf(f->lab.cut, sizeof(f->lab.cut), "%.40s: %.110s", what, state);
	f->lab.lost = false;
	f->tally.states++;
	f->s->judge(&f->lab);
	f->tally.lost += f->lab.lost;
}

/* The state, and one of the first writes of the run that began there as its last. */
static void cut_next(struct faults *f, const char *what, const struct crash_log *log)
{
	unsigned int left = 1 + f->runs % 4;

	for (size_t i = 0; i < log->n && left > 0; i++) {
		if (log->ops[i].flush)
			continue;
		lab_change(&f->lab, log->ops[i].off, log->ops[i].data, log->ops[i].n);
		left--;
	}
	judge(f, what, "the next run, cut");
}

/* The kernel still shows what it could not write when the next run begins, and the next flush
 * returns success. That run must not build on it. */
static void judge_cached(
	struct faults *f, const char *what, const char *state, const uint8_t *shown)
{
	const bool plain = f->s->judge == judge_repair;
	struct crashdev *d = lab_device(&f->lab);
	struct crash_log log = {0};
	struct coffer_err e = {0};
	char why[256] = "";
	int r;

	crashdev_cache(d, shown);
	crashdev_keep(d, &log);
	d->recording = true;
	f->lab.lost = false;
	(void)snprintf(f->lab.cut, sizeof(f->lab.cut), "%.40s: %.100s, more is shown", what, state);
	r = plain ? run_repair(&f->s->row, &d->dev, &e) : run_encrypt(&f->s->row, &d->dev, &e);
	/* It refuses a volume that is finished. */
	if (plain ? lab_plain_equals(&f->lab, f->lab.work.mem, why)
		  : lab_finished_well(&f->lab, f->lab.work.mem, why))
		f->cached++;
	else
		lab_fail(&f->lab, "the next run", r < 0 ? e.msg : why);
	f->tally.lost += f->lab.lost;
	cut_next(f, what, &log);
	crash_log_free(&log);
}

/* Behind a flush that failed, in the epoch @number: some of what it was to make durable is. */
static void judge_cuts(
	struct faults *f, const char *what, const struct crash_log *log, uint32_t number)
{
	const struct crash_depth depth = {
		.subsets = 4, .all_orders = true, .systematic = true, .seeds = 4, .seed = 1};
	const struct crash_cut none = {.kind = CUT_SET, .epoch = number};
	uint8_t *shown = malloc(size_of(f));
	size_t n, first = 0;
	struct crash_cut *cuts = crash_cuts(log, &depth, &n);
	char name[160];

	if (!shown)
		abort();
	memcpy(shown, f->lab.state.mem, size_of(f));
	while (first < n && cuts[first].epoch < number)
		first++;
	lab_cut(&f->lab, log, &none);
	judge_cached(f, what, "what was flushed", shown);
	for (size_t i = first; i < n; i++) {
		/* Each time another one, or all. */
		if (!f->deep && i - first != f->runs * 7 % (n - first))
			continue;
		lab_cut(&f->lab, log, &cuts[i]);
		crash_cut_name(log, &cuts[i], name);
		judge(f, what, name);
		if (f->deep)
			judge_cached(f, what, name, shown);
	}
	free(cuts);
	free(shown);
}

/* What the disk holds after the failure: all that was written; or, when the power fails now, what
 * was flushed; or that and a part of the rest. */
static void judge_states(
	struct faults *f, const char *what, const struct crash_log *log, enum crash_call call)
{
	struct crash_cut all = {.kind = CUT_SET, .detail = UINT64_MAX};
	size_t durable = 0;

	for (size_t i = 0; i < log->n; i++)
		if (log->ops[i].flush) {
			all.epoch++;
			durable = i + 1;
		}
	lab_begin(&f->lab, f->disk);
	for (size_t i = 0; i < durable; i++)
		lab_advance(&f->lab, &log->ops[i]);
	judge(f, what, "what was flushed");
	if (durable == log->n)
		return;
	lab_cut(&f->lab, log, &all);
	judge(f, what, "all that was written");
	if (call == CRASH_FLUSH)
		judge_cuts(f, what, log, all.epoch);
}

/* --- one failure --- */

static void wrong(struct faults *f, const char *what, const char *why)
{
	if (f->wrong++ < 10)
		note("%s: %s: %s", f->s->row.name, what, why);
}

/* The outcome is true, and nothing came after the failure. */
static void check_stop(struct faults *f, const char *what, int r, const struct coffer_err *e,
	const struct crash_log *log)
{
	const bool unchanged = log->calls[CRASH_WRITE] == 0;
	/* Where it cannot be read what is used, --used-only=yes is refused. */
	const bool refused = f->s->row.used_only && e->outcome == COFFER_REFUSED;
	char why[160];

	if (!log->failed)
		wrong(f, what, "there was no such call");
	if (r >= 0)
		wrong(f, what, "the error was swallowed");
	else if (e->outcome != COFFER_INTERRUPTED &&
		 !(unchanged && (e->outcome == COFFER_FAILED || refused)))
		wrong(f, what, "the outcome is another one");
	if (log->after[CRASH_WRITE] <= f->late && log->after[CRASH_FLUSH] == 0 &&
		log->after[CRASH_DISCARD] == 0)
		return;
	(void)snprintf(why, sizeof(why),
		"after that %" PRIu64 " writes, %" PRIu64 " flushes, %" PRIu64 " discards",
		log->after[CRASH_WRITE], log->after[CRASH_FLUSH], log->after[CRASH_DISCARD]);
	wrong(f, what, why);
}

/* @look: and at what it leaves. */
static void fail_call(struct faults *f, enum crash_call call, uint64_t n, bool look)
{
	struct crash_log log = {0};
	struct coffer_err e = {0};
	struct crashdev *d = device(f, &log);
	char what[64];
	int r;

	(void)snprintf(what, sizeof(what), "%s %" PRIu64, crash_call_names[call], n);
	d->fail_call = call;
	d->fail_at = n;
	r = f->s->run(&f->s->row, &d->dev, &e);
	f->runs++;
	check_stop(f, what, r, &e, &log);
	if (look)
		judge_states(f, what, &log, call);
	crash_log_free(&log);
}

/* Nothing depends on a discard: the run goes on without further ones, and claims none. */
static void fail_discard(struct faults *f, uint64_t n)
{
	const struct coffer_encrypt_options o = options(&f->s->row);
	struct coffer_encrypt_result result = {0};
	struct crash_log log = {0};
	struct coffer_err e = {0};
	struct crashdev *d = device(f, &log);
	char what[64], why[256] = "";

	(void)snprintf(what, sizeof(what), "discard %" PRIu64, n);
	d->fail_call = CRASH_DISCARD;
	d->fail_at = n;
	f->runs++;
	if (coffer_encrypt_dev(&d->dev, &o, &result, &e) < 0)
		wrong(f, what, e.msg);
	if (!log.failed || log.after[CRASH_DISCARD] > 0)
		wrong(f, what, "there was none, or there were more");
	if (result.free_space != COFFER_FREE_KEEP || result.discarded != log.discarded)
		wrong(f, what, "it claims a discard");
	if (!lab_finished_well(&f->lab, f->run.mem, why))
		wrong(f, what, why);
	crash_log_free(&log);
}

static void test_discards(struct faults *f, uint64_t n)
{
	f->runs = f->wrong = 0;
	for (uint64_t i = 1; i <= n; i++)
		fail_discard(f, i);
	if (f->s->row.free_space == COFFER_FREE_DISCARD)
		ok(f->wrong == 0 && f->runs > 1,
			"%s: each of %u discards failed, and nothing else did", f->s->row.name,
			f->runs);
}

/* Is the call number @at one of @want among @n, in the middle of its share of them? */
static bool is_chosen(uint64_t at, uint64_t n, uint64_t want)
{
	for (uint64_t i = 0; i < want; i++)
		if (1 + (2 * i + 1) * n / (2 * want) == at)
			return true;
	return false;
}

/* A call of this kind fails, one in each run. To look at what that leaves takes longer than the
 * run, and so does a header for each run that begins anew; and most reads come before the first
 * write. So of these not all fail. */
static void test_calls(struct faults *f, enum crash_call call, uint64_t n)
{
	const bool all = f->deep || (f->s->prepare && call != CRASH_READ && !ONE_OF_EACH);
	const uint64_t few = ONE_OF_EACH	  ? 1
			     : call == CRASH_READ ? (f->s->quick + 2) / 3
						  : f->s->quick;
	const uint64_t want = f->deep || few > n ? n : few;

	f->runs = f->wrong = f->tally.lost = 0;
	for (uint64_t at = 1; at <= n; at++)
		if (all || is_chosen(at, n, want))
			fail_call(f, call, at, is_chosen(at, n, want));
	ok(f->wrong == 0 && f->tally.lost == 0 && f->runs > 0,
		"%s: one %s of %" PRIu64 " fails: %u runs stop, on disks that are right",
		f->s->row.name, crash_call_names[call], n, f->runs);
}

static void test_faults(const struct scenario *s, unsigned int hold, uint64_t late)
{
	struct crash_log whole = {0};
	struct coffer_err e = {0};
	struct faults f;

	faults_begin(&f, s);
	f.hold = hold;
	f.late = late;
	if (ok(s->run(&s->row, &device(&f, &whole)->dev, &e) == 0, "%s: without a failure (%s)",
		    s->row.name, e.msg)) {
		/* What cannot be read ahead is no failure before its turn: see test_engine.c. */
		if (!hold)
			test_calls(&f, CRASH_READ, whole.calls[CRASH_READ]);
		test_calls(&f, CRASH_WRITE, whole.calls[CRASH_WRITE]);
		test_calls(&f, CRASH_FLUSH, whole.calls[CRASH_FLUSH]);
		test_discards(&f, whole.calls[CRASH_DISCARD]);
		ok(f.cached > 0 || ONE_OF_EACH,
			"%s: %u states, %u runs that were shown what was never written",
			s->row.name, f.tally.states, f.cached);
	}
	crash_log_free(&whole);
	faults_end(&f);
}

/* --- several threads --- */

enum {
	THREADS = 3,
	HOLD = 100 /* milliseconds in which who got the failure has told the others */
};

static int run_threads(const struct row *row, struct coffer_dev *d, struct coffer_err *e)
{
	struct coffer_encrypt_options o = options(row);

	o.threads = THREADS;
	return coffer_encrypt_dev(d, &o, NULL, e);
}

/* When a write fails the others may be on their way, one of each thread, or begin before they are
 * told; none begins after that, and no flush. A step has eight pieces. */
static void test_threads(void)
{
	static const struct scenario s = {{.name = "several threads",
						  .length = 17 * MIB,
						  .sector_size = 512,
						  .shift = 8 * MIB},
		.prepare = placed, .run = run_threads, .judge = judge_conversion, .quick = 2};

	test_faults(&s, HOLD, THREADS - 1);
}

/* --- the table --- */

#define SMALL	    .length = 1 * MIB + 3 * 512, .sector_size = 512
#define THREE_ZONES .length = 3 * MIB, .sector_size = 512
#define EXT4	    .length = 4 * MIB, .sector_size = 512, .content = CRASH_EXT4
#define FILES	    .length = 5 * MIB, .sector_size = 512, .content = CRASH_FILES, .used_only = true

static const struct scenario scenarios[] = {
	{{.name = "encrypt", SMALL}, .run = run_encrypt, .judge = judge_conversion, .quick = 2},
	{{.name = "encrypt, ext4", EXT4}, .run = run_encrypt, .judge = judge_conversion,
		.quick = 1},
	{{.name = "encrypt used, keep", FILES, .free_space = COFFER_FREE_KEEP}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 1},
	{{.name = "encrypt used, fill", FILES, .free_space = COFFER_FREE_FILL}, .run = run_encrypt,
		.judge = judge_conversion, .quick = 1},
	{{.name = "encrypt used, discard", FILES, .free_space = COFFER_FREE_DISCARD},
		.run = run_encrypt, .judge = judge_conversion, .quick = 1},
	{{.name = "resume", THREE_ZONES}, .prepare = half_done, .run = run_encrypt,
		.judge = judge_conversion, .quick = 3},
	{{.name = "resume, used", FILES}, .prepare = half_done, .run = run_encrypt,
		.judge = judge_conversion, .quick = 1},
	{{.name = "resume, used, discard", FILES, .free_space = COFFER_FREE_DISCARD},
		.prepare = half_done, .run = run_encrypt, .judge = judge_conversion, .quick = 2},
	{{.name = "redo of a placement", SMALL}, .prepare = half_placed, .run = run_encrypt,
		.judge = judge_conversion, .quick = 2},
	{{.name = "the end", EXT4}, .prepare = at_end, .run = run_encrypt,
		.judge = judge_conversion, .quick = 2},
	{{.name = "abort", EXT4}, .prepare = placed, .run = run_abort, .judge = judge_conversion,
		.quick = 2},
	{{.name = "redo of an abort", SMALL}, .prepare = half_undone, .run = run_abort,
		.judge = judge_conversion, .quick = 2},
	{{.name = "the device has grown", THREE_ZONES}, .prepare = half_done, .run = run_encrypt,
		.judge = judge_conversion, .grown = MIB + 512, .quick = 1},
	/* Bug: after a failure repair flushed once more, which calls lost writes durable */
	{{.name = "repair: recover-header-copy", THREE_ZONES}, .prepare = torn_copy,
		.run = run_repair, .judge = judge_conversion, .quick = 7},
	{{.name = "repair: redo-placement", SMALL}, .prepare = half_placed, .run = run_repair,
		.judge = judge_conversion, .quick = 2},
	{{.name = "repair: finish-placement", SMALL}, .prepare = unfinished, .run = run_repair,
		.judge = judge_conversion, .quick = 5},
	{{.name = "repair: finish-undo", SMALL}, .prepare = half_undone, .run = run_repair,
		.judge = judge_conversion, .quick = 2},
	{{.name = "repair: undo-placement", EXT4}, .prepare = image_lost, .run = run_repair,
		.judge = judge_repair, .quick = 2},
	{{.name = "repair: undo-stock-placement", EXT4}, .prepare = torn_in_json, .run = run_repair,
		.judge = judge_repair, .quick = 2},
	{{.name = "repair: undo-block-0", SMALL}, .prepare = used_under_mark, .run = run_repair,
		.judge = judge_repair, .quick = 6},
	{{.name = "repair: erase-transition-block", EXT4}, .prepare = mark_left, .run = run_repair,
		.judge = judge_repair, .quick = 8},
	{{.name = "repair: erase-record", EXT4}, .prepare = stale_record, .run = run_repair,
		.judge = judge_repair, .quick = 7},
};

/* See test_crash.c. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=16:malloc_context_size=5";
}

int main(void)
{
	const char *only = getenv("SCENARIO");

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++)
		if (!only || strstr(scenarios[i].row.name, only))
			test_faults(&scenarios[i], 0, 0);
	if (!only || strstr("several threads", only))
		test_threads();
	return done_testing();
}
