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
	struct coffer_status *status;
	struct coffer_findings checks;
	struct coffer_disk disk;
	struct coffer_moved_segment segment;
	struct coffer_stop stop;
	struct coffer_keys keys;
	int header;		      /* a memfd with the header and the keyslots area; -1: none */
	struct coffer_err header_why; /* why there is none, although there is a header */
	bool usable;		      /* libcryptsetup accepts it */
	struct coffer_secret *passphrase;
	struct coffer_secret *key;     /* the volume key, once a keyslot or token gave it */
	struct coffer_volume volume;   /* if the key reads it: xts is set */
	struct coffer_content content; /* of the volume, or of a plain disk */
	bool have_content;
	struct coffer_fs fs;
	bool busy; /* a holder changes it: what is read may be out of date */
};

/* These return 0, or -errno with @e set; but -ENOMEM of a finding leaves @e as it is. */

/* -EINTR, outcome INTERRUPTED: the caller wants to stop. */
int coffer_verify_stopped(struct coffer_verifier *s, struct coffer_err *e);

/* "keyslot", "token", "digest", "volume-key": sets s->key if one is confirmed */
int coffer_verify_keys(struct coffer_verifier *s, struct coffer_err *e);
/* "segment", "filesystem", "filesystem-end", "record", "image", "moved-segment-copy" */
int coffer_verify_content(struct coffer_verifier *s, struct coffer_err *e);
/* "check-filesystem" */
int coffer_verify_checker(struct coffer_verifier *s, struct coffer_err *e);
