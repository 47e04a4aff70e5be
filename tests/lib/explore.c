/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explore.c - record a run, build the disks that a power cut can leave, recover each */
#include "explore.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/clock.h"
#include "tap.h" /* notes only: the lines are counted where main is */

enum {
	SEEN = 1 << 21, /* many times the states of any run */
	MAX_JOBS = 16,
	TRAILS = 8, /* recoveries that are cut again, of each run */
	PASSES = 16,
	REPORT_SECONDS = 30
};

/* What all processes share. */
struct shared {
	bool stop;
	uint64_t seen[SEEN];	    /* a scenario's states */
	uint64_t seen_at_all[SEEN]; /* states of any */
	struct tally tally[];	    /* [job][scenario] */
};

/* A scenario at work. */
struct work {
	const struct scenario *s;
	uint8_t *content; /* and what the device grows by */
	struct span *used;
	size_t n_used;
	struct traces traces;
};

struct run {
	const struct exploration *x;
	struct work *works;
	size_t n;
	struct shared *shared;
	double end; /* no new state after it; 0: none */
};

__attribute__((format(printf, 3, 4))) static bool check(
	const struct exploration *x, bool good, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	x->check(good, what);
	return good;
}

/* --- recording --- */

static void lab_open(struct lab *l, const struct work *w, struct tally *t, bool deep)
{
	lab_init(l, &w->s->row, w->content, w->s->grown, w->used, w->n_used, t);
	if (deep)
		l->effort = (struct effort){
			.stock = 3, .anew = 4, .repair = 4, .program = 100, .checker = 64};
	else
		l->effort = (struct effort){
			.stock = 4, .anew = 4, .repair = 2, .program = 16, .checker = 32};
	/* It is the larger part of the time, and tells little more of such a row than of others. */
	if (w->s->row.used_only)
		l->effort.repair = 8;
}

static void make_work(struct work *w)
{
	const struct scenario *s = w->s;
	const struct row *row = &s->row;
	uint8_t *plain = make_content(row);

	w->content = malloc(disk_size(row) + s->grown);
	if (!w->content)
		abort();
	memcpy(w->content, plain, disk_size(row));
	memset(w->content + disk_size(row), 0xa5, s->grown);
	free(plain);
	if (row->used_only) {
		w->n_used = usedfs_spans(w->content, row->length, &w->used);
		return;
	}
	w->used = malloc(sizeof(*w->used));
	if (!w->used)
		abort();
	*w->used = (struct span){0, row->length};
	w->n_used = 1;
}

/* Do both operations leave the bytes that they share alike, whichever comes last? */
static bool agree(const struct crash_op *a, const struct crash_op *b)
{
	const uint64_t from = a->off > b->off ? a->off : b->off;
	const uint64_t end_a = a->off + a->n, end_b = b->off + b->n;
	const uint64_t to = end_a < end_b ? end_a : end_b;

	return from >= to ||
	       memcmp(a->data + (from - a->off), b->data + (from - b->off), to - from) == 0;
}

/* Writes of one epoch that cover each other with other bytes would arrive in an order that nobody
 * chose, and the cuts have them in the order of the log only. */
static bool depends_on_order(const struct crash_log *log)
{
	struct crash_epoch e;

	for (uint32_t n = 0; crash_epoch(log, n, &e); n++)
		for (size_t i = e.first; i < e.first + e.n; i++)
			for (size_t k = e.first; k < i; k++)
				if (!agree(&log->ops[i], &log->ops[k]))
					return true;
	return false;
}

static bool open_work(const struct exploration *x, struct work *w, struct tally *tally)
{
	const struct scenario *s = w->s;
	struct coffer_err e = {0};
	struct traces next = {0};
	uint8_t *disk;
	struct lab l;
	int r = 0;

	make_work(w);
	disk = malloc(disk_size(&s->row));
	if (!disk)
		abort();
	memcpy(disk, w->content, disk_size(&s->row));
	if (s->prepare)
		s->prepare(&s->row, disk);
	if (s->record)
		s->record(&s->row, disk, &w->traces);
	else
		r = trails_record(&w->traces, &s->row, disk, s->run, "", &e);
	free(disk);
	if (!check(x, r == 0 && w->traces.n > 0, "%s: the run without a cut (%s)", s->row.name,
		    e.msg))
		return false;
	for (size_t i = 0; i < w->traces.n && !s->record; i++)
		if (!check(x, !depends_on_order(&w->traces.items[i].log),
			    "%s: no two writes between two flushes depend on their order",
			    s->row.name))
			return false;
	lab_open(&l, w, tally, false);
	for (unsigned int depth = 1; depth < s->depth; depth++) {
		for (size_t i = 0; i < w->traces.n; i++)
			trails_cut_again(&next, &l, &w->traces.items[i], s->recover,
				x->share > 1 ? 2
				: depth == 1 ? TRAILS
					     : 2);
		trails_free(&w->traces);
		w->traces = next;
		next = (struct traces){0};
	}
	lab_free(&l);
	return check(x, w->traces.n > 0, "%s: %zu runs to cut", s->row.name, w->traces.n);
}

static void close_work(struct work *w)
{
	trails_free(&w->traces);
	free(w->content);
	free(w->used);
}

/* --- states --- */

/* Whoever comes first with a state looks at it. Two of 20000 states share 64 bits of a SHA-256 once
 * in 10^11 runs. */
static bool claim(uint64_t seen[SEEN], const uint8_t hash[COFFER_SHA256_SIZE])
{
	uint64_t key;

	memcpy(&key, hash, sizeof(key));
	key += key == 0;
	for (uint64_t i = key % SEEN;; i = (i + 1) % SEEN) {
		uint64_t there = 0;

		if (__atomic_compare_exchange_n(
			    &seen[i], &there, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
		if (there == key)
			return false;
	}
}

static void keep_lost(const struct exploration *x, const struct lab *l, unsigned int number)
{
	char path[512];
	FILE *f;

	if (!x->keep)
		return;
	(void)snprintf(path, sizeof(path), "%s/%d.%u.img", x->keep, (int)getpid(), number);
	f = fopen(path, "we");
	if (!f || fwrite(l->state.mem, l->size, 1, f) != 1 || fclose(f) != 0)
		note("%s cannot be written", path);
	else
		note("that disk is kept as %s", path);
}

static void look(struct run *r, const struct work *w, struct lab *l, const struct trail *t,
	const struct crash_cut *cut)
{
	uint8_t hash[COFFER_SHA256_SIZE];
	bool is_new;

	if (w->s->change && !w->s->change(l, cut->epoch * UINT64_C(31) + cut->detail))
		return;
	lab_hash(l, hash);
	/* Scenarios may have disks in common, but not what has to come out: looked at in each, and
	 * counted once. */
	is_new = claim(r->shared->seen_at_all, hash);
	hash[0] ^= (uint8_t)(w - r->works);
	if (!claim(r->shared->seen, hash))
		return;
	l->tally->distinct += is_new;
	crash_cut_name(&t->log, cut, l->cut);
	l->trail = t->from;
	l->lost = false;
	l->tally->states++;
	w->s->judge(l);
	if (l->lost)
		keep_lost(r->x, l, ++l->tally->lost);
}

/* Of @n cuts every so many-th, so that @want remain. */
static bool is_chosen(size_t i, size_t n, size_t want)
{
	return want >= n || i * want / n != (i + 1) * want / n;
}

static bool is_over(const struct run *r)
{
	return r->shared->stop || (r->end > 0 && coffer_clock() > r->end);
}

/* @pass: which share of the cuts, so that each scenario has its turn early. */
static void explore_trail(struct run *r, const struct work *w, struct lab *l, const struct trail *t,
	const struct crash_depth *d, unsigned int pass)
{
	const size_t quick = (w->s->quick + r->x->share - 1) / r->x->share;
	const size_t want = (quick + w->traces.n - 1) / w->traces.n;
	size_t n, at = 0;
	struct crash_cut *cuts = crash_cuts(&t->log, d, &n);

	lab_begin(l, t->base);
	for (size_t i = 0; i < n; i++) {
		if (is_over(r))
			break;
		if (r->x->deep ? d->systematic && i % PASSES != pass : !is_chosen(i, n, want))
			continue;
		trail_cut(t, l, &cuts[i], &at);
		look(r, w, l, t, &cuts[i]);
	}
	free(cuts);
}

static void explore_work(struct run *r, const struct work *w, struct tally *t, uint64_t seed,
	unsigned int pass, bool backwards)
{
	const bool deep = r->x->deep;
	const struct crash_depth d = {.subsets = deep ? 6 : 4,
		.all_sectors = deep,
		.all_orders = deep,
		.systematic = seed == r->x->first_seed,
		.seeds = deep || !w->s->seeds ? 1 : w->s->seeds,
		.seed = seed};
	struct lab l;

	if (is_over(r))
		return;
	lab_open(&l, w, t, deep);
	for (size_t i = 0; i < w->traces.n && !is_over(r); i++)
		explore_trail(
			r, w, &l, &w->traces.items[backwards ? w->traces.n - 1 - i : i], &d, pass);
	lab_free(&l);
}

/* Every second process comes from the other end, so that they seldom want the same state. */
static void worker(struct run *r, unsigned int job)
{
	const struct exploration *x = r->x;
	const bool backwards = job % 2 == 1;

	for (uint64_t seed = x->first_seed; seed <= x->last_seed; seed++)
		for (unsigned int pass = 0; pass < (seed == x->first_seed ? PASSES : 1); pass++)
			for (size_t i = 0; i < r->n; i++) {
				const size_t k = backwards ? r->n - 1 - i : i;

				explore_work(r, &r->works[k], &r->shared->tally[job * r->n + k],
					seed, pass, backwards);
			}
}

/* --- all of it --- */

static void add(struct tally *to, const struct tally *t)
{
	const unsigned int *from = (const unsigned int *)t;
	unsigned int *sums = (unsigned int *)to;

	for (size_t i = 0; i < sizeof(*t) / sizeof(*from); i++)
		sums[i] += from[i];
}

static struct tally sum_of(const struct run *r, size_t scenario)
{
	struct tally t = {0};

	for (unsigned int job = 0; job < MAX_JOBS; job++)
		for (size_t i = 0; i < r->n; i++)
			if (i == scenario || scenario == r->n)
				add(&t, &r->shared->tally[job * r->n + i]);
	return t;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* A first wish to stop ends the search, and what was found is told; a second one ends all. */
static void wait_for(const struct run *r, unsigned int jobs)
{
	const double start = coffer_clock();
	const struct sigaction stop = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
	double next = start + REPORT_SECONDS;

	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	while (jobs > 0) {
		const struct tally t = sum_of(r, r->n);
		int status;

		r->shared->stop = r->shared->stop || interrupted;
		if (coffer_clock() > next) {
			note("%5.0f s: %u states, %u lost", coffer_clock() - start, t.states,
				t.lost);
			next += REPORT_SECONDS;
		}
		if (waitpid(-1, &status, WNOHANG) <= 0) {
			(void)usleep(200000);
			continue;
		}
		(void)check(r->x, status == 0, "a process of the search ends well (%#x)",
			(unsigned int)status);
		jobs--;
	}
	if (interrupted)
		note("ended by a signal");
}

static void run_jobs(struct run *r)
{
	for (unsigned int job = 0; job < r->x->jobs; job++) {
		const pid_t pid = fork();

		if (pid < 0)
			abort();
		if (pid == 0) {
			(void)signal(SIGINT, SIG_IGN);
			worker(r, job);
			(void)fflush(stdout);
			_exit(0);
		}
	}
	wait_for(r, r->x->jobs);
}

static void row_of_table(const char *name, const struct tally *t)
{
	note("| %s | %u | %u | %u | %u | %u | %u | %u | %u | %u | %u | %u | %u |", name, t->states,
		t->untouched, t->shut, t->coffer, t->aborted, t->repaired, t->stock, t->program,
		t->mended, t->told, t->gone, t->lost);
}

static void report(const struct run *r, struct tally *ret)
{
	note("| scenario | states | untouched | shut | coffer | abort | repair | stock | by the "
	     "program | after its repair | reported | gone | lost |");
	note("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
	for (size_t i = 0; i < r->n; i++) {
		const struct tally t = sum_of(r, i);

		row_of_table(r->works[i].s->row.name, &t);
	}
	*ret = sum_of(r, r->n);
	row_of_table("all", ret);
	for (size_t i = 0; i < r->n; i++) {
		const struct tally t = sum_of(r, i);

		(void)check(r->x,
			t.lost == 0 && t.states > 0 &&
				t.untouched + t.coffer + t.aborted + t.repaired + t.told + t.gone >=
					t.states,
			"%s: none of %u states is lost", r->works[i].s->row.name, t.states);
	}
}

/* One after the other, each recorded when its turn comes. */
static void explore_here(struct run *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct tally *t = &r->shared->tally[i];
		const double start = coffer_clock();

		if (!open_work(r->x, &r->works[i], t))
			t->lost++;
		explore_work(r, &r->works[i], t, r->x->first_seed, 0, false);
		note("%s: %u states in %.1f s", r->works[i].s->row.name, t->states,
			coffer_clock() - start);
		trails_free(&r->works[i].traces);
	}
}

/* All are recorded first, so that every process cuts the same runs. */
static void explore_deep(struct run *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!open_work(r->x, &r->works[i], &r->shared->tally[i]))
			r->shared->tally[i].lost++;
	if (r->x->minutes > 0)
		r->end = coffer_clock() + 60 * r->x->minutes;
	run_jobs(r);
}

void explore(const struct exploration *x, const struct scenario *s, size_t n, struct tally *ret)
{
	const size_t size = sizeof(struct shared) + MAX_JOBS * n * sizeof(struct tally);
	struct run r = {.x = x,
		.works = calloc(n, sizeof(*r.works)),
		.shared = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};

	if (!r.works || r.shared == MAP_FAILED)
		abort();
	for (size_t i = 0; i < n; i++)
		if (!x->only || strstr(s[i].row.name, x->only))
			r.works[r.n++].s = &s[i];
	if (x->deep)
		explore_deep(&r);
	else
		explore_here(&r);
	report(&r, ret);
	for (size_t i = 0; i < r.n; i++)
		close_work(&r.works[i]);
	free(r.works);
	(void)munmap(r.shared, size);
}

void exploration_read(struct exploration *x)
{
	const char *seeds = getenv("SEEDS"), *minutes = getenv("MINUTES");
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	*x = (struct exploration){.deep = getenv("COFFER_DEEP") != NULL,
		.jobs = cpus < 1	  ? 1
			: cpus > MAX_JOBS ? MAX_JOBS
					  : (unsigned int)cpus,
		.share = 1,
		.first_seed = 1,
		.minutes = minutes ? strtod(minutes, NULL) : 0,
		.only = getenv("SCENARIO"),
		.keep = getenv("COFFER_CRASH_KEEP")};
	x->last_seed = x->deep ? 20 : 1;
	if (seeds && *seeds &&
		sscanf(seeds, "%" SCNu64 "-%" SCNu64, &x->first_seed, &x->last_seed) != 2) {
		(void)fprintf(stderr, "SEEDS=%s is not FIRST-LAST\n", seeds);
		exit(2);
	}
}
