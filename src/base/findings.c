/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings.c - build a list of findings */
#include "base/findings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings_text.h"
#include "base/names.h"

DEFINE_NAMES(coffer_verdict_name, enum coffer_verdict,
	COFFER_N_VERDICTS, [COFFER_VERDICT_OK] = "ok", [COFFER_VERDICT_NOTE] = "note",
	[COFFER_VERDICT_UNCHECKED] = "unchecked", [COFFER_VERDICT_BAD] = "bad")

#define NAME(id, name) [COFFER_FINDING_##id] = (name),
DEFINE_NAMES(
	coffer_finding_name, enum coffer_finding_id, COFFER_N_FINDING_IDS, COFFER_FINDING_IDS(NAME))

int coffer_findings_put(struct coffer_findings *l, struct coffer_finding *f)
{
	struct coffer_finding *items = reallocarray(l->items, l->n + 1, sizeof(*items));

	if (!items) {
		coffer_finding_reset(f);
		return -ENOMEM;
	}
	l->items = items;
	items[l->n++] = *f;
	*f = (struct coffer_finding){0};
	return 0;
}

int coffer_findings_add(struct coffer_findings *l, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *remedy)
{
	struct coffer_finding f;
	int r;

	r = coffer_finding_make(&f, t, arguments, remedy);
	return r < 0 ? r : coffer_findings_put(l, &f);
}

/* Without the full stop that libraries like to put. */
static void copy_sentence(char *ret, size_t size, const char *text, size_t n)
{
	n -= n > 0 && text[n - 1] == '.';
	if (snprintf(ret, size, "%.*s", (int)n, text) >= (int)size)
		memcpy(ret + size - 4, "...", 4);
}

int coffer_findings_add_err(struct coffer_findings *l, enum coffer_finding_id id, const char *name,
	const struct coffer_err *why)
{
	struct coffer_finding f = {.id = id,
		.verdict = COFFER_VERDICT_BAD,
		.code = why->code,
		.outcome = why->outcome};
	const size_t skip = strlen(name), advice = strlen(why->advice);
	const char *text = why->msg;
	size_t n;

	if (strncmp(text, name, skip) == 0 && strncmp(text + skip, ": ", 2) == 0)
		text += skip + 2;
	n = strlen(text);
	if (advice > 0 && n > advice + 2)
		n -= advice + 2; /* "; " */
	copy_sentence(f.text, sizeof(f.text), text, n);
	copy_sentence(f.advice, sizeof(f.advice), why->advice, advice);
	return coffer_findings_put(l, &f);
}

int coffer_err_from_finding(struct coffer_err *e, const char *name, const struct coffer_finding *f)
{
	const int code = f->code ? f->code : EINVAL; /* a refusal must not become a success */

	(void)coffer_err_set(e, code, "%s: %s", name, f->text);
	if (f->advice[0])
		(void)coffer_err_advise(e, -code, "%s", f->advice);
	coffer_err_outcome(e, f->outcome);
	return coffer_err_id(e, -code, f->id);
}

size_t coffer_findings_count(const struct coffer_findings *l, enum coffer_verdict v)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->items[i].verdict == v;
	return n;
}

const struct coffer_finding *coffer_findings_find(
	const struct coffer_findings *l, enum coffer_finding_id id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].id == id)
			return &l->items[i];
	return NULL;
}

void coffer_findings_free(struct coffer_findings *l)
{
	for (size_t i = 0; i < l->n; i++)
		coffer_finding_reset(&l->items[i]);
	free(l->items);
	*l = (struct coffer_findings){0};
}
