/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.c - the public status, of a device that is open already */
#include "report/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/json.h"
#include "base/quote.h"
#include "block/holders.h"
#include "convert/moved_segment_read.h"
#include "convert/preflight.h"
#include "convert/stage.h"
#include "convert/stored_map_read.h"
#include "fs/signatures.h"
#include "luks2/lock_name.h"
#include "luks2/locks.h"

enum {
	MAX_LOOKS = 20 /* at a disk that changes meanwhile */
};

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);
#define _cleanup_status_ _cleanup_(cleanup_status)

void coffer_status_free(struct coffer_status *s)
{
	if (!s)
		return;
	free(s->device);
	free(s->holders);
	free(s);
}

bool coffer_status_is_busy(const struct coffer_status *s)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind != COFFER_HOLDER_PROCESS || s->holders[i].writes)
			return true;
	return false;
}

static void say_why(struct coffer_status *s, const char *text)
{
	(void)snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(s->why) - 1, text);
}

/* Only the reserve is too large for the room there is. */
static bool only_room_is_missing(const struct coffer_findings *preflight)
{
	const struct coffer_finding *room = coffer_findings_find(preflight, COFFER_FINDING_RESERVE);

	return room && room->verdict == COFFER_VERDICT_BAD &&
	       coffer_findings_count(preflight, COFFER_VERDICT_BAD) == 1;
}

/* Ask the guards, with the usual reserve, then with the smaller ones that a person could ask for.
 */
static int ask_preflight(struct coffer_dev *dev, struct coffer_preflight *g,
	struct coffer_findings *first, struct coffer_plain_facts *plain, uint64_t *ret_reserve,
	struct coffer_err *e)
{
	struct coffer_encrypt_options o = {.device = dev->name};
	int r;

	*g = (struct coffer_preflight){.dev = dev, .o = &o};
	r = coffer_preflight_list(g, true, first, e);
	plain->ready = r == 0 && coffer_findings_count(first, COFFER_VERDICT_BAD) == 0;
	if (r < 0 || !only_room_is_missing(first))
		return r;
	for (o.reserve = COFFER_RESERVE / 2; o.reserve >= 2 * COFFER_MIN_SHIFT && !plain->ready;
		o.reserve /= 2) {
		_cleanup_(coffer_findings_free) struct coffer_findings preflight = {0};

		*g = (struct coffer_preflight){.dev = dev, .o = &o};
		r = coffer_preflight_list(g, true, &preflight, e);
		if (r < 0)
			return r;
		plain->ready = coffer_findings_count(&preflight, COFFER_VERDICT_BAD) == 0;
		*ret_reserve = plain->ready ? o.reserve : 0;
	}
	return 0;
}

/* A disk on which nothing of a conversion was found: what is on it, and may it be encrypted? */
static int look_at_plain(struct coffer_dev *dev, struct coffer_status *s,
	const struct coffer_moved_segment *v, struct coffer_plain_facts *plain,
	uint64_t *ret_reserve, struct coffer_err *e)
{
	_cleanup_(coffer_findings_free) struct coffer_findings preflight = {0};
	struct coffer_preflight g;
	char why[sizeof(s->why)];
	int r;

	r = ask_preflight(dev, &g, &preflight, plain, ret_reserve, e);
	if (r < 0)
		return r;
	(void)snprintf(s->filesystem, sizeof(s->filesystem), "%s", g.content.type);
	plain->luks = g.content.luks;
	plain->luks2 = g.content.luks2;
	plain->torn = coffer_moved_segment_is_torn(v, why, sizeof(why));
	for (size_t i = 0; i < preflight.n && !plain->ready && !s->why[0]; i++)
		if (preflight.items[i].verdict == COFFER_VERDICT_BAD)
			say_why(s, preflight.items[i].text);
	if (plain->torn) {
		(void)snprintf(s->why, sizeof(s->why),
			"its first bytes are half overwritten with a LUKS2 header; a whole copy of "
			"them lies at byte %" PRIu64,
			coffer_segment_copy_offset(&v->geometry));
	} else if (coffer_moved_segment_is_ambiguous(v, why, sizeof(why))) {
		plain->torn = true;
		say_why(s, why);
	} else if (plain->luks && !plain->luks2) {
		s->filesystem[0] = s->why[0] = '\0';
		s->luks_version = 1;
	} else if (plain->ready && s->filesystem[0] == '\0') {
		(void)snprintf(
			s->filesystem, sizeof(s->filesystem), "%s", coffer_fs_name(g.fs.kind));
	}
	return 0;
}

/* What the header tells of. A volume that is not under way has one crypt segment. */
static void tell_header(struct coffer_status *s, const struct coffer_disk *disk)
{
	const struct coffer_facts *f = &disk->facts;
	struct json_object *segment =
		coffer_json_object(coffer_json_object(disk->header->json, "segments"), "0");
	const char *cipher = coffer_json_string(segment, "encryption");

	s->luks_version = 2;
	(void)snprintf(s->uuid, sizeof(s->uuid), "%s", disk->header->uuid);
	if (f->kind_error < 0 || f->kind == COFFER_LUKS2_OTHER) {
		say_why(s, f->kind_reason.msg);
	} else if (f->kind == COFFER_LUKS2_CONVERTING) {
		const struct coffer_conversion *c = &f->conversion;

		(void)snprintf(s->cipher, sizeof(s->cipher), "%s", c->cipher);
		s->device_size = c->geometry.device;
		s->data_offset = c->geometry.shift;
		s->data_size = c->geometry.length;
		s->sector_size = c->geometry.sector_size;
	} else if (cipher) {
		(void)snprintf(s->cipher, sizeof(s->cipher), "%s", cipher);
		if (coffer_json_u64s(segment, "offset", &s->data_offset) < 0)
			s->data_offset = 0;
		if (coffer_json_u32(segment, "sector_size", &s->sector_size) < 0)
			s->sector_size = 0;
	}
}

/* In the bytes that a run counts. A map of what is used that cannot be read is one that no run
 * follows: then all bytes count. But a repair that is about to write ends at a failed read (law 4).
 */
static int read_progress(
	struct coffer_status *s, const struct coffer_disk *disk, struct coffer_err *e)
{
	const struct coffer_conversion *c = &disk->facts.conversion;
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	struct coffer_err why = {0};
	int r;

	if (!coffer_disk_is_converting(disk))
		return 0;
	/* A run may change the map meanwhile. */
	r = disk->unlocked ? 0 : coffer_lock_metadata(disk->dev, false, &lock, e);
	if (r < 0)
		return r;
	r = coffer_progress_read(disk, &s->converted, &s->total, &why);
	if (r < 0 && (r == -ENOMEM || !disk->dev->read_only))
		return coffer_err_pass(e, r, &why);
	if (r < 0) {
		s->total = c->geometry.length;
		s->converted = s->total - c->pointer;
	}
	return 0;
}

static void tell_transition(struct coffer_status *s, const struct coffer_facts *f)
{
	const struct coffer_geometry *g = &f->transition.geometry;

	(void)snprintf(s->uuid, sizeof(s->uuid), "%s", f->transition.uuid);
	s->device_size = g->device;
	s->data_offset = g->shift;
	s->data_size = g->length;
	s->sector_size = g->sector_size;
}

/* Placed, and yet nobody may go on, or back: see convert/moved_segment_refuse.c. */
static bool is_placed_in_part(const struct coffer_moved_segment *v, struct coffer_status *s)
{
	char why[sizeof(s->why)];

	if (coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why))) {
		s->can_abort = false;
		say_why(s, why);
		return true;
	}
	if (v->keyslot_torn)
		say_why(s, "a keyslot of its header is half written, so no key opens it");
	return v->keyslot_torn;
}

static void tell_facts(struct coffer_status *s, const struct coffer_disk *disk)
{
	const struct coffer_facts *f = &disk->facts;

	s->operation = disk->operation;
	s->can_abort = coffer_can_abort(disk->operation, f);
	s->locked = !disk->unlocked;
	if (disk->header)
		tell_header(s, disk);
	else if (f->header.newest < 0 && f->transition_error == 0)
		tell_transition(s, f);
	if (disk->operation == COFFER_OP_DAMAGED)
		say_why(s, disk->why);
	if (disk->operation == COFFER_OP_SHRUNK)
		(void)snprintf(s->why, sizeof(s->why),
			"it has %" PRIu64 " bytes now, but holds a conversion of %" PRIu64
			" bytes; give it its size back",
			s->size, s->device_size);
	if (disk->header && !f->header.agree && !s->why[0])
		say_why(s, "one of the two header copies is torn or behind the other");
}

static int read_holders(struct coffer_dev *dev, struct coffer_status *s, struct coffer_err *e)
{
	char lock_path[COFFER_LOCK_PATH];
	struct coffer_holders holders = {0};
	struct stat st;
	int r;

	if (dev->fd < 0) /* a device of a test's own */
		return 0;
	if (fstat(dev->fd, &st) < 0)
		return coffer_err_errno(e, errno, "look at %s", dev->name);
	coffer_lock_path_reencryption(s->uuid, lock_path);
	r = coffer_holders_find(&st, lock_path, &holders, e);
	if (r < 0)
		return r;
	s->holders = holders.items;
	s->n_holders = holders.n;
	s->holders_complete = holders.complete;
	return 0;
}

/* A command for a shell, or none where the name is too long for it: half a name is another one. */
static void set_next(struct coffer_status *s, const char *command, const char *name)
{
	char word[sizeof(s->next)];
	const bool cut = strlen(name) >= sizeof(s->holders->name) - 1 && name != s->device;
	int n;

	coffer_quote(name, word, sizeof(word));
	n = snprintf(s->next, sizeof(s->next), "%s %s", command, word);
	if (cut || strlen(word) < strlen(name) || n < 0 || (size_t)n >= sizeof(s->next))
		s->next[0] = '\0';
}

/* Somebody who has to go before coffer can work, and the command that makes him go, if one does. */
static bool tell_blocker(struct coffer_status *s, const struct coffer_holder *u)
{
	char why[sizeof(s->why)] = "", command[64];

	switch (u->kind) {
	case COFFER_HOLDER_REENCRYPTION:
		(void)snprintf(why, sizeof(why), "process %d (%s) is converting it right now",
			(int)u->pid, u->name);
		break;
	case COFFER_HOLDER_MOUNT:
		(void)snprintf(why, sizeof(why), "it is mounted on %s", u->name);
		if (u->pid == 0) {
			set_next(s, "umount", u->name);
			break;
		}
		(void)snprintf(why, sizeof(why),
			"it is mounted on %s in the mount namespace of process %d", u->name,
			(int)u->pid);
		(void)snprintf(command, sizeof(command), "nsenter --target %d --mount umount",
			(int)u->pid);
		set_next(s, command, u->name);
		break;
	case COFFER_HOLDER_SWAP:
		(void)snprintf(why, sizeof(why), "it is in use as swap");
		set_next(s, "swapoff", u->name);
		break;
	case COFFER_HOLDER_DEVICE:
		(void)snprintf(why, sizeof(why), "the block device %s stands on it", u->name);
		break;
	case COFFER_HOLDER_LOOP:
		(void)snprintf(why, sizeof(why), "it is attached to %s", u->name);
		set_next(s, "losetup -d", u->name);
		break;
	case COFFER_HOLDER_PROCESS:
	case COFFER_N_HOLDER_KINDS:
		return false;
	}
	if (!s->why[0])
		say_why(s, why);
	return true;
}

/* The users on top come last in the list, and have to go first. */
static void tell_next(struct coffer_status *s, enum coffer_next next, uint64_t reserve)
{
	char command[96];
	const bool works = next == COFFER_NEXT_ENCRYPT || next == COFFER_NEXT_ABORT ||
			   next == COFFER_NEXT_REPAIR || next == COFFER_NEXT_STOCK_RESUME ||
			   next == COFFER_NEXT_STOCK_REPAIR;

	for (size_t i = 0; i < s->n_holders && works; i++)
		if (s->holders[i].kind == COFFER_HOLDER_REENCRYPTION &&
			tell_blocker(s, &s->holders[i]))
			return;
	for (size_t i = s->n_holders; i > 0 && works; i--)
		if (tell_blocker(s, &s->holders[i - 1]))
			return;
	if (next == COFFER_NEXT_NOTHING)
		return;
	(void)snprintf(command, sizeof(command), "%s", coffer_next_command(next));
	if (next == COFFER_NEXT_STOCK_RESUME && !s->is_block)
		(void)snprintf(command, sizeof(command), "%s --force-offline-reencrypt",
			coffer_next_command(next));
	if (reserve && (next == COFFER_NEXT_ENCRYPT || next == COFFER_NEXT_PLAN))
		(void)snprintf(command, sizeof(command), "%s --reduce-device-size %" PRIu64 "M",
			coffer_next_command(next), reserve >> 20);
	set_next(s, command, s->device);
}

/* Is there, by now, something where nothing was? The guards look without a lock, and what somebody
 * has just placed would be a header without facts to them. */
static int has_begun(struct coffer_dev *dev, bool *ret, struct coffer_err *e)
{
	struct coffer_disk now = {0};
	const int r = coffer_disk_examine(dev, &now, e);

	*ret = r == 0 && now.operation != COFFER_OP_START;
	coffer_disk_reset(&now);
	return r;
}

/* Facts, evidence and guards of one and the same disk. */
static int look(struct coffer_dev *dev, struct coffer_status *s, struct coffer_disk *disk,
	struct coffer_moved_segment *v, struct coffer_plain_facts *plain, uint64_t *ret_reserve,
	struct coffer_err *e)
{
	bool again = true;
	int r = 0;

	for (int i = 0; i < MAX_LOOKS && again && r == 0; i++) {
		again = false;
		*ret_reserve = 0; /* the usual */
		*plain = (struct coffer_plain_facts){0};
		s->filesystem[0] = s->why[0] = '\0';
		s->luks_version = 0;
		r = coffer_disk_examine(dev, disk, e);
		if (r == 0)
			r = coffer_moved_segment_read(disk, v, e);
		if (r < 0 || disk->operation != COFFER_OP_START)
			return r;
		r = look_at_plain(dev, s, v, plain, ret_reserve, e);
		if (r == 0)
			r = has_begun(dev, &again, e);
	}
	if (again)
		return coffer_err_set(e, EBUSY, "%s changes while it is read", dev->name);
	return r;
}

static int fill(struct coffer_dev *dev, struct coffer_status *s, struct coffer_disk *disk,
	struct coffer_moved_segment *v, struct coffer_err *e)
{
	struct coffer_plain_facts plain;
	uint64_t reserve;
	int r;

	s->device = strdup(dev->name);
	if (!s->device)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	s->size = dev->size;
	s->is_block = dev->is_block;
	r = look(dev, s, disk, v, &plain, &reserve, e);
	if (r < 0)
		return r;
	tell_facts(s, disk);
	r = read_progress(s, disk, e);
	if (r < 0)
		return r;
	s->stage = coffer_stage_of(disk->operation, &disk->facts, &plain);
	if (s->stage == COFFER_STAGE_PLACED && is_placed_in_part(v, s))
		s->stage = COFFER_STAGE_DAMAGED;
	r = read_holders(dev, s, e);
	if (r == 0)
		tell_next(s, coffer_next_of(s->stage, &disk->facts), reserve);
	return r;
}

int coffer_status_of(struct coffer_dev *dev, struct coffer_status **ret,
	struct coffer_disk *ret_disk, struct coffer_moved_segment *ret_segment,
	struct coffer_err *e)
{
	_cleanup_status_ struct coffer_status *s = calloc(1, sizeof(*s));
	struct coffer_moved_segment v = {0};
	struct coffer_disk disk = {0};
	int r;

	if (!s)
		return coffer_err_errno(e, ENOMEM, "look at %s", dev->name);
	r = fill(dev, s, &disk, &v, e);
	if (r < 0 || !ret_disk)
		coffer_disk_reset(&disk);
	if (r < 0)
		return r;
	if (ret_disk)
		*ret_disk = disk;
	if (ret_segment)
		*ret_segment = v;
	*ret = TAKE_PTR(s);
	return 0;
}

int coffer_status(const char *device, struct coffer_status **ret, struct coffer_err *e)
{
	_cleanup_dev_ struct coffer_dev *dev = NULL;
	int r;

	r = coffer_dev_open_reading(device, &dev, e);
	if (r == 0)
		r = coffer_status_of(dev, ret, NULL, NULL, e);
	return coffer_err_wrap(e, r, "status");
}
