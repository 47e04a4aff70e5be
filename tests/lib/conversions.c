/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversions.c - layouts of conversions, and the metadata of a header in them */
#include "conversions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/bytes.h"
#include "conversion_equals.h"
#include "luks2/copy.h"
#include "stock.h"
#include "tap.h"

const struct layout layouts[N_LAYOUTS] = {
	{"L = 4S", {6 * MIB, MIB, 4 * MIB, 512}, 64},
	{"L no multiple of S", {6 * MIB, MIB + 4096, 4 * MIB - 8192, 512}, 64},
	{"L an odd number of sectors", {5 * MIB + 3584, MIB, 3 * MIB + 3584, 512}, 64},
	{"L = S", {3 * MIB, MIB, MIB, 512}, 64},
	{"L = S and a sector", {3 * MIB + 512, MIB, MIB + 512, 512}, 64},
	{"L = 2S", {4 * MIB, MIB, 2 * MIB, 4096}, 64},
	{"sectors of 4096", {6 * MIB + 4096, MIB + 8192, 4 * MIB - 12288, 4096}, 64},
	{"AES-128", {5 * MIB, MIB, 3 * MIB, 512}, 32},
};

struct json_object *header_metadata(const uint8_t *header)
{
	struct coffer_luks2_bin bin;
	struct json_object *o = NULL;
	const char *text;
	size_t n;

	if (coffer_luks2_bin_read(header, 0, &bin) < 0 ||
		coffer_luks2_copy_check(header, &bin, &text, &n) < 0 ||
		coffer_json_parse(text, n, &o) < 0)
		abort();
	return o;
}

/* Put @json into both copies of @header. */
void header_put_metadata(uint8_t *header, struct json_object *json)
{
	struct coffer_luks2_bin bin;

	(void)coffer_luks2_bin_read(header, 0, &bin);
	for (unsigned int i = 0; i < 2; i++)
		if (coffer_luks2_copy_seal(header + i * bin.copy_size, bin.seqid + 1,
			    coffer_json_text(json), NULL) < 0)
			abort();
}

enum stock_verdict judge_metadata(
	const uint8_t *header, const struct coffer_geometry *g, struct json_object *json)
{
	_cleanup_free_ uint8_t *copy = malloc(g->shift);

	if (!copy)
		abort();
	memcpy(copy, header, g->shift);
	header_put_metadata(copy, json);
	return stock_judge(copy, g->shift, g->shift);
}

bool conversion_reads_as(struct json_object *json, const struct coffer_conversion *want)
{
	struct coffer_conversion c = {0};
	struct coffer_err e = {0};
	enum coffer_luks2_kind kind = COFFER_LUKS2_OTHER;
	const int r = coffer_conversion_read(json, &kind, &c, &e);

	if (r == 0 && kind == COFFER_LUKS2_CONVERTING && conversion_equals(&c, want))
		return true;
	note("it reads: %d, kind %d, pointer %" PRIu64 ", wanted %" PRIu64 ": %s", r, (int)kind,
		c.pointer, want->pointer, e.msg);
	return false;
}

struct coffer_conversion conversion_begin(const struct layout *l)
{
	struct coffer_conversion c = {
		.geometry = l->g, .pointer = l->g.length, .key_size = l->key_size};

	return c;
}

/* All pointers at which coffer may stand, and some more that are possible. */
size_t conversion_pointers(const struct coffer_geometry *g, uint64_t ret[64])
{
	const uint64_t extra[] = {g->length - g->sector_size, g->shift + g->sector_size,
		g->shift * 2 + g->sector_size, g->shift * 2 - g->sector_size};
	uint64_t p = g->length;
	size_t n = 0;

	for (ret[n++] = p; p > 0; ret[n++] = p)
		p = coffer_next_step(g, NULL, p);
	for (size_t i = 0; i < ARRAY_SIZE(extra); i++)
		if (coffer_pointer_ok(g, extra[i]) && extra[i] > 0)
			ret[n++] = extra[i];
	return n;
}

/* --- states inside a step, as libcryptsetup writes them --- */

static void add_segment(struct json_object *segments, struct json_object *covered, bool crypt,
	uint64_t offset, uint64_t size, uint64_t iv, const char *flag, const struct layout *l)
{
	const size_t i = coffer_json_length(segments);
	char text[512], key[16];

	if (size == 0 && crypt)
		(void)snprintf(key, sizeof(key), "dynamic");
	else
		(void)snprintf(key, sizeof(key), "%" PRIu64, size);
	if (crypt)
		(void)snprintf(text, sizeof(text),
			"{\"type\":\"crypt\",\"offset\":\"%" PRIu64 "\",\"size\":\"%s\","
			"\"iv_tweak\":\"%" PRIu64
			"\",\"encryption\":\"%s\",\"sector_size\":%" PRIu32 "%s%s%s}",
			offset, key, iv, CIPHER, l->g.sector_size, flag ? ",\"flags\":[\"" : "",
			flag ? flag : "", flag ? "\"]" : "");
	else
		(void)snprintf(text, sizeof(text),
			"{\"type\":\"linear\",\"offset\":\"%" PRIu64 "\",\"size\":\"%s\"%s%s%s}",
			offset, key, flag ? ",\"flags\":[\"" : "", flag ? flag : "",
			flag ? "\"]" : "");
	(void)snprintf(key, sizeof(key), "%zu", i);
	(void)json_object_object_add(segments, key, json_tokener_parse(text));
	if (crypt)
		(void)json_object_array_add(covered, json_object_new_string(key));
}

/* The facts' worked example in general: the step [q, p) has a segment of its own. */
void conversion_make_hot(struct json_object *json, const struct layout *l, uint64_t q, uint64_t p)
{
	struct json_object *s = json_object_new_object(), *covered = json_object_new_array();
	const struct coffer_geometry *g = &l->g;
	const uint64_t head = g->device - g->shift;

	if (q >= g->shift)
		add_segment(s, covered, false, head, g->shift, 0, NULL, l);
	if (q > g->shift)
		add_segment(s, covered, false, g->shift, q - g->shift, 0, NULL, l);
	add_segment(s, covered, true, g->shift + q, p - q, q / 512, "in-reencryption", l);
	if (p < g->length)
		add_segment(s, covered, true, g->shift + p, g->length - p, p / 512, NULL, l);
	add_segment(s, covered, false, 0, g->length, 0, "backup-previous", l);
	add_segment(s, covered, true, g->shift, 0, 0, "backup-final", l);
	add_segment(s, covered, false, head, g->shift, 0, "backup-moved-segment", l);
	(void)json_object_object_add(json, "segments", s);
	(void)json_object_object_add(
		coffer_json_object(coffer_json_object(json, "digests"), "0"), "segments", covered);
}
