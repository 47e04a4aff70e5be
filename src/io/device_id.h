/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device_id.h - which block device or file it is, under whatever name */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct coffer_thing {
	bool block;
	dev_t dev; /* of a block device its own number; of a file that of its filesystem */
	ino_t ino; /* of a file */
};

static inline struct coffer_thing coffer_thing_block(dev_t dev)
{
	return (struct coffer_thing){.block = true, .dev = dev};
}

static inline struct coffer_thing coffer_thing_of(const struct stat *st)
{
	if (S_ISBLK(st->st_mode))
		return coffer_thing_block(st->st_rdev);
	return (struct coffer_thing){.dev = st->st_dev, .ino = st->st_ino};
}

static inline bool coffer_thing_same(struct coffer_thing a, struct coffer_thing b)
{
	return a.block == b.block && a.dev == b.dev && (a.block || a.ino == b.ino);
}
