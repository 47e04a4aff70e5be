/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_size.c - sizes as a person types them */
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

static void check_parse(void)
{
	static const struct {
		const char *text;
		int r;
		uint64_t v;
	} rows[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"4096", 0, 4096},
		{"0004096", 0, 4096},
		{"1K", 0, 1024},
		{"32M", 0, UINT64_C(32) << 20},
		{"32MiB", 0, UINT64_C(32) << 20},
		{"1GiB", 0, UINT64_C(1) << 30},
		{"2T", 0, UINT64_C(2) << 40},
		{"0TiB", 0, 0},
		{"9223372036854775807", 0, INT64_MAX},
		{"9007199254740991K", 0, INT64_MAX - 1023},
		{"9223372036854775808", -ERANGE, 0},
		{"9007199254740992K", -ERANGE, 0},
		{"18446744073709551615", -ERANGE, 0},
		{"18446744073709551616", -ERANGE, 0},
		{"18014398509481984K", -ERANGE, 0}, /* 2^64: wraps to 0 */
		{"18014398509481985K", -ERANGE, 0}, /* wraps to 1024 */
		{"16777216T", -ERANGE, 0},
		{"99999999999999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1\n", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"1.5G", -EINVAL, 0},
		{"1k", -EINVAL, 0},
		{"1m", -EINVAL, 0},
		{"1KB", -EINVAL, 0},
		{"1MB", -EINVAL, 0},
		{"1Mi", -EINVAL, 0},
		{"1iB", -EINVAL, 0},
		{"1MiBs", -EINVAL, 0},
		{"1MM", -EINVAL, 0},
		{"1P", -EINVAL, 0},
		{"M", -EINVAL, 0},
		{"1 M", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 77;
		const int r = coffer_size_parse(rows[i].text, &v);

		if (!ok(r == rows[i].r && v == (r == 0 ? rows[i].v : 77), "parse '%.*s'",
			    (int)strcspn(rows[i].text, "\n"), rows[i].text))
			note("it gave %d, %" PRIu64, r, v);
	}
}

static void check_format(void)
{
	static const struct {
		uint64_t v;
		const char *text;
	} rows[] = {
		{0, "0 B"},
		{1, "1 B"},
		{512, "512 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{UINT64_C(32) << 20, "32.0 MiB"},
		{102348, "99.9 KiB"},
		{102399, "100 KiB"}, /* 99.999 */
		{102400, "100 KiB"},
		{1047961, "1023 KiB"}, /* 1023.4 */
		{1048064, "1.0 MiB"},  /* 1023.5 */
		{1048575, "1.0 MiB"},
		{1048576, "1.0 MiB"},
		{UINT64_C(4187593113), "3.9 GiB"},
		{UINT64_C(1) << 40, "1.0 TiB"},
		{UINT64_C(1) << 50, "1.0 PiB"},
		{INT64_MAX, "8.0 EiB"},
		{UINT64_MAX, "16.0 EiB"},
	};
	bool short_enough = true, monotonous = true;
	double last = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct coffer_size_text t = coffer_size_format(rows[i].v);

		if (!ok(strcmp(t.s, rows[i].text) == 0, "format %" PRIu64, rows[i].v))
			note("it gave '%s'", t.s);
	}
	for (uint64_t v = 0; v < UINT64_C(1) << 31; v += 1 + v / 997) {
		static const char units[] = "BKMG";
		const struct coffer_size_text t = coffer_size_format(v);
		char *end;
		double n = strtod(t.s, &end);

		short_enough &= end - t.s <= 4 && *end == ' ';
		for (const char *u = units; *u && *u != end[1]; u++)
			n *= 1024;
		monotonous &= n >= last;
		last = n;
	}
	ok(short_enough, "format: never more than four characters of number");
	ok(monotonous, "format: a larger size never reads as less");
}

int main(void)
{
	check_parse();
	check_format();
	return done_testing();
}
