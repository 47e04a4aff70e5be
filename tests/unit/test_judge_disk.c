/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_disk.c - what doctor makes of a disk's stage and its LUKS2 metadata
 *
 * Each row is its facts, and the one finding of them. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "one_finding.h"
#include "report/judge.h"
#include "tap.h"

#define STAGE(s) .stage = COFFER_STAGE_##s, .command = (char **)COFFER_RUN("coffer", "encrypt", "x")

static void check_stages(void)
{
	const struct {
		const char *name;
		struct coffer_status s;
		bool worker, locked, hidden;
		const char *id;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"plain", {STAGE(PLAIN)}, 0, 0, 0, "conversion", NOTE, "not encrypted", ""},
		{"Bug: a lost header was only not encrypted", {STAGE(PLAIN), .why = "header lost"},
			0, 0, 0, "conversion", NOTE, "not encrypted: header lost", ""},
		{"plain, with a filesystem", {STAGE(PLAIN), .filesystem = "xfs", .why = "no space"},
			0, 0, 0, "conversion", NOTE, "not encrypted", ""},
		{"reserved", {STAGE(RESERVED)}, 0, 0, 0, "conversion", NOTE, "not encrypted", ""},
		{"encrypted", {STAGE(ENCRYPTED), .luks_version = 2}, 0, 0, 0, "conversion", OK,
			"no conversion", ""},
		{"LUKS1", {STAGE(ENCRYPTED), .luks_version = 1}, 0, 0, 0, "conversion", NOTE,
			"LUKS1", ""},
		{"placing", {STAGE(PLACING)}, 0, 0, 0, "conversion", BAD, "no process",
			"coffer encrypt x"},
		{"placed", {STAGE(PLACED)}, 0, 0, 0, "conversion", BAD, "nothing is encrypted yet",
			"coffer encrypt x"},
		{"converting", {STAGE(CONVERTING)}, 0, 0, 0, "conversion", BAD, "no process",
			"coffer encrypt x"},
		{"wipe pending", {STAGE(WIPE_PENDING)}, 0, 0, 0, "conversion", BAD, "not wiped",
			"coffer encrypt x"},
		{"undoing", {STAGE(UNDOING)}, 0, 0, 0, "conversion", BAD, "abort",
			"coffer encrypt x"},
		{"other", {STAGE(OTHER), .why = "decrypts"}, 0, 0, 0, "conversion", BAD,
			"converting it: decrypts", "coffer encrypt x"},
		{"converting, with a process", {STAGE(CONVERTING)}, 1, 1, 0, "conversion", NOTE,
			"process 7 (coffer) is converting", ""},
		{"converting, locked", {STAGE(CONVERTING)}, 0, 1, 0, "conversion", NOTE,
			"not visible here is converting", ""},
		{"converting, holders not visible", {STAGE(CONVERTING)}, 0, 0, 1, "conversion",
			UNCHECKED, "only root can see", "coffer encrypt x"},
		{"shrunk", {STAGE(SHRUNK), .size = 5, .device_size = 9}, 0, 0, 0, "size", BAD,
			"has 5 bytes", "its old size"},
		{"damaged", {STAGE(DAMAGED), .why = "no copy"}, 0, 0, 0, "damage", BAD,
			"damaged: no copy", "coffer encrypt x"},
	};
	struct coffer_holder worker = {
		.kind = COFFER_HOLDER_REENCRYPTION, .pid = 7, .name = "coffer"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_status status = rows[i].s;
		struct coffer_findings l = {0};
		char name[128];

		status.holders = &worker;
		status.n_holders = rows[i].worker;
		(void)snprintf(name, sizeof(name), "stage: %s", rows[i].name);
		if (coffer_judge_stage(&status, rows[i].locked, !rows[i].hidden, &l) < 0)
			abort();
		one(name, &l, rows[i].id, rows[i].v, rows[i].words, rows[i].remedy);
	}
}

#define SLOT(n, kdf, cost)                                                                         \
	"\"" #n "\":{\"type\":\"luks2\",\"key_size\":64,\"area\":{\"offset\":\"32768\","           \
	"\"size\":\"258048\"},\"af\":{\"stripes\":4000},\"kdf\":{\"type\":\"" kdf "\"," cost "}}"
#define ARGON(n)  SLOT(n, "argon2id", "\"memory\":1048576")
#define SMALL(n)  SLOT(n, "argon2id", "\"memory\":1024")
#define PBKDF2(n) SLOT(n, "pbkdf2", "\"iterations\":1000")
#define HEADER(slots, names, tokens, more, offset, size)                                           \
	"{\"keyslots\":{" slots "},\"tokens\":{" tokens "},\"segments\":{\"0\":{\"type\":"         \
	"\"crypt\",\"offset\":\"" offset "\",\"size\":\"" size "\"}},\"digests\":{\"0\":{"         \
	"\"keyslots\":[" names "],\"segments\":[\"0\"]}},\"config\":{\"keyslots_size\":"           \
	"\"16744448\"" more "}}"
#define GOOD(more) HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", more, "16777216", "dynamic")

/* Of a healthy header there is "keyslot" and, where the memory is known, "key-memory"; a row names
 * the one finding that is other. */
static void check_keyslots(void)
{
	static const struct {
		const char *name, *json;
		struct coffer_keyslot_state s;
		const char *id;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"two keyslots", GOOD(""), {0}, "keyslot", OK, "2 keyslots", ""},
		{"Bug: one keyslot, converting",
			HEADER(ARGON(0), "\"0\"", "", "", "16777216", "dynamic"),
			{.converting = true}, "keyslot", NOTE, "only one keyslot",
			"after the conversion"},
		{"one keyslot", HEADER(ARGON(0), "\"0\"", "", "", "16777216", "dynamic"), {0},
			"keyslot", NOTE, "only one keyslot", "luksAddKey"},
		{"no keyslot", HEADER("", "", "", "", "16777216", "dynamic"), {0}, "keyslot", BAD,
			"no keyslot holds", "header restore"},
		{"no keyslot, but open", HEADER("", "", "", "", "16777216", "dynamic"),
			{.open = true}, "keyslot", BAD, "no keyslot holds", "--volume-key-file"},
		{"keyslots of another key",
			HEADER(ARGON(0) "," ARGON(1), "", "", "", "16777216", "dynamic"), {0},
			"keyslot", BAD, "no keyslot holds", "header restore"},
		{"weak pbkdf2",
			HEADER(PBKDF2(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216",
				"dynamic"),
			{0}, "pbkdf", NOTE, "keyslot 0 uses pbkdf2 with only 1000", "--key-slot 0"},
		{"weak pbkdf2 while it is converted",
			HEADER(PBKDF2(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216",
				"dynamic"),
			{.converting = true}, "pbkdf", NOTE, "keyslot 0 uses pbkdf2", ""},
		{"pbkdf2 of a token",
			HEADER(ARGON(0) "," PBKDF2(1), "\"0\",\"1\"",
				"\"0\":{\"type\":\"systemd-tpm2\",\"keyslots\":[\"1\"]}", "",
				"16777216", "dynamic"),
			{0}, "pbkdf", OK, NULL, ""},
		{"no space",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "",
				",\"keyslots_size\":\"524288\"", "16777216", "dynamic"),
			{0}, "keyslot-room", NOTE, "no space", ""},
		{"space for just one more",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "",
				",\"keyslots_size\":\"774144\"", "16777216", "dynamic"),
			{0}, "keyslot-room", OK, NULL, ""},
		{"enough memory", GOOD(""), {.available_kib = 1048576}, "key-memory", OK,
			"at most 1.0 GiB", ""},
		{"too little memory", GOOD(""), {.available_kib = 1048575}, "key-memory", BAD,
			"no keyslot can be opened", "luksConvertKey"},
		{"too little memory, but open", GOOD(""), {.available_kib = 1000, .open = true},
			"key-memory", NOTE, "keyslot 0 needs", "add swap"},
		{"too little memory for one of two",
			HEADER(SMALL(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216", "dynamic"),
			{.available_kib = 1024}, "key-memory", NOTE, "keyslot 1 needs", "add swap"},
		{"memory not known", GOOD(""), {0}, "key-memory", OK, NULL, ""},
		{"nothing in it", "{}", {0}, "keyslot", BAD, "no keyslot holds", "header restore"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_keyslot_state s = rows[i].s;
		struct coffer_findings l = {0}, found = {0};

		s.device = "/dev/x";
		if (coffer_json_parse(rows[i].json, strlen(rows[i].json), &json) < 0 ||
			coffer_judge_keyslots(json, &s, &l) < 0)
			abort();
		for (size_t k = 0; k < l.n; k++)
			if (strcmp(coffer_finding_name(l.items[k].id), rows[i].id) == 0) {
				if (coffer_findings_put(&found, &l.items[k]) < 0)
					abort();
			} else if (l.items[k].verdict == BAD) {
				ok(false, "keyslots: %s: %s", rows[i].name, l.items[k].text);
			}
		if (rows[i].words) {
			one(rows[i].name, &found, rows[i].id, rows[i].v, rows[i].words,
				rows[i].remedy);
		} else {
			ok(found.n == 0, "keyslots: %s: nothing of %s", rows[i].name, rows[i].id);
			coffer_findings_free(&found);
		}
		coffer_findings_free(&l);
	}
}

int main(void)
{
	check_stages();
	check_keyslots();
	return done_testing();
}
