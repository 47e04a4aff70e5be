/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* size.h - parse and format sizes */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* "4096", "32M", "1GiB": a decimal number of bytes with an optional K, M, G or T of 1024, alone or
 * with "iB". -EINVAL for anything else, -ERANGE above 2^63 - 1. */
int coffer_size_parse(const char *text, uint64_t *ret);

struct coffer_size_text {
	char s[24];
};
/* "3.9 GiB", "1023 B": at most four characters of number, for people only. */
struct coffer_size_text coffer_size_format(uint64_t bytes);
