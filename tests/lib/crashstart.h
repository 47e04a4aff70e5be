/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashstart.h - the runs that crash and fault tests cut, and the disks that these begin on */
#pragma once
#include "traces.h"

/* --- what runs; each closes the device --- */
int run_encrypt(const struct row *row, struct coffer_dev *d, struct coffer_err *e);
int run_abort(const struct row *row, struct coffer_dev *d, struct coffer_err *e);
/* Without a passphrase: a conversion is left where it stands. */
int run_repair(const struct row *row, struct coffer_dev *d, struct coffer_err *e);
/* The placement, the commit that every run of steps begins with, and no step. */
int run_place(const struct row *row, struct coffer_dev *d, struct coffer_err *e);

/* --- disks to begin on: each turns the plain content into that disk --- */
void placed(const struct row *row, uint8_t *disk);
void half_done(const struct row *row, uint8_t *disk);
/* Nothing is left but the end. */
void at_end(const struct row *row, uint8_t *disk);
/* A placement that is cut when nothing of the filesystem shows any more, ... */
void half_placed(const struct row *row, uint8_t *disk);
/* ... and one that has nothing to do but to erase its record. */
void unfinished(const struct row *row, uint8_t *disk);
/* An abort that is cut after its transition block. */
void half_undone(const struct row *row, uint8_t *disk);
/* The record is there, the filesystem is untouched. */
void stale_record(const struct row *row, uint8_t *disk);
/* Half done, and the second header copy is torn, as a commit leaves it. */
void torn_copy(const struct row *row, uint8_t *disk);
/* A placement that is cut and whose saved header image is damaged. */
void image_lost(const struct row *row, uint8_t *disk);
/* The moved segment was used after the transition block was written: what is saved is older. */
void used_under_mark(const struct row *row, uint8_t *disk);
/* All of the moved segment is back but for the first sectors, which an ext4 does not use; and then
 * it has grown over its old copy. */
void mark_left(const struct row *row, uint8_t *disk);
/* What cryptsetup leaves when its header arrived in part: the moved segment is saved, nothing else
 * is. */
void torn_in_first_copy(const struct row *row, uint8_t *disk);
void torn_in_json(const struct row *row, uint8_t *disk);
