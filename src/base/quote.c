/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quote.c - quote words for a shell */
#include "base/quote.h"

#include <stdio.h>
#include <string.h>

bool coffer_quote(const char *word, char *ret, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+=:,./_-";
	const size_t n = strlen(word);
	const bool is_plain = n > 0 && strspn(word, plain) == n;
	size_t quotes = 0;

	for (size_t i = 0; i < n; i++)
		quotes += word[i] == '\'';
	if (n + (is_plain ? 0 : 2 + 3 * quotes) >= size) {
		(void)snprintf(ret, size, "%s", size > 3 ? "..." : "");
		return false;
	}
	if (is_plain) {
		memcpy(ret, word, n + 1);
		return true;
	}
	*ret++ = '\'';
	for (; *word; word++) {
		const char *text = *word == '\'' ? "'\\''" : word;
		const size_t length = *word == '\'' ? 4 : 1;

		memcpy(ret, text, length);
		ret += length;
	}
	memcpy(ret, "'", 2);
	return true;
}

bool coffer_quote_words(const char *const *words, char *ret, size_t size)
{
	size_t n = 0;
	bool fits = true;

	for (size_t i = 0; words[i] && fits; i++) {
		if (i > 0 && n < size - 1)
			ret[n++] = ' ';
		if (strcmp(words[i], "&&") == 0)
			fits = snprintf(ret + n, size - n, "&&") < (int)(size - n);
		else
			fits = coffer_quote(words[i], ret + n, size - n);
		n += strlen(ret + n);
	}
	if (!fits && (n < 3 || strcmp(ret + n - 3, "...") != 0))
		(void)snprintf(ret, size, "...");
	return fits;
}

struct coffer_command coffer_command(const char *command, const char *word)
{
	struct coffer_command ret;
	const int n = snprintf(ret.s, sizeof(ret.s), "'%s ", command);

	(void)coffer_quote(word, ret.s + n, sizeof(ret.s) - (size_t)n - 1);
	if (strchr(ret.s + n, '\''))
		memmove(ret.s, ret.s + 1, strlen(ret.s));
	else
		memcpy(ret.s + strlen(ret.s), "'", 2);
	return ret;
}
