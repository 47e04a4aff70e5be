/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings.c - build the list of what was looked at */
#include "base/findings.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const names[] = {
	[COFFER_VERDICT_OK] = "ok",
	[COFFER_VERDICT_NOTE] = "note",
	[COFFER_VERDICT_UNCHECKED] = "unchecked",
	[COFFER_VERDICT_BAD] = "bad",
};
static_assert(ARRAY_SIZE(names) == COFFER_N_VERDICTS, "every verdict has a name");

const char *coffer_verdict_name(enum coffer_verdict v)
{
	return (unsigned int)v < COFFER_N_VERDICTS ? names[v] : "unknown";
}

__attribute__((format(printf, 3, 0))) static void print(
	char *text, size_t size, const char *fmt, va_list ap)
{
	if (vsnprintf(text, size, fmt, ap) >= (int)size)
		memcpy(text + size - 4, "...", 4);
}

int coffer_findings_add(
	struct coffer_findings *l, const char *id, enum coffer_verdict v, const char *fmt, ...)
{
	struct coffer_finding *items = reallocarray(l->items, l->n + 1, sizeof(*items));
	struct coffer_finding *c;
	va_list ap;

	if (!items)
		return -ENOMEM;
	l->items = items;
	c = &items[l->n++];
	*c = (struct coffer_finding){.id = id, .verdict = v};
	va_start(ap, fmt);
	print(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return 0;
}

void coffer_findings_remedy(struct coffer_findings *l, const char *fmt, ...)
{
	va_list ap;

	if (l->n == 0)
		return;
	va_start(ap, fmt);
	print(l->items[l->n - 1].remedy, sizeof(l->items->remedy), fmt, ap);
	va_end(ap);
}

size_t coffer_findings_count(const struct coffer_findings *l, enum coffer_verdict v)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->items[i].verdict == v;
	return n;
}

const struct coffer_finding *coffer_findings_find(const struct coffer_findings *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].id, id) == 0)
			return &l->items[i];
	return NULL;
}

void coffer_findings_free(struct coffer_findings *l)
{
	free(l->items);
	*l = (struct coffer_findings){0};
}
