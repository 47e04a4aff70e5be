/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* evidence.h - collect what the rest of a disk says (see model/evidence.h); only reads */
#pragma once
#include "model/evidence.h"
#include "story/disk.h"

/* Look for a copy of the head, for remains of a header and for a record that nothing points to, as
 * far as the examined @disk leaves a question open; all is false where it leaves none. */
int coffer_evidence_collect(
	const struct coffer_disk *disk, struct coffer_evidence *ret, struct coffer_err *e);
