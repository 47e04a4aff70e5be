/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place.h - put a header over the first bytes of a filesystem, or undo that
 *
 * The order of writes and flushes follows law 1; docs/crash-safety.md has each state that a power
 * cut can leave. */
#pragma once
#include "convert/disk.h"

/* Save the first S bytes, write record and image of coffer_image_load, then coffer_place_redo.
 * Preflight has passed: the reserve is free. */
int coffer_place_begin(struct coffer_dev *d, struct coffer_record *rec, const uint8_t *image,
	struct coffer_err *e);

/* From the transition block on; for an examined disk with REDO_PLACEMENT. */
int coffer_place_redo(struct coffer_dev *d, const struct coffer_record *rec, const uint8_t *image,
	struct coffer_err *e);

/* The header is in place: write both copies again, erase record and image. For FINISH_PLACEMENT. */
int coffer_place_finish(struct coffer_disk *disk, struct coffer_err *e);

/* Write the moved segment from its copy; for a disk where coffer_can_abort is true. */
int coffer_place_undo(struct coffer_disk *disk, struct coffer_err *e);

/* The next four are for repair: rescue/diagnose.h says when each is right. */

/* The same for layout @g, from a copy that no record describes. What this overwrites in [4096,S) is
 * kept from D-2S on, unless coffer itself has made and verified that copy. */
int coffer_place_undo_stock(
	struct coffer_disk *disk, const struct coffer_geometry *g, struct coffer_err *e);
/* Undo the transition block and the masked blocks of a placement that has changed nothing else. */
int coffer_place_undo_transition(struct coffer_disk *disk, struct coffer_err *e);
/* Zero the sectors of block 0 that hold a transition block. */
int coffer_place_erase_transition(struct coffer_disk *disk, struct coffer_err *e);
/* Erase a PLACE record and its image; the caller knows that nothing else uses that space. */
int coffer_place_erase(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);

/* What placement and undo share. @rec to its place in the reserve, verified. */
int coffer_write_record(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);
/* The transition block of @rec's kind over block 0, flushed. */
int coffer_write_transition(
	struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);
/* Add to @rec's masked blocks those of the S bytes at byte @at. Not in direct mode. REFUSED with
 * -E2BIG: there are too many. */
int coffer_find_masked(
	struct coffer_dev *d, uint64_t at, struct coffer_record *rec, struct coffer_err *e);
