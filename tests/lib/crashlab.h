/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashlab.h - one disk to cut: what it must become, and the state that is looked at */
#pragma once
#include "base/crypto.h"
#include "crashcut.h"
#include "crashlayer.h"
#include "crashrun.h"
#include "oracle.h"
#include "usedfs.h"

/* What was looked at, and what became of it. */
struct tally {
	unsigned int states;	/* distinct ones of this scenario */
	unsigned int distinct;	/* of these, those that no scenario before had */
	unsigned int untouched; /* of these, with the plain filesystem, all of it, and no header */
	unsigned int coffer;	/* finished by 'coffer encrypt', and right */
	unsigned int aborted;	/* given back by 'coffer abort', and right */
	unsigned int repaired;	/* by 'coffer repair', as its dry run said, and right */
	unsigned int asked;	/* only the dry run: the same stages as encrypt's */
	unsigned int stock;	/* finished by libcryptsetup or cryptsetup, and right */
	unsigned int program;	/* of these, by the program */
	unsigned int mended;	/* of these, after 'cryptsetup repair' */
	unsigned int shut;	/* neither a plain filesystem nor a header that stock loads */
	unsigned int told;	/* not recovered; refused, unchanged, and what was said is true */
	unsigned int keyslots;	/* with a header, and keyslots outside of it as well */
	unsigned int gone;	/* nothing on the disk tells what it was, see judge_statement */
	unsigned int lost;
};

/* How much is done with each state. */
struct effort {
	unsigned int stock;   /* each n-th state that holds a conversion */
	unsigned int anew;    /* each n-th state on which encrypt begins from the beginning */
	unsigned int repair;  /* each n-th state, and what status says of it */
	unsigned int program; /* each n-th of those */
	unsigned int checker; /* each n-th finished volume that has a checker: it takes a process */
};

struct lab {
	const struct row *row;
	const char *name, *trail; /* for people */
	const uint8_t *content;	  /* disk_size() bytes of it, then whatever it has grown by */
	uint64_t size;
	struct span *used; /* what of the content must come back */
	size_t n_used;
	struct oracle *oracle;
	struct effort effort;
	struct layer durable, state, work;
	uint8_t (*hashes)[COFFER_SHA256_SIZE]; /* of the pieces of durable; see lab_hash */
	bool *hashed;
	struct tally *tally;
	char cut[160]; /* the state's name */
	bool lost;
};

/* @content: disk_size(@row) bytes and @grown further ones, borrowed; @used likewise. */
void lab_init(struct lab *l, const struct row *row, const uint8_t *content, uint64_t grown,
	struct span *used, size_t n_used, struct tally *t);
void lab_free(struct lab *l);

/* The disk becomes the disk_size() bytes at @base; what it has grown by stays. */
void lab_begin(struct lab *l, const uint8_t *base);
/* The operation @op has become durable. */
void lab_advance(struct lab *l, const struct crash_op *op);
/* The state is what is durable and what arrives in this cut of @log. */
void lab_cut(struct lab *l, const struct crash_log *log, const struct crash_cut *cut);
/* And these bytes of it are others. */
void lab_change(struct lab *l, uint64_t off, const uint8_t *p, size_t n);
/* The SHA-256 over those of the state's pieces: equal for equal disks only. */
void lab_hash(struct lab *l, uint8_t ret[COFFER_SHA256_SIZE]);

/* A device that is the state; what it does is in l->work until the next one. */
struct crashdev *lab_device(struct lab *l);

/* Say that this state is lost. */
void lab_fail(struct lab *l, const char *what, const char *why);

/* --- questions about bytes of the disk; @why gets a sentence --- */
/* The plain content, where it is used? */
bool lab_plain_equals(const struct lab *l, const uint8_t *disk, char why[256]);
/* A finished volume with that content? */
bool lab_volume_equals(struct lab *l, const uint8_t *disk, char why[256]);
/* And nothing plain, of a record, or of a keyslot left on it. */
bool lab_finished_well(struct lab *l, const uint8_t *disk, char why[256]);
/* Nothing plain is left that the key would have to protect. */
bool lab_shows_nothing(const struct lab *l, const uint8_t *disk, char why[256]);
/* Where a sector of the header's keyslots lies outside of it; 0: nowhere. */
uint64_t lab_stray_keyslot(const struct lab *l, const uint8_t *disk);
