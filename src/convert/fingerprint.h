/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fingerprint.h - the hash of what any use of a filesystem changes */
#pragma once
#include "convert/stored_map.h"

/* Read plain bytes [x, x + n), multiples of 4096 but for the data's end. */
typedef int (*coffer_read_plain)(
	void *arg, uint64_t x, uint8_t *buf, size_t n, struct coffer_err *e);

/* Of the prints of @m, in their order, as @read gives them. */
int coffer_fingerprint(const struct coffer_stored_map *m, coffer_read_plain read, void *arg,
	uint8_t ret[COFFER_SHA256_SIZE], struct coffer_err *e);
