/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_btrfs.c - fuzz target: the kernel's answers about btrfs' trees
 *
 * Input: what the kernel answers when it is asked for btrfs' trees. Either all of the answers'
 * bytes, or items as a few numbers each, from which well-formed ones are made: else nothing would
 * get past the first. Where the trees are believed, what is free is held against the items once
 * more. */
#include <linux/btrfs_tree.h>

#include "fs/fsmap_btrfs_trees.h"
#include "fs/fsmap_kinds.h"
#include "memdev.h"

enum {
	UNIT = 64 << 10, /* of all places and lengths */
	UNITS = 1 << 11, /* of the device: 128 MiB, and a mirror of the superblock in it */
	MAX_ITEMS = 64,
	MAX_STRIPES = 3,
	MAX_DATA = 512,
	ANSWER = 4096,
};
#define MIRROR (UINT64_C(64) << 20)

struct item {
	uint64_t tree;
	struct btrfs_ioctl_search_header head;
	uint8_t data[MAX_DATA];
};

static struct item items[MAX_ITEMS];
static size_t n_items;
static struct input raw;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* --- the kernel --- */

static int search_raw(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args)
{
	size_t n;
	const uint8_t *p = input_take(&raw, input_number(&raw, 2), &n);

	(void)b;
	/* It answers no more often than there is input. */
	args->key.nr_items = n > 0 ? (uint32_t)input_number(&raw, 1) : 0;
	memcpy(args->buf, p, min_u64(n, args->buf_size));
	return 0;
}

static int compare_keys(
	const struct btrfs_ioctl_search_header *h, uint64_t id, uint32_t type, uint64_t offset)
{
	if (h->objectid != id)
		return h->objectid < id ? -1 : 1;
	if (h->type != type)
		return h->type < type ? -1 : 1;
	return h->offset < offset ? -1 : h->offset > offset;
}

/* At most three items for each question, from the first key on that was asked for. */
static int search_items(const struct coffer_btrfs *b, struct btrfs_ioctl_search_args_v2 *args)
{
	const struct btrfs_ioctl_search_key key = args->key;
	uint8_t *p = (uint8_t *)args->buf;
	uint32_t n = 0;

	(void)b;
	for (size_t i = 0; i < n_items && n < 3; i++) {
		const struct item *it = &items[i];

		if (it->tree != key.tree_id ||
			compare_keys(&it->head, key.min_objectid, key.min_type, key.min_offset) < 0)
			continue;
		memcpy(p, &it->head, sizeof(it->head));
		memcpy(p + sizeof(it->head), it->data, it->head.len);
		p += sizeof(it->head) + it->head.len;
		n++;
	}
	args->key.nr_items = n;
	return 0;
}

/* --- items from numbers --- */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void make_chunk(struct item *it, struct input *in, uint64_t logical)
{
	struct btrfs_chunk *c = (struct btrfs_chunk *)it->data;
	const uint8_t stripes = (uint8_t)input_number(in, 1);
	struct btrfs_stripe *s = &c->stripe;

	it->head.type = BTRFS_CHUNK_ITEM_KEY;
	it->head.objectid = 256;
	it->head.offset = logical * UNIT;
	put_le64(&c->length, input_number(in, 1) * UNIT);
	put_le64(&c->type, (uint64_t)(input_number(in, 1) & 0x7) << 3 | BTRFS_BLOCK_GROUP_DATA);
	put16((uint8_t *)&c->num_stripes, stripes % (MAX_STRIPES + 1));
	for (unsigned int k = 0; k < MAX_STRIPES; k++) {
		put_le64(&s[k].devid, 1);
		put_le64(&s[k].offset, input_number(in, 2) * UNIT);
	}
	it->head.len = (uint32_t)(sizeof(*c) + (stripes % 4 ? stripes % 4 - 1 : 0) * sizeof(*s));
}

static void make_item(struct item *it, struct input *in)
{
	const uint8_t kind = (uint8_t)input_number(in, 1);
	const uint64_t a = input_number(in, 2), b = input_number(in, 2);
	struct btrfs_dev_extent *extent = (struct btrfs_dev_extent *)it->data;
	struct btrfs_block_group_item *group = (struct btrfs_block_group_item *)it->data;

	memset(it, 0, sizeof(*it));
	switch ((kind & 0x7f) % 5) {
	case 0:
		it->tree = BTRFS_CHUNK_TREE_OBJECTID;
		make_chunk(it, in, a);
		break;
	case 1:
		it->tree = BTRFS_DEV_TREE_OBJECTID;
		it->head.objectid = 1;
		it->head.type = BTRFS_DEV_EXTENT_KEY;
		it->head.offset = a * UNIT;
		it->head.len = sizeof(*extent);
		put_le64(&extent->chunk_offset, b * UNIT);
		put_le64(&extent->length, input_number(in, 1) * UNIT);
		break;
	case 2: /* in the extents' tree, or in one of their own */
		it->tree = kind & 0x80 ? 11 : BTRFS_EXTENT_TREE_OBJECTID;
		it->head.objectid = a * UNIT;
		it->head.type = BTRFS_BLOCK_GROUP_ITEM_KEY;
		it->head.offset = b * UNIT;
		it->head.len = sizeof(*group);
		put_le64(&group->used, input_number(in, 1) * UNIT);
		break;
	case 3:
		it->tree = BTRFS_EXTENT_TREE_OBJECTID;
		it->head.objectid = a * UNIT;
		it->head.type = kind & 0x80 ? BTRFS_METADATA_ITEM_KEY : BTRFS_EXTENT_ITEM_KEY;
		it->head.offset = b * UNIT;
		break;
	default: /* any other */
		it->tree = 1 + a % 11;
		it->head.objectid = input_number(in, 8);
		it->head.type = (uint32_t)(kind >> 3) * 8 + 4;
		it->head.offset = input_number(in, 8);
		it->head.len = (uint32_t)(b % MAX_DATA);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct btrfs_ioctl_search_header *x = &((const struct item *)a)->head;
	const struct btrfs_ioctl_search_header *y = &((const struct item *)b)->head;

	return compare_keys(x, y->objectid, y->type, y->offset);
}

/* As in a tree: ascending, and no key twice. */
static void make_items(struct input *in)
{
	size_t kept = 0;

	for (n_items = 0; n_items < MAX_ITEMS && in->n > 0; n_items++)
		make_item(&items[n_items], in);
	qsort(items, n_items, sizeof(*items), by_key);
	for (size_t i = 0; i < n_items; i++) {
		bool twice = false;

		for (size_t k = 0; k < kept; k++)
			twice = twice || (items[k].tree == items[i].tree &&
						 by_key(&items[k], &items[i]) == 0);
		if (!twice)
			items[kept++] = items[i];
	}
	n_items = kept;
}

/* --- what must be so --- */

/* A chunk whose place is known: one copy, or two. */
static bool is_plain(const struct btrfs_chunk *c)
{
	const uint64_t profile = get_le64(&c->type) & BTRFS_BLOCK_GROUP_PROFILE_MASK;

	return (profile == 0 && get_le16(&c->num_stripes) == 1) ||
	       (profile == BTRFS_BLOCK_GROUP_DUP && get_le16(&c->num_stripes) == 2);
}

static void mark(bool *used, uint64_t at, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += UNIT)
		used[(at + i) / UNIT % UNITS] = true;
}

/* An extent is where its chunk's copies are; of a chunk whose place is not known all of it is. */
static void mark_in_chunk(bool *used, const struct item *chunk, const struct item *it)
{
	const struct btrfs_chunk *c = (const struct btrfs_chunk *)chunk->data;
	const struct btrfs_dev_extent *d = (const struct btrfs_dev_extent *)it->data;
	const uint64_t rel = it->head.objectid - chunk->head.offset;
	const bool is_node = it->head.type == BTRFS_METADATA_ITEM_KEY;

	if (it->tree == BTRFS_DEV_TREE_OBJECTID && it->head.type == BTRFS_DEV_EXTENT_KEY) {
		if (!is_plain(c) && get_le64(&d->chunk_offset) == chunk->head.offset)
			mark(used, it->head.offset, get_le64(&d->length));
		return;
	}
	if (it->tree != BTRFS_EXTENT_TREE_OBJECTID || !is_plain(c) ||
		(it->head.type != BTRFS_EXTENT_ITEM_KEY && !is_node) || rel >= get_le64(&c->length))
		return;
	for (unsigned int k = 0; k < get_le16(&c->num_stripes); k++)
		mark(used, get_le64(&(&c->stripe)[k].offset) + rel,
			is_node ? UNIT : it->head.offset);
}

/* The units of the device that something lies in, from the items alone. */
static void mark_used(bool *used)
{
	for (size_t i = 0; i < n_items; i++)
		for (size_t k = 0; k < n_items; k++)
			if (items[k].tree == BTRFS_CHUNK_TREE_OBJECTID &&
				items[k].head.type == BTRFS_CHUNK_ITEM_KEY)
				mark_in_chunk(used, &items[k], &items[i]);
}

/* Bytes of extents in the chunk, as its block group has to say. */
static void check_group(const struct item *chunk, bool group_tree)
{
	const struct btrfs_chunk *c = (const struct btrfs_chunk *)chunk->data;
	uint64_t seen = 0;
	bool found = false;

	for (size_t i = 0; i < n_items; i++) {
		const struct item *it = &items[i];
		const bool is_node = it->head.type == BTRFS_METADATA_ITEM_KEY;

		if (it->tree == BTRFS_EXTENT_TREE_OBJECTID &&
			(is_node || it->head.type == BTRFS_EXTENT_ITEM_KEY) &&
			it->head.objectid - chunk->head.offset < get_le64(&c->length))
			seen += is_node ? UNIT : it->head.offset;
	}
	for (size_t i = 0; i < n_items; i++)
		found = found ||
			(items[i].head.type == BTRFS_BLOCK_GROUP_ITEM_KEY &&
				items[i].tree == (group_tree ? 11 : BTRFS_EXTENT_TREE_OBJECTID) &&
				items[i].head.objectid == chunk->head.offset &&
				get_le64(items[i].data) == seen);
	if (!found)
		abort();
}

/* Twice the same, or something that is used: neither may be called free. */
static void check_free(const struct coffer_fsmap *m, uint64_t end, bool by_items, bool group_tree)
{
	static bool used[UNITS], seen[UNITS];

	memset(used, 0, sizeof(used));
	memset(seen, 0, sizeof(seen));
	if (by_items)
		mark_used(used);
	for (size_t i = 0; i < n_items && by_items; i++)
		if (items[i].tree == BTRFS_CHUNK_TREE_OBJECTID &&
			items[i].head.type == BTRFS_CHUNK_ITEM_KEY)
			check_group(&items[i], group_tree);
	for (size_t i = 0; i < m->free.n; i++) {
		const struct coffer_range *r = &m->free.items[i];

		if (r->start >= r->end || r->end > end)
			abort();
		for (uint64_t at = r->start; by_items && at < r->end; at += UNIT) {
			if (used[at / UNIT] || seen[at / UNIT])
				abort();
			seen[at / UNIT] = true;
		}
	}
	for (size_t i = 0; i < m->fixed.n; i++)
		if (m->fixed.items[i].start >= m->fixed.items[i].end || m->fixed.items[i].end > end)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	const uint8_t how = (uint8_t)input_number(&in, 1);
	const bool by_items = how & 1;
	const struct coffer_btrfs b = {.end = (uint64_t)UNITS * UNIT,
		.device = 1,
		.node = UNIT,
		.group_tree = how & 2,
		.answer_max = ANSWER,
		.search = by_items ? search_items : search_raw};
	struct coffer_fsmap m = {0};
	struct coffer_err e = {0};
	int r;

	raw = in;
	if (by_items)
		make_items(&in);
	if (coffer_ranges_add(&m.fixed, 0, COFFER_BTRFS_FIRST_MIB, NULL) < 0 ||
		coffer_ranges_add(&m.fixed, MIRROR, MIRROR + UNIT, NULL) < 0)
		abort();
	r = coffer_btrfs_read_trees(&b, &m, &e);
	if (r > 0 || (r < 0) != (e.code != 0) || (r < 0 && r != -EUCLEAN && r != -ENOMEM))
		abort();
	if (r == 0)
		check_free(&m, b.end, by_items, b.group_tree);
	coffer_fsmap_reset(&m);
	return 0;
}
