/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preflight.h - everything that must be true before the first byte is written
 *
 * docs/reports.md lists the checks. All of them only read, on a disk without a conversion. */
#pragma once
#include "coffer/encrypt.h"
#include "coffer/finding.h"
#include "coffer/status.h"
#include "convert/geometry.h"
#include "fs/signatures.h"
#include "fs/superblock.h"
#include "io/dev.h"
#include "luks2/libcryptsetup.h"

/* What the checks share: dev and o are given, the rest they find out. */
struct coffer_preflight {
	struct coffer_dev *dev;			/* not in direct mode */
	const struct coffer_encrypt_options *o; /* may be all zeros but for the device */
	struct coffer_content content;
	struct coffer_fs fs;
	struct coffer_geometry geometry; /* complete once all checks have passed */
	struct coffer_luks2_format format;
	enum coffer_outcome outcome; /* DONE, or the worst refusal's */
};

/* All in order, up to the first refusal: outcome REFUSED or NEEDS_REPAIR. */
int coffer_preflight_run(struct coffer_preflight *p, struct coffer_err *e);

/* Add the findings of all checks to @l: a refusal is BAD, and a check that depends on it UNCHECKED.
 * @quick leaves out the one that reads other devices ("hibernation"). -errno when the device cannot
 * be read; @l is then not complete. */
int coffer_preflight_list(
	struct coffer_preflight *p, bool quick, struct coffer_findings *l, struct coffer_err *e);

/* Refuse if a process converts @dev now, or another holder keeps a run from it. */
int coffer_exclusive_check(
	const struct coffer_dev *dev, const struct coffer_status *s, struct coffer_err *e);

/* Add "exclusive", "writable" and "locks" to @l. @dev was opened for reading. -ENOMEM. */
int coffer_exclusive_list(const struct coffer_dev *dev, const struct coffer_status *s,
	struct coffer_findings *l, struct coffer_err *e);
