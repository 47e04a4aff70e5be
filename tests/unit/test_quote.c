/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_quote.c - quotes for a shell */
#include "base/quote.h"

#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

int main(void)
{
	static const struct {
		const char *name, *command, *word; /* command: NULL for the word alone */
		size_t size;
		const char *wanted;
	} rows[] = {
		{"plain", NULL, "/dev/vda2", 32, "/dev/vda2"},
		{"a blank", NULL, "a b", 32, "'a b'"},
		{"empty", NULL, "", 32, "''"},
		{"a quote", NULL, "it's", 32, "'it'\\''s'"},
		{"it just fits", NULL, "abc", 4, "abc"},
		{"Bug: a name that was cut named another file", NULL, "abcdef", 6, "..."},
		{"quoted, it just fits", NULL, "a b", 6, "'a b'"},
		{"quoted, no room for the last quote", NULL, "a b", 5, "..."},
		{"no room for a quote's four", NULL, "a'", 6, "..."},
		{"no room for anything", NULL, "abc", 3, ""},
		{"command", "see", "/dev/vda2", 32, "'see /dev/vda2'"},
		{"command, a blank", "see", "a b", 32, "see 'a b'"},
		{"command, it just fits", "see", "abcdef", 13, "'see abcdef'"},
		{"command, too long", "see", "abcdefg", 13, "'see ...'"},
		{"command, quoted, it just fits", "see", "a bc", 13, "see 'a bc'"},
		{"command, quoted, too long", "see", "a bcdefgh", 13, "'see ...'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[32] = "";

		if (rows[i].command)
			coffer_quote_command(rows[i].command, rows[i].word, text, rows[i].size);
		else
			coffer_quote(rows[i].word, text, rows[i].size);
		ok(strcmp(text, rows[i].wanted) == 0, "%s: %s", rows[i].name, text);
	}
	return done_testing();
}
