/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place.h - put a header over the head of a filesystem, or take it away, whenever the power fails
 *
 * The order of writes and flushes here is law 1 made flesh; ARCHITECTURE.md explains each state
 * that a cut can leave. */
#pragma once
#include "convert/disk.h"

/* Begin: save the head, write record and image, then everything of coffer_place_redo.
 * @header_fd is a memfd with the finished header; guards have passed; @g is checked. */
int coffer_place_begin(
	struct coffer_dev *d, const struct coffer_geometry *g, int header_fd, struct coffer_err *e);

/* From the transition block on; for an examined disk with REDO_PLACEMENT. */
int coffer_place_redo(struct coffer_dev *d, const struct coffer_record *rec, const uint8_t *image,
	struct coffer_err *e);

/* The header is in place: make both copies sure, erase record and image. For FINISH_PLACEMENT. */
int coffer_place_finish(struct coffer_disk *disk, struct coffer_err *e);

/* Give the head back; for a disk where coffer_can_abort is true. */
int coffer_place_undo(struct coffer_disk *disk, struct coffer_err *e);

/* The next four are repair's: see rescue/diagnose.h for when each is right. */

/* Put the head of layout @g back from its copy where no record tells of it. What it overwrites in
 * [4096,S) is kept from D-2S on, unless coffer itself has made and verified that copy. */
int coffer_place_undo_stock(
	struct coffer_disk *disk, const struct coffer_geometry *g, struct coffer_err *e);
/* Take the mark and the veils of a placement away that has changed nothing else. */
int coffer_place_undo_transition(struct coffer_disk *disk, struct coffer_err *e);
/* Zero the sectors of block 0 that are coffer's mark. */
int coffer_place_erase_transition(struct coffer_disk *disk, struct coffer_err *e);
/* Erase a PLACE record and its image; the caller knows that nobody else uses that room. */
int coffer_place_erase(struct coffer_dev *d, const struct coffer_record *rec, struct coffer_err *e);
