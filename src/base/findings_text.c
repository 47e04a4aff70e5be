/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_text.c - the sentences of findings: one table, and how a finding is made from it */
#include "base/findings_text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/quote.h"
#include "base/size.h"

#define ROW(name, what, v, c, o, s, a)                                                             \
	[COFFER_TEXT_##name] = {.id = COFFER_FINDING_##what,                                       \
		.verdict = COFFER_VERDICT_##v,                                                     \
		.code = (c),                                                                       \
		.outcome = (o),                                                                    \
		.text = (s),                                                                       \
		.advice = (a)},
#define SAYS(name, what, v, s, a)    ROW(name, what, v, 0, COFFER_DONE, s, a)
#define REFUSES(name, what, c, s, a) ROW(name, what, BAD, c, COFFER_REFUSED, s, a)
#define FORBIDS(name, what, s)                                                                     \
	REFUSES(name, what, EPERM, s, "to restore it anyway, add --allow {allow}")
#define DAMAGED(name, what, s, a) ROW(name, what, BAD, EUCLEAN, COFFER_NEEDS_REPAIR, s, a)

static const struct sentence {
	enum coffer_finding_id id;
	enum coffer_verdict verdict;
	int code;
	enum coffer_outcome outcome;
	const char *text, *advice;
} sentences[] = {
#include "base/findings_table.h"
};

/* --- a sentence from its parts --- */

struct out {
	char *s;
	size_t size, n; /* n above size: truncated */
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->n < o->size)
		memcpy(o->s + o->n, s, n < o->size - o->n ? n : o->size - o->n);
	o->n += n;
}

static void end(struct out *o)
{
	if (o->n < o->size) {
		o->s[o->n] = '\0';
		return;
	}
	memcpy(o->s + o->size - 4, "...", 4);
}

/* "2.0 MiB needed, 2.0 MiB available" explains nothing: does another size read the same? */
static bool needs_bytes(const struct coffer_finding *f, const struct coffer_argument *a)
{
	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *b = &f->arguments[i];

		if (b->type == COFFER_ARGUMENT_SIZE && b->number != a->number &&
			strcmp(coffer_size_format(a->number).s, coffer_size_format(b->number).s) ==
				0)
			return true;
	}
	return false;
}

/* The argument {@name} of @n bytes; false: there is none. */
static bool put_value(struct out *o, const struct coffer_finding *f, const char *command,
	const char *name, size_t n)
{
	char text[sizeof(f->arguments->text)];

	if (n == strlen("remedy") && memcmp(name, "remedy", n) == 0) {
		put(o, command, strlen(command));
		return command[0] != '\0';
	}
	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *a = &f->arguments[i];

		if (strlen(a->name) != n || memcmp(a->name, name, n) != 0)
			continue;
		if (a->type == COFFER_ARGUMENT_TEXT)
			(void)snprintf(text, sizeof(text), "%s", a->text);
		else if (a->type == COFFER_ARGUMENT_SIZE && !needs_bytes(f, a))
			(void)snprintf(text, sizeof(text), "%s", coffer_size_format(a->number).s);
		else if (a->type == COFFER_ARGUMENT_SIZE)
			(void)snprintf(text, sizeof(text), "%" PRIu64 " bytes", a->number);
		else
			(void)snprintf(text, sizeof(text), "%" PRIu64, a->number);
		put(o, text, strlen(text));
		return text[0] != '\0';
	}
	return false;
}

/* false: an argument is missing. */
static bool fill(struct out *o, const char *p, const char *stop, const struct coffer_finding *f,
	const char *command)
{
	const char *close;
	bool all = true;

	while (p < stop) {
		close = memchr(p, *p == '[' ? ']' : '}', (size_t)(stop - p));
		if (*p == '[' && close) {
			const size_t before = o->n;

			if (!fill(o, p + 1, close, f, command))
				o->n = before;
			p = close + 1;
		} else if (*p == '{' && close) {
			all &= put_value(o, f, command, p + 1, (size_t)(close - p) - 1);
			p = close + 1;
		} else {
			put(o, p++, 1);
		}
	}
	return all;
}

static void render(char *ret, size_t size, const char *text, const struct coffer_finding *f,
	const char *command)
{
	struct out o = {.s = ret, .size = size};

	if (text)
		(void)fill(&o, text, text + strlen(text), f, command);
	end(&o);
}

/* @command for a sentence. Of several commands a part is another one: all of it, or "...". */
static void quote_command(const char *const *command, char *ret, size_t size)
{
	char words[512];
	const char *around;

	if (!coffer_quote_words(command, words, sizeof(words)) && strstr(words, "&&"))
		(void)snprintf(words, sizeof(words), "...");
	around = strchr(words, '\'') || words[0] == '.' ? "" : "'";
	(void)snprintf(ret, size, "%s%s%s", around, words, around);
}

/* --- a finding --- */

struct coffer_argument coffer_argument_text(const char *name, const char *text)
{
	struct coffer_argument a = {.name = name, .type = COFFER_ARGUMENT_TEXT};

	if (snprintf(a.text, sizeof(a.text), "%s", text) >= (int)sizeof(a.text))
		memcpy(a.text + sizeof(a.text) - 4, "...", 4);
	return a;
}

char **coffer_words_copy(const char *const *words)
{
	size_t n = 0, bytes = 0;
	char **copy, *at;

	for (; words[n]; n++)
		bytes += strlen(words[n]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return NULL;
	at = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		const size_t length = strlen(words[i]) + 1;

		copy[i] = at;
		memcpy(at, words[i], length);
		at += length;
	}
	copy[n] = NULL;
	return copy;
}

int coffer_finding_make(struct coffer_finding *ret, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *command)
{
	const struct sentence *s = &sentences[t];
	char words[512 + 2] = "";

	*ret = (struct coffer_finding){
		.id = s->id, .verdict = s->verdict, .code = s->code, .outcome = s->outcome};
	for (; arguments && arguments->name && ret->n_arguments < COFFER_MAX_ARGUMENTS; arguments++)
		ret->arguments[ret->n_arguments++] = *arguments;
	if (command) {
		ret->remedy = coffer_words_copy(command);
		if (!ret->remedy)
			return -ENOMEM;
		quote_command(command, words, sizeof(words));
	}
	render(ret->text, sizeof(ret->text), s->text, ret, words);
	render(ret->advice, sizeof(ret->advice), s->advice, ret, words);
	return 0;
}

void coffer_finding_reset(struct coffer_finding *f)
{
	free(f->remedy);
	*f = (struct coffer_finding){0};
}
