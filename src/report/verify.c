/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.c - verify headers, keyslots and data without writing */
#include "report/verify.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "header/judge_copies.h"
#include "luks2/copy.h"
#include "luks2/helper.h"
#include "luks2/locks.h"
#include "report/status.h"

/* Two header copies and the keyslots area, of the largest size that LUKS2 has. */
#define MAX_AREA ((UINT64_C(128) << 20) + 2 * COFFER_LUKS2_MAX_COPY)

enum {
	MAX_READS = 100 /* of a disk that changes meanwhile */
};

void coffer_verification_free(struct coffer_verification *v)
{
	if (!v)
		return;
	coffer_status_free(v->status);
	coffer_findings_free(&v->checks);
	free(v);
}

int coffer_verify_stopped(struct coffer_verifier *s, struct coffer_err *e)
{
	if (!coffer_stop_wanted(&s->stop))
		return 0;
	(void)coffer_err_set(e, EINTR, "stopped on request; nothing was changed");
	coffer_err_outcome(e, COFFER_INTERRUPTED);
	return -EINTR;
}

/* Is the newest copy on the disk another one than was examined? */
static int header_changed(struct coffer_verifier *s, bool *ret, struct coffer_err *e)
{
	const struct coffer_header *h = s->disk.header;
	const int newest = s->disk.facts.header.newest;
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_LUKS2_BIN);
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", s->dev->name);
	r = coffer_dev_read(s->dev, block, COFFER_LUKS2_BIN, newest ? h->copy_size : 0, e);
	*ret = r == 0 && memcmp(block, h->copy[newest], COFFER_LUKS2_BIN) != 0;
	return r;
}

/* Copy the header of the examined disk to memory, under the metadata lock where the user has access
 * to it. *ret_changed: the disk has another header by now, and must be examined again. */
static int copy_header(struct coffer_verifier *s, bool *ret_changed, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r;

	cleanup_close(&s->header);
	s->header = -1;
	s->header_why = (struct coffer_err){0};
	*ret_changed = false;
	r = coffer_lock_metadata(s->dev, false, &lock, &why);
	if (r == 0 || coffer_err_is_no_access(r))
		r = coffer_header_memfd(
			s->dev, s->disk.header, min_u64(s->dev->size, MAX_AREA), &s->header, &why);
	if (r == -EBADMSG) {
		s->header_why = why;
		return 0;
	}
	if (r < 0)
		return coffer_err_pass(e, r, &why);
	return header_changed(s, ret_changed, e);
}

/* The disk, and a copy of its header in memory that is of the same moment. The status takes longer
 * than a step of a conversion: while the stage stays, only the header is read again. */
static int read_disk(struct coffer_verifier *s, struct coffer_err *e)
{
	enum coffer_operation operation = COFFER_N_OPERATIONS;

	for (int i = 0; i < MAX_READS; i++) {
		bool changed = false;
		int r;

		/* Not what was cached before a write through a device on top of it. */
		if (s->dev->is_block)
			coffer_dev_forget(s->dev, 0, s->dev->size);
		r = i > 0 ? coffer_disk_examine(s->dev, &s->disk, e) : 0;
		if (r == 0 && s->disk.operation != operation) {
			coffer_status_free(TAKE_PTR(s->status));
			coffer_disk_reset(&s->disk);
			r = coffer_status_of(s->dev, &s->status, &s->disk, &s->segment, e);
			operation = s->disk.operation;
		}
		if (r == 0 && s->disk.header)
			r = copy_header(s, &changed, e);
		if (r < 0 || !changed)
			return r;
	}
	return coffer_err_set(e, EBUSY, "%s keeps changing while it is read", s->dev->name);
}

static int check_metadata(struct coffer_verifier *s, struct coffer_err *e)
{
	struct coffer_err why = s->header_why;
	const int r = why.code ? 0 : coffer_luks2_judge(s->header, &s->stop, &why);

	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	s->usable = r > 0;
	return coffer_findings_add(&s->checks,
		r > 0	? COFFER_TEXT_METADATA
		: r < 0 ? COFFER_TEXT_METADATA_UNCHECKED
			: COFFER_TEXT_VOLUME_REFUSED,
		COFFER_WITH(COFFER_ARG_TEXT("reason", why.msg)),
		r == 0 ? COFFER_RUN("coffer", "header", "check", s->dev->name) : NULL);
}

static int check_header(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_facts *f = &s->disk.facts;
	const bool torn = s->status->stage == COFFER_STAGE_DAMAGED && f->transition_error < 0 &&
			  (f->header.copy[0].magic || f->header.copy[1].magic);
	int r = 0;

	if (s->disk.header || torn)
		r = coffer_judge_copies(f, s->dev->name, &s->checks);
	return r < 0 || !s->disk.header ? r : check_metadata(s, e);
}

static int run(struct coffer_verifier *s, struct coffer_err *e)
{
	int r;

	r = read_disk(s, e);
	if (r < 0)
		return r;
	s->busy = coffer_status_is_busy(s->status);
	if (s->disk.header)
		coffer_keys_read(s->disk.header->json, &s->keys);
	if (s->status->luks_version == 1)
		return coffer_findings_add(&s->checks, COFFER_TEXT_METADATA_LUKS1, NULL, NULL);
	r = coffer_judge_stage(s->status, coffer_dev_is_locked(s->dev),
		s->status->holders_complete || geteuid() == 0, &s->checks);
	if (r == 0)
		r = check_header(s, e);
	if (r == 0)
		r = coffer_verify_keys(s, e);
	if (r == 0)
		r = coffer_verify_content(s, e);
	if (r == 0 && s->o->check_filesystem)
		r = coffer_verify_checker(s, e);
	return r;
}

/* The first check that was not done, but that verify is for or an option asked for; NULL: none. */
static const struct coffer_finding *find_undone(const struct coffer_verifier *s)
{
	const bool key = s->o->callbacks.passphrase;
	const bool asked[COFFER_N_FINDING_IDS] = {
		[COFFER_FINDING_METADATA] = true,
		[COFFER_FINDING_KEYSLOT] = key,
		[COFFER_FINDING_DIGEST] = key,
		[COFFER_FINDING_VOLUME_KEY] = key,
		[COFFER_FINDING_TOKEN] = s->o->use_tokens,
		[COFFER_FINDING_CHECK_FILESYSTEM] = true,
	};

	for (size_t i = 0; i < s->checks.n; i++) {
		const struct coffer_finding *f = &s->checks.items[i];

		if (f->verdict == COFFER_VERDICT_UNCHECKED && asked[f->id])
			return f;
	}
	return NULL;
}

static int conclude(const struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_finding *undone = find_undone(s);
	const size_t bad = coffer_findings_count(&s->checks, COFFER_VERDICT_BAD);
	const char *name = s->dev->name;
	int r;

	switch (s->status->stage) {
	case COFFER_STAGE_DAMAGED:
		return coffer_err_from_finding(
			e, name, coffer_findings_find(&s->checks, COFFER_FINDING_DAMAGE));
	case COFFER_STAGE_ENCRYPTED:
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		if (bad > 0)
			r = coffer_err_set(e, EBADMSG, "%s: %zu of %zu %s failed", name, bad,
				s->checks.n, s->checks.n == 1 ? "check" : "checks");
		else if (s->status->stage == COFFER_STAGE_ENCRYPTED && !undone)
			return 0;
		else if (s->status->stage == COFFER_STAGE_ENCRYPTED)
			r = coffer_err_id(e,
				coffer_err_set(e, EOPNOTSUPP, "%s: %s was not checked: %s", name,
					coffer_finding_name(undone->id), undone->text),
				undone->id);
		else
			r = coffer_err_set(e, ENOTSUP, "%s is %s", name,
				coffer_findings_find(&s->checks, COFFER_FINDING_CONVERSION)->text);
		break;
	default:
		r = coffer_err_set(e, ENOTSUP, "%s is not completely encrypted: %s", name,
			coffer_stage_name(s->status->stage));
	}
	coffer_err_outcome(e, COFFER_NO);
	return r;
}

static void free_all(struct coffer_verifier *s)
{
	coffer_volume_close(&s->volume);
	coffer_secret_free(s->passphrase);
	coffer_secret_free(s->key);
	coffer_disk_reset(&s->disk);
	cleanup_close(&s->header);
	coffer_status_free(s->status);
	coffer_findings_free(&s->checks);
	coffer_dev_close(s->dev);
}

int coffer_verify(const struct coffer_verify_options *o, struct coffer_verification **ret,
	struct coffer_err *e)
{
	struct coffer_verification *v = calloc(1, sizeof(*v));
	struct coffer_verifier s = {.o = o,
		.header = -1,
		.stop = {.wanted = o->callbacks.stop, .userdata = o->callbacks.userdata}};
	int r;

	if (!v)
		return coffer_err_errno(e, ENOMEM, "verify");
	r = coffer_dev_open_reading(o->device, &s.dev, e);
	if (r == 0)
		r = run(&s, e);
	if (r < 0) {
		free(v);
	} else {
		r = conclude(&s, e);
		v->status = TAKE_PTR(s.status);
		v->checks = s.checks;
		s.checks = (struct coffer_findings){0};
		*ret = v;
	}
	free_all(&s);
	return coffer_err_default(e, r);
}
