/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usedfs.h - an ext4 with files and holes between them, and what of it is used, as dumpe2fs says */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oracle.h"

#define USED_MARKER "PLAIN-MARKER-0123456789" /* in each sector of each file */
#define FREE_MARKER "DELETED-MARKER-98765432" /* in each sector of the files that were deleted */

/* Fill @p with an ext4 of @length bytes. */
void usedfs_make(uint8_t *p, uint64_t length);

/* The used spans of the ext4 in @p, in order; malloc'd. */
size_t usedfs_spans(const uint8_t *p, uint64_t length, struct span **ret);

/* Does e2fsck find the filesystem in @p clean? */
bool usedfs_is_clean(const uint8_t *p, uint64_t length);
