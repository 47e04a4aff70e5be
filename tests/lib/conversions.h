/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversions.h - layouts of conversions, and the metadata of a header in them */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "convert/conversion.h"
#include "stock.h"

#define MIB    (UINT64_C(1) << 20)
#define CIPHER "aes-xts-plain64"

enum {
	N_LAYOUTS = 8
};

struct layout {
	const char *name;
	struct coffer_geometry g;
	uint32_t key_size;
};
extern const struct layout layouts[N_LAYOUTS];

/* The metadata of the first copy; the caller owns them. */
struct json_object *header_metadata(const uint8_t *header);

/* Put @json into both copies of @header. */
void header_put_metadata(uint8_t *header, struct json_object *json);

/* What libcryptsetup calls @header with @json as its metadata. */
enum stock_verdict judge_metadata(
	const uint8_t *header, const struct coffer_geometry *g, struct json_object *json);

/* A conversion of which nothing is done. */
struct coffer_conversion conversion_begin(const struct layout *l);

/* Does @json read as the conversion @want? Notes where not. */
bool conversion_reads_as(struct json_object *json, const struct coffer_conversion *want);

/* All pointers at which coffer may stand, and some more that are possible: how many. */
size_t conversion_pointers(const struct coffer_geometry *g, uint64_t ret[64]);

/* The step [q, p) has a segment of its own, as libcryptsetup writes it. */
void conversion_make_hot(struct json_object *json, const struct layout *l, uint64_t q, uint64_t p);
