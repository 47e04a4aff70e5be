/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_quote.c - quotes for a shell */
#include "base/quote.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

static void check_word(void)
{
	static const struct {
		const char *name, *word;
		size_t size;
		const char *wanted;
	} rows[] = {
		{"plain", "/dev/vda2", 32, "/dev/vda2"},
		{"a blank", "a b", 32, "'a b'"},
		{"empty", "", 32, "''"},
		{"a quote", "it's", 32, "'it'\\''s'"},
		{"it just fits", "abc", 4, "abc"},
		{"Bug: a truncated name named another file", "abcdef", 6, "..."},
		{"quoted, it just fits", "a b", 6, "'a b'"},
		{"quoted, no space for the last quote", "a b", 5, "..."},
		{"no space for a quote's four", "a'", 6, "..."},
		{"no space for anything", "abc", 3, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[32] = "";
		const bool fits = coffer_quote(rows[i].word, text, rows[i].size);

		ok(fits == (text[0] && text[0] != '.') && strcmp(text, rows[i].wanted) == 0,
			"%s: %s", rows[i].name, text);
	}
}

static void check_words(void)
{
	static const struct {
		const char *name, *words[5];
		size_t size;
		const char *wanted;
	} rows[] = {
		{"one", {"true"}, 32, "true"},
		{"a blank", {"see", "a b", "c"}, 32, "see 'a b' c"},
		{"two commands", {"a", "&&", "b"}, 32, "a && b"},
		{"they just fit", {"abc", "de"}, 7, "abc de"},
		{"no space for the last", {"abc", "def ghi"}, 8, "abc ..."},
		{"no space for its dots", {"abc", "def ghi"}, 7, "..."},
		{"the first fits, without a blank after it", {"abc", "de"}, 4, "..."},
		{"no space for the second command", {"a", "&&", "b"}, 4, "..."},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[32] = "x";
		const bool fits = coffer_quote_words(rows[i].words, text, rows[i].size);

		ok(fits == !strstr(rows[i].wanted, "...") && strcmp(text, rows[i].wanted) == 0,
			"words: %s: %s", rows[i].name, text);
	}
}

static void check_command(void)
{
	const size_t longest = sizeof(struct coffer_command) - strlen("'see ''");
	char word[sizeof(struct coffer_command)] = "", wanted[2 * sizeof(word)];

	ok(strcmp(coffer_command("see", "/dev/vda2").s, "'see /dev/vda2'") == 0, "command");
	ok(strcmp(coffer_command("see", "a b").s, "see 'a b'") == 0, "command, a blank");
	memset(word, 'a', longest);
	(void)snprintf(wanted, sizeof(wanted), "'see %s'", word);
	ok(strcmp(coffer_command("see", word).s, wanted) == 0, "command, it just fits");
	word[longest] = 'a';
	ok(strcmp(coffer_command("see", word).s, "'see ...'") == 0, "command, too long");
	word[1] = ' ';
	ok(strcmp(coffer_command("see", word).s, "'see ...'") == 0, "command, quoted, too long");
	word[longest - 2] = '\0'; /* quotes around the word take one byte more */
	(void)snprintf(wanted, sizeof(wanted), "see '%s'", word);
	ok(strcmp(coffer_command("see", word).s, wanted) == 0, "command, quoted, it just fits");
}

int main(void)
{
	check_word();
	check_words();
	check_command();
	return done_testing();
}
