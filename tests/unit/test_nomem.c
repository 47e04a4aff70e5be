/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_nomem.c - memory runs out at the n-th request of a run
 *
 * Once for this request only, and once for all that follow, too. The run says so and ends: without
 * a leak, on a disk that is as before, or on one that another run finishes. A run that does without
 * has to come to the same end, and only the functions named here may do without. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/findings.h"
#include "lib/on_device.h"
#include "crashjudge.h"
#include "header/backup.h"
#include "header/check.h"
#include "io/new_file.h"
#include "lib/keydisk.h"
#include "nomem.h"
#include "report/status.h"
#include "rescue/repair.h"
#include "tap.h"

#ifdef __SANITIZE_ADDRESS__
int __lsan_do_recoverable_leak_check(void);
#else
static int __lsan_do_recoverable_leak_check(void)
{
	return 0;
}
#endif

/* What does its work also without what it has asked for. */
static const char *const does_without[] = {
	"write_copy",	      /* then the next commit writes a whole copy */
	"file_set_direct",    /* then the page cache is used */
	"is_same",	      /* then the header is written once more */
	"coffer_digest_size", /* then the digest's name counts, without a try */
};

/* One run, and the disk that it is about. */
struct subject {
	const char *name;
	struct row row;
	/* The first flushed disk of an encryption on which this is so; NULL: the plain one. */
	bool (*from)(const struct row *row, enum coffer_operation a, const struct coffer_facts *f);
	/* Runs, and closes the device. */
	int (*run)(struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e);
	/* Leads the disk at @l to its content? */
	bool (*judge)(struct subject *s, struct lab *l, const uint8_t *disk);
	bool may_write;
	unsigned int runs; /* of each kind at most, when there is little time */
	/* of a header that is put back */
	uint8_t *disk, *backup, key[64];
	uint64_t size, n_backup;
};

/* --- disks ----------------------------------------------------------------------------------- */

static bool is_placed(const struct row *row, enum coffer_operation a, const struct coffer_facts *f)
{
	(void)row;
	return a == COFFER_OP_CONVERT && f->header.agree;
}

static bool is_half(const struct row *row, enum coffer_operation a, const struct coffer_facts *f)
{
	return is_placed(row, a, f) && f->conversion.pointer < row->length;
}

static bool is_marked(const struct row *row, enum coffer_operation a, const struct coffer_facts *f)
{
	(void)row;
	(void)f;
	return a == COFFER_OP_REDO_PLACEMENT;
}

static bool is_at_end(const struct row *row, enum coffer_operation a, const struct coffer_facts *f)
{
	(void)row;
	return a == COFFER_OP_FINALIZE && f->header.agree;
}

static bool is_restoring(
	const struct row *row, enum coffer_operation a, const struct coffer_facts *f)
{
	(void)row;
	(void)f;
	return a == COFFER_OP_FINISH_UNDO;
}

/* The content becomes that disk: by an encryption, and where that has none, by an abort of it. */
static void become(struct subject *s, uint8_t *disk)
{
	const bool aborts = s->from == is_restoring;
	struct crash_log log = {0};
	struct coffer_err e = {0};
	bool found = false;

	if ((aborts ? undo : encrypt)(&s->row, disk, true, &log, &e) < 0)
		abort();
	for (size_t i = 0; i < log.n && !found; i++) {
		const struct crash_op *op = &log.ops[i];
		enum coffer_operation operation;
		struct coffer_facts f;

		if (!op->flush) {
			memcpy(disk + op->off, op->data, op->n);
			continue;
		}
		f = facts_of(&s->row, disk, &operation);
		found = s->from(&s->row, operation, &f);
	}
	if (!found)
		abort();
	crash_log_free(&log);
}

/* --- runs ------------------------------------------------------------------------------------ */

static int run_encrypt(
	struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(&s->row);
	struct coffer_encrypt_result result;
	const int r = coffer_encrypt_dev(&d->dev, &o, &result, e);

	*ret_changed = result.changed;
	return r;
}

static int run_abort(struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	const struct coffer_encrypt_options o = options(&s->row);
	struct coffer_encrypt_result result;
	const int r = coffer_abort_dev(&d->dev, &o, &result, e);

	*ret_changed = result.changed;
	return r;
}

static int run_repair(
	struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	const struct coffer_repair_options o = {
		.device = "test-disk", .threads = 1, .callbacks = {.passphrase = crash_ask}};
	struct coffer_repair_result *result = NULL;
	const int r = coffer_repair_dev(&d->dev, &o, &result, e);

	(void)s;
	*ret_changed = result && result->changed;
	coffer_repair_free(result);
	return r;
}

static int run_status(
	struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	struct coffer_status *status = NULL;
	int r;

	(void)s;
	*ret_changed = false;
	d->dev.read_only = true;
	r = coffer_status_of(&d->dev, &status, NULL, NULL, e);
	coffer_status_free(status);
	coffer_dev_close(&d->dev);
	return r;
}

static int run_check(struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	struct coffer_findings checks = {0};
	int r;

	(void)s;
	*ret_changed = false;
	d->dev.read_only = true;
	r = coffer_header_checks(&d->dev, &checks, e);
	coffer_findings_free(&checks);
	coffer_dev_close(&d->dev);
	return r;
}

static int run_restore(
	struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	const struct coffer_header_restore_options o = {
		.device = "test-disk", .file = "backup", .allow = COFFER_ALLOW_KEYSLOTS};
	struct coffer_header_restore_result *result = NULL;
	/* its own, not coffer's: the file was read before */
	uint8_t *file = aligned_alloc(4096, round_up_u64(s->n_backup, 4096));
	int r;

	if (!file)
		abort();
	memcpy(file, s->backup, s->n_backup);
	r = coffer_header_restore_dev(&d->dev, file, s->n_backup, false, &o, &result, e);
	*ret_changed = result && result->changed;
	coffer_header_restore_free(result);
	return r;
}

/* The file is there, whole, or it is not there. */
static int run_backup(
	struct subject *s, struct crashdev *d, bool *ret_changed, struct coffer_err *e)
{
	const struct coffer_header_backup_options o = {.device = "test-disk", .file = s->name};
	struct coffer_header_backup_result *result = NULL;
	char folder[] = "/tmp/coffer-nomem-XXXXXX", path[64];
	struct coffer_new_file file = {.folder = -1};
	int r;

	if (!mkdtemp(folder))
		abort();
	(void)snprintf(path, sizeof(path), "%s/backup", folder);
	*ret_changed = false;
	d->dev.read_only = true;
	r = coffer_new_file_open(path, &file, e);
	if (r == 0)
		r = coffer_header_backup_dev(&d->dev, &file, &o, &result, e);
	else
		coffer_dev_close(&d->dev);
	coffer_new_file_close(&file);
	coffer_header_backup_free(result);
	if (access(path, F_OK) == 0 ? unlink(path) < 0 || r < 0 : r >= 0)
		(void)coffer_err_set(e, EIO, "the file is there, and it failed; or not, and not");
	if (rmdir(folder) < 0) /* a file of another name is left */
		(void)coffer_err_set(e, EIO, "something is left in %s", folder);
	return r;
}

/* --- judges ---------------------------------------------------------------------------------- */

static bool finishes(struct subject *s, struct lab *l, const uint8_t *disk)
{
	(void)s;
	lab_begin(l, disk);
	l->lost = false;
	l->tally->states++;
	judge_conversion(l);
	return !l->lost;
}

/* The volume opens, with the key of before or with the backup's, and the next run ends well. */
static bool opens_and_restores(struct subject *s, struct lab *l, const uint8_t *disk)
{
	static const char *const then[] = {"alpha"}, *const now[] = {"gamma"};
	struct crashdev *d = crashdev_new(disk, s->size);
	struct crash_log log = {0};
	struct coffer_err e = {0};
	bool changed, good;

	(void)l;
	crashdev_keep(d, &log);
	good = (keydisk_opens(disk, then, 1, s->key) || keydisk_opens(disk, now, 1, s->key)) &&
	       run_restore(s, d, &changed, &e) == 0 && keydisk_opens(log.mem, then, 1, s->key);
	if (!good)
		note("%s", e.msg);
	crash_log_free(&log);
	return good;
}

/* --- one request ----------------------------------------------------------------------------- */

struct count {
	unsigned int runs, without, interrupted, judged, bad;
	uint8_t last[COFFER_SHA256_SIZE]; /* of the disk that was judged last */
};

static bool is_allowed(const char *where)
{
	for (size_t i = 0; i < ARRAY_SIZE(does_without); i++)
		if (strcmp(where, does_without[i]) == 0)
			return true;
	return strcmp(where, "unknown") == 0;
}

/* libcrypto does not always tell why it failed. */
static bool is_about_memory(int r, const struct coffer_err *e)
{
	return r == -e->code &&
	       (e->code == ENOMEM || (e->code == EIO && strstr(e->msg, "libcrypto")));
}

static void complain(
	struct count *c, const struct subject *s, uint64_t n, const char *where, const char *what)
{
	if (c->bad++ < 10)
		note("%s: request %llu, of %s: %s", s->name, (unsigned long long)n, where, what);
}

/* Each disk that comes out, once in a row: most requests lie between two writes. */
static bool is_recoverable(struct subject *s, struct lab *l, const uint8_t *disk, struct count *c)
{
	uint8_t hash[COFFER_SHA256_SIZE];

	if (coffer_sha256(disk, s->size, hash) < 0)
		abort();
	if (c->judged > 0 && memcmp(hash, c->last, sizeof(hash)) == 0)
		return true;
	memcpy(c->last, hash, sizeof(hash));
	c->judged++;
	return s->judge(s, l, disk);
}

static void fail_one(struct subject *s, struct lab *l, uint64_t n, bool all, struct count *c)
{
	struct crashdev *d = crashdev_new(s->disk, s->size);
	struct crash_log log = {0};
	struct coffer_err e = {0};
	char where[64];
	bool changed, same;
	int r;

	crashdev_keep(d, &log);
	nomem_begin(n, all);
	r = s->run(s, d, &changed, &e);
	(void)nomem_end();
	nomem_where(where, sizeof(where));
	(void)snprintf(l->cut, sizeof(l->cut), "request %llu", (unsigned long long)n);
	same = memcmp(log.mem, s->disk, s->size) == 0;
	c->runs++;
	if (r >= 0 && e.code == 0) {
		c->without++;
		if (!is_allowed(where))
			complain(c, s, n, where, "it failed and that was swallowed");
	} else if (!is_about_memory(r, &e)) {
		complain(c, s, n, where, e.msg);
	} else if (e.outcome != (changed ? COFFER_INTERRUPTED : COFFER_FAILED)) {
		complain(c, s, n, where, "a wrong outcome");
	} else if (!changed && !same) {
		complain(c, s, n, where, "it says that nothing was changed");
	}
	c->interrupted += r < 0 && changed;
	if (!same && !s->may_write)
		complain(c, s, n, where, "it has written");
	if (!same && !is_recoverable(s, l, log.mem, c))
		complain(c, s, n, where, "the disk is lost");
	crash_log_free(&log);
}

/* --- all of them ----------------------------------------------------------------------------- */

static uint64_t requests_of(struct subject *s)
{
	struct crashdev *d = crashdev_new(s->disk, s->size);
	struct coffer_err e = {0};
	bool changed;
	int r;

	nomem_begin(0, false);
	r = s->run(s, d, &changed, &e);
	if (r < 0)
		note("%s: %s", s->name, e.msg);
	if (r < 0 || changed != s->may_write)
		abort();
	return nomem_end();
}

/* Of the requests @first to @last each, or s->runs, evenly. */
static void fail_some(
	struct subject *s, struct lab *l, uint64_t first, uint64_t last, struct count *c)
{
	const uint64_t n = last - first + 1;
	const uint64_t step = getenv("COFFER_DEEP") || n <= s->runs ? 1 : n / s->runs | 1;

	for (uint64_t i = first; i <= last; i++) {
		if (i % step == 0)
			fail_one(s, l, i, false, c);
		if (i % step == step / 2)
			fail_one(s, l, i, true, c);
	}
}

static void test_each(struct subject *s, struct lab *l)
{
	const uint64_t all = requests_of(s), looks = nomem_before_writing();
	struct count c = {0};

	/* Most requests come while the disk is looked at; those while it is changed count as much.
	 */
	fail_some(s, l, 1, looks ? looks : all, &c);
	if (looks)
		fail_some(s, l, looks + 1, all, &c);
	note("%s: %llu requests, %u runs; %u did without, %u had written, %u disks recovered",
		s->name, (unsigned long long)all, c.runs, c.without, c.interrupted, c.judged);
	ok(c.bad == 0 && c.runs > 0 && c.runs - c.without > 0 &&
			(c.interrupted > 0) == s->may_write,
		"%s: no request that fails harms, or is overlooked", s->name);
	ok(__lsan_do_recoverable_leak_check() == 0, "%s: nothing leaks", s->name);
}

static void test_conversion(struct subject *s)
{
	uint8_t *content = make_content(&s->row);
	struct span all = {0, s->row.length}, *used = NULL;
	struct tally t = {0};
	size_t n = 1;
	struct lab l;

	if (s->row.used_only)
		n = usedfs_spans(content, s->row.length, &used);

	s->size = disk_size(&s->row);
	s->disk = malloc(s->size);
	if (!s->disk)
		abort();
	memcpy(s->disk, content, s->size);
	if (s->from)
		become(s, s->disk);
	lab_init(&l, &s->row, content, 0, used ? used : &all, n, &t);
	/* test_crash.c lets everybody look at such disks; here each is finished, that is enough. */
	l.effort.stock = l.effort.repair = 16;
	test_each(s, &l);
	lab_free(&l);
	free(used);
	free(s->disk);
	free(content);
}

static void test_header(struct subject *s)
{
	struct lab l = {0};

	s->size = KEYDISK_SIZE;
	s->disk = keydisk_new(
		(1 << 20) - 2 * KEYDISK_COPY, "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01", s->key);
	keydisk_add(s->disk, 0, "alpha", s->key);
	s->backup = keydisk_backup(s->disk, &s->n_backup);
	keydisk_kill(s->disk, 0);
	keydisk_add(s->disk, 0, "gamma", s->key);
	test_each(s, &l);
	free(s->disk);
	free(s->backup);
}

#define SMALL .row = {.name = "small", .length = MIB + 3 * 512, .sector_size = 512}
#define FILES                                                                                      \
	.row = {.name = "files",                                                                   \
		.length = 5 * MIB,                                                                 \
		.sector_size = 512,                                                                \
		.content = CRASH_FILES,                                                            \
		.used_only = true}
#define ZONES .row = {.name = "zones", .length = 2 * MIB, .sector_size = 512}

static struct subject conversions[] = {
	{"encrypt", SMALL, .run = run_encrypt, .judge = finishes, .may_write = true, .runs = 3},
	{"encrypt what is used", FILES, .run = run_encrypt, .judge = finishes, .may_write = true,
		.runs = 3},
	{"resume by a map", FILES, is_half, run_encrypt, finishes, true, 3},
	{"resume a placement", SMALL, is_marked, run_encrypt, finishes, true, 3},
	{"resume", ZONES, is_half, run_encrypt, finishes, true, 3},
	{"the end", SMALL, is_at_end, run_encrypt, finishes, true, 3},
	{"abort", SMALL, is_placed, run_abort, finishes, true, 3},
	{"repair", ZONES, is_half, run_repair, finishes, true, 3},
	/* What is believed of a disk, each way: these write nothing, so they take no time. */
	{"status of a plain disk", FILES, .run = run_status, .judge = finishes, .runs = 30},
	{"status of a placement", SMALL, is_marked, run_status, .judge = finishes, .runs = 30},
	{"status of a conversion", ZONES, is_half, run_status, .judge = finishes, .runs = 30},
	{"header check", ZONES, is_half, run_check, .judge = finishes, .runs = 30},
};

static struct subject headers[] = {
	{"header backup", .run = run_backup, .judge = opens_and_restores, .runs = 12},
	{"header restore", .run = run_restore, .judge = opens_and_restores, .may_write = true,
		.runs = 6},
};

/* COFFER_ONLY: a word that the names of those that run have in them. */
static bool is_wanted(const struct subject *s)
{
	const char *only = getenv("COFFER_ONLY");

	return !only || strstr(s->name, only);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(conversions); i++)
		if (is_wanted(&conversions[i]))
			test_conversion(&conversions[i]);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		if (is_wanted(&headers[i]))
			test_header(&headers[i]);
	return done_testing();
}
