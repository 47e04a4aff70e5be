/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.h - one run of encrypt, abort or repair: request, resources, state, result */
#pragma once
#include "base/secret.h"
#include "coffer/encrypt.h"
#include "convert/disk.h"
#include "convert/stored_map.h"
#include "io/child.h"
#include "luks2/locks.h"

/* With the other secrets it fits the smallest usual limit on locked memory, 64 KiB. */
enum {
	COFFER_MAX_PASSPHRASE = 32 << 10
};

/* What a run acquires, and coffer_resources_free frees. */
struct coffer_resources {
	struct coffer_lock *reencryption; /* of disk.header's UUID, once there is one */
	struct coffer_secret *passphrase; /* once asked for */
	struct coffer_secret *key;	  /* volume key, once unlocked */
	struct coffer_stored_map *stored; /* the used map, and in free_space how this run handles
					   * unused blocks; NULL: everything counts as used */
};
void coffer_resources_free(struct coffer_resources *own);

struct coffer_session {
	const struct coffer_encrypt_options *o; /* the request, with its callbacks */
	struct coffer_dev *dev;			/* open for the whole run */
	struct coffer_resources own;
	struct coffer_encrypt_result *result;
	struct coffer_disk disk; /* as examined last */
	bool changed;		 /* this run has written: a failure leaves an interrupted disk */
	bool converted; /* this run did the last step, and has had exclusive access since */
};

/* What counts as used; NULL: everything. */
static inline const struct coffer_used_map *coffer_session_map(const struct coffer_session *s)
{
	return s->own.stored ? s->own.stored->map : NULL;
}

void coffer_session_progress(
	struct coffer_session *s, enum coffer_phase phase, uint64_t done, uint64_t total);
/* The caller's stop callback, for calls that take a while. */
static inline struct coffer_stop coffer_session_stop(const struct coffer_session *s)
{
	return (struct coffer_stop){s->o->callbacks.stop, s->o->callbacks.userdata};
}
/* -EINTR with outcome INTERRUPTED when the caller wants to stop; else 0. */
int coffer_session_check_stop(struct coffer_session *s, struct coffer_err *e);

/* Ask for the passphrase, once in a run. */
int coffer_session_ask(struct coffer_session *s, enum coffer_ask why, struct coffer_err *e);
/* Take the reencryption lock of volume @uuid unless it is held; see result.unlocked_run. */
int coffer_session_lock(struct coffer_session *s, const char *uuid, struct coffer_err *e);
/* The same, and examine the disk again unless it was held: the run that held it until now may have
 * moved the pointer. Without @uuid there is nothing to lock. */
int coffer_session_lock_volume(struct coffer_session *s, const char *uuid, struct coffer_err *e);
/* This machine's lock for key derivations if the options ask for it; else *ret is NULL. No other
 * lock may be held. */
int coffer_session_lock_derivation(
	struct coffer_session *s, struct coffer_lock **ret, struct coffer_err *e);
/* Unlock the header of the examined disk, and verify its reencryption metadata with the key. */
int coffer_session_unlock(struct coffer_session *s, struct coffer_err *e);
/* The same for a header in a memfd. */
int coffer_session_unlock_fd(struct coffer_session *s, int fd, struct coffer_err *e);

void coffer_result_set_geometry(
	struct coffer_encrypt_result *ret, const struct coffer_geometry *g, const char *cipher);

/* Run @work on @dev, or on the device of @o where it is NULL. Closes it, fills @ret, on failure,
 * too. A failure after its first write gets outcome INTERRUPTED unless @work set a worse one. */
typedef int (*coffer_session_work)(struct coffer_session *s, struct coffer_err *e);
int coffer_session_run(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	coffer_session_work work, struct coffer_encrypt_result *ret, struct coffer_err *e);
