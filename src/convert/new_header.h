/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* new_header.h - the header that a conversion starts with: options, and the header in a memfd */
#pragma once
#include "convert/session.h"
#include "luks2/libcryptsetup.h"

/* What @o asks for, with defaults for the rest. Strings are borrowed from @o. */
struct coffer_luks2_format coffer_new_header_format(
	const struct coffer_encrypt_options *o, uint64_t shift);

/* The header must end before byte @shift, and suit coffer's engine and a resume. REFUSED. */
int coffer_new_header_check(
	const struct coffer_luks2_format *f, uint64_t shift, struct coffer_err *e);

/* Does libcryptsetup accept the options of @f that only it can judge? USAGE: no. */
int coffer_new_header_check_options(const struct coffer_luks2_format *f, struct coffer_err *e);

/* The header in a memfd, verified: the session's passphrase opens it, and coffer would resume it.
 * Does not write to the device. */
int coffer_new_header_build(struct coffer_session *s, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, int *ret_fd, struct coffer_err *e);

/* The same for a trial header of the same size, with a throw-away key and the cheapest derivation:
 * libcryptsetup judges every option. Sets the session's passphrase and key to those. */
int coffer_new_header_try(struct coffer_session *s, struct coffer_luks2_format f,
	const struct coffer_geometry *g, int *ret_fd, struct coffer_err *e);
