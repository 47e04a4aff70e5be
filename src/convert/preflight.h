/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* preflight.h - everything that must be true before the first byte is written
 *
 * A table of guards, each with a stable id; docs/reports.md lists them. All of them only read. They
 * are for a disk on which nothing of a conversion was found. */
#pragma once
#include "base/findings_text.h"
#include "coffer/encrypt.h"
#include "coffer/finding.h"
#include "convert/geometry.h"
#include "fs/signatures.h"
#include "fs/superblock.h"
#include "io/dev.h"
#include "luks2/libcryptsetup.h"

/* What the guards share: dev and o are given, the rest they find out. */
struct coffer_preflight {
	struct coffer_dev *dev;			/* not in direct mode */
	const struct coffer_encrypt_options *o; /* may be all zeros but for the device */
	struct coffer_content content;
	struct coffer_fs fs;
	struct coffer_geometry geometry; /* whole once all guards have passed */
	struct coffer_luks2_format format;
	enum coffer_outcome outcome; /* of a list: DONE, or the worst refusal's */
};

/* All in order; the first refusal ends it. Every refusal has outcome REFUSED (or NEEDS_REPAIR) and
 * names object, numbers and remedy. */
int coffer_preflight_run(struct coffer_preflight *g, struct coffer_err *e);

/* All of them, with their verdicts, added to @l: a refusal is BAD, and what cannot be told because
 * of it is UNCHECKED. @quick leaves out the one that looks at other devices ("hibernation").
 * -errno when the device cannot be read; @l is then not whole. */
int coffer_preflight_list(
	struct coffer_preflight *g, bool quick, struct coffer_findings *l, struct coffer_err *e);

/* A refusal by check @id: @e says so, unless a call below said more. Returns @r. */
int coffer_preflight_mark(int r, enum coffer_finding_id id, struct coffer_err *e);
