/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device_id.h - identify a block device or file under any of its names */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct coffer_device_id {
	bool block;
	dev_t dev; /* of a block device its own number; of a file that of its filesystem */
	ino_t ino; /* of a file */
};

static inline struct coffer_device_id coffer_device_id_block(dev_t dev)
{
	return (struct coffer_device_id){.block = true, .dev = dev};
}

static inline struct coffer_device_id coffer_device_id_of(const struct stat *st)
{
	if (S_ISBLK(st->st_mode))
		return coffer_device_id_block(st->st_rdev);
	return (struct coffer_device_id){.dev = st->st_dev, .ino = st->st_ino};
}

static inline bool coffer_device_id_equal(struct coffer_device_id a, struct coffer_device_id b)
{
	return a.block == b.block && a.dev == b.dev && (a.block || a.ino == b.ino);
}
