/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nomem.c - the C library's requests for memory, of which one or all fail */
#include "nomem.h"

#include <blkid.h>
#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "io/dev.h"

#ifdef __SANITIZE_ADDRESS__
void __sanitizer_symbolize_pc(void *pc, const char *fmt, char *out, size_t size);
#endif

/* One page that children share: what they ask for is counted with the rest. */
static struct shared {
	atomic_bool armed;
	bool all; /* every request from then on fails, not only the one */
	uint64_t at;
	atomic_ullong seen;
	atomic_uintptr_t where;
	atomic_ullong written; /* requests before the first write; 0: none yet */
} * shared;

static bool fails(void *caller)
{
	uint64_t n;

	if (!shared || !atomic_load(&shared->armed))
		return false;
	n = atomic_fetch_add(&shared->seen, 1) + 1;
	if (n != shared->at && !(shared->all && n > shared->at && shared->at))
		return false;
	if (n == shared->at)
		atomic_store(&shared->where, (uintptr_t)caller);
	errno = ENOMEM;
	return true;
}

void nomem_begin(uint64_t at, bool all)
{
	if (!shared)
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	shared->all = all;
	shared->at = at;
	atomic_store(&shared->seen, 0);
	atomic_store(&shared->where, 0);
	atomic_store(&shared->written, 0);
	atomic_store(&shared->armed, true);
}

uint64_t nomem_end(void)
{
	atomic_store(&shared->armed, false);
	return atomic_load(&shared->seen);
}

uint64_t nomem_before_writing(void)
{
	return atomic_load(&shared->written);
}

void nomem_where(char *ret, size_t size)
{
	(void)snprintf(ret, size, "unknown");
#ifdef __SANITIZE_ADDRESS__
	if (atomic_load(&shared->where))
		/* the call, not what comes after it */
		__sanitizer_symbolize_pc(
			(void *)(atomic_load(&shared->where) - 1), "%f", ret, size);
#endif
}

/* --- the calls: "ld --wrap" turns name into __wrap_name, and __real_name into name --- */

#define WRAP(type, name, args, pass, failed)                                                       \
	type __real_##name args;                                                                   \
	type __wrap_##name args;                                                                   \
	type __wrap_##name args                                                                    \
	{                                                                                          \
		return fails(__builtin_return_address(0)) ? (failed) : __real_##name pass;         \
	}

WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), NULL)
WRAP(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size), NULL)
WRAP(int, posix_memalign, (void **ret, size_t align, size_t n), (ret, align, n), ENOMEM)
WRAP(char *, strdup, (const char *s), (s), NULL)
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags), -1)
WRAP(DIR *, opendir, (const char *path), (path), NULL)
WRAP(FILE *, fopen64, (const char *path, const char *how), (path, how), NULL)
WRAP(char *, realpath, (const char *path, char *ret), (path, ret), NULL)
WRAP(void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off_t off),
	(p, n, prot, flags, fd, off), MAP_FAILED)

/* Calls of libraries that ask for memory and say so when they got none. */
WRAP(struct json_tokener *, json_tokener_new, (void), (), NULL)
WRAP(struct json_tokener *, json_tokener_new_ex, (int depth), (depth), NULL)
WRAP(struct json_object *, json_tokener_parse_ex, (struct json_tokener * t, const char *p, int n),
	(t, p, n), NULL)
WRAP(struct json_object *, json_object_new_object, (void), (), NULL)
WRAP(struct json_object *, json_object_new_array, (void), (), NULL)
WRAP(struct json_object *, json_object_new_string, (const char *s), (s), NULL)
WRAP(int, json_object_object_add, (struct json_object * o, const char *k, struct json_object *v),
	(o, k, v), -1)
WRAP(int, json_object_array_add, (struct json_object * o, struct json_object *v), (o, v), -1)
WRAP(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
WRAP(int, EVP_DigestInit_ex, (EVP_MD_CTX * c, const EVP_MD *md, ENGINE *e), (c, md, e), 0)
WRAP(int, EVP_Digest,
	(const void *p, size_t n, unsigned char *to, unsigned int *ret, const EVP_MD *md,
		ENGINE *e),
	(p, n, to, ret, md, e), 0)
WRAP(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), (), NULL)
WRAP(blkid_probe, blkid_new_probe, (void), (), NULL)

/* When its buffer cannot grow json-c goes on with the next piece, and reports nothing. */
const char *__real_json_object_to_json_string_ext(struct json_object *o, int flags);
const char *__wrap_json_object_to_json_string_ext(struct json_object *o, int flags);
const char *__wrap_json_object_to_json_string_ext(struct json_object *o, int flags)
{
	static char text[65536];
	const char *whole;
	size_t n;

	if (!fails(__builtin_return_address(0)))
		return __real_json_object_to_json_string_ext(o, flags);
	whole = __real_json_object_to_json_string_ext(o, flags);
	n = strlen(whole);
	if (n % 2 || n >= sizeof(text))
		return NULL;
	(void)snprintf(text, sizeof(text), "%.*s%s", (int)(n / 2), whole, whole + n / 2 + 8);
	return text;
}

int __wrap_asprintf(char **ret, const char *fmt, ...);
int __wrap_asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fails(__builtin_return_address(0)))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

int __real_coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e);
int __wrap_coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e);
int __wrap_coffer_dev_write(
	struct coffer_dev *d, const void *buf, size_t n, uint64_t off, struct coffer_err *e)
{
	if (shared && atomic_load(&shared->armed) && atomic_load(&shared->written) == 0)
		atomic_store(&shared->written, atomic_load(&shared->seen));
	return __real_coffer_dev_write(d, buf, n, off, e);
}
