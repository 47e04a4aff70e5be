/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.h - are these LUKS2 metadata what the format says they must be?
 *
 * Every rule of the format by itself, so that a header that is refused tells of all that is wrong
 * with it and not of the first thing only. Two questions are answered at once: would libcryptsetup
 * load them, and could what they describe be used? The first is that of libcryptsetup 2.6 and
 * later; tests/loop/test_header_check.py holds the answers against it. Nothing is trusted: the text
 * may come from anybody. Source: LUKS2 on-disk format 1.1, chapter 3, and the headers that
 * cryptsetup 2.6 takes. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "coffer/finding.h"

struct coffer_meta {
	struct json_object *json;
	const char
		*text; /* from which it was parsed, for what parsing loses; NULL: not looked at */
	size_t text_size;
	uint64_t copy_size;   /* bytes of one header copy */
	uint64_t device_size; /* bytes where the data are; 0: they are not here */
	const char *device;   /* quoted for a shell */
	const char *copy;     /* in front of each sentence: "", or which of two copies it is */
	bool only_bad;	      /* leave out what is OK, and notes */
};

/* Judge @m; what was looked at is added to @l under the ids "json", "config", "requirement",
 * "keyslot", "area", "token", "digest", "segment", "reencryption". Of one id no more than a few
 * findings are told, then how many more there are. A check that is BAD has a remedy where it has
 * one of its own. *ret_accepted: libcryptsetup loads them. 0, or -ENOMEM: the list is not whole. */
int coffer_meta_check(const struct coffer_meta *m, struct coffer_findings *l, bool *ret_accepted);

/* Would libcryptsetup load the metadata @json, parsed from @text, of a header with copies of
 * @copy_size bytes? A copy that it would not load does not count, whatever its checksum says. */
int coffer_meta_accepted(struct json_object *json, const char *text, size_t text_size,
	uint64_t copy_size, bool *ret);

/* Bytes of both header copies and the keyslots area; 0: the metadata do not tell. */
uint64_t coffer_meta_header_size(struct json_object *json, uint64_t copy_size);
/* Where the data begin: the lowest offset of a regular segment. 0: at the start of another device
 * than the header's, or the metadata do not tell. */
uint64_t coffer_meta_data_offset(struct json_object *json);
