/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversion.h - progress of an encryption in place, as LUKS2 metadata describes it
 *
 * The layout is the one stock cryptsetup uses (mode encrypt, direction backward, resilience
 * datashift), so that either tool can resume where the other stopped. coffer accepts exactly the
 * metadata that it would write itself for the same geometry and pointer: a header with one other
 * number in its segments is not resumed.
 * Source: LUKS2 on-disk format 1.1, chapter 3, and the headers that cryptsetup 2.6 writes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/err.h"
#include "convert/geometry.h"

enum coffer_luks2_kind {
	COFFER_LUKS2_ENCRYPTED,	 /* no reencryption under way */
	COFFER_LUKS2_CONVERTING, /* an encryption in place that coffer can resume */
	COFFER_LUKS2_OTHER,	 /* another reencryption: cryptsetup's to resume */
};

struct coffer_conversion {
	struct coffer_geometry geometry;
	uint64_t pointer;  /* all from here on is converted; 0: only finalizing is left */
	bool hot;	   /* stock was interrupted inside a step, which is done again */
	uint32_t key_size; /* bytes of the volume key */
};

/* The one cipher of coffer's engine; a conversion with another one is cryptsetup's to resume. */
#define COFFER_CIPHER "aes-xts-plain64"

/* Read the metadata @json; needs no memory. @ret is filled for CONVERTING; for OTHER only its hot
 * is. OTHER is not an error; @e then has what coffer cannot do. -EBADMSG: the metadata contradicts
 * itself. */
int coffer_conversion_read(struct json_object *json, enum coffer_luks2_kind *ret_kind,
	struct coffer_conversion *ret, struct coffer_err *e);

/* Change @json to the conversion @c at @c->pointer, not hot. -ENOMEM, -EBADMSG. */
int coffer_conversion_write(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e);

/* Change @json to the finished state: one segment, nothing of the reencryption left. */
int coffer_conversion_finish(
	struct json_object *json, const struct coffer_conversion *c, struct coffer_err *e);
