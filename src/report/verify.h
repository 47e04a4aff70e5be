/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.h - what one verification carries from check to check */
#pragma once
#include "base/secret.h"
#include "coffer/verify.h"
#include "convert/disk.h"
#include "convert/moved_segment.h"
#include "convert/volume.h"
#include "fs/signatures.h"
#include "io/child.h"
#include "luks2/keyslots.h"

struct coffer_verifier {
	const struct coffer_verify_options *o;
	struct coffer_dev *dev; /* opened for reading */
	struct coffer_verification *v;
	struct coffer_disk disk;
	struct coffer_moved_segment segment;
	struct coffer_stop stop;
	struct coffer_keys keys;
	char device[300];	      /* quoted for a shell */
	int header;		      /* a memfd with the header and the keyslots area; -1: none */
	struct coffer_err header_why; /* why there is none, although there is a header */
	bool usable;		      /* libcryptsetup accepts it */
	struct coffer_secret *passphrase;
	struct coffer_secret *key;     /* the volume key, once a keyslot or token gave it */
	struct coffer_volume volume;   /* where the key reads it: xts is set */
	struct coffer_content content; /* of the volume, or of a plain disk */
	bool have_content;
	struct coffer_fs fs;
	bool busy; /* somebody is at work on it: what is read may be half old */
};

/* Add a check; -ENOMEM with @e set. */
int coffer_verify_add(struct coffer_verifier *s, enum coffer_finding_id id,
	enum coffer_verdict verdict, struct coffer_err *e, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* -EINTR, outcome INTERRUPTED, when the caller wants to stop. */
int coffer_verify_stopped(struct coffer_verifier *s, struct coffer_err *e);

/* Copy the header of the examined disk to memory, under the lock of its metadata where that can be
 * had. *ret_changed: it is not the one that was examined any more; look again. */
int coffer_verify_copy_header(struct coffer_verifier *s, bool *ret_changed, struct coffer_err *e);

/* "header-primary", "header-secondary", "metadata", "conversion": what needs no key. */
int coffer_verify_header(struct coffer_verifier *s, struct coffer_err *e);
/* "keyslot", "token", "digest", "volume-key": sets s->key if one was proven. */
int coffer_verify_keys(struct coffer_verifier *s, struct coffer_err *e);
/* "filesystem", "filesystem-end", "record", "image", "moved-segment-copy", "wipe-pending" */
int coffer_verify_content(struct coffer_verifier *s, struct coffer_err *e);
/* "check-filesystem" */
int coffer_verify_checker(struct coffer_verifier *s, struct coffer_err *e);
