/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_locks.c - what doctor makes of the lock directory and its locks
 *
 * Each row is its facts, and the one finding of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "one_finding.h"
#include "report/judge.h"
#include "tap.h"

/* --- the lock directory --- */

#define FOLDER                                                                                     \
	.run = COFFER_ENTRY_FOLDER, .run_writable = true, .root = true,                            \
	.dir = COFFER_ENTRY_FOLDER, .owner_known = true, .usable = true
#define WITHOUT .run = COFFER_ENTRY_FOLDER, .run_writable = true, .root = true, .owner_known = true

static void check_lock_dir(void)
{
	static const struct {
		const char *name;
		struct coffer_lock_dir_facts f;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"as Debian has it", {FOLDER, .mode = 040700}, OK, "root only", ""},
		{"others can look in", {FOLDER, .mode = 040755}, NOTE, "0755", "chmod 0700"},
		{"others can enter", {FOLDER, .mode = 040711}, NOTE, "0711", "chmod 0700"},
		{"others can write", {FOLDER, .mode = 040777}, BAD, "mode 0777", "chmod 0700"},
		{"others can write, but it is sticky", {FOLDER, .mode = 041777}, BAD, "mode 1777",
			"chmod 0700"},
		{"a group can write", {FOLDER, .mode = 040770}, BAD, "mode 0770", "chmod 0700"},
		{"another user's", {FOLDER, .mode = 040700, .owner = 1000}, BAD, "user 1000",
			"chown root:root"},
		{"whose it is cannot be told",
			{.run = COFFER_ENTRY_FOLDER,
				.root = true,
				.dir = COFFER_ENTRY_FOLDER,
				.owner = 65534,
				.mode = 040700},
			UNCHECKED, "user namespace", ""},
		{"whose it is cannot be told, and everybody can write",
			{.run = COFFER_ENTRY_FOLDER,
				.dir = COFFER_ENTRY_FOLDER,
				.owner = 65534,
				.mode = 040777},
			BAD, "mode 0777", "chmod"},
		{"root's, and this is another user",
			{.run = COFFER_ENTRY_FOLDER,
				.dir = COFFER_ENTRY_FOLDER,
				.owner_known = true,
				.mode = 040700},
			NOTE, "image files", ""},
		{"on a read-only filesystem",
			{.run = COFFER_ENTRY_FOLDER,
				.root = true,
				.dir = COFFER_ENTRY_FOLDER,
				.owner_known = true,
				.mode = 040700},
			BAD, "read-only", "remount,rw"},
		{"missing", {WITHOUT, .dir = COFFER_ENTRY_MISSING}, NOTE, "creates it", ""},
		{"missing, for another user", {.run = COFFER_ENTRY_FOLDER, .owner_known = true},
			NOTE, "creates it", ""},
		{"missing, and cannot be made",
			{.run = COFFER_ENTRY_FOLDER, .root = true, .owner_known = true}, BAD,
			"/run is read-only", "remount,rw"},
		{"a link", {WITHOUT, .dir = COFFER_ENTRY_LINK}, BAD, "symbolic link",
			"rm /run/cryptsetup"},
		{"a file", {WITHOUT, .dir = COFFER_ENTRY_FILE}, BAD, "no lock can be taken",
			"rm /run/cryptsetup"},
		{"a socket", {WITHOUT, .dir = COFFER_ENTRY_OTHER}, BAD, "no lock can be taken",
			"rm /run/cryptsetup"},
		{"hidden", {.run = COFFER_ENTRY_FOLDER, .dir = COFFER_ENTRY_HIDDEN}, UNCHECKED,
			"no access", ""},
		{"/run is missing", {.root = true}, BAD, "/run does not exist", "mount -t tmpfs"},
		{"/run is a link", {.run = COFFER_ENTRY_LINK}, BAD, "symbolic link", "directory"},
		{"/run is a file", {.run = COFFER_ENTRY_FILE}, BAD, "regular file", "tmpfs"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_findings l = {0};
		char name[128];

		(void)snprintf(name, sizeof(name), "lock directory: %s", rows[i].name);
		if (coffer_judge_lock_dir(&rows[i].f, &l) < 0)
			abort();
		one(name, &l, "lock-directory", rows[i].v, rows[i].words, rows[i].remedy);
	}
}

/* --- locks --- */

static void check_lock_names(void)
{
	static const struct {
		const char *name;
		struct coffer_lock_name n;
	} rows[] = {
		{"L_8:2", {.kind = COFFER_LOCK_ENTRY_DEVICE, .major = 8, .minor = 2}},
		{"L_259:1048575",
			{.kind = COFFER_LOCK_ENTRY_DEVICE, .major = 259, .minor = 1048575}},
		{"L_0:4294967295", {.kind = COFFER_LOCK_ENTRY_DEVICE, .minor = UINT32_MAX}},
		{"LN_OPAL_8:0", {.kind = COFFER_LOCK_ENTRY_OPAL, .major = 8}},
		{"LN_memory-hard-access", {.kind = COFFER_LOCK_ENTRY_MEMORY}},
		{"LN_LUKS2-reencryption-8a6e-4B",
			{.kind = COFFER_LOCK_ENTRY_REENCRYPTION, .uuid = "8a6e-4B"}},
		{"LN_LUKS2-reencryption-0123456789012345678901234567890123456789",
			{.kind = COFFER_LOCK_ENTRY_REENCRYPTION,
				.uuid = "0123456789012345678901234567890123456789"}},

		{"", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8:", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_:2", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8:2 ", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8:-2", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_08:2", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8:4294967296", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"L_8:99999999999999999999999", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"l_8:2", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_OPAL_8", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_memory-hard-access2", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_LUKS2-reencryption-", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_LUKS2-reencryption-$(x)", {.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
		{"LN_LUKS2-reencryption-01234567890123456789012345678901234567890",
			{.kind = COFFER_LOCK_ENTRY_UNKNOWN}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_lock_name n = {.kind = 77, .major = 77, .minor = 77};

		coffer_lock_name_parse(rows[i].name, &n);
		if (!ok(n.kind == rows[i].n.kind && n.major == rows[i].n.major &&
				    n.minor == rows[i].n.minor &&
				    strcmp(n.uuid, rows[i].n.uuid) == 0,
			    "lock name: '%s'", rows[i].name))
			note("kind %d, %" PRIu32 ":%" PRIu32 ", uuid '%s'", (int)n.kind, n.major,
				n.minor, n.uuid);
	}
}

#define HELD(how)                                                                                  \
	.entry = COFFER_ENTRY_FILE, .holders = 1,                                                  \
	.holder = {.pid = 812, .comm = "cryptsetup", .state = (how)}, .complete = true
#define LEFT .entry = COFFER_ENTRY_FILE, .complete = true

static void check_locks(void)
{
	static const struct {
		const char *name;
		struct coffer_lock_entry f;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"held", {.name = "L_8:2", HELD('S'), .device = "sda2"}, NOTE,
			"process 812 (cryptsetup) holds the lock of the "
			"LUKS2 metadata of /dev/sda2",
			""},
		{"held for a device that is gone", {.name = "L_8:2", HELD('S')}, NOTE,
			"holds the lock of 'L_8:2'", ""},
		{"held, and somebody waits",
			{.name = "L_8:2",
				HELD('D'),
				.device = "sda2",
				.waiters = 1,
				.waiter = {.pid = 900, .comm = "coffer", .state = 'S'}},
			NOTE, "; 1 waiting: process 900 (coffer)", "what the holder is doing"},
		{"two wait",
			{.name = "L_8:2",
				HELD('S'),
				.device = "sda2",
				.waiters = 2,
				.waiter = {.pid = 900, .comm = "coffer"}},
			NOTE, "; 2 waiting: process 900 (coffer)", "what the holder is doing"},
		{"the holder is stopped", {.name = "L_8:2", HELD('T'), .device = "sda2"}, BAD,
			"is stopped", "kill -CONT 812"},
		{"the holder is stopped, and somebody waits",
			{.name = "L_8:2",
				HELD('T'),
				.device = "sda2",
				.waiters = 1,
				.waiter = {.pid = 900, .comm = "coffer", .state = 'S'}},
			BAD, "waiting: process 900 (coffer)", "kill -CONT 812"},
		{"the holder is traced", {.name = "L_8:2", HELD('t'), .device = "sda2"}, NOTE,
			"(cryptsetup, traced)", ""},
		{"a reencryption", {.name = "LN_LUKS2-reencryption-8a6e", HELD('R')}, NOTE,
			"the reencryption of 8a6e", ""},
		{"a reencryption is stopped", {.name = "LN_LUKS2-reencryption-8a6e", HELD('T')},
			BAD, "the reencryption of 8a6e", "kill -CONT 812"},
		{"held by nobody that can be told",
			{.name = "L_8:2",
				.entry = COFFER_ENTRY_FILE,
				.holders = 1,
				.device = "sda2"},
			NOTE, "a process that is not visible here holds", ""},
		{"held by two",
			{.name = "LN_memory-hard-access",
				.entry = COFFER_ENTRY_FILE,
				.holders = 2,
				.holder = {.pid = 5, .comm = "a", .state = 'S'}},
			NOTE, "(a) holds the lock of memory-hard key derivations; other holders: 1",
			""},
		{"unknown", {.name = "x y", LEFT}, NOTE, "/run/cryptsetup/x y is not a known lock",
			""},
		{"unknown, a folder", {.name = "x", .entry = COFFER_ENTRY_FOLDER}, NOTE,
			"not a known lock", ""},
		{"a link instead", {.name = "L_8:2", .entry = COFFER_ENTRY_LINK}, BAD,
			"a symbolic link", "rm -r /run/cryptsetup/L_8:2"},
		{"a folder instead", {.name = "L_8:2", .entry = COFFER_ENTRY_FOLDER}, BAD,
			"a directory", "rm -r /run/cryptsetup/L_8:2"},
		{"a fifo instead", {.name = "LN_memory-hard-access", .entry = COFFER_ENTRY_OTHER},
			BAD, "a special file", "rm -r"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_findings l = {0};
		char name[128];

		(void)snprintf(name, sizeof(name), "lock: %s", rows[i].name);
		if (coffer_judge_locks(&rows[i].f, 1, &l) < 0)
			abort();
		one(name, &l, "lock", rows[i].v, rows[i].words, rows[i].remedy);
	}
}

static void check_left(void)
{
	static const struct {
		const char *name;
		struct coffer_lock_entry f[2];
		size_t n;
		const char *words;
	} rows[] = {
		{"none", {{""}}, 0, "no locks are held"},
		{"one", {{.name = "L_8:2", LEFT, .device = "sda2"}}, 1, "no locks are held"},
		{"one of a reencryption", {{.name = "LN_LUKS2-reencryption-8a6e", LEFT}}, 1,
			"no locks are held"},
		{"one, as far as can be seen", {{.name = "L_8:2", .entry = COFFER_ENTRY_FILE}}, 1,
			"no locks are held by visible processes"},
		{"two", {{.name = "L_8:2", LEFT}, {.name = "L_8:3", LEFT}}, 2, "no locks are held"},
	};
	static const struct coffer_lock_entry held[] = {
		{.name = "L_8:2", HELD('S')}, {.name = "L_8:3", LEFT}};
	struct coffer_findings l = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[128];

		(void)snprintf(name, sizeof(name), "left: %s", rows[i].name);
		if (coffer_judge_locks(rows[i].f, rows[i].n, &l) < 0)
			abort();
		one(name, &l, "locks", OK, rows[i].words, "");
	}
	for (size_t n = 1; n <= 2; n++) {
		if (coffer_judge_locks(held, n, &l) < 0)
			abort();
		one(n == 1 ? "left: none, one is held" : "left: one, one is held", &l, "lock", NOTE,
			"holds the lock", "");
	}
}

int main(void)
{
	check_lock_dir();
	check_lock_names();
	check_locks();
	check_left();
	return done_testing();
}
