/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_text.h - the sentences of findings: one table, and how a finding is made from it */
#pragma once
#include "coffer/finding.h"

/* Of a disk with unrecognized content. */
#define COFFER_LOST_HEADER                                                                         \
	"if it was a LUKS2 volume, its header is lost, 'coffer header restore' puts a backup "     \
	"back, and an encryption would destroy the data"

/* One for each thing that a check can say. */
enum coffer_text {
	COFFER_TEXT_EXCLUSIVE,
	COFFER_TEXT_EXCLUSIVE_NOT_ALL,
	COFFER_TEXT_EXCLUSIVE_WRITER,
	COFFER_TEXT_EXCLUSIVE_CONVERTING,
	COFFER_TEXT_WRITABLE,
	COFFER_TEXT_LOCKS,
	COFFER_TEXT_LOCKS_IMAGE,
	COFFER_TEXT_LOCKS_BLOCK,
	COFFER_TEXT_CONTENT,
	COFFER_TEXT_CONTENT_BEGUN,
	COFFER_TEXT_CONTENT_FIRST_COPY_LOST,
	COFFER_TEXT_CONTENT_NO_HEADER,
	COFFER_TEXT_CONTENT_SUSPENDED,
	COFFER_TEXT_CONTENT_PARTITIONS,
	COFFER_TEXT_FILESYSTEM,
	COFFER_TEXT_FILESYSTEM_TOO_SMALL,
	COFFER_TEXT_FILESYSTEM_TWO,
	COFFER_TEXT_FILESYSTEM_UNKNOWN,
	COFFER_TEXT_FILESYSTEM_LOST,
	COFFER_TEXT_FILESYSTEM_GIVEN,
	COFFER_TEXT_FILESYSTEM_GIVEN_LOST,
	COFFER_TEXT_SINGLE_DEVICE,
	COFFER_TEXT_SINGLE_DEVICE_UNKNOWN,
	COFFER_TEXT_SINGLE_DEVICE_PARTS,
	COFFER_TEXT_RESERVE,
	COFFER_TEXT_RESERVE_ODD,
	COFFER_TEXT_RESERVE_GIVEN_LESS,
	COFFER_TEXT_RESERVE_GIVEN_MORE,
	COFFER_TEXT_RESERVE_NONE,
	COFFER_TEXT_RESERVE_NONE_EXT,
	COFFER_TEXT_RESERVE_NONE_XFS,
	COFFER_TEXT_RESERVE_TOO_LARGE,
	COFFER_TEXT_RESERVE_TOO_LARGE_ALL,
	COFFER_TEXT_SECTOR_SIZE,
	COFFER_TEXT_SECTOR_SIZE_UNALIGNED,
	COFFER_TEXT_SECTOR_SIZE_FILESYSTEM,
	COFFER_TEXT_SECTOR_SIZE_DEVICE,
	COFFER_TEXT_HEADER,
	COFFER_TEXT_HIBERNATION,
	COFFER_N_TEXTS,
};

/* A list of arguments, and a command: for coffer_finding_make. */
#define COFFER_WITH(...) ((const struct coffer_argument[]){__VA_ARGS__, {.name = NULL}})
#define COFFER_ARG_NUMBER(n, v)                                                                    \
	{                                                                                          \
		.name = (n), .type = COFFER_ARGUMENT_NUMBER, .number = (v)                         \
	}
#define COFFER_ARG_SIZE(n, v)                                                                      \
	{                                                                                          \
		.name = (n), .type = COFFER_ARGUMENT_SIZE, .number = (v)                           \
	}
#define COFFER_ARG_TEXT(n, v) coffer_argument_text((n), (v))
#define COFFER_RUN(...)	      ((const char *const[]){__VA_ARGS__, NULL})

/* An argument that is a text; "": none, and a part of the sentence in brackets is left out. */
struct coffer_argument coffer_argument_text(const char *name, const char *text);

/* Fill @ret, whatever was in it, from the sentence @t. Either of @arguments and @command may be
 * NULL. @ret->command is for coffer_findings_put or coffer_finding_reset. -ENOMEM. */
int coffer_finding_make(struct coffer_finding *ret, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *command);
void coffer_finding_reset(struct coffer_finding *f);
#define _cleanup_finding_ _cleanup_(coffer_finding_reset)
