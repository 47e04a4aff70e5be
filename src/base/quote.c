/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/quote.h"

#include <string.h>

static void add(const char *text, size_t n, char *ret, size_t size, size_t *at)
{
	if (*at + n >= size)
		return;
	memcpy(ret + *at, text, n);
	*at += n;
	ret[*at] = '\0';
}

void coffer_quote(const char *word, char *ret, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+=:,./_-";
	size_t at = 0;

	if (size == 0)
		return;
	ret[0] = '\0';
	if (*word && !word[strspn(word, plain)]) {
		add(word, strnlen(word, size - 1), ret, size, &at);
		return;
	}
	add("'", 1, ret, size, &at);
	for (; *word; word++)
		if (*word == '\'')
			add("'\\''", 4, ret, size, &at);
		else
			add(word, 1, ret, size, &at);
	add("'", 1, ret, size, &at);
}
