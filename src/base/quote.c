/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/quote.h"

#include <stdbool.h>
#include <string.h>

/* false: it does not fit. What follows is left out as well then: a word with a hole in it would be
 * another word. */
static bool add(const char *text, size_t n, char *ret, size_t size, size_t *at)
{
	if (*at + n >= size)
		return false;
	memcpy(ret + *at, text, n);
	*at += n;
	ret[*at] = '\0';
	return true;
}

void coffer_quote(const char *word, char *ret, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+=:,./_-";
	size_t at = 0;
	bool fits;

	if (size == 0)
		return;
	ret[0] = '\0';
	if (*word && !word[strspn(word, plain)]) {
		(void)add(word, strnlen(word, size - 1), ret, size, &at);
		return;
	}
	fits = add("'", 1, ret, size, &at);
	for (; fits && *word; word++)
		fits = *word == '\'' ? add("'\\''", 4, ret, size, &at)
				     : add(word, 1, ret, size, &at);
	if (fits)
		(void)add("'", 1, ret, size, &at);
}
