/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_size.c - fuzz target: sizes as a person types them */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);
	uint64_t v = 77;
	int r;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	r = coffer_size_parse(text, &v);
	if (r == 0 ? v > INT64_MAX : v != 77 || (r != -EINVAL && r != -ERANGE))
		abort();
	if (r == 0 && memchr(coffer_size_format(v).s, 0, sizeof(struct coffer_size_text)) == NULL)
		abort();
	free(text);
	return 0;
}
