/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge.c - let libcryptsetup judge the metadata of one header copy */
#include "luks2/judge.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "luks2/helper.h"
#include "luks2/metadata.h"

enum {
	ANSWERS = 128, /* a run needs a handful; the oldest is forgotten */
	SALT_SIZE = 64
};

struct answer {
	uint8_t hash[COFFER_SHA256_SIZE]; /* of the text */
	uint64_t copy_size;		  /* nothing else of a copy matters */
	bool accepted;
	char reason[COFFER_LUKS2_REASON];
};

struct coffer_judge {
	int (*ask)(int fd, struct coffer_err *e);
	size_t n; /* answers so far */
	struct answer answers[ANSWERS];
};

struct coffer_judge *coffer_judge_new(int (*ask)(int fd, struct coffer_err *e))
{
	struct coffer_judge *j = calloc(1, sizeof(*j));

	if (j)
		j->ask = ask;
	return j;
}

static const struct answer *find(const struct coffer_judge *j, const struct answer *wanted)
{
	for (size_t i = 0; i < min_u64(j->n, ANSWERS); i++)
		if (j->answers[i].copy_size == wanted->copy_size &&
			memcmp(j->answers[i].hash, wanted->hash, COFFER_SHA256_SIZE) == 0)
			return &j->answers[i];
	return NULL;
}

/* A header in memory with both copies made of this one, so that libcryptsetup has no other. */
static int header_of(const struct coffer_luks2_copy *copy, int *ret, struct coffer_err *e)
{
	const uint64_t n = copy->bin.copy_size, size = coffer_metadata_header_size(copy->json, n);
	static const uint8_t salt[SALT_SIZE];
	_cleanup_free_ uint8_t *other = malloc(n);
	_cleanup_close_ int fd = -1;
	int r;

	if (!other)
		return coffer_err_errno(e, ENOMEM, "check the LUKS2 header");
	r = coffer_luks2_copy_other(copy->copy, other, salt);
	if (r < 0)
		return coffer_err_errno(e, -r, "check the LUKS2 header");
	r = coffer_memfd("coffer-copy", size ? size : 2 * n, &fd, e);
	if (r < 0)
		return r;
	/* With write(2): tests count pwrite(2) as writes to the disk. */
	if (write(fd, copy->offset ? other : copy->copy, n) != (ssize_t)n ||
		write(fd, copy->offset ? copy->copy : other, n) != (ssize_t)n)
		return coffer_err_set(e, EIO, "copy the header to memory");
	*ret = TAKE_FD(fd);
	return 0;
}

static int ask(struct coffer_judge *j, const struct coffer_luks2_copy *copy, struct answer *ret,
	struct coffer_err *e)
{
	_cleanup_close_ int fd = -1;
	struct coffer_err why = {0};
	int r = header_of(copy, &fd, e);

	if (r < 0)
		return r;
	r = j->ask ? j->ask(fd, &why) : coffer_luks2_judge(fd, NULL, &why);
	if (r < 0)
		return coffer_err_pass(e, r, &why);
	ret->accepted = r > 0;
	if (!ret->accepted)
		(void)snprintf(ret->reason, sizeof(ret->reason), "refused by libcryptsetup: %.*s",
			COFFER_LUKS2_REASON - 32, why.msg);
	j->answers[j->n++ % ANSWERS] = *ret;
	return 0;
}

int coffer_luks2_copy_ask(
	struct coffer_dev *d, struct coffer_luks2_copy *copy, struct coffer_err *e)
{
	const struct answer *known;
	struct answer answer = {.copy_size = copy->bin.copy_size};
	int r;

	if (!d->judge)
		d->judge = coffer_judge_new(NULL);
	r = d->judge ? coffer_sha256(copy->text, copy->text_size, answer.hash) : -ENOMEM;
	if (r < 0)
		return coffer_err_errno(e, -r, "check the LUKS2 header of %s", d->name);
	known = find(d->judge, &answer);
	if (known)
		answer = *known;
	else
		r = ask(d->judge, copy, &answer, e);
	if (r < 0)
		return r;
	copy->accepted = answer.accepted;
	memcpy(copy->reason, answer.reason, sizeof(copy->reason));
	return 0;
}
