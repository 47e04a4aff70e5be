/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_fsmap.c - fuzz target: filesystems whose free space is asked for
 *
 * Input: which filesystem, made by its own mkfs, and changes to it: a place, how many bytes, and
 * these. The sums that ext4 has over its superblock, descriptors and bitmaps are put right after
 * that, unless the first byte says otherwise: else nothing would get past them.
 *
 * Nothing is mounted: of ext4 libext2fs tells, of the others only their superblock is read. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "convert/used_map.h"
#include "fs/fsmap.h"
#include "fs/fsmap_kinds.h"
#include "memdev.h"

enum {
	SIZE = 4 << 20,
	SUPER = 1024,
	MAX_GROUPS = 64,
	JOURNAL_MAGIC_SIZE = 4,
	AT_BLOCKS = 4,
	AT_FIRST = 20,
	AT_LOG_BLOCK = 24,
	AT_LOG_CLUSTER = 28,
	AT_PER_GROUP = 32,
	AT_CLUSTERS = 36,
	AT_INODES = 40,
	AT_INODE_SIZE = 88,
	AT_INCOMPAT = 96,
	AT_RO_COMPAT = 100,
	AT_UUID = 104,
	AT_DESC_SIZE = 254,
	AT_SUM = 1020,
	BLOCK_UNINIT = 2,
	INODE_ZEROED = 4,
};

static struct {
	const char *mkfs;
	uint8_t *mem;
	uint64_t journal;
	enum coffer_fs_kind kind;
} bases[] = {
#define MKE2FS                                                                                     \
	"mke2fs -q -F -b 1024 -U 5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01 -E "                         \
	"hash_seed=5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01"
	{.mkfs = MKE2FS " -t ext2 -O none,filetype,sparse_super $IMG", .kind = COFFER_FS_EXT},
	{.mkfs = MKE2FS ",lazy_itable_init=1 -t ext4 -J size=1 $IMG", .kind = COFFER_FS_EXT},
	{.mkfs = MKE2FS
		",lazy_itable_init=1 -t ext4 -g 256 -N 512 -O ^has_journal,^resize_inode $IMG",
		.kind = COFFER_FS_EXT},
	{.mkfs = MKE2FS " -t ext4 -J size=1 -O ^metadata_csum,uninit_bg,^64bit $IMG",
		.kind = COFFER_FS_EXT},
	{.mkfs = MKE2FS " -t ext4 -C 4096 -O ^has_journal,bigalloc $IMG", .kind = COFFER_FS_EXT},
	{.mkfs = MKE2FS " -t ext4 -g 256 -O ^has_journal,^resize_inode,meta_bg,sparse_super2 $IMG",
		.kind = COFFER_FS_EXT},
	{.mkfs = "truncate -s 300M $IMG; mkfs.xfs -q -f -m "
		 "uuid=5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01 $IMG",
		.kind = COFFER_FS_XFS},
	{.mkfs = "truncate -s 128M $IMG; mkfs.btrfs -q -f -U 5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01 "
		 "$IMG",
		.kind = COFFER_FS_BTRFS},
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* --- the filesystems --- */

static void make(size_t i)
{
	static const uint8_t magic[JOURNAL_MAGIC_SIZE] = {0xc0, 0x3b, 0x39, 0x98};
	char image[] = "/tmp/coffer-fuzz-XXXXXX", command[512];
	const int fd = mkstemp(image);

	bases[i].mem = calloc(1, SIZE);
	(void)snprintf(command, sizeof(command), "{ IMG=%s; %s; } >&2", image, bases[i].mkfs);
	if (fd < 0 || !bases[i].mem || ftruncate(fd, SIZE) < 0 || system(command) != 0 ||
		pread(fd, bases[i].mem, SIZE, 0) != SIZE) {
		(void)fprintf(stderr, "cannot be made: %s\n", command);
		abort();
	}
	(void)close(fd);
	(void)unlink(image);
	for (uint64_t at = 4096; at < SIZE && bases[i].kind == COFFER_FS_EXT; at += 1024)
		if (memcmp(bases[i].mem + at, magic, sizeof(magic)) == 0)
			bases[i].journal = at;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	(void)setenv("E2FSPROGS_FAKE_TIME", "1700000000", 1);
	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++)
		make(i);
	return 0;
}

/* --- ext4's sums and bitmaps, by themselves --- */

static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n > 0; n--, p++) {
		crc ^= *p;
		for (unsigned int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

static uint16_t crc16(uint16_t crc, const uint8_t *p, size_t n)
{
	for (; n > 0; n--, p++) {
		crc ^= *p;
		for (unsigned int k = 0; k < 8; k++)
			crc = (uint16_t)(crc >> 1 ^ (crc & 1 ? 0xa001 : 0));
	}
	return crc;
}

struct ext {
	struct undo *u;
	const uint8_t *super;
	uint32_t blocks, first, per_group, inodes, per_cluster, seed;
	uint32_t desc_size, groups;
	uint64_t block;
	bool meta_bg;
};

/* What the changed superblock says, as far as it makes sense. */
static bool ext_open(struct ext *x, struct undo *u)
{
	const uint8_t *s = u->mem + SUPER;
	const uint32_t log_block = get_le32(s + AT_LOG_BLOCK);
	const uint32_t log_cluster = get_le32(s + AT_LOG_CLUSTER);

	*x = (struct ext){.u = u,
		.super = s,
		.blocks = get_le32(s + AT_BLOCKS),
		.first = get_le32(s + AT_FIRST),
		.per_group = get_le32(s + AT_PER_GROUP),
		.inodes = get_le32(s + AT_INODES),
		.seed = crc32c(UINT32_MAX, s + AT_UUID, 16),
		.desc_size = 32,
		.meta_bg = get_le32(s + AT_INCOMPAT) & 0x10};
	if (log_block > 6 || log_cluster < log_block || log_cluster - log_block > 20 ||
		x->per_group == 0 || x->per_group > 1 << 20 || x->blocks <= x->first)
		return false;
	x->block = UINT64_C(1024) << log_block;
	x->per_cluster =
		get_le32(s + AT_RO_COMPAT) & 0x200 ? UINT32_C(1) << (log_cluster - log_block) : 1;
	if (get_le32(s + AT_INCOMPAT) & 0x80)
		x->desc_size = get_le16(s + AT_DESC_SIZE);
	if (x->desc_size < 32 || x->desc_size > 1024)
		return false;
	x->groups = (x->blocks - x->first + x->per_group - 1) / x->per_group;
	return x->groups <= MAX_GROUPS;
}

/* NULL: it lies elsewhere, or outside. */
static uint8_t *ext_desc(const struct ext *x, uint32_t g)
{
	const uint64_t at = (x->first + 1) * x->block + (uint64_t)g * x->desc_size;

	if ((x->meta_bg && g >= x->block / x->desc_size) || at + x->desc_size > x->u->size)
		return NULL;
	return x->u->mem + at;
}

static uint8_t *ext_block(const struct ext *x, uint32_t block)
{
	return (block + UINT64_C(1)) * x->block <= x->u->size ? x->u->mem + block * x->block : NULL;
}

static void put16(struct undo *u, const uint8_t *at, uint32_t v)
{
	const uint8_t bytes[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

	undo_put(u, (uint64_t)(at - u->mem), bytes, 2);
}

static void seal_bitmap(const struct ext *x, const uint8_t *desc, unsigned int where,
	unsigned int sum, uint32_t bits)
{
	const uint8_t *map = ext_block(x, get_le32(desc + where));
	uint32_t crc;

	if (!map || bits / 8 > x->block)
		return;
	crc = crc32c(x->seed, map, bits / 8);
	put16(x->u, desc + sum, crc);
	if (x->desc_size >= 64)
		put16(x->u, desc + sum + 0x20, crc >> 16);
}

static void seal_desc(const struct ext *x, uint32_t g, bool metadata_csum)
{
	static const uint8_t zero[2];
	const uint8_t *desc = ext_desc(x, g);
	const uint8_t number[4] = {(uint8_t)g};
	uint32_t crc;

	if (!desc)
		return;
	if (metadata_csum) {
		seal_bitmap(x, desc, 0, 0x18, get_le32(x->super + AT_CLUSTERS));
		seal_bitmap(x, desc, 4, 0x1a, x->inodes);
		crc = crc32c(crc32c(x->seed, number, 4), desc, 0x1e);
		crc = crc32c(crc, zero, 2);
		crc = crc32c(crc, desc + 0x20, x->desc_size - 0x20);
	} else {
		crc = crc16(crc16(UINT16_MAX, x->super + AT_UUID, 16), number, 4);
		crc = crc16(crc16((uint16_t)crc, desc, 0x1e), desc + 0x20, x->desc_size - 0x20);
	}
	put16(x->u, desc + 0x1e, crc);
}

static void seal(struct undo *u)
{
	const uint8_t *s = u->mem + SUPER;
	const uint32_t features = get_le32(s + AT_RO_COMPAT);
	struct ext x;
	uint32_t crc;

	if (!(features & 0x410))
		return;
	if (ext_open(&x, u))
		for (uint32_t g = 0; g < x.groups; g++)
			seal_desc(&x, g, features & 0x400);
	if (!(features & 0x400))
		return;
	crc = crc32c(UINT32_MAX, s, AT_SUM);
	put16(u, s + AT_SUM, crc);
	put16(u, s + AT_SUM + 2, crc >> 16);
}

/* In an inode table, where no inode ever was: the descriptor counts those at its end. */
static bool is_unused_inodes(const struct ext *x, uint64_t block)
{
	const uint64_t per_block = x->block / get_le16(x->super + AT_INODE_SIZE);

	for (uint32_t g = 0; g < x->groups; g++) {
		const uint8_t *desc = ext_desc(x, g);
		const uint64_t at = desc ? get_le32(desc + 8) : 0;

		if (desc && block >= at && (block - at) * per_block < x->inodes)
			return !(get_le16(desc + 0x12) & INODE_ZEROED) &&
			       (block - at) * per_block + get_le16(desc + 0x1c) >= x->inodes;
	}
	return false;
}

/* No free block is one whose bit is set. */
static void check_bitmaps(const struct coffer_fsmap *m, struct undo *u)
{
	struct ext x;

	if (!ext_open(&x, u))
		return;
	for (size_t i = 0; i < m->free.n; i++)
		for (uint64_t b = m->free.items[i].start / x.block;
			b * x.block < m->free.items[i].end; b++) {
			const uint64_t rel = b - x.first;
			const uint8_t *desc = ext_desc(&x, (uint32_t)(rel / x.per_group));
			const uint64_t bit = rel % x.per_group / x.per_cluster;
			const uint8_t *map = desc ? ext_block(&x, get_le32(desc)) : NULL;

			if (b < x.first)
				abort();
			if (map && !(get_le16(desc + 0x12) & BLOCK_UNINIT) &&
				(map[bit / 8] >> bit % 8 & 1) && !is_unused_inodes(&x, b))
				abort();
		}
}

/* --- what must be so --- */

static void check_map(const struct coffer_fsmap *m, const struct coffer_fs *fs)
{
	const uint64_t last = round_up_u64(fs->end, 512);
	struct coffer_used_map *map = NULL;
	struct coffer_range *copy = malloc((m->free.n + 1) * sizeof(*copy));

	for (size_t i = 0; i < m->free.n; i++)
		if (m->free.items[i].start >= m->free.items[i].end ||
			m->free.items[i].end > fs->end)
			abort();
	for (size_t i = 0; i < m->prints.n; i++)
		if (m->prints.items[i].start >= m->prints.items[i].end ||
			m->prints.items[i].end > last || m->prints.items[i].start % 512 ||
			m->prints.items[i].end % 512)
			abort();
	if (!copy)
		return;
	memcpy(copy, m->free.items, m->free.n * sizeof(*copy));
	if (coffer_used_map_new(copy, m->free.n, fs->end, &map) < 0 ||
		coffer_used_map_add(map, m->fixed.items, m->fixed.n) < 0 ||
		!coffer_used_map_ok(map))
		abort();
	for (size_t i = 0; i < m->fixed.n; i++) {
		const struct coffer_range r = {
			m->fixed.items[i].start, min_u64(m->fixed.items[i].end, fs->end)};

		if (m->fixed.items[i].start >= m->fixed.items[i].end ||
			(r.start < r.end &&
				coffer_used_map_bytes(map, r.start, r.end) != r.end - r.start))
			abort();
	}
	coffer_used_map_free(map);
	free(copy);
}

static bool has_fixed(const struct coffer_fsmap *m, __int128 start, __int128 end)
{
	for (size_t i = 0; i < m->fixed.n; i++)
		if (m->fixed.items[i].start <= start && m->fixed.items[i].end >= end)
			return true;
	return false;
}

/* What xfs' superblock says of its log, in numbers that cannot wrap. */
static void check_log(const struct coffer_fsmap *m, const struct coffer_fs *fs, const uint8_t *s)
{
	const __int128 block = get_be32(s + 4), number = get_be64(s + 48);
	const __int128 group = number >> s[124], within = number - (group << s[124]);
	const __int128 start = (group * get_be32(s + 84) + within) * block;
	const __int128 end = start + (__int128)get_be32(s + 96) * block;

	if (end > fs->end || (start < end && !has_fixed(m, start, end)))
		abort();
}

static void check(size_t i, struct undo *u)
{
	struct memdev d = memdev_over(
		u->mem, SIZE, bases[i].kind == COFFER_FS_EXT ? SIZE + 512 : UINT64_C(1) << 40);
	struct coffer_fs fs = {0};
	struct coffer_fsmap m = {0};
	struct coffer_err e = {0};
	int r;

	if (coffer_superblock_read(u->mem, COFFER_SUPERBLOCK_BYTES, &fs, NULL) < 0 ||
		fs.kind != bases[i].kind)
		return;
	if (fs.kind == COFFER_FS_XFS && fs.end <= d.dev.size) {
		r = coffer_fsmap_xfs(&d.dev, &fs, false, &m, &e);
		if (r == -EPERM)
			check_log(&m, &fs, u->mem);
	} else {
		r = coffer_fsmap_read(&d.dev, &fs, false, &m, &e);
	}
	if ((r < 0) != (e.code != 0) || (r < 0) != (e.msg[0] != '\0') || r > 0)
		abort();
	if (r == 0) {
		if (fs.kind != COFFER_FS_EXT)
			abort();
		check_map(&m, &fs);
		check_bitmaps(&m, u);
	}
	coffer_fsmap_reset(&m);
}

/* Where a change goes, of those places that matter. */
static uint64_t place_of(size_t i, uint8_t what, uint32_t off)
{
	switch (what % 6) {
	case 0:
		return SUPER + off % 1024;
	case 1: /* descriptors, and btrfs' superblock */
		return (bases[i].kind == COFFER_FS_BTRFS ? 65536 : 2048) + off % 1024;
	case 2: /* the first bitmaps */
		return get_le32(bases[i].mem + 2048) * UINT64_C(1024) + off % 2048;
	case 3: /* the first inodes, a journal's among them; and xfs' superblock */
		return (bases[i].kind == COFFER_FS_XFS
				       ? 0
				       : get_le32(bases[i].mem + 2056) * UINT64_C(1024)) +
		       off % 2048;
	case 4:
		return bases[i].journal + off % 1024;
	default:
		return off;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct undo u;
	struct input in = {data, n};
	const uint8_t first = (uint8_t)input_number(&in, 1);
	const size_t i = (first & 0x7f) % (sizeof(bases) / sizeof(*bases));

	u.mem = bases[i].mem;
	u.size = SIZE;
	while (in.n > 0) {
		const uint8_t what = (uint8_t)input_number(&in, 1);
		const uint32_t off = (uint32_t)input_number(&in, 3);
		const size_t want = 1 + input_number(&in, 1) % 16;
		size_t k;
		const uint8_t *p = input_take(&in, want, &k);

		undo_put(&u, place_of(i, what, off), p, k);
	}
	if (!(first & 0x80) && bases[i].kind == COFFER_FS_EXT)
		seal(&u);
	check(i, &u);
	undo_all(&u);
	return 0;
}
