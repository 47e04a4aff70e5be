/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap_btrfs_trees.c - the free space in the trees of a btrfs
 *
 * The chunk tree and the device tree say where chunks are, block groups how much of each is used,
 * the extent tree which bytes. All of them must agree. */
#include <errno.h>
#include <inttypes.h>
#include <linux/btrfs_tree.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "fs/fsmap_btrfs_trees.h"

enum {
	MAX_COPIES = 2,
	BLOCK_GROUP_TREE_ID = 11, /* not in the headers of Debian 12 */
};

struct chunk {
	uint64_t start, length; /* logical */
	uint64_t copies[MAX_COPIES];
	unsigned int n_copies;	/* 0: an unknown profile; all of it counts as used */
	unsigned int n_stripes; /* pieces of it on devices */
	unsigned int found;	/* of these, in the device tree */
	bool has_group;
	uint64_t used; /* by its block group */
	uint64_t seen; /* bytes of extents */
	uint64_t at;   /* where the walk through its extents is */
};

struct btrfs {
	const struct coffer_btrfs *fs;
	struct chunk *chunks; /* ascending */
	size_t n_chunks;
	uint64_t dev_end; /* of the last device extent */
	size_t current;	  /* of the walk through the extents */
	struct coffer_fsmap *m;
	struct coffer_err *e;
};

static int damaged(struct btrfs *b, const char *what)
{
	return coffer_err_set(b->e, EUCLEAN, "it is damaged: %s", what);
}

static int no_memory(struct btrfs *b)
{
	return coffer_err_errno(b->e, ENOMEM, "read the free space");
}

struct item {
	uint64_t id, offset;
	uint32_t type;
	const uint8_t *data;
	size_t size;
};

typedef int (*item_fn)(struct btrfs *b, const struct item *item);

/* Call @fn for the items of one answer; @key becomes that of the last one. */
static int read_items(struct btrfs *b, const struct btrfs_ioctl_search_args_v2 *args,
	struct btrfs_ioctl_search_key *key, item_fn fn)
{
	const uint8_t *p = (const uint8_t *)args->buf;
	size_t left = args->buf_size;
	struct btrfs_ioctl_search_header header;
	int r = 0;

	for (uint32_t i = 0; i < args->key.nr_items && r == 0; i++) {
		if (left < sizeof(header))
			return damaged(b, "an answer about its trees is too short");
		memcpy(&header, p, sizeof(header)); /* not aligned */
		p += sizeof(header);
		left -= sizeof(header);
		if (left < header.len)
			return damaged(b, "an answer about its trees is too short");
		r = fn(b, &(struct item){.id = header.objectid,
				  .offset = header.offset,
				  .type = header.type,
				  .data = p,
				  .size = header.len});
		p += header.len;
		left -= header.len;
		key->min_objectid = header.objectid;
		key->min_type = header.type;
		key->min_offset = header.offset;
	}
	return r;
}

/* The key after it; false: it was the last one. */
static bool next_key(struct btrfs_ioctl_search_key *key)
{
	if (++key->min_offset != 0)
		return true;
	key->min_type = key->min_type == UINT8_MAX ? 0 : key->min_type + 1;
	if (key->min_type != 0)
		return true;
	return ++key->min_objectid != 0;
}

static int walk(struct btrfs *b, uint64_t tree, item_fn fn)
{
	_cleanup_free_ struct btrfs_ioctl_search_args_v2 *args =
		calloc(1, sizeof(*args) + b->fs->answer_max);
	struct btrfs_ioctl_search_key key = {
		.tree_id = tree,
		.max_objectid = UINT64_MAX,
		.max_type = UINT8_MAX,
		.max_offset = UINT64_MAX,
		.max_transid = UINT64_MAX,
		.nr_items = UINT32_MAX,
	};
	int r;

	if (!args)
		return no_memory(b);
	do {
		args->key = key;
		args->buf_size = b->fs->answer_max;
		if (b->fs->search(b->fs, args) < 0)
			return coffer_err_errno(
				b->e, errno, "ask the kernel for its tree %" PRIu64, tree);
		args->buf_size = b->fs->answer_max;
		r = read_items(b, args, &key, fn);
	} while (r == 0 && args->key.nr_items > 0 && next_key(&key));
	return r;
}

static int compare_start(const void *key, const void *chunk)
{
	const uint64_t at = *(const uint64_t *)key, start = ((const struct chunk *)chunk)->start;

	return (at > start) - (at < start);
}

/* The chunk that starts at @at; NULL: none. */
static struct chunk *find_chunk(struct btrfs *b, uint64_t at)
{
	return b->n_chunks == 0
		       ? NULL
		       : bsearch(&at, b->chunks, b->n_chunks, sizeof(*b->chunks), compare_start);
}

/* Where the copies are, if each of them is one piece of the device. */
static int take_copies(struct btrfs *b, struct chunk *c, const struct btrfs_chunk *disk)
{
	const uint64_t profile = le64toh(disk->type) & BTRFS_BLOCK_GROUP_PROFILE_MASK;
	const unsigned int n = c->n_stripes;

	if (!(profile == 0 && n == 1) && !(profile == BTRFS_BLOCK_GROUP_DUP && n == MAX_COPIES))
		return 0;
	for (unsigned int k = 0; k < n; k++) {
		const struct btrfs_stripe *s = &disk->stripe + k;
		const uint64_t at = le64toh(s->offset);

		if (le64toh(s->devid) != b->fs->device || at > b->fs->end ||
			c->length > b->fs->end - at)
			return damaged(b, "a chunk is outside of the device");
		c->copies[k] = at;
	}
	c->n_copies = n;
	return 0;
}

static int take_chunk(struct btrfs *b, const struct item *i)
{
	const struct btrfs_chunk *disk = (const void *)i->data; /* packed: needs no alignment */
	const struct chunk *last = b->n_chunks ? &b->chunks[b->n_chunks - 1] : NULL;
	struct chunk c = {.start = i->offset, .at = i->offset};
	int r;

	if (i->type != BTRFS_CHUNK_ITEM_KEY)
		return 0;
	if (i->size < sizeof(*disk) || disk->num_stripes == 0)
		return damaged(b, "a chunk item is too short");
	c.length = le64toh(disk->length);
	c.n_stripes = le16toh(disk->num_stripes);
	if (i->size < sizeof(*disk) + (c.n_stripes - 1) * sizeof(struct btrfs_stripe) ||
		c.length == 0 || c.length > UINT64_MAX - c.start ||
		(last && last->start + last->length > c.start))
		return damaged(b, "its chunks overlap, or a chunk item is too short");
	r = take_copies(b, &c, disk);
	if (r < 0)
		return r;
	if (!ARRAY_ROOM(b->chunks, b->n_chunks))
		return no_memory(b);
	b->chunks[b->n_chunks++] = c;
	return 0;
}

/* Device extents ascend on the device. */
static int take_dev_extent(struct btrfs *b, const struct item *i)
{
	const struct btrfs_dev_extent *disk = (const void *)i->data;
	struct chunk *c;
	uint64_t length;

	if (i->type != BTRFS_DEV_EXTENT_KEY)
		return 0;
	if (i->id != b->fs->device || i->size < sizeof(*disk))
		return damaged(b, "a device extent belongs to another device");
	length = le64toh(disk->length);
	/* With two chunks in one place, free bytes of one could be used bytes of the other. */
	if (i->offset < b->dev_end || i->offset > b->fs->end || length > b->fs->end - i->offset)
		return damaged(b, "device extents overlap, or are beyond its end");
	b->dev_end = i->offset + length;
	c = find_chunk(b, le64toh(disk->chunk_offset));
	if (!c)
		return damaged(b, "a device extent belongs to no chunk");
	c->found++;
	if (c->n_copies == 0) /* an unknown profile */
		return coffer_ranges_add(&b->m->fixed, i->offset, b->dev_end, b->e);
	for (unsigned int k = 0; k < c->n_copies; k++)
		if (c->copies[k] == i->offset && c->length == length)
			return 0;
	return damaged(b, "a device extent is not where its chunk is");
}

static int take_group(struct btrfs *b, const struct item *i)
{
	const struct btrfs_block_group_item *disk = (const void *)i->data;
	struct chunk *c;

	if (i->type != BTRFS_BLOCK_GROUP_ITEM_KEY)
		return 0;
	c = find_chunk(b, i->id);
	if (i->size < sizeof(*disk) || !c || c->length != i->offset || c->has_group)
		return damaged(b, "a block group is not a chunk");
	c->has_group = true;
	c->used = le64toh(disk->used);
	return 0;
}

/* --- extents --- */

/* [c->at, @end) of the chunk is free, in each copy of it. */
static int add_free(struct btrfs *b, struct chunk *c, uint64_t end)
{
	int r = 0;

	for (unsigned int k = 0; k < c->n_copies && r == 0; k++)
		r = coffer_ranges_add(&b->m->free, c->copies[k] + (c->at - c->start),
			c->copies[k] + (end - c->start), b->e);
	return r;
}

/* Extents ascend, so the walk is through all chunks before @before. */
static int finish_chunks(struct btrfs *b, uint64_t before)
{
	int r = 0;

	for (; r == 0 && b->current < b->n_chunks; b->current++) {
		struct chunk *c = &b->chunks[b->current];

		if (before - c->start < c->length || before < c->start)
			break;
		r = add_free(b, c, c->start + c->length);
	}
	return r;
}

static int take_extent(struct btrfs *b, const struct item *i)
{
	uint64_t length = i->offset;
	struct chunk *c;
	int r;

	if (i->type == BTRFS_METADATA_ITEM_KEY)
		length = b->fs->node; /* its offset is the block's level */
	else if (i->type != BTRFS_EXTENT_ITEM_KEY)
		return b->fs->group_tree ? 0 : take_group(b, i);
	r = finish_chunks(b, i->id);
	if (r < 0)
		return r;
	c = b->current < b->n_chunks ? &b->chunks[b->current] : NULL;
	if (!c || i->id < c->at || length == 0 || length > c->start + c->length - i->id)
		return damaged(b, "extents overlap, or are in no chunk");
	r = add_free(b, c, i->id);
	c->seen += length;
	c->at = i->id + length;
	return r;
}

/* The trees agree about each chunk. */
static int check_chunks(struct btrfs *b)
{
	for (size_t i = 0; i < b->n_chunks; i++) {
		const struct chunk *c = &b->chunks[i];

		if (!c->has_group || c->used != c->seen || c->found != c->n_stripes)
			return damaged(b, "its trees contradict each other");
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct coffer_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* What is in no chunk. check_chunks has compared the chunks with the device extents. */
static int add_unallocated(struct btrfs *b)
{
	struct coffer_ranges taken = {0};
	uint64_t at = COFFER_BTRFS_FIRST_MIB;
	int r = 0;

	for (size_t i = 0; i < b->n_chunks && r == 0; i++)
		for (unsigned int k = 0; k < b->chunks[i].n_copies && r == 0; k++)
			r = coffer_ranges_add(&taken, b->chunks[i].copies[k],
				b->chunks[i].copies[k] + b->chunks[i].length, b->e);
	for (size_t i = 0; i < b->m->fixed.n && r == 0; i++)
		r = coffer_ranges_add(
			&taken, b->m->fixed.items[i].start, b->m->fixed.items[i].end, b->e);
	if (taken.n > 1)
		qsort(taken.items, taken.n, sizeof(*taken.items), by_start);
	for (size_t i = 0; i < taken.n && r == 0; i++) {
		r = coffer_ranges_add(&b->m->free, at, taken.items[i].start, b->e);
		at = taken.items[i].end > at ? taken.items[i].end : at;
	}
	free(taken.items);
	return r < 0 ? r : coffer_ranges_add(&b->m->free, at, b->fs->end, b->e);
}

static int read_trees(struct btrfs *b)
{
	int r;

	r = walk(b, BTRFS_CHUNK_TREE_OBJECTID, take_chunk);
	if (r == 0)
		r = walk(b, BTRFS_DEV_TREE_OBJECTID, take_dev_extent);
	if (r == 0 && b->fs->group_tree)
		r = walk(b, BLOCK_GROUP_TREE_ID, take_group);
	if (r == 0)
		r = walk(b, BTRFS_EXTENT_TREE_OBJECTID, take_extent);
	if (r == 0)
		r = finish_chunks(b, UINT64_MAX);
	if (r == 0)
		r = check_chunks(b);
	return r < 0 ? r : add_unallocated(b);
}

int coffer_btrfs_read_trees(
	const struct coffer_btrfs *fs, struct coffer_fsmap *m, struct coffer_err *e)
{
	struct btrfs b = {.fs = fs, .m = m, .e = e};
	const int r = read_trees(&b);

	free(b.chunks);
	return r;
}
