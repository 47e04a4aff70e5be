/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_copies.c - findings about header copies that all verbs share */
#include "header/judge_copies.h"

static enum coffer_text choose(const struct coffer_facts *f, int i)
{
	const struct coffer_copy_facts *c = &f->header.copy[i], *other = &f->header.copy[!i];

	if (f->header.two_volumes)
		return c->seqid != other->seqid ? COFFER_TEXT_COPY_OTHER_VOLUME
						: COFFER_TEXT_COPY_TWO_VOLUMES;
	if (c->usable && (f->header.agree || !other->usable || f->header.newest == i))
		return COFFER_TEXT_HEADER_COPY;
	if (c->usable)
		return c->seqid < other->seqid ? COFFER_TEXT_COPY_OLD : COFFER_TEXT_COPY_DIFFERS;
	if (c->magic || c->reason[0])
		return COFFER_TEXT_COPY_BAD;
	return i == 0 && !f->block_0_is_ours && !f->block_0_is_empty ? COFFER_TEXT_COPY_REPLACED
								     : COFFER_TEXT_COPY_MISSING;
}

int coffer_judge_copy(
	const struct coffer_facts *f, int i, const char *device, struct coffer_findings *l)
{
	const struct coffer_copy_facts *c = &f->header.copy[i], *other = &f->header.copy[!i];
	const enum coffer_text t = choose(f, i);
	int r;

	r = coffer_findings_add(l, t,
		COFFER_WITH(COFFER_ARG_TEXT("copy", i ? "second" : "first"),
			COFFER_ARG_NUMBER("sequence", c->seqid),
			COFFER_ARG_NUMBER("newest", other->seqid),
			COFFER_ARG_TEXT("reason", c->reason),
			COFFER_ARG_TEXT("uuid", f->header.uuid)),
		!device || f->header.newest < 0 || t == COFFER_TEXT_HEADER_COPY ||
				t == COFFER_TEXT_COPY_TWO_VOLUMES
			? NULL
		: t == COFFER_TEXT_COPY_OTHER_VOLUME
			? COFFER_RUN("cryptsetup", "repair", device)
			: COFFER_RUN("coffer", "repair", "--dry-run", device));
	if (r == 0)
		l->items[l->n - 1].id =
			i ? COFFER_FINDING_HEADER_SECONDARY : COFFER_FINDING_HEADER_PRIMARY;
	return r;
}

int coffer_judge_copies(const struct coffer_facts *f, const char *device, struct coffer_findings *l)
{
	const int r = coffer_judge_copy(f, 0, device, l);

	return r < 0 ? r : coffer_judge_copy(f, 1, device, l);
}
