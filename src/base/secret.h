/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secret.h - keys and passphrases: locked in memory, not in core dumps, wiped when freed */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "coffer/err.h"

struct coffer_secret {
	size_t size;	 /* bytes in use; the owner may decrease it */
	size_t capacity; /* bytes that fit */
	uint8_t *data;
};

/* A zeroed secret of @size bytes. -ENOMEM: no memory, or it cannot be locked (RLIMIT_MEMLOCK): a
 * key that could be swapped out is not used. */
int coffer_secret_new(size_t size, struct coffer_secret **ret, struct coffer_err *e);
/* Lock @s in a child: fork does not inherit locks. -errno of mlock. */
int coffer_secret_relock(const struct coffer_secret *s);
void coffer_secret_free(struct coffer_secret *s); /* NULL is fine */

DEFINE_CLEANUP(struct coffer_secret *, secret, coffer_secret_free);
#define _cleanup_secret_ _cleanup_(cleanup_secret)
