/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bytes.h - numbers in a fixed byte order, at any alignment; and safe arithmetic on sizes */
#pragma once
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COFFER_SECTOR 512u  /* the smallest transfer of any disk */
#define COFFER_BLOCK  4096u /* of headers and records; filesystems are read in it, too */

#define DEFINE_GET(bits, order)                                                                    \
	static inline uint##bits##_t get_##order##bits(const void *p)                              \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		memcpy(&v, p, sizeof(v));                                                          \
		return order##bits##toh(v);                                                        \
	}
#define DEFINE_PUT(bits, order)                                                                    \
	static inline void put_##order##bits(void *p, uint##bits##_t v)                            \
	{                                                                                          \
		v = hto##order##bits(v);                                                           \
		memcpy(p, &v, sizeof(v));                                                          \
	}

DEFINE_GET(16, le)
DEFINE_GET(32, le)
DEFINE_GET(64, le)
DEFINE_GET(16, be)
DEFINE_GET(32, be)
DEFINE_GET(64, be)
DEFINE_PUT(32, le)
DEFINE_PUT(64, le)
DEFINE_PUT(16, be)
DEFINE_PUT(32, be)
DEFINE_PUT(64, be)

/* Are all @n bytes zero? */
static inline bool bytes_are_zero(const void *p, size_t n)
{
	const unsigned char *b = p;

	return n == 0 || (b[0] == 0 && memcmp(b, b + 1, n - 1) == 0);
}

/* false: it does not fit. */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_mul_overflow(a, b, ret);
}

static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_add_overflow(a, b, ret);
}

/* @align is a power of two. Rounding up must not wrap. */
static inline uint64_t round_down_u64(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t round_up_u64(uint64_t v, uint64_t align)
{
	return round_down_u64(v + align - 1, align);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}
