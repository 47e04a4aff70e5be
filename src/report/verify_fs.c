/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify_fs.c - run the filesystem's own checker, through a mapping or on a plain disk */
#include <errno.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/quote.h"
#include "fs/fsck.h"
#include "luks2/libcryptsetup.h"
#include "report/verify.h"

static int check_mapped(
	void *type, const char *path, const struct coffer_stop *stop, struct coffer_err *e)
{
	return coffer_fsck(type, path, stop, e);
}

/* Why the checker cannot run; NULL: it can. */
static const char *find_obstacle(const struct coffer_verifier *s)
{
	switch (s->status->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		break;
	case COFFER_STAGE_ENCRYPTED:
		if (!s->key)
			return "a key is needed";
		if (!s->have_content)
			return "the volume could not be read";
		break;
	default:
		return "the conversion is not finished";
	}
	if (!s->content.type[0])
		return "no known filesystem";
	if (s->busy)
		return "the filesystem is in use";
	if (!coffer_fsck_command(s->content.type))
		return "no checker known for this filesystem";
	return NULL;
}

static int run_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	if (s->status->stage != COFFER_STAGE_ENCRYPTED)
		return coffer_fsck(s->content.type, s->dev->name, &s->stop, e);
	return coffer_luks2_map(
		s->header, s->dev->name, s->key, check_mapped, s->content.type, &s->stop, e);
}

int coffer_verify_checker(struct coffer_verifier *s, struct coffer_err *e)
{
	const char *obstacle = find_obstacle(s);
	enum coffer_text t = COFFER_TEXT_CHECKER_NOT_RUN;
	const char *command = "";
	struct coffer_err why = {0};
	char path[512];
	int r;

	if (!obstacle) {
		command = coffer_fsck_command(s->content.type);
		r = run_checker(s, &why);
		if (r == -EINTR)
			return coffer_verify_stopped(s, e);
		t = r == 0	    ? COFFER_TEXT_CHECKER
		    : r == -EBADMSG ? COFFER_TEXT_CHECKER_ERRORS
				    : COFFER_TEXT_CHECKER_NOT_RUN;
		obstacle = why.msg;
	}
	(void)coffer_quote(s->dev->name, path, sizeof(path));
	return coffer_findings_add(&s->checks, t,
		COFFER_WITH(COFFER_ARG_TEXT("checker", command),
			COFFER_ARG_TEXT("reason", obstacle),
			COFFER_ARG_TEXT("path", s->disk.header ? "/dev/mapper/NAME" : path)),
		NULL);
}
