/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_disk.c - what doctor makes of a disk's stage and its LUKS2 metadata
 *
 * Each row is its facts, and the one finding of them. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "one_finding.h"
#include "report/judge_disk.h"
#include "tap.h"

#define STAGE(s) .stage = COFFER_STAGE_##s, .next = "coffer encrypt x", .everybody = true

static void check_states(void)
{
	static const struct {
		const char *name;
		struct coffer_disk_state s;
		const char *id;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"plain", {STAGE(PLAIN)}, "conversion", NOTE, "not encrypted", ""},
		{"reserved", {STAGE(RESERVED)}, "conversion", NOTE, "not encrypted", ""},
		{"encrypted", {STAGE(ENCRYPTED), .luks_version = 2}, "conversion", OK,
			"no conversion", ""},
		{"LUKS1", {STAGE(ENCRYPTED), .luks_version = 1}, "conversion", NOTE, "LUKS1", ""},
		{"placing", {STAGE(PLACING)}, "conversion", BAD, "nobody is seen to be at work",
			"coffer encrypt x"},
		{"placed", {STAGE(PLACED)}, "conversion", BAD, "nothing is encrypted yet",
			"coffer encrypt x"},
		{"converting", {STAGE(CONVERTING)}, "conversion", BAD,
			"nobody is seen to be at work", "coffer encrypt x"},
		{"wipe pending", {STAGE(WIPE_PENDING)}, "conversion", BAD, "not wiped",
			"coffer encrypt x"},
		{"undoing", {STAGE(UNDOING)}, "conversion", BAD, "abort", "coffer encrypt x"},
		{"other", {STAGE(OTHER), .why = "decrypts"}, "conversion", BAD,
			"work on it: decrypts", "coffer encrypt x"},
		{"converting, and at work",
			{STAGE(CONVERTING), .at_work = true, .worker = 7, .command = "coffer"},
			"conversion", NOTE, "process 7 (coffer) is at work", ""},
		{"converting, and somebody is at work",
			{STAGE(CONVERTING), .at_work = true, .command = ""}, "conversion", NOTE,
			"cannot be seen from here is at work", ""},
		{"converting, and perhaps at work", {.stage = COFFER_STAGE_CONVERTING, .next = "x"},
			"conversion", UNCHECKED, "this user cannot see", "x"},
		{"shrunk", {STAGE(SHRUNK), .why = "it has 5"}, "size", BAD, "smaller",
			"its size back"},
		{"damaged", {STAGE(DAMAGED), .why = "no copy"}, "damage", BAD, "damaged: no copy",
			"coffer encrypt x"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_disk_state state = rows[i].s;
		struct coffer_findings l = {0};
		char name[128];

		if (!state.why)
			state.why = "";
		(void)snprintf(name, sizeof(name), "state: %s", rows[i].name);
		if (coffer_judge_state(&state, &l) < 0)
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
#define GOOD(more)    HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", more, "16777216", "dynamic")
#define DEMANDS(what) GOOD(",\"requirements\":{\"mandatory\":[\"" what "\"]}")

/* Of a healthy header there is "keyslot" and, where the memory is known, "key-memory"; a row names
 * the one finding that is other. */
static void check_volumes(void)
{
	static const struct {
		const char *name, *json;
		struct coffer_volume_state s;
		const char *id;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"two keyslots", GOOD(""), {0}, "keyslot", OK, "2 keyslots", ""},
		{"one keyslot", HEADER(ARGON(0), "\"0\"", "", "", "16777216", "dynamic"), {0},
			"keyslot", NOTE, "one keyslot alone", "luksAddKey"},
		{"no keyslot", HEADER("", "", "", "", "16777216", "dynamic"), {0}, "keyslot", BAD,
			"no keyslot holds", "luksHeaderRestore"},
		{"no keyslot, but open", HEADER("", "", "", "", "16777216", "dynamic"),
			{.open = true}, "keyslot", BAD, "no keyslot holds", "--volume-key-file"},
		{"keyslots of another key",
			HEADER(ARGON(0) "," ARGON(1), "", "", "", "16777216", "dynamic"), {0},
			"keyslot", BAD, "no keyslot holds", "luksHeaderRestore"},
		{"weak pbkdf2",
			HEADER(PBKDF2(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216",
				"dynamic"),
			{0}, "pbkdf", NOTE, "keyslot 0 has pbkdf2 with 1000", "--key-slot 0"},
		{"weak pbkdf2 while it is converted",
			HEADER(PBKDF2(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216",
				"dynamic"),
			{.converting = true}, "pbkdf", NOTE, "keyslot 0 has pbkdf2", ""},
		{"pbkdf2 of a token",
			HEADER(ARGON(0) "," PBKDF2(1), "\"0\",\"1\"",
				"\"0\":{\"type\":\"systemd-tpm2\",\"keyslots\":[\"1\"]}", "",
				"16777216", "dynamic"),
			{0}, "pbkdf", OK, NULL, ""},
		{"no room",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "",
				",\"keyslots_size\":\"524288\"", "16777216", "dynamic"),
			{0}, "keyslot-room", NOTE, "no room", ""},
		{"room for just one more",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "",
				",\"keyslots_size\":\"774144\"", "16777216", "dynamic"),
			{0}, "keyslot-room", OK, NULL, ""},
		{"enough memory", GOOD(""), {.available_kib = 1048576}, "key-memory", OK,
			"1.0 GiB of memory at most", ""},
		{"too little memory", GOOD(""), {.available_kib = 1048575}, "key-memory", BAD,
			"may kill", "luksConvertKey"},
		{"too little memory, but open", GOOD(""), {.available_kib = 1000, .open = true},
			"key-memory", NOTE, "keyslot 0 takes", "luksConvertKey"},
		{"too little memory for one of two",
			HEADER(SMALL(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216", "dynamic"),
			{.available_kib = 1024}, "key-memory", NOTE, "keyslot 1 takes",
			"--key-slot 1"},
		{"memory not known", GOOD(""), {0}, "key-memory", OK, NULL, ""},
		{"unknown requirement", DEMANDS("quantum"), {0}, "requirement", BAD, "'quantum'",
			"cryptsetup"},
		{"OPAL", DEMANDS("opal"), {0}, "requirement", NOTE, "OPAL", ""},
		{"offline reencryption", DEMANDS("offline-reencrypt"), {0}, "requirement", NOTE,
			"only cryptsetup can finish", ""},
		{"reencryption", DEMANDS("online-reencrypt-v2"), {0}, "requirement", OK, NULL, ""},
		{"segment behind the end", GOOD(""), {.device_size = 16777216, .is_block = true},
			"segment", BAD, "16777216 bytes", "size back"},
		{"a header's file", GOOD(""), {.device_size = 16777216}, "segment", NOTE,
			"a header without them", ""},
		{"one sector of data", GOOD(""), {.device_size = 16777728, .is_block = true},
			"segment", OK, NULL, ""},
		{"fixed segment",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216", "1048576"),
			{.device_size = 17825792, .is_block = true}, "segment", OK, NULL, ""},
		{"fixed segment behind the end",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216", "1048576"),
			{.device_size = 17825791}, "segment", BAD, "reaches to byte 17825792",
			"size back"},
		{"segment that wraps",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", "", "16777216",
				"18446744073709551615"),
			{.device_size = UINT64_MAX}, "segment", OK, NULL, ""},
		{"data elsewhere",
			HEADER(ARGON(0) "," ARGON(1), "\"0\",\"1\"", "", "", "0", "dynamic"),
			{.device_size = 4096}, "segment", OK, NULL, ""},
		{"nothing in it", "{}", {0}, "keyslot", BAD, "no keyslot holds", "luksHeader"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_volume_state s = rows[i].s;
		struct coffer_findings l = {0}, found = {0};

		s.device = "/dev/x";
		if (s.device_size == 0)
			s.device_size = UINT64_C(1) << 40;
		if (coffer_json_parse(rows[i].json, strlen(rows[i].json), &json) < 0 ||
			coffer_judge_volume(json, &s, &l) < 0)
			abort();
		for (size_t k = 0; k < l.n; k++)
			if (strcmp(coffer_finding_name(l.items[k].id), rows[i].id) == 0) {
				if (coffer_findings_print(&found, l.items[k].id, l.items[k].verdict,
					    "%s", l.items[k].text) < 0)
					abort();
				coffer_findings_advise(&found, "%s", l.items[k].advice);
			} else if (l.items[k].verdict == BAD) {
				ok(false, "volume: %s: %s", rows[i].name, l.items[k].text);
			}
		if (rows[i].words) {
			one(rows[i].name, &found, rows[i].id, rows[i].v, rows[i].words,
				rows[i].remedy);
		} else {
			ok(found.n == 0, "volume: %s: nothing of %s", rows[i].name, rows[i].id);
			coffer_findings_free(&found);
		}
		coffer_findings_free(&l);
	}
}

int main(void)
{
	check_states();
	check_volumes();
	return done_testing();
}
