/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* secret.c - keys and passphrases: locked in memory, not in core dumps, wiped when freed */
#include "base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/err.h"

/* The struct and its bytes are one mapping: locked and wiped as one. */
static size_t mapping_size(size_t size)
{
	return round_up_u64(sizeof(struct coffer_secret) + size, 4096);
}

int coffer_secret_new(size_t size, struct coffer_secret **ret, struct coffer_err *e)
{
	const size_t n = mapping_size(size);
	struct coffer_secret *s;

	s = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return coffer_err_errno(e, ENOMEM, "allocate a key of %zu bytes", size);
	if (mlock(s, n) < 0 || madvise(s, n, MADV_DONTDUMP) < 0) {
		(void)munmap(s, n);
		return coffer_err_set(e, ENOMEM,
			"cannot lock %zu bytes of memory for a key; raise the limit on locked "
			"memory (ulimit -l)",
			n);
	}
	s->size = s->capacity = size;
	s->data = (uint8_t *)(s + 1);
	*ret = s;
	return 0;
}

int coffer_secret_relock(const struct coffer_secret *s)
{
	return mlock(s, mapping_size(s->capacity)) < 0 ? -errno : 0;
}

void coffer_secret_free(struct coffer_secret *s)
{
	size_t n;

	if (!s)
		return;
	n = mapping_size(s->capacity);
	explicit_bzero(s, n);
	(void)munmap(s, n); /* unlocks too; the only failure is a wrong address */
}
