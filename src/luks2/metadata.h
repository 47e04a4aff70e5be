/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.h - what a person should know of LUKS2 metadata that libcryptsetup does not say
 *
 * libcryptsetup alone says whether metadata are right (luks2/judge.h), and it stops at the first
 * mistake. The checks here are of metadata that it accepts, and that could not be used all the
 * same. Nothing is trusted: the text may come from anybody. Source: LUKS2 on-disk format 1.1,
 * chapter 3. docs/decisions/010-libcryptsetup-judges.md has the reasons. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"

struct coffer_metadata {
	struct json_object *json;
	const char *text; /* from which it was parsed, for what parsing loses */
	size_t text_size;
	bool accepted;	      /* by libcryptsetup */
	const char *reason;   /* why not */
	uint64_t copy_size;   /* bytes of one header copy */
	uint64_t device_size; /* bytes where the data are; 0: they are not here */
	const char *device;   /* quoted for a shell */
	const char *copy;     /* in front of each sentence: "", or which of two copies it is */
	bool only_bad;	      /* leave out what is OK, and notes */
};

/* Check @m; the findings are added to @l under the ids "metadata" (libcryptsetup's word), "json",
 * "requirement", "keyslot", "digest", "segment", "reencryption". All but the first two are of
 * accepted metadata only. Of one id no more than a few findings are added, and how many more there
 * are. -ENOMEM: the list is not whole. */
int coffer_metadata_check(const struct coffer_metadata *m, struct coffer_findings *l);

/* Bytes of both header copies and the keyslots area; 0: the metadata do not say, or impossibly. */
uint64_t coffer_metadata_header_size(struct json_object *json, uint64_t copy_size);
/* Where the data begin: the lowest offset of a regular segment. 0: at the start of another device
 * than the header's, or the metadata do not say. */
uint64_t coffer_metadata_data_offset(struct json_object *json);
