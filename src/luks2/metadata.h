/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.h - check what libcryptsetup does not check in LUKS2 metadata
 *
 * libcryptsetup alone judges whether metadata are valid (luks2/judge.h). The checks here are of
 * metadata that it accepts but that cannot be used. Nothing is trusted. Source: LUKS2 on-disk
 * format 1.1, chapter 3. docs/decisions/010-libcryptsetup-judges.md has the reasons. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"

struct coffer_metadata {
	struct json_object *json;
	const char *text; /* from which it was parsed, for what parsing loses */
	size_t text_size;
	uint64_t device_size; /* bytes of the data device; 0: not here */
	const char *device;   /* its name */
};

/* Check @m; the findings are added to @l under the ids "json", "requirement", "keyslot", "digest",
 * "segment", "reencryption". At most a few of one id, and how many more there are. -ENOMEM: the
 * list is not complete. */
int coffer_metadata_check(const struct coffer_metadata *m, struct coffer_findings *l);

/* Bytes of both header copies and the keyslots area; 0: missing or impossible. */
uint64_t coffer_metadata_header_size(struct json_object *json, uint64_t copy_size);
/* The lowest offset of a regular segment. 0: the data are on another device, or it is missing. */
uint64_t coffer_metadata_data_offset(struct json_object *json);
