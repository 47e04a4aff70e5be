/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prng.h - a small generator with a fixed sequence for each seed (splitmix64) */
#pragma once
#include <stdint.h>

static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
