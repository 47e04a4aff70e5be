/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_luks2_metadata.c - fuzz target: texts that call themselves LUKS2 metadata
 *
 * Input: a text that calls itself LUKS2 metadata. Whatever it says, it is judged in full, the list
 * stays short, and what is accepted has sizes that others may count with. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "luks2/copy.h"
#include "luks2/keyslots.h"
#include "finding_named.h"
#include "luks2/metadata.h"

enum {
	COPY = 65536,
	MOST = 9 * 14 /* checks: of each section a few, and how many more there are */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void judge(struct json_object *json, const char *text, size_t n, struct coffer_findings *l)
{
	const struct coffer_metadata m = {.json = json,
		.text = text,
		.text_size = n,
		.device_size = UINT64_C(1) << 30,
		.device = "disk"};

	if (coffer_metadata_check(&m, l) < 0 || l->n > MOST || l->n == 0)
		abort();
}

/* Sizes that the rest of the program counts with. */
static void check_sizes(struct json_object *json)
{
	const uint64_t header = coffer_metadata_header_size(json, COPY);
	struct coffer_keys keys;

	if (header != 0 && (header < 2 * COPY || header > 2 * COPY + (UINT64_C(128) << 20)))
		abort();
	(void)coffer_metadata_data_offset(json);
	coffer_keys_read(json, &keys);
}

/* The same thing, written anew, has no more findings; only names that came twice are gone. */
static void check_again(struct json_object *json, const struct coffer_findings *l)
{
	const char *text = coffer_json_text(json);
	_cleanup_json_ struct json_object *again = NULL;
	struct coffer_findings second = {0};

	if (!text || coffer_json_parse(text, strlen(text), &again) < 0)
		return; /* a number that JSON does not have */
	if (coffer_json_has_duplicate(again, text, strlen(text)))
		abort();
	judge(again, text, strlen(text), &second);
	if (second.n > l->n)
		abort();
	coffer_findings_free(&second);
}

static void check_text(const char *text, size_t n)
{
	_cleanup_json_ struct json_object *json = NULL;
	struct coffer_findings l = {0};

	if (coffer_json_parse(text, n, &json) < 0)
		return;
	judge(json, text, n, &l);
	check_sizes(json);
	check_again(json, &l);
	coffer_findings_free(&l);
}

/* The same text as the area of a header copy whose first bytes are the input's, too. */
static void check_copy(const uint8_t *data, size_t n)
{
	struct coffer_luks2_copy look = {0};
	uint8_t *copy = calloc(1, COPY);

	if (!copy)
		return;
	memcpy(copy, "LUKS\xba\xbe\0\2\0\0\0\0\0\1\0\0", 16);
	memcpy(copy + 72, "sha256", 7);
	if (n > 500)
		memcpy(copy + 24, data + n - 48, 48);
	memcpy(copy + COFFER_LUKS2_BIN, data,
		n < COPY - COFFER_LUKS2_BIN ? n : COPY - COFFER_LUKS2_BIN);
	if (n % 2)
		copy[data[0] % 16] ^= data[n / 2];
	if (coffer_luks2_copy_judge(copy, COPY, &look) < 0)
		abort();
	if (look.magic && !look.luks1 && look.intact == (look.reason[0] != '\0'))
		abort();
	coffer_luks2_copy_reset(&look);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || n > COPY)
		return 0;
	check_text((const char *)data, n);
	check_copy(data, n);
	return 0;
}
