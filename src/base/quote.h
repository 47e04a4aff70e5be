/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quote.h - quote words for a shell */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Write @word to @ret, in single quotes if it needs them. false: it does not fit, and @ret is
 * "...", since a part of a name is another name. */
bool coffer_quote(const char *word, char *ret, size_t size);

/* The same for words that end with NULL; "&&" stays as it is. false: @ret ends with "...". */
bool coffer_quote_words(const char *const *words, char *ret, size_t size);

/* @command and @word for a sentence, in single quotes as a whole, unless the word needs some:
 * coffer_command("coffer status", name).s */
struct coffer_command {
	char s[384];
};
struct coffer_command coffer_command(const char *command, const char *word);
