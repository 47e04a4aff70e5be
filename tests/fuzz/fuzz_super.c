/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_super.c - fuzz target: superblocks
 *
 * Input: the first 2048 bytes of a device, then those from 64 KiB on, so that a seed is small. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/superblock.h"

enum {
	FRONT = 2048,
	BACK = 4096,
	BACK_AT = 65536
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const uint8_t *head, size_t n)
{
	struct coffer_fs fs = {.end = 77};
	struct coffer_err e = {0};
	const int r = coffer_superblock_read(head, n, &fs, &e);

	if (r < 0) {
		if (r != -EUCLEAN || e.code != EUCLEAN || fs.end != 77)
			abort();
		return;
	}
	if (fs.kind == COFFER_FS_NONE ? fs.end != 0
				      : fs.end == 0 || fs.end > INT64_MAX || fs.block_size < 512 ||
						fs.block_size > 65536 ||
						(fs.block_size & (fs.block_size - 1)) != 0)
		abort();
	if (!coffer_fs_name(fs.kind))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const size_t front = n < FRONT ? n : FRONT;
	const size_t back = n - front < BACK ? n - front : BACK;
	uint8_t *head = calloc(1, BACK_AT + BACK), *cut = malloc(n);

	if (head && cut) {
		memcpy(head, data, front);
		memcpy(head + BACK_AT, data + front, back);
		check(head, BACK_AT + BACK);
		memcpy(cut, data, n);
		check(cut, n); /* a buffer of just that size: nothing behind it is read */
	}
	free(head);
	free(cut);
	return 0;
}
