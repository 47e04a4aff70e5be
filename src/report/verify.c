/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.c - look at everything, change nothing, and say what was found */
#include "report/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "report/judge_volume.h"
#include "report/status.h"

enum {
	MAX_LOOKS = 20 /* at a disk that changes meanwhile */
};

void coffer_verification_free(struct coffer_verification *v)
{
	if (!v)
		return;
	coffer_status_free(v->status);
	coffer_findings_free(&v->checks);
	free(v);
}

int coffer_verify_add(struct coffer_verifier *s, enum coffer_finding_id id,
	enum coffer_verdict verdict, struct coffer_err *e, const char *fmt, ...)
{
	char text[sizeof(s->v->checks.items->text) + 1]; /* one more: a cut is seen and marked */
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (coffer_findings_print(&s->v->checks, id, verdict, "%s", text) < 0)
		return coffer_err_errno(e, ENOMEM, "verify %s", s->dev->name);
	return 0;
}

int coffer_verify_stopped(struct coffer_verifier *s, struct coffer_err *e)
{
	if (!s->stop.wanted || !s->stop.wanted(s->stop.userdata))
		return 0;
	(void)coffer_err_set(e, EINTR, "stopped as asked; nothing was changed");
	coffer_err_outcome(e, COFFER_INTERRUPTED);
	return -EINTR;
}

/* The header of the examined disk in memory. *ret_again: by now the disk is at another stage, so
 * everything is to be looked at again. */
static int copy_header(struct coffer_verifier *s, bool *ret_again, struct coffer_err *e)
{
	const enum coffer_operation operation = s->disk.operation;
	bool changed = true;
	int r = 0;

	for (int i = 0; i < MAX_LOOKS && changed && r == 0 && !*ret_again; i++) {
		if (i > 0)
			r = coffer_disk_examine(s->dev, &s->disk, e);
		*ret_again = s->disk.operation != operation || !s->disk.header;
		if (r == 0 && !*ret_again)
			r = coffer_verify_copy_header(s, &changed, e);
	}
	if (r == 0 && changed && !*ret_again)
		return coffer_err_set(e, EBUSY,
			"the LUKS2 header of %s changes again and again while it is read",
			s->dev->name);
	return r;
}

/* The disk, and a copy of its header in memory that is of the same moment. */
static int look(struct coffer_verifier *s, struct coffer_err *e)
{
	bool again = true;
	int r = 0;

	for (int i = 0; i < MAX_LOOKS && again && r == 0; i++) {
		coffer_status_free(s->v->status);
		s->v->status = NULL;
		coffer_disk_reset(&s->disk);
		again = false;
		/* Not what was read through this device before somebody wrote through another one
		 * on top of it. */
		if (s->dev->is_block)
			coffer_dev_forget(s->dev, 0, s->dev->size);
		r = coffer_status_of(s->dev, &s->v->status, &s->disk, &s->segment, e);
		if (r == 0 && s->disk.header)
			r = copy_header(s, &again, e);
	}
	if (r < 0)
		return r;
	if (again)
		return coffer_err_set(e, EBUSY, "%s changes while it is read", s->dev->name);
	coffer_quote(s->dev->name, s->device, sizeof(s->device));
	s->busy = coffer_status_is_busy(s->v->status);
	if (s->disk.header)
		coffer_keys_read(s->disk.header->json, &s->keys);
	return 0;
}

static int check_damage(struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_status *status = s->v->status;
	int r;

	if (status->stage != COFFER_STAGE_DAMAGED)
		return 0;
	r = coffer_verify_add(s, COFFER_FINDING_DAMAGE, COFFER_VERDICT_BAD, e, "%s", status->why);
	coffer_findings_advise(&s->v->checks, "%s", status->next);
	return r;
}

static int run(struct coffer_verifier *s, struct coffer_err *e)
{
	int r;

	r = look(s, e);
	if (r == 0)
		r = check_damage(s, e);
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

/* The answer, once everything was looked at. */
static int conclude(const struct coffer_verifier *s, struct coffer_err *e)
{
	const struct coffer_status *status = s->v->status;
	const size_t bad = coffer_findings_count(&s->v->checks, COFFER_VERDICT_BAD);
	const char *name = s->dev->name;
	int r;

	if (status->stage == COFFER_STAGE_DAMAGED)
		return coffer_err_id(e,
			coffer_err_needs_repair(e, EUCLEAN, "%s is damaged: %s", name, status->why),
			COFFER_FINDING_DAMAGE);
	if (bad > 0)
		r = coffer_err_set(e, EBADMSG, "%s: %zu of %zu checks found something wrong", name,
			bad, s->v->checks.n);
	else if (status->stage == COFFER_STAGE_PLAIN || status->stage == COFFER_STAGE_RESERVED)
		r = coffer_err_set(e, ENOTSUP, "%s is not encrypted", name);
	else if (status->stage != COFFER_STAGE_ENCRYPTED)
		r = coffer_err_set(e, ENOTSUP, "%s is not encrypted to its end: it is %s", name,
			coffer_stage_name(status->stage));
	else
		return 0;
	coffer_err_outcome(e, COFFER_NO);
	return r;
}

static void close_all(struct coffer_verifier *s)
{
	coffer_volume_close(&s->volume);
	coffer_secret_free(s->passphrase);
	coffer_secret_free(s->key);
	coffer_disk_reset(&s->disk);
	cleanup_close(&s->header);
	coffer_dev_close(s->dev);
}

int coffer_verify(const struct coffer_verify_options *o, struct coffer_verification **ret,
	struct coffer_err *e)
{
	struct coffer_verifier s = {.o = o,
		.header = -1,
		.stop = {.wanted = o->callbacks.stop, .userdata = o->callbacks.userdata}};
	int r;

	s.v = calloc(1, sizeof(*s.v));
	if (!s.v)
		return coffer_err_errno(e, ENOMEM, "verify");
	r = coffer_dev_open_reading(o->device, &s.dev, e);
	if (r == 0)
		r = run(&s, e);
	if (r < 0) {
		coffer_verification_free(s.v);
	} else {
		r = conclude(&s, e);
		*ret = s.v;
	}
	close_all(&s);
	return coffer_err_wrap(e, r, "verify");
}
