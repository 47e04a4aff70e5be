/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quote.c - quote a word for a shell */
#include "base/quote.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *s;
	size_t size, n;
	bool cut;
};

static void add(struct text *t, const char *text, size_t n)
{
	if (t->cut || n >= t->size - t->n) {
		t->cut = true;
		return;
	}
	memcpy(t->s + t->n, text, n);
	t->n += n;
	t->s[t->n] = '\0';
}

void coffer_quote(const char *word, char *ret, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+=:,./_-";
	struct text t = {.s = ret, .size = size};

	if (size == 0)
		return;
	ret[0] = '\0';
	if (*word && !word[strspn(word, plain)]) {
		add(&t, word, strlen(word));
	} else {
		add(&t, "'", 1);
		for (; *word; word++)
			if (*word == '\'')
				add(&t, "'\\''", 4);
			else
				add(&t, word, 1);
		add(&t, "'", 1);
	}
	if (t.cut) {
		t = (struct text){.s = ret, .size = size};
		ret[0] = '\0';
		add(&t, "...", 3);
	}
}

const char *coffer_quote_around(const char *quoted)
{
	return strchr(quoted, '\'') ? "" : "'";
}

void coffer_quote_command(const char *command, const char *word, char *ret, size_t size)
{
	const size_t around = strlen(command) + strlen("' '"); /* and the NUL */
	char quoted[4 * 1024];
	const char *quote;

	coffer_quote(word, quoted, size - around < sizeof(quoted) ? size - around : sizeof(quoted));
	quote = coffer_quote_around(quoted);
	(void)snprintf(ret, size, "%s%s %s%s", quote, command, quoted, quote);
}

struct coffer_command coffer_command(const char *command, const char *word)
{
	struct coffer_command ret = {""};

	coffer_quote_command(command, word, ret.s, sizeof(ret.s));
	return ret;
}
