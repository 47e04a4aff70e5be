/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h - what one run of encrypt or abort carries from stage to stage */
#pragma once
#include "base/secret.h"
#include "coffer/encrypt.h"
#include "convert/disk.h"
#include "convert/stored_map.h"
#include "luks2/locks.h"

/* The passphrase's buffer must fit the smallest usual limit on locked memory, 64 KiB, with the
 * other secrets beside it. */
enum {
	COFFER_MAX_PASSPHRASE = 32 << 10
};

struct coffer_session {
	const struct coffer_encrypt_options *o;
	struct coffer_encrypt_result *result;
	struct coffer_dev *dev;
	struct coffer_disk disk;
	struct coffer_lock *reencryption; /* of disk.header's UUID, once there is one */
	struct coffer_secret *passphrase; /* once asked for */
	struct coffer_secret *key;	  /* volume key, once unlocked */
	struct coffer_stored_map *stored; /* the used map, and in free_space what this run does with
					   * the rest; NULL: everything counts as used */
	bool read_only;			  /* a plan: nothing may be mounted */
	bool changed;	 /* this run has written: a failure leaves an interrupted disk */
	bool no_discard; /* the device cannot */
	bool converted;	 /* this run did the last step: nobody was on the device since */
};

/* What counts as used; NULL: everything. */
static inline const struct coffer_used_map *coffer_session_map(const struct coffer_session *s)
{
	return s->stored ? s->stored->map : NULL;
}

/* Call the caller's progress callback. */
void coffer_session_progress(
	struct coffer_session *s, enum coffer_phase phase, uint64_t done, uint64_t total);
/* -EINTR with outcome INTERRUPTED when the caller wants to stop; 0 otherwise. */
int coffer_session_check_stop(struct coffer_session *s, struct coffer_err *e);

/* Ask for the passphrase unless that was done. */
int coffer_session_ask(struct coffer_session *s, enum coffer_ask why, struct coffer_err *e);
/* Take the reencryption lock of volume @uuid unless it is held; see result.unlocked_run. */
int coffer_session_lock(struct coffer_session *s, const char *uuid, struct coffer_err *e);
/* Have this machine's lock for key derivations, if the options want that; *ret is NULL otherwise.
 * No other lock may be held. */
int coffer_session_lock_derivation(
	struct coffer_session *s, struct coffer_lock **ret, struct coffer_err *e);
/* Unlock the header of the examined disk, and verify its reencryption metadata with the key. */
int coffer_session_unlock(struct coffer_session *s, struct coffer_err *e);
/* The same for a header in a memfd. */
int coffer_session_unlock_fd(struct coffer_session *s, int fd, struct coffer_err *e);

/* Tell the result where everything lies. */
void coffer_session_note_geometry(
	struct coffer_session *s, const struct coffer_geometry *g, const char *cipher);
/* Open the device of @o, run @story, close everything, fill @ret and put @verb in front of an
 * error. A failure after the run's first write gets outcome INTERRUPTED unless it says otherwise.
 */
typedef int (*coffer_session_work)(struct coffer_session *s, struct coffer_err *e);
int coffer_session_run(const char *verb, const struct coffer_encrypt_options *o,
	coffer_session_work story, struct coffer_encrypt_result *ret, struct coffer_err *e);
/* The same on a device that is open; it is closed in any case. */
int coffer_session_run_dev(const char *verb, struct coffer_dev *dev,
	const struct coffer_encrypt_options *o, coffer_session_work story,
	struct coffer_encrypt_result *ret, struct coffer_err *e);
