/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header.c - both LUKS2 header copies of a disk in memory: judge, commit */
#include "luks2/header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/err.h"
#include "luks2/keyslots.h"
#include "luks2/libcryptsetup.h"
#include "luks2/locks.h"
#include "luks2/metadata.h"

enum {
	PIECE = 1 << 20,
};

/* --- judge them --- */

/* A foreign copy, at a place that the torn first copy does not name, is not this volume's. */
static void fill_facts(const struct coffer_luks2_copy *c, struct coffer_copy_facts *f)
{
	*f = (struct coffer_copy_facts){
		.magic = c->bin.copy_size > 0,
		.usable = c->accepted && !c->foreign,
		.refused = c->intact && !c->accepted,
		.seqid = c->bin.seqid,
	};
	memcpy(f->uuid, c->bin.uuid, sizeof(f->uuid));
	(void)snprintf(f->reason, sizeof(f->reason), "%s",
		c->foreign && c->accepted ? "of another volume" : c->reason);
}

/* With the same digests and segments it is one volume whose UUID cryptsetup was changing. */
static bool are_two_volumes(const struct coffer_copies *f, const struct coffer_luks2_copy c[2])
{
	return f->copy[0].usable && f->copy[1].usable &&
	       strcmp(c[0].bin.uuid, c[1].bin.uuid) != 0 &&
	       !(coffer_metadata_member_equal(c[0].json, c[1].json, "digests") &&
		       coffer_metadata_member_equal(c[0].json, c[1].json, "segments"));
}

void coffer_copies_judge(const struct coffer_luks2_copy c[2], struct coffer_copies *f)
{
	*f = (struct coffer_copies){0};
	for (int i = 0; i < 2; i++)
		fill_facts(&c[i], &f->copy[i]);
	/* As cryptsetup does: the higher sequence number, even of another volume. */
	f->newest = coffer_luks2_counts(c, (const bool[]){f->copy[0].usable, f->copy[1].usable});
	f->two_volumes = are_two_volumes(f, c);
	if (f->newest < 0)
		return;
	memcpy(f->uuid, c[f->newest].bin.uuid, sizeof(f->uuid));
	f->copy_size = c[f->newest].bin.copy_size;
	f->agree = f->copy[!f->newest].usable && coffer_luks2_copies_agree(c);
}

/* The newest copy as it is; the other one as read if it says the same, else built from it. */
static int make_header(const struct coffer_copies *f, struct coffer_header_copies *l,
	struct coffer_header *h, struct coffer_err *e)
{
	const int newest = f->newest, other = !newest;
	struct coffer_luks2_copy *c = l->copy;
	uint8_t salt[64];

	h->copy_size = f->copy_size;
	h->seqid = c[newest].bin.seqid;
	memcpy(h->uuid, f->uuid, sizeof(h->uuid));
	h->current[newest] = true;
	h->current[other] = f->agree;
	h->copy[newest] = TAKE_PTR(l->data[newest]);
	h->json = TAKE_PTR(c[newest].json);
	if (f->copy[other].usable)
		h->other_json = TAKE_PTR(c[other].json);
	if (f->agree) {
		h->copy[other] = TAKE_PTR(l->data[other]);
		return 0;
	}
	h->copy[other] = coffer_dev_buffer(h->copy_size);
	if (!h->copy[other])
		return coffer_err_errno(e, ENOMEM, "build a LUKS2 header copy");
	if (coffer_random(salt, sizeof(salt)) < 0 ||
		coffer_luks2_copy_other(h->copy[newest], h->copy[other], salt) < 0)
		return coffer_err_set(e, EIO, "libcrypto failed to build a LUKS2 header copy");
	return 0;
}

int coffer_header_read(struct coffer_dev *d, struct coffer_copies *f, struct coffer_header **ret,
	struct coffer_err *e)
{
	_cleanup_header_copies_ struct coffer_header_copies l = {0};
	_cleanup_header_ struct coffer_header *h = calloc(1, sizeof(*h));
	int r;

	*f = (struct coffer_copies){.newest = -1};
	*ret = NULL;
	if (!h)
		return coffer_err_errno(e, ENOMEM, "read the LUKS2 header of %s", d->name);
	r = coffer_header_copies_read_once(d, &l, e);
	if (r < 0)
		return r;
	coffer_copies_judge(l.copy, f);
	if (f->newest < 0)
		return 0;
	r = make_header(f, &l, h, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(h);
	return 0;
}

/* --- in memory --- */

struct coffer_header *coffer_header_new(uint64_t copy_size)
{
	struct coffer_header *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->copy_size = copy_size;
	h->copy[0] = coffer_dev_buffer(copy_size);
	h->copy[1] = coffer_dev_buffer(copy_size);
	if (h->copy[0] && h->copy[1])
		return h;
	coffer_header_free(h);
	return NULL;
}

void coffer_header_free(struct coffer_header *h)
{
	if (!h)
		return;
	free(h->copy[0]);
	free(h->copy[1]);
	free(h->disk[0]);
	free(h->disk[1]);
	coffer_json_free(h->json);
	coffer_json_free(h->other_json);
	free(h);
}

static int write_memory(int fd, const uint8_t *from, uint64_t n, uint64_t at, struct coffer_err *e)
{
	if (pwrite(fd, from, n, (off_t)at) != (ssize_t)n)
		return coffer_err_set(e, EIO, "copy the header to memory");
	return 0;
}

int coffer_header_memfd(struct coffer_dev *d, const struct coffer_header *h, uint64_t limit,
	int *ret_fd, struct coffer_err *e)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(PIECE);
	const uint64_t size = coffer_metadata_header_size(h->json, h->copy_size);
	int r;

	if (!buf)
		return coffer_err_errno(e, ENOMEM, "copy the header to memory");
	if (size == 0 || size > limit)
		return coffer_err_set(e, EBADMSG, "the LUKS2 header has invalid sizes");
	r = coffer_memfd("coffer-header", size, &fd, e);
	for (int i = 0; r == 0 && i < 2; i++)
		r = write_memory(fd, h->copy[i], h->copy_size, i ? h->copy_size : 0, e);
	for (uint64_t at = 2 * h->copy_size; r == 0 && at < size; at += PIECE) {
		const size_t n = min_u64(PIECE, size - at);

		r = coffer_dev_read(d, buf, n, at, e);
		if (r == 0)
			r = write_memory(fd, buf, n, at, e);
	}
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* --- write --- */

/* The range of blocks of copy @i that may differ from the disk. */
static void changed_blocks(const struct coffer_header *h, int i, uint64_t *ret_at, uint64_t *ret_n)
{
	uint64_t from = 0, to = h->copy_size;

	if (h->disk[i]) {
		while (from < to && memcmp(h->copy[i] + from, h->disk[i] + from, COFFER_BLOCK) == 0)
			from += COFFER_BLOCK;
		while (to > from && memcmp(h->copy[i] + to - COFFER_BLOCK,
					    h->disk[i] + to - COFFER_BLOCK, COFFER_BLOCK) == 0)
			to -= COFFER_BLOCK;
	}
	*ret_at = from;
	*ret_n = to - from;
}

static int write_copy(struct coffer_dev *d, struct coffer_header *h, int i, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *written = NULL;
	uint64_t at, n;
	int r;

	/* Only what this run wrote and flushed is known to be on the disk. From the first write
	 * until its flush returns, nothing is. */
	changed_blocks(h, i, &at, &n);
	written = TAKE_PTR(h->disk[i]);
	h->current[i] = false;
	r = coffer_dev_write(d, h->copy[i] + at, n, (i ? h->copy_size : 0) + at, e);
	if (r == 0)
		r = coffer_dev_flush(d, e);
	if (r < 0)
		return coffer_err_wrap(e, r, "header copy %d", i + 1);
	/* Without memory for this the next write is a complete one. */
	if (!written)
		written = malloc(h->copy_size);
	if (written)
		memcpy(written, h->copy[i], h->copy_size);
	h->disk[i] = TAKE_PTR(written);
	h->current[i] = true;
	return 0;
}

static int write_both(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e)
{
	/* Here one copy on the disk is usable and current. If the other one is torn or out of date,
	 * it is written first: the good one is not touched until its flush returns. Where none is
	 * usable, a restored header begins with the second one, so that block 0 comes last. */
	const int first = h->current[1] ? 0 : 1;
	const int r = write_copy(d, h, first, e);

	return r < 0 ? r : write_copy(d, h, !first, e);
}

/* Is the header on the disk the one that this run read or wrote? By a copy that was the newest. */
static int check_unchanged(
	struct coffer_dev *d, const struct coffer_header *h, struct coffer_err *e)
{
	_cleanup_free_ uint8_t *block = coffer_dev_buffer(COFFER_LUKS2_BIN);
	const uint64_t off = h->current[0] ? 0 : h->copy_size;
	struct coffer_luks2_bin bin;
	int r;

	if (!block)
		return coffer_err_errno(e, ENOMEM, "check the LUKS2 header");
	r = coffer_dev_read(d, block, COFFER_LUKS2_BIN, off, e);
	if (r < 0)
		return r;
	if (coffer_luks2_bin_read(block, off, &bin) < 0 || bin.seqid != h->seqid ||
		strcmp(bin.uuid, h->uuid) != 0)
		return coffer_err_id(e,
			coffer_err_needs_repair(e, ESTALE,
				"another program changed the LUKS2 header of %s, or the device "
				"lost a write; nothing more was written",
				d->name),
			COFFER_FINDING_CHANGED);
	return 0;
}

int coffer_header_rewrite(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e)
{
	const int r = check_unchanged(d, h, e);

	return r < 0 ? r : write_both(d, h, e);
}

/* The metadata as text. A wrong text in both copies would destroy the volume, so it is parsed again
 * and compared. */
static int text_of(const struct coffer_header *h, const char **ret, struct coffer_err *e)
{
	_cleanup_json_ struct json_object *again = NULL;
	const char *text = coffer_json_text(h->json);
	const int r = text ? coffer_json_parse(text, strlen(text), &again) : -ENOMEM;

	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "write the LUKS2 metadata");
	if (r < 0 || !coffer_json_equal(again, h->json))
		return coffer_err_needs_repair(e, EBADMSG,
			"the LUKS2 metadata cannot be written as it was read; nothing was "
			"written");
	*ret = text;
	return 0;
}

int coffer_header_commit(struct coffer_dev *d, struct coffer_header *h, struct coffer_err *e)
{
	_cleanup_lock_ struct coffer_lock *lock = NULL;
	const char *text = NULL;
	int r;

	if (h->seqid == UINT64_MAX)
		return coffer_err_id(e,
			coffer_err_refuse(e, EOVERFLOW,
				"%s: no higher sequence number is left for the LUKS2 header",
				d->name),
			COFFER_FINDING_SEQUENCE_NUMBER);
	r = text_of(h, &text, e);
	if (r == 0)
		r = coffer_lock_metadata(d, true, &lock, e);
	if (r == 0)
		r = check_unchanged(d, h, e);
	for (int i = 0; r == 0 && i < 2; i++)
		r = coffer_luks2_copy_seal(h->copy[i], h->seqid + 1, text, e);
	if (r < 0)
		return r;
	r = write_both(d, h, e);
	if (r < 0)
		return r;
	h->seqid++;
	return 0;
}

int coffer_header_replace(struct coffer_dev *d, struct coffer_header *h, const uint8_t *image,
	const char *json, uint64_t seqid, struct coffer_err *e)
{
	_cleanup_json_ struct json_object *parsed = NULL;
	struct coffer_luks2_bin bin;
	int r = coffer_json_parse(json, strlen(json), &parsed);

	if (r == -ENOMEM)
		return coffer_err_errno(e, ENOMEM, "write the LUKS2 metadata");
	if (r < 0 || coffer_luks2_bin_read(image, 0, &bin) < 0 || bin.copy_size != h->copy_size)
		return coffer_err_set(e, EBADMSG, "the header cannot replace this one");
	if (h->current[0] || h->current[1])
		r = check_unchanged(d, h, e);
	for (int i = 0; r == 0 && i < 2; i++) {
		memcpy(h->copy[i], image + (i ? h->copy_size : 0), h->copy_size);
		r = coffer_luks2_copy_seal(h->copy[i], seqid, json, e);
	}
	if (r == 0)
		r = write_both(d, h, e);
	if (r < 0)
		return r;
	h->seqid = seqid;
	memcpy(h->uuid, bin.uuid, sizeof(h->uuid));
	coffer_json_free(h->json);
	h->json = TAKE_PTR(parsed);
	return 0;
}
