/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper_protocol.h - what the library and its helper program send to each other
 *
 * Both are of one build, so structures cross as they are. Size and version are checked, since an
 * old helper may be installed. The request comes first, then its secret; the reply comes first,
 * then its key. Secrets cross only the socket: they stay out of argv, environment and files, and
 * both ends keep them in locked memory. */
#pragma once
#include <stdint.h>

#include "coffer/err.h"
#include "luks2/libcryptsetup.h"

/* Descriptors of the helper. */
enum {
	COFFER_HELPER_SOCKET = 3,
	COFFER_HELPER_HEADER, /* memfd */
	COFFER_HELPER_DATA,   /* memfd: sparse, in place of the data device */
	COFFER_HELPER_END,    /* everything from here on is closed */
};

enum coffer_helper_job {
	COFFER_HELPER_BUILD = 1,    /* secret: passphrase; fills the header memfd */
	COFFER_HELPER_JUDGE,	    /* reply: 1 accepted, 0 refused */
	COFFER_HELPER_OPEN_SLOT,    /* number, secret: passphrase; reply: key */
	COFFER_HELPER_OPEN_TOKEN,   /* number; reply: keyslot and key */
	COFFER_HELPER_CHECK_KEY,    /* secret: key */
	COFFER_HELPER_CHECK_DIGEST, /* secret: key */
};

enum {
	COFFER_HELPER_MAX_SECRET = 1 << 24, /* bytes of a passphrase; cryptsetup's limit is 8 MiB */
};

struct coffer_helper_request {
	uint32_t size; /* of this structure */
	char version[28];
	uint32_t job;
	int32_t parent; /* process id: the helper ends with it */
	int32_t number;
	uint32_t secret_size;
	struct coffer_luks2_format format;
	struct coffer_luks2_layout layout;
};

struct coffer_helper_reply {
	int32_t r;
	uint32_t key_size;
	struct coffer_err e;
};
