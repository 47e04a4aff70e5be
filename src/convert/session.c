/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* session.c - one run of encrypt, abort or repair: request, resources, state, result */
#include "convert/session.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/names.h"
#include "block/open.h"
#include "luks2/libcryptsetup.h"
#include "luks2/reencrypt_digest.h"

DEFINE_NAMES(coffer_phase_name, enum coffer_phase,
	COFFER_N_PHASES, [COFFER_PHASE_PREPARE] = "prepare", [COFFER_PHASE_DERIVE] = "derive",
	[COFFER_PHASE_PLACE] = "place", [COFFER_PHASE_CONVERT] = "convert",
	[COFFER_PHASE_FINALIZE] = "finalize", [COFFER_PHASE_UNDO] = "undo")

DEFINE_NAMES(coffer_used_only_name, enum coffer_used_only, COFFER_N_USED_ONLY,
	[COFFER_USED_AUTO] = "auto", [COFFER_USED_YES] = "yes", [COFFER_USED_NO] = "no")

DEFINE_NAMES(coffer_free_space_name, enum coffer_free_space,
	COFFER_N_FREE_SPACE, [COFFER_FREE_DEFAULT] = "default", [COFFER_FREE_KEEP] = "keep",
	[COFFER_FREE_DISCARD] = "discard", [COFFER_FREE_FILL] = "fill")

void coffer_session_progress(
	struct coffer_session *s, enum coffer_phase phase, uint64_t done, uint64_t total)
{
	const struct coffer_progress p = {
		.phase = phase, .done = done, .total = total, .moved = s->result->moved};

	if (s->o->callbacks.progress)
		s->o->callbacks.progress(s->o->callbacks.userdata, &p);
}

int coffer_session_check_stop(struct coffer_session *s, struct coffer_err *e)
{
	if (!s->o->callbacks.stop || !s->o->callbacks.stop(s->o->callbacks.userdata))
		return 0;
	(void)coffer_err_set(e, EINTR, "stopped on request");
	if (!s->changed)
		coffer_err_append(e, "; this run has not changed %s", s->dev->name);
	coffer_err_outcome(e, COFFER_INTERRUPTED);
	return coffer_err_id(e, -EINTR, COFFER_FINDING_STOPPED);
}

int coffer_session_ask(struct coffer_session *s, enum coffer_ask why, struct coffer_err *e)
{
	const struct coffer_encrypt_callbacks *ask = &s->o->callbacks;
	_cleanup_secret_ struct coffer_secret *pass = NULL;
	int r;

	if (s->own.passphrase)
		return 0;
	if (!ask->passphrase)
		return coffer_err_set(e, EINVAL, "no passphrase callback");
	r = coffer_secret_new(COFFER_MAX_PASSPHRASE, &pass, e);
	if (r < 0)
		return r;
	r = ask->passphrase(ask->userdata, why, pass->data, pass->capacity, e);
	if (r < 0)
		return r;
	if (r == 0 && why == COFFER_ASK_NEW)
		return coffer_err_set(e, EINVAL, "an empty passphrase protects nothing");
	pass->size = (size_t)r;
	s->own.passphrase = TAKE_PTR(pass);
	return 0;
}

/* The outcome of taking a lock. Without access to the locks an image file is converted all the
 * same, and the result says so. */
static int accept_no_lock(
	struct coffer_session *s, int r, const struct coffer_err *why, struct coffer_err *e)
{
	if (r >= 0)
		return 0;
	if (!coffer_err_is_no_access(r) || s->dev->is_block)
		return coffer_err_pass(e, r, why);
	s->result->unlocked_run = true;
	return 0;
}

int coffer_session_lock(struct coffer_session *s, const char *uuid, struct coffer_err *e)
{
	struct coffer_err why = {0};
	int r;

	if (s->own.reencryption)
		return 0;
	r = coffer_lock_reencryption(s->dev, uuid, &s->own.reencryption, &why);
	return accept_no_lock(s, r, &why, e);
}

int coffer_session_lock_volume(struct coffer_session *s, const char *uuid, struct coffer_err *e)
{
	int r;

	if (!uuid || s->own.reencryption)
		return 0;
	r = coffer_session_lock(s, uuid, e);
	return r < 0 ? r : coffer_disk_examine(s->dev, &s->disk, e);
}

int coffer_session_lock_derivation(
	struct coffer_session *s, struct coffer_lock **ret, struct coffer_err *e)
{
	struct coffer_err why = {0};

	*ret = NULL;
	if (!s->o->serialize_memory_hard_pbkdf)
		return 0;
	return accept_no_lock(s, coffer_lock_memory_hard(s->dev, ret, &why), &why, e);
}

int coffer_session_unlock_fd(struct coffer_session *s, int fd, struct coffer_err *e)
{
	const int r = coffer_luks2_unlock(fd, s->own.passphrase, &s->own.key, e);

	return r == -EPERM ? coffer_err_wrap(e, r, "%s", s->dev->name) : r;
}

/* Another program may change keyslots between two commits: they are copied under the lock. */
static int copy_header(struct coffer_session *s, int *ret_fd, struct coffer_err *e)
{
	const uint64_t limit = s->disk.facts.conversion.geometry.shift;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	const int r = coffer_lock_metadata(s->dev, false, &lock, e);

	return r < 0 ? r : coffer_header_memfd(s->dev, s->disk.header, limit, ret_fd, e);
}

static int derive(struct coffer_session *s, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	r = copy_header(s, &fd, e);
	if (r < 0)
		return r;
	r = coffer_session_ask(s, COFFER_ASK_EXISTING, e);
	if (r < 0)
		return r;
	r = coffer_session_lock_derivation(s, &lock, e);
	if (r < 0)
		return r;
	coffer_session_progress(s, COFFER_PHASE_DERIVE, 0, 0);
	return coffer_session_unlock_fd(s, fd, e);
}

int coffer_session_unlock(struct coffer_session *s, struct coffer_err *e)
{
	const int r = s->own.key ? 0 : derive(s, e);

	return r < 0 ? r
		     : coffer_reencrypt_digest_verify(
			       s->disk.header->json, s->own.key->data, s->own.key->size, e);
}

void coffer_result_set_geometry(
	struct coffer_encrypt_result *ret, const struct coffer_geometry *g, const char *cipher)
{
	ret->device_size = g->device;
	ret->data_offset = g->shift;
	ret->data_size = g->length;
	ret->sector_size = g->sector_size;
	(void)snprintf(ret->cipher, sizeof(ret->cipher), "%s", cipher);
}

void coffer_resources_free(struct coffer_resources *own)
{
	coffer_lock_free(own->reencryption);
	coffer_secret_free(own->passphrase);
	coffer_secret_free(own->key);
	coffer_stored_map_free(own->stored);
	*own = (struct coffer_resources){0};
}

int coffer_session_run(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	coffer_session_work work, struct coffer_encrypt_result *ret, struct coffer_err *e)
{
	struct coffer_encrypt_result result = {0};
	struct coffer_session s = {.o = o, .result = &result, .dev = dev};
	struct coffer_err why = {0};
	int r = 0;

	if (!dev)
		r = coffer_dev_open(o->device, &s.dev, &why);
	if (r == 0) {
		r = work(&s, &why);
		result.flushes = s.dev->flushes;
		result.changed = s.changed;
	}
	if (r < 0 && s.changed && (why.outcome == COFFER_FAILED || why.outcome == COFFER_REFUSED))
		why.outcome = COFFER_INTERRUPTED;
	coffer_disk_reset(&s.disk);
	coffer_resources_free(&s.own);
	coffer_dev_close(s.dev);
	if (ret)
		*ret = result;
	return r < 0 ? coffer_err_default(e, coffer_err_pass(e, r, &why)) : r;
}
