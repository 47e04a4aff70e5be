/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/quote.h"

#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

int main(void)
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
		{"Bug: a name that was cut named another file", "abcdef", 6, "..."},
		{"quoted, it just fits", "a b", 6, "'a b'"},
		{"quoted, no room for the last quote", "a b", 5, "..."},
		{"no room for a quote's four", "a'", 6, "..."},
		{"no room for anything", "abc", 3, ""},
	};

	static const struct {
		const char *name, *word;
		size_t size;
		const char *wanted;
	} commands[] = {
		{"plain", "/dev/vda2", 32, "'see /dev/vda2'"},
		{"a blank", "a b", 32, "see 'a b'"},
		{"it just fits", "abcdef", 13, "'see abcdef'"},
		{"too long", "abcdefg", 13, "'see ...'"},
		{"quoted, it just fits", "a bc", 13, "see 'a bc'"},
		{"quoted, too long", "a bcdefgh", 13, "'see ...'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char word[32] = "";

		coffer_quote(rows[i].word, word, rows[i].size);
		ok(strcmp(word, rows[i].wanted) == 0, "%s: %s", rows[i].name, word);
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		char text[32] = "";

		coffer_quote_command("see", commands[i].word, text, commands[i].size);
		ok(strcmp(text, commands[i].wanted) == 0, "command, %s: %s", commands[i].name,
			text);
	}
	return done_testing();
}
