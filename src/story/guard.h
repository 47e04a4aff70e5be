/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guard.h - everything that must be true before the first byte is written */
#pragma once
#include "coffer/encrypt.h"
#include "model/fsend.h"
#include "model/geometry.h"
#include "os/dev.h"

/* Check a disk on which nothing of a conversion was found, and lay out its conversion.
 * Reads only. Every refusal has outcome REFUSED and names object, numbers and remedy. */
int coffer_guard(struct coffer_dev *d, const struct coffer_encrypt_options *o,
	struct coffer_fs *ret_fs, struct coffer_geometry *ret, struct coffer_err *e);
