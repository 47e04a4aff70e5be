/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_fs.c - let the filesystem's own checker look at it, through a mapping or plain */
#include <errno.h>

#include "base/err.h"
#include "base/findings.h"
#include "fs/fsck.h"
#include "luks2/libcryptsetup.h"
#include "report/verify.h"

static int check_mapped(
	void *arg, const char *path, const struct coffer_stop *stop, struct coffer_err *e)
{
	return coffer_fsck(arg, path, stop, e);
}

/* Why the checker cannot be run; NULL: it can. */
static const char *obstacle(const struct coffer_verifier *s)
{
	switch (s->v->status->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		break;
	case COFFER_STAGE_ENCRYPTED:
		if (!s->key)
			return "it takes a key to look at the filesystem";
		if (!s->have_content)
			return "the volume could not be read";
		break;
	default:
		return "the conversion must be finished first";
	}
	if (!s->content.type[0])
		return "there is no filesystem that is known";
	if (s->busy)
		return "it is in use, and a checker would see what is half written";
	return NULL;
}

static int run_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	const char *type = s->content.type;

	if (s->v->status->stage != COFFER_STAGE_ENCRYPTED)
		return coffer_fsck(type, s->dev->name, &s->stop, e);
	return coffer_luks2_map(
		s->header, s->dev->name, s->key, check_mapped, s->content.type, &s->stop, e);
}

int coffer_verify_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	const char *type = s->content.type, *why_not = obstacle(s);
	const char *command = why_not ? NULL : coffer_fsck_command(type);
	struct coffer_err why = {0};
	int r;

	if (why_not)
		return coffer_verify_add(s, COFFER_FINDING_CHECK_FILESYSTEM,
			COFFER_VERDICT_UNCHECKED, e, "%s", why_not);
	if (!command)
		return coffer_verify_add(s, COFFER_FINDING_CHECK_FILESYSTEM,
			COFFER_VERDICT_UNCHECKED, e, "coffer knows no checker for %s", type);
	r = run_checker(s, &why);
	if (r == -EINTR)
		return coffer_verify_stopped(s, e);
	if (r == -EBADMSG) {
		r = coffer_verify_add(
			s, COFFER_FINDING_CHECK_FILESYSTEM, COFFER_VERDICT_BAD, e, "%s", why.msg);
		coffer_findings_advise(&s->v->checks, "to see all of it%s: %s %s",
			s->disk.header ? ", open the volume and run it there" : "", command,
			s->disk.header ? "/dev/mapper/NAME" : s->device);
		return r;
	}
	if (r < 0)
		return coffer_verify_add(s, COFFER_FINDING_CHECK_FILESYSTEM,
			COFFER_VERDICT_UNCHECKED, e, "it could not be run: %s", why.msg);
	return coffer_verify_add(s, COFFER_FINDING_CHECK_FILESYSTEM, COFFER_VERDICT_OK, e,
		"'%s' finds nothing wrong", command);
}
