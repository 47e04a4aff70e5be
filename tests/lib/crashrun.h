/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashrun.h - conversions on a device in memory, and the check of every state a cut can leave */
#pragma once
#include "coffer/encrypt.h"
#include "crashdev.h"
#include "model/decide.h"

#define MIB	 (UINT64_C(1) << 20)
#define PASSWORD "correct horse" /* of every volume here */

/* A conversion to cut: content of @length bytes under a reserve of 2 MiB (S = 1 MiB). */
struct row {
	const char *name;
	uint64_t length;
	uint32_t sector_size;
	unsigned int seeds; /* random states per cut */
	bool ext4;	    /* the content is an ext4, else sectors with a marker */
	bool used_only;	    /* ... with files and holes, of which only what is used is moved */
	enum coffer_free_space free_space;
};

struct count {
	unsigned int states, coffer, aborted, stock, repaired;
	unsigned int keyslots; /* states with a header, and keyslots outside of it as well */
	unsigned int skipped;  /* repair was asked, but not run */
	unsigned int failed;
};

/* Content with a marker in every sector, in an image with its reserve; free() it. */
uint8_t *make_content(const struct row *row);
uint64_t disk_size(const struct row *row);
struct coffer_encrypt_options options(const struct row *row);

/* Run a verb on a copy of @content; @ret_log gets what it wrote (when @record) and the result. */
int encrypt(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e);
int undo(const struct row *row, const uint8_t *content, bool record, struct crash_log *ret_log,
	struct coffer_err *e);
struct coffer_facts facts_of(
	const struct row *row, const uint8_t *state, enum coffer_action *action);

/* Finished: content right by the oracle, nothing plain and nothing of a record left? */
bool finished_well(
	const struct row *row, const struct crash_log *log, const uint8_t *content, char why[256]);

/* Recover one state by coffer, by abort where that is possible, and by stock. */
void check_state(const struct row *row, const uint8_t *content, const uint8_t *state, size_t k,
	enum crash_policy policy, uint64_t seed, bool stock, struct count *c);
/* All states of @log, begun on @base: a first cut, or (@again) one inside a recovery. */
void check_cuts(const struct row *row, const uint8_t *content, const uint8_t *base,
	const struct crash_log *log, bool again, struct count *c);

void fail(struct count *c, const struct row *row, size_t k, enum crash_policy policy, uint64_t seed,
	const char *what, const char *why);
/* Print the counts; true when every state was recovered. */
bool report(const struct row *row, const struct count *c);
