/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.c - the stage of a disk, its holders and the next command */
#include "report/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/findings.h"
#include "base/json.h"
#include "base/quote.h"
#include "block/devices.h"
#include "block/holders.h"
#include "convert/moved_segment.h"
#include "convert/preflight.h"
#include "convert/stored_map.h"
#include "fs/signatures.h"
#include "luks2/lock_name.h"
#include "luks2/locks.h"

enum {
	MAX_READS = 20 /* of a disk that changes meanwhile */
};

DEFINE_CLEANUP(struct coffer_status *, status, coffer_status_free);

/* What was read of one and the same disk. */
struct reading {
	struct coffer_disk disk;
	struct coffer_moved_segment segment;
	struct coffer_plain_facts plain;
	uint64_t reserve; /* that fits on a plain disk; 0: the default */
};

void coffer_status_free(struct coffer_status *s)
{
	if (!s)
		return;
	free(s->device);
	free(s->holders);
	free(s->command);
	free(s);
}

bool coffer_status_is_busy(const struct coffer_status *s)
{
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i].kind != COFFER_HOLDER_PROCESS || s->holders[i].writes)
			return true;
	return false;
}

static void set_why(struct coffer_status *s, const char *text)
{
	(void)snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(s->why) - 1, text);
}

/* --- a plain disk --- */

/* The preflight checks with the default reserve, and with smaller ones if nothing else fails. The
 * first refusal is the reason. */
static int run_preflight(struct coffer_dev *dev, struct coffer_status *s, struct reading *f,
	struct coffer_preflight *g, struct coffer_err *e)
{
	for (uint64_t reserve = COFFER_RESERVE; reserve >= 2 * COFFER_MIN_SHIFT; reserve /= 2) {
		const struct coffer_encrypt_options o = {.device = dev->name, .reserve = reserve};
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
		const struct coffer_finding *too_large;
		int r;

		*g = (struct coffer_preflight){.dev = dev, .o = &o};
		r = coffer_preflight_list(g, true, &l, e);
		g->o = NULL;
		if (r < 0)
			return r;
		for (size_t i = 0; i < l.n && !s->why[0]; i++)
			if (l.items[i].verdict == COFFER_VERDICT_BAD)
				set_why(s, l.items[i].text);
		if (coffer_findings_count(&l, COFFER_VERDICT_BAD) == 0) {
			s->why[0] = '\0';
			f->plain.ready = true;
			f->reserve = reserve < COFFER_RESERVE ? reserve : 0;
			return 0;
		}
		too_large = coffer_findings_find(&l, COFFER_FINDING_RESERVE);
		if (!too_large || too_large->verdict != COFFER_VERDICT_BAD)
			return 0;
	}
	return 0;
}

static int read_plain(
	struct coffer_dev *dev, struct coffer_status *s, struct reading *f, struct coffer_err *e)
{
	const struct coffer_moved_segment *v = &f->segment;
	struct coffer_plain_facts *plain = &f->plain;
	struct coffer_preflight g;
	char why[sizeof(s->why)];
	int r;

	r = run_preflight(dev, s, f, &g, e);
	if (r < 0)
		return r;
	plain->luks = g.content.luks;
	plain->luks2 = g.content.luks2;
	plain->torn = coffer_moved_segment_is_torn(v, why, sizeof(why));
	(void)snprintf(s->filesystem, sizeof(s->filesystem), "%s", g.content.type);
	if (plain->torn) {
		set_why(s, why);
	} else if (coffer_moved_segment_is_ambiguous(v, why, sizeof(why))) {
		plain->torn = true;
		set_why(s, why);
	} else if (plain->luks && !plain->luks2) {
		s->filesystem[0] = s->why[0] = '\0';
		s->luks_version = 1;
	} else if (plain->ready && !s->filesystem[0]) {
		(void)snprintf(
			s->filesystem, sizeof(s->filesystem), "%s", coffer_fs_name(g.fs.kind));
	}
	return 0;
}

/* The preflight checks take no lock: what another program has just placed would be a header without
 * facts to them. */
static int has_begun(struct coffer_dev *dev, bool *ret, struct coffer_err *e)
{
	_cleanup_(coffer_disk_reset) struct coffer_disk now = {0};
	const int r = coffer_disk_examine(dev, &now, e);

	*ret = r == 0 && now.operation != COFFER_OP_START;
	return r;
}

/* Facts, moved-segment check and preflight checks of one and the same disk. */
static int read_disk(
	struct coffer_dev *dev, struct coffer_status *s, struct reading *f, struct coffer_err *e)
{
	for (int i = 0; i < MAX_READS; i++) {
		bool again = false;
		int r;

		f->reserve = 0;
		f->plain = (struct coffer_plain_facts){0};
		s->filesystem[0] = s->why[0] = '\0';
		s->luks_version = 0;
		r = coffer_disk_examine(dev, &f->disk, e);
		if (r == 0)
			r = coffer_moved_segment_read(&f->disk, &f->segment, e);
		if (r < 0 || f->disk.operation != COFFER_OP_START)
			return r;
		r = read_plain(dev, s, f, e);
		if (r == 0)
			r = has_begun(dev, &again, e);
		if (r < 0 || !again)
			return r;
	}
	return coffer_err_set(e, EBUSY, "%s keeps changing while it is read", dev->name);
}

/* --- a disk with a header --- */

static void set_geometry(struct coffer_status *s, const struct coffer_geometry *g)
{
	s->device_size = g->device;
	s->data_offset = g->shift;
	s->data_size = g->length;
	s->sector_size = g->sector_size;
}

static void set_header(struct coffer_status *s, const struct coffer_disk *disk)
{
	const struct coffer_facts *f = &disk->facts;
	/* A volume without a conversion has one crypt segment. */
	struct json_object *segment =
		coffer_json_object(coffer_json_object(disk->header->json, "segments"), "0");
	const char *cipher = coffer_json_string(segment, "encryption");

	s->luks_version = 2;
	(void)snprintf(s->uuid, sizeof(s->uuid), "%s", disk->header->uuid);
	if (f->kind_error < 0 || f->kind == COFFER_LUKS2_OTHER) {
		set_why(s, f->kind_reason.msg);
	} else if (f->kind == COFFER_LUKS2_CONVERTING) {
		(void)snprintf(s->cipher, sizeof(s->cipher), "%s", COFFER_CIPHER);
		set_geometry(s, &f->conversion.geometry);
	} else if (cipher) {
		(void)snprintf(s->cipher, sizeof(s->cipher), "%s", cipher);
		if (coffer_json_u64s(segment, "offset", &s->data_offset) < 0)
			s->data_offset = 0;
		if (coffer_json_u32(segment, "sector_size", &s->sector_size) < 0)
			s->sector_size = 0;
	}
}

static void set_facts(struct coffer_status *s, const struct coffer_disk *disk)
{
	const struct coffer_facts *f = &disk->facts;
	_cleanup_finding_ struct coffer_finding shrunk = {0};

	s->operation = disk->operation;
	s->can_abort = coffer_can_abort(disk->operation, f);
	s->locked = !disk->unlocked;
	if (disk->header) {
		set_header(s, disk);
	} else if (f->header.newest < 0 && f->transition_error == 0) {
		(void)snprintf(s->uuid, sizeof(s->uuid), "%s", f->transition.uuid);
		set_geometry(s, &f->transition.geometry);
	}
	if (disk->operation == COFFER_OP_DAMAGED)
		set_why(s, disk->why);
	/* The sentence of every other report, with the way out: no command is next. */
	else if (disk->operation == COFFER_OP_SHRUNK &&
		 coffer_operation_finding(disk->operation, f, s->device, "", &shrunk) == 0)
		(void)snprintf(
			s->why, sizeof(s->why), "%.300s; %.200s", shrunk.text, shrunk.advice);
	else if (disk->header && !f->header.agree && !s->why[0])
		set_why(s, "one of the two header copies is torn or out of date");
}

int coffer_status_progress(const struct coffer_disk *disk, uint64_t *ret_done, uint64_t *ret_total,
	struct coffer_err *e)
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
	r = coffer_progress_read(disk, ret_done, ret_total, &why);
	if (r == -ENOMEM || (r < 0 && !disk->dev->read_only))
		return coffer_err_pass(e, r, &why);
	if (r < 0) {
		*ret_total = c->geometry.length;
		*ret_done = *ret_total - c->pointer;
	}
	return 0;
}

/* Placed, but a run can neither resume nor undo it: see convert/moved_segment_read.c. */
static bool is_placed_in_part(const struct coffer_moved_segment *v, struct coffer_status *s)
{
	char why[sizeof(s->why)];

	if (coffer_moved_segment_copy_is_incomplete(v, why, sizeof(why))) {
		s->can_abort = false;
		set_why(s, why);
		return true;
	}
	if (v->keyslot_torn)
		set_why(s, "a keyslot of its header is torn, so no key opens it");
	return v->keyslot_torn;
}

/* --- holders, and the next command --- */

static int read_holders(struct coffer_dev *dev, struct coffer_status *s, struct coffer_err *e)
{
	char lock_path[COFFER_LOCK_PATH];
	struct coffer_holders holders = {0};
	struct stat st;
	int r;

	if (dev->fd < 0) /* a simulated device of a test */
		return 0;
	if (fstat(dev->fd, &st) < 0)
		return coffer_err_errno(e, errno, "examine %s", dev->name);
	coffer_lock_path_reencryption(s->uuid, lock_path);
	r = coffer_holders_find(&st, lock_path, &holders, e);
	if (r < 0)
		return r;
	s->holders = holders.items;
	s->n_holders = holders.n;
	s->holders_complete = holders.complete;
	return 0;
}

/* The next command; none if it is too long, or a name in it is @truncated: half a name is another
 * one. */
static int set_next(struct coffer_status *s, const char *const *words, bool truncated)
{
	if (truncated || !coffer_quote_words(words, s->next, sizeof(s->next))) {
		s->next[0] = '\0';
		return 0;
	}
	s->command = coffer_words_copy(words);
	return s->command ? 0 : -ENOMEM;
}

/* A converting process first; then the holders on top, which are the last in the list. */
static const struct coffer_holder *find_blocker(const struct coffer_status *s)
{
	const struct coffer_holder *u = coffer_status_holder(s, COFFER_HOLDER_REENCRYPTION);

	for (size_t i = s->n_holders; i > 0 && !u; i--)
		if (s->holders[i - 1].kind != COFFER_HOLDER_PROCESS)
			u = &s->holders[i - 1];
	return u;
}

/* The holder @u must go before coffer can run: as block/open.c says it, and with the command
 * that removes it, if there is one. */
static int set_blocker(struct coffer_status *s, const struct coffer_holder *u)
{
	static const struct {
		const char *text, *command, *option;
	} kinds[COFFER_N_HOLDER_KINDS] = {
		[COFFER_HOLDER_MOUNT] = {"mounted on ", "umount", NULL},
		[COFFER_HOLDER_SWAP] = {"in use as swap ", "swapoff", NULL},
		[COFFER_HOLDER_DEVICE] = {"in use by ", NULL, NULL},
		[COFFER_HOLDER_LOOP] = {"attached to ", "losetup", "-d"},
	};
	const bool elsewhere = u->kind == COFFER_HOLDER_MOUNT && u->pid > 0;
	char pid[16], why[sizeof(s->why)];
	const char *words[8] = {"nsenter", "--target", pid, "--mount"};
	size_t n = elsewhere ? 4 : 0;

	(void)snprintf(pid, sizeof(pid), "%d", (int)u->pid);
	if (u->kind == COFFER_HOLDER_REENCRYPTION)
		(void)snprintf(why, sizeof(why), "process %s (%s) is converting it", pid, u->name);
	else
		(void)snprintf(why, sizeof(why), "%s%s%s%s", kinds[u->kind].text, u->name,
			elsewhere ? " in the mount namespace of process " : "",
			elsewhere ? pid : "");
	if (!s->why[0])
		set_why(s, why);
	if (!kinds[u->kind].command)
		return 0;
	words[n++] = kinds[u->kind].command;
	if (kinds[u->kind].option)
		words[n++] = kinds[u->kind].option;
	words[n++] = u->name;
	words[n] = NULL;
	return set_next(s, words, strlen(u->name) >= sizeof(u->name) - 1);
}

static int set_next_command(struct coffer_status *s, enum coffer_next next, uint64_t reserve)
{
	const bool writes = next == COFFER_NEXT_ENCRYPT || next == COFFER_NEXT_ABORT ||
			    next == COFFER_NEXT_REPAIR || next >= COFFER_NEXT_STOCK_RESUME;
	const struct coffer_holder *u = writes ? find_blocker(s) : NULL;
	const char *words[COFFER_NEXT_WORDS];
	char size[32];
	size_t n;

	if (next == COFFER_NEXT_NOTHING)
		return 0;
	if (u)
		return set_blocker(s, u);
	n = coffer_next_words(next, words);
	if (reserve && (next == COFFER_NEXT_ENCRYPT || next == COFFER_NEXT_PLAN)) {
		(void)snprintf(size, sizeof(size), "%" PRIu64 "M", reserve >> 20);
		words[n++] = "--reduce-device-size";
		words[n++] = size;
	}
	words[n] = s->device;
	return set_next(s, words, false);
}

/* --- all of it --- */

static int fill(
	struct coffer_dev *dev, struct coffer_status *s, struct reading *f, struct coffer_err *e)
{
	int r;

	s->device = strdup(dev->name);
	if (!s->device)
		return coffer_err_errno(e, ENOMEM, "examine %s", dev->name);
	s->size = dev->size;
	s->is_block = dev->is_block;
	r = read_disk(dev, s, f, e);
	if (r < 0)
		return r;
	set_facts(s, &f->disk);
	r = coffer_status_progress(&f->disk, &s->converted, &s->total, e);
	if (r < 0)
		return r;
	s->stage = coffer_stage_of(f->disk.operation, &f->disk.facts, &f->plain);
	if (s->stage == COFFER_STAGE_PLACED && is_placed_in_part(&f->segment, s))
		s->stage = COFFER_STAGE_DAMAGED;
	r = read_holders(dev, s, e);
	if (r < 0)
		return r;
	r = set_next_command(s, coffer_next_of(s->stage, &f->disk.facts), f->reserve);
	return r < 0 ? coffer_err_errno(e, -r, "examine %s", dev->name) : 0;
}

int coffer_status_of(struct coffer_dev *dev, struct coffer_status **ret,
	struct coffer_disk *ret_disk, struct coffer_moved_segment *ret_segment,
	struct coffer_err *e)
{
	_cleanup_(cleanup_status) struct coffer_status *s = calloc(1, sizeof(*s));
	struct reading f = {0};
	int r;

	if (!s)
		return coffer_err_errno(e, ENOMEM, "examine %s", dev->name);
	r = fill(dev, s, &f, e);
	if (r < 0 || !ret_disk)
		coffer_disk_reset(&f.disk);
	if (r < 0)
		return r;
	if (ret_disk)
		*ret_disk = f.disk;
	if (ret_segment)
		*ret_segment = f.segment;
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
	return coffer_err_default(e, r);
}

int coffer_device_list(char ***ret, struct coffer_err *e)
{
	_cleanup_devices_ struct coffer_devices b = {0};
	const int r = coffer_devices_read("", &b, e);

	if (r < 0)
		return r;
	if (!ARRAY_ROOM(b.items, b.n))
		return coffer_err_errno(e, ENOMEM, "list the block devices");
	b.items[b.n] = NULL;
	*ret = TAKE_PTR(b.items);
	b.n = 0;
	return 0;
}

void coffer_device_list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}
