/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.c - verify headers, keyslots and data without writing */
#include "report/verify.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "base/findings.h"
#include "report/status.h"

enum {
	MAX_READS = 20 /* of a disk that changes meanwhile */
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

/* The header of the examined disk in memory. *ret_again: the disk is at another stage by now. */
static int copy_header(struct coffer_verifier *s, bool *ret_again, struct coffer_err *e)
{
	const enum coffer_operation operation = s->disk.operation;

	for (int i = 0; i < MAX_READS; i++) {
		bool changed = false;
		int r = i > 0 ? coffer_disk_examine(s->dev, &s->disk, e) : 0;

		if (r < 0)
			return r;
		*ret_again = s->disk.operation != operation || !s->disk.header;
		if (*ret_again)
			return 0;
		r = coffer_verify_copy_header(s, &changed, e);
		if (r < 0 || !changed)
			return r;
	}
	return coffer_err_set(
		e, EBUSY, "the LUKS2 header of %s keeps changing while it is read", s->dev->name);
}

/* The disk, and a copy of its header in memory that is of the same moment. */
static int read_disk(struct coffer_verifier *s, struct coffer_err *e)
{
	for (int i = 0; i < MAX_READS; i++) {
		bool again = false;
		int r;

		coffer_status_free(TAKE_PTR(s->status));
		coffer_disk_reset(&s->disk);
		/* Not what was cached before a write through a device on top of it. */
		if (s->dev->is_block)
			coffer_dev_forget(s->dev, 0, s->dev->size);
		r = coffer_status_of(s->dev, &s->status, &s->disk, &s->segment, e);
		if (r == 0 && s->disk.header)
			r = copy_header(s, &again, e);
		if (r < 0 || !again)
			return r;
	}
	return coffer_err_set(e, EBUSY, "%s keeps changing while it is read", s->dev->name);
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
		r = coffer_verify_header(s, e);
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
