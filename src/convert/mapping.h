/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapping.h - where each byte of a volume lies, and whether it is encrypted there
 *
 * The same as the table that dm-crypt and dm-linear would get: of a finished volume one stretch,
 * of a conversion under way three at most. All values are bytes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/err.h"
#include "convert/conversion.h"

struct coffer_stretch {
	uint64_t start;	 /* within the volume */
	uint64_t length; /* never 0 */
	uint64_t offset; /* on the device */
	bool crypt;
	uint64_t tweak; /* of its first byte, counted in bytes */
};

struct coffer_mapping {
	uint64_t size; /* of the volume; the stretches cover it, in order */
	uint32_t sector_size;
	char cipher[64];
	unsigned int n;
	struct coffer_stretch s[3];
};

/* Of the conversion @c, on a device that has @device bytes now (D or more).
 * Where stock was interrupted inside a step, the step's source is still whole, so the bytes from
 * before it are the right ones. At pointer 0 the volume ends with the device, as a finished one. */
void coffer_mapping_converting(
	const struct coffer_conversion *c, uint64_t device, struct coffer_mapping *ret);

/* Of the finished volume that the metadata @json describes, on a device of @device bytes.
 * -EOPNOTSUPP: coffer does not read its encryption (@e has the reason); -EBADMSG: its segments make
 * no sense; -ENOSPC: they reach beyond the device's end. */
int coffer_mapping_finished(struct json_object *json, uint64_t device, struct coffer_mapping *ret,
	struct coffer_err *e);

/* The stretch with byte @x of the volume; NULL beyond its end. */
const struct coffer_stretch *coffer_mapping_at(const struct coffer_mapping *m, uint64_t x);
