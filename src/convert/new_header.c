/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* new_header.c - the header that a conversion starts with: options, and the header in a memfd */
#include "convert/new_header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "convert/image.h"
#include "luks2/helper.h"

struct coffer_luks2_format coffer_new_header_format(
	const struct coffer_encrypt_options *o, uint64_t shift)
{
	/* 64 KiB leave space for TPM tokens; the smallest shifts have none to give. */
	const uint64_t copy = shift >= (4 << 20) ? 65536 : 16384;
	/* Half of S at most: the rest is for the used map of a conversion under way. */
	const uint64_t keyslots = round_down_u64(min_u64(shift / 2, 8 << 20), COFFER_BLOCK);
	struct coffer_luks2_format f = {
		.cipher = o->cipher ? o->cipher : COFFER_CIPHER,
		.key_size = (o->key_size ? o->key_size : 512) / 8,
		.pbkdf_memory = o->pbkdf_memory,
		.pbkdf_parallel = o->pbkdf_parallel,
		.pbkdf_iterations = o->pbkdf_iterations,
		.iter_time = o->iter_time,
		.metadata_size = o->metadata_size ? o->metadata_size : copy,
		.keyslots_size = o->keyslots_size ? o->keyslots_size : keyslots,
	};

	(void)snprintf(f.hash, sizeof(f.hash), "%s", o->hash ? o->hash : "");
	(void)snprintf(f.pbkdf, sizeof(f.pbkdf), "%s", o->pbkdf ? o->pbkdf : "");
	(void)snprintf(f.uuid, sizeof(f.uuid), "%s", o->uuid ? o->uuid : "");
	(void)snprintf(f.label, sizeof(f.label), "%s", o->label ? o->label : "");
	return f;
}

int coffer_new_header_check(
	const struct coffer_luks2_format *f, uint64_t shift, struct coffer_err *e)
{
	if (strcmp(f->cipher, COFFER_CIPHER) != 0)
		return coffer_err_refuse(
			e, EOPNOTSUPP, "--cipher '%s' is not " COFFER_CIPHER, f->cipher);
	if (f->key_size != 32 && f->key_size != 64)
		return coffer_err_refuse(
			e, EINVAL, "--key-size %" PRIu32 " is not 256 or 512", f->key_size * 8);
	/* The header's digests must be such that a resume can check them: 20 bytes at least. */
	if (f->hash[0] && coffer_digest_size(f->hash) < 20)
		return coffer_err_advise(e,
			coffer_err_refuse(e, EOPNOTSUPP, "--hash '%s' cannot be used", f->hash),
			"use sha256 or sha512");
	if (strlen(f->label) > 47)
		return coffer_err_refuse(e, EINVAL, "--label has more than 47 bytes");
	if (f->metadata_size > shift / 2 || f->keyslots_size > shift ||
		2 * f->metadata_size + f->keyslots_size > shift)
		return coffer_err_advise(e,
			coffer_err_refuse(e, ENOSPC,
				"two header copies of %" PRIu64
				" bytes and a keyslots area of %" PRIu64
				" bytes do not fit before byte %" PRIu64,
				f->metadata_size, f->keyslots_size, shift),
			"use a smaller --luks2-keyslots-size or a larger --reduce-device-size");
	return 0;
}

/* The cheapest derivation, as far as the options leave it open. */
static void make_cheap(struct coffer_luks2_format *f)
{
	const bool pbkdf2 = strcmp(coffer_luks2_pbkdf(f), "pbkdf2") == 0;

	if (!f->pbkdf_iterations)
		f->pbkdf_iterations = pbkdf2 ? 1000 : 4;
	if (!f->pbkdf_memory && !pbkdf2)
		f->pbkdf_memory = 64;
}

/* Without a fixed number of iterations libcryptsetup leaves some of it to its benchmark. */
int coffer_new_header_check_options(const struct coffer_luks2_format *f, struct coffer_err *e)
{
	struct coffer_luks2_format cheap = *f;
	int r;

	make_cheap(&cheap);
	r = coffer_luks2_check_format(&cheap, e);
	if (r == -EINVAL || r == -ENOTSUP || r == -ENOENT)
		coffer_err_outcome(e, COFFER_USAGE);
	return r;
}

int coffer_new_header_build(struct coffer_session *s, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, int *ret_fd, struct coffer_err *e)
{
	const struct coffer_luks2_layout layout = {
		.device_size = g->device, .data_offset = g->shift, .sector_size = g->sector_size};
	const struct coffer_stop stop = coffer_session_stop(s);
	_cleanup_close_ int fd = -1;
	int r;

	coffer_session_progress(s, COFFER_PHASE_DERIVE, 0, 0);
	r = coffer_luks2_build(f, &layout, s->own.passphrase, &stop, &fd, e);
	if (r == -EINTR)
		return coffer_session_check_stop(s, e);
	if (r < 0)
		return r;
	r = coffer_session_unlock_fd(s, fd, e);
	if (r < 0)
		return r;
	r = coffer_image_check(fd, g, s->own.key, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "the new LUKS2 header could not be resumed");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int coffer_new_header_try(struct coffer_session *s, struct coffer_luks2_format f,
	const struct coffer_geometry *g, int *ret_fd, struct coffer_err *e)
{
	int r;

	r = coffer_secret_new(16, &s->own.passphrase, e);
	if (r < 0)
		return r;
	make_cheap(&f);
	return coffer_new_header_build(s, &f, g, ret_fd, e);
}
