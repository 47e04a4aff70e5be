/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashrun.h - disks for crash tests, and coffer's verbs on copies of them in memory */
#pragma once
#include "coffer/encrypt.h"
#include "convert/decide.h"
#include "crashdev.h"
#include "stock.h"

#define MIB	 (UINT64_C(1) << 20)
#define PASSWORD STOCK_PASSPHRASE /* of every volume here */

enum crash_content {
	CRASH_MARKERS, /* no filesystem: sectors with a marker, none like another */
	CRASH_EXT4,
	CRASH_FILES, /* an ext4 with files, holes, and deleted files in these */
	CRASH_XFS,
	CRASH_BTRFS,
};

/* A disk to encrypt: content of @length bytes, and after it the reserve. */
struct row {
	const char *name;
	uint64_t length;
	uint32_t sector_size;
	enum crash_content content;
	bool used_only; /* only what is used is moved */
	enum coffer_free_space free_space;
	uint64_t shift;	      /* 0: 1 MiB */
	unsigned int threads; /* of the engine; 0: one, and the same order of writes each time */
};

static inline uint64_t shift_of(const struct row *row)
{
	return row->shift ? row->shift : MIB;
}

static inline uint64_t disk_size(const struct row *row)
{
	return row->length + 2 * shift_of(row);
}

/* Of a header copy. */
static inline uint64_t copy_size(const struct row *row)
{
	return shift_of(row) < 4 * MIB ? 16384 : 65536;
}

/* The content, and the reserve as zeros: disk_size() bytes; free() it. */
uint8_t *make_content(const struct row *row);
struct coffer_encrypt_options options(const struct row *row);
int crash_ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e);

/* Run a verb on a copy of @content; @ret_log gets what it wrote (when @record) and the result. */
int encrypt(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e);
int undo(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e);
int repair(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e);
/* The same of a device, which is closed. */
struct coffer_facts facts_of_device(struct crashdev *d, enum coffer_operation *operation);
struct coffer_facts facts_of(
	const struct row *row, const uint8_t *state, enum coffer_operation *operation);
