/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapping.c - where each byte of a volume lies, and whether it is encrypted there */
#include "convert/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

static void add(struct coffer_mapping *m, uint64_t length, uint64_t offset, bool crypt)
{
	m->s[m->n++] = (struct coffer_stretch){
		.start = m->size,
		.length = length,
		.offset = offset,
		.crypt = crypt,
		.tweak = m->size,
	};
	m->size += length;
}

void coffer_mapping_converting(
	const struct coffer_conversion *c, uint64_t device, struct coffer_mapping *ret)
{
	const struct coffer_geometry *g = &c->geometry;
	const uint64_t p = c->pointer;

	*ret = (struct coffer_mapping){.sector_size = g->sector_size};
	if (p == 0) {
		add(ret, round_down_u64(device - g->shift, g->sector_size), g->shift, true);
		return;
	}
	add(ret, g->shift, coffer_segment_copy_offset(g), false);
	if (p > g->shift)
		add(ret, p - g->shift, g->shift, false);
	if (p < g->length)
		add(ret, g->length - p, g->shift + p, true);
}

/* Is the one segment of a kind that can be read here? */
static int check_kind(struct json_object *segments, struct coffer_mapping *m, struct coffer_err *e)
{
	struct json_object *s = coffer_json_object(segments, "0");
	const char *type = coffer_json_string(s, "type");
	const char *cipher = coffer_json_string(s, "encryption");

	if (!type)
		return coffer_err_set(e, EBADMSG, "the metadata has no data segment");
	if (coffer_json_length(segments) != 1 || strcmp(type, "crypt") != 0)
		return coffer_err_set(e, EOPNOTSUPP,
			"the volume has %zu segments, the first of type '%.64s'; coffer reads only "
			"one of type 'crypt'",
			coffer_json_length(segments), type);
	if (coffer_json_object(s, "integrity"))
		return coffer_err_set(
			e, EOPNOTSUPP, "coffer does not read data with integrity tags");
	if (cipher && strcmp(cipher, COFFER_CIPHER) != 0)
		return coffer_err_set(e, EOPNOTSUPP,
			"it is encrypted with '%.64s'; coffer reads only " COFFER_CIPHER, cipher);
	if (!cipher || coffer_json_u32(s, "sector_size", &m->sector_size) < 0 ||
		m->sector_size < 512 || m->sector_size > 4096 ||
		(m->sector_size & (m->sector_size - 1)))
		return coffer_err_set(e, EBADMSG, "no cipher, or an impossible sector size");
	return 0;
}

int coffer_mapping_finished(
	struct json_object *json, uint64_t device, struct coffer_mapping *ret, struct coffer_err *e)
{
	struct json_object *segments = coffer_json_object(json, "segments");
	struct json_object *s = coffer_json_object(segments, "0");
	const char *size_text = coffer_json_string(s, "size");
	const bool dynamic = size_text && strcmp(size_text, "dynamic") == 0;
	struct coffer_mapping m = {0};
	uint64_t offset, size = 0, sectors, tweak, end;
	int r;

	r = check_kind(segments, &m, e);
	if (r < 0)
		return r;
	if (coffer_json_u64s(s, "offset", &offset) < 0 || offset % COFFER_SECTOR ||
		coffer_json_u64s(s, "iv_tweak", &sectors) < 0 ||
		(!dynamic && coffer_json_u64s(s, "size", &size) < 0))
		return coffer_err_set(e, EBADMSG, "impossible numbers in the data segment");
	if (dynamic)
		size = offset < device ? round_down_u64(device - offset, m.sector_size) : 0;
	if ((size & (m.sector_size - 1)) || !mul_u64(sectors, COFFER_SECTOR, &tweak) ||
		!add_u64(tweak, size, &end) || !add_u64(offset, size, &end))
		return coffer_err_set(e, EBADMSG, "impossible numbers in the data segment");
	if (size == 0 || end > device)
		return coffer_err_set(e, ENOSPC,
			"its data segment is from byte %" PRIu64 " to %" PRIu64
			", but the device ends at %" PRIu64,
			offset, size ? end : offset, device);
	add(&m, size, offset, true);
	m.s[0].tweak = tweak;
	*ret = m;
	return 0;
}
