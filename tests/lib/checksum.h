/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checksum.h - the checksum of coffer's own blocks: a SHA-256 over all, with zeros in its place */
#pragma once
#include <string.h>

#include "base/crypto.h"

static inline void put_checksum(uint8_t *p, size_t n, size_t at)
{
	uint8_t sum[COFFER_SHA256_SIZE];

	memset(p + at, 0, sizeof(sum));
	(void)coffer_sha256(p, n, sum);
	memcpy(p + at, sum, sizeof(sum));
}
