/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quote.h - a word as a shell takes it back */
#pragma once
#include <stddef.h>

/* Write @word to @ret, in single quotes where it needs them; of what does not fit the
 * beginning, without the quote that would end it. */
void coffer_quote(const char *word, char *ret, size_t size);
