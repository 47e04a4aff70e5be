/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quote.h - quote a word for a shell */
#pragma once
#include <stddef.h>

/* Write @word to @ret, in single quotes if it needs them; "..." if it does not fit, since a part of
 * a name is another name. */
void coffer_quote(const char *word, char *ret, size_t size);

/* What to put around a command with @quoted words in a sentence: "'", or "" if a word has quotes.
 */
const char *coffer_quote_around(const char *quoted);

/* @command and @word for a sentence: in single quotes as a whole, unless the word needs some. @size
 * is at least 8 more than the command's length. */
void coffer_quote_command(const char *command, const char *word, char *ret, size_t size);

/* The same as an argument of a format: coffer_command("coffer status", name).s */
struct coffer_command {
	char s[384];
};
struct coffer_command coffer_command(const char *command, const char *word);
