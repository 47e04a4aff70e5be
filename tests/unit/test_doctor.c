/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_doctor.c - what doctor makes of facts
 *
 * Each row is a machine or a disk, and its one finding. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "report/judge_disk.h"
#include "report/judge_kernel.h"
#include "report/judge_locks.h"
#include "tap.h"

#define OK	  COFFER_VERDICT_OK
#define NOTE	  COFFER_VERDICT_NOTE
#define UNCHECKED COFFER_VERDICT_UNCHECKED
#define BAD	  COFFER_VERDICT_BAD

/* The checks are this one and no other; @words are in its text, @remedy in its remedy ("": there is
 * none). */
static void one(const char *name, struct coffer_findings *l, const char *id, enum coffer_verdict v,
	const char *words, const char *remedy)
{
	const struct coffer_finding *c = l->n ? l->items : NULL;

	if (!ok(l->n == 1 && strcmp(coffer_finding_name(c->id), id) == 0 && c->verdict == v &&
			    strstr(c->text, words) &&
			    (*remedy ? strstr(c->advice, remedy) != NULL : !c->advice[0]),
		    "%s", name))
		for (size_t i = 0; i < l->n; i++)
			note("%s %s: %s -> %s", coffer_verdict_name(l->items[i].verdict),
				coffer_finding_name(l->items[i].id), l->items[i].text,
				l->items[i].advice);
	coffer_findings_free(l);
}

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
		{"as Debian has it", {FOLDER, .mode = 040700}, OK, "only root", ""},
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
			BAD, "cannot be written", "remount,rw"},
		{"missing", {WITHOUT, .dir = COFFER_ENTRY_MISSING}, NOTE, "makes it", ""},
		{"missing, for another user", {.run = COFFER_ENTRY_FOLDER, .owner_known = true},
			NOTE, "makes it", ""},
		{"missing, and cannot be made",
			{.run = COFFER_ENTRY_FOLDER, .root = true, .owner_known = true}, BAD,
			"cannot be made", "remount,rw"},
		{"a link", {WITHOUT, .dir = COFFER_ENTRY_LINK}, BAD, "symbolic link",
			"rm /run/cryptsetup"},
		{"a file", {WITHOUT, .dir = COFFER_ENTRY_FILE}, BAD, "no folder",
			"rm /run/cryptsetup"},
		{"a socket", {WITHOUT, .dir = COFFER_ENTRY_OTHER}, BAD, "no folder",
			"rm /run/cryptsetup"},
		{"hidden", {.run = COFFER_ENTRY_FOLDER, .dir = COFFER_ENTRY_HIDDEN}, UNCHECKED,
			"may not look", ""},
		{"/run is missing", {.root = true}, BAD, "no /run", "mount -t tmpfs"},
		{"/run is a link", {.run = COFFER_ENTRY_LINK}, BAD, "symbolic link", "folder"},
		{"/run is a file", {.run = COFFER_ENTRY_FILE}, BAD, "no folder", "tmpfs"},
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
	.entry = COFFER_ENTRY_FILE, .devices_known = true, .holders = 1,                           \
	.holder = {.pid = 812, .comm = "cryptsetup", .state = (how), .age = 90061},                \
	.complete = true
#define LEFT .entry = COFFER_ENTRY_FILE, .devices_known = true, .complete = true

static void check_locks(void)
{
	static const struct {
		const char *name;
		struct coffer_lock_entry f;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"held", {.name = "L_8:2", HELD('S'), .device = "sda2"}, NOTE,
			"process 812 (cryptsetup, begun 1 d 1 h ago) holds the lock for the LUKS2 "
			"metadata of /dev/sda2 (L_8:2)",
			""},
		{"held for a device that is gone", {.name = "L_8:2", HELD('S')}, NOTE,
			"metadata of a device that is gone", ""},
		{"held, and somebody waits",
			{.name = "L_8:2",
				HELD('D'),
				.device = "sda2",
				.waiters = 1,
				.waiter = {.pid = 900, .comm = "coffer", .state = 'S', .age = 61}},
			NOTE, "; process 900 (coffer, begun 1 min 1 s ago) waits for it",
			"what process 812 does"},
		{"two wait",
			{.name = "L_8:2",
				HELD('S'),
				.device = "sda2",
				.waiters = 2,
				.waiter = {.pid = 900, .comm = "coffer"}},
			NOTE, "process 900 (coffer) waits for it, and it is not the only one",
			"process 812"},
		{"the holder is stopped", {.name = "L_8:2", HELD('T'), .device = "sda2"}, BAD,
			"is stopped", "kill -CONT 812"},
		{"the holder is stopped, and somebody waits",
			{.name = "L_8:2",
				HELD('T'),
				.device = "sda2",
				.waiters = 1,
				.waiter = {.pid = 900, .comm = "coffer", .state = 'S'}},
			BAD, "begun 0 s ago) waits for it", "kill -CONT 812"},
		{"the holder is traced", {.name = "L_8:2", HELD('t'), .device = "sda2"}, NOTE,
			"being traced", ""},
		{"a reencryption", {.name = "LN_LUKS2-reencryption-8a6e", HELD('R')}, NOTE,
			"the reencryption of the volume 8a6e", ""},
		{"a reencryption is stopped", {.name = "LN_LUKS2-reencryption-8a6e", HELD('T')},
			BAD, "the reencryption of the volume 8a6e", "kill -CONT 812"},
		{"held by nobody that can be told",
			{.name = "L_8:2",
				.entry = COFFER_ENTRY_FILE,
				.holders = 1,
				.device = "sda2"},
			NOTE, "a process that cannot be seen from here holds", ""},
		{"held by two",
			{.name = "LN_memory-hard-access",
				.entry = COFFER_ENTRY_FILE,
				.holders = 2,
				.holder = {.pid = 5, .comm = "a", .state = 'S', .age = 3700}},
			NOTE, "(a, begun 1 h 1 min ago) and others hold the lock for key deriv",
			""},
		{"unknown", {.name = "x y", LEFT}, NOTE, "'x y' in /run/cryptsetup is no lock", ""},
		{"unknown, a folder", {.name = "x", .entry = COFFER_ENTRY_FOLDER}, NOTE,
			"no lock that is known", ""},
		{"a link instead", {.name = "L_8:2", .entry = COFFER_ENTRY_LINK}, BAD,
			"a symbolic link", "rm -r /run/cryptsetup/L_8:2"},
		{"a folder instead", {.name = "L_8:2", .entry = COFFER_ENTRY_FOLDER}, BAD,
			"a folder", "rm -r /run/cryptsetup/L_8:2"},
		{"a fifo instead", {.name = "LN_memory-hard-access", .entry = COFFER_ENTRY_OTHER},
			BAD, "no regular file", "rm -r"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_findings l = {0};
		char name[128];

		(void)snprintf(name, sizeof(name), "lock: %s", rows[i].name);
		if (coffer_judge_lock(&rows[i].f, &l) < 0)
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
		enum coffer_verdict v;
		const char *words;
	} rows[] = {
		{"none", {{""}}, 0, OK, "none was left"},
		{"one", {{.name = "L_8:2", LEFT, .device = "sda2"}}, 1, NOTE,
			"nobody holds L_8:2; processes that were killed have left this file"},
		{"one for a device that is gone", {{.name = "L_8:2", LEFT}}, 1, NOTE,
			"nobody holds L_8:2;"},
		{"one of a reencryption", {{.name = "LN_LUKS2-reencryption-8a6e", LEFT}}, 1, NOTE,
			"nobody holds LN_LUKS2-reencryption-8a6e;"},
		{"one, as far as can be seen", {{.name = "L_8:2", .entry = COFFER_ENTRY_FILE}}, 1,
			NOTE, "nobody who can be seen holds L_8:2;"},
		{"two", {{.name = "L_8:2", LEFT}, {.name = "L_8:3", LEFT}}, 2, NOTE,
			"nobody holds L_8:2 and others; processes that were killed have left "
			"these"},
	};
	static const struct coffer_lock_entry held[] = {
		{.name = "L_8:2", HELD('S')}, {.name = "L_8:3", LEFT}};
	struct coffer_findings l = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[128];

		(void)snprintf(name, sizeof(name), "left: %s", rows[i].name);
		if (coffer_judge_locks(rows[i].f, rows[i].n, &l) < 0)
			abort();
		one(name, &l, "locks", rows[i].v, rows[i].words, "");
	}
	if (coffer_judge_locks(held, 1, &l) < 0)
		abort();
	one("left: none, one is held", &l, "lock", NOTE, "holds the lock", "");
	if (coffer_judge_locks(held, 2, &l) < 0)
		abort();
	ok(l.n == 2 && strcmp(coffer_finding_name(l.items[0].id), "lock") == 0 &&
			strcmp(coffer_finding_name(l.items[1].id), "locks") == 0,
		"left: one is held, one is left");
	coffer_findings_free(&l);
}

/* --- the kernel --- */

static void check_dm_crypt(void)
{
	static const struct {
		const char *name;
		struct coffer_kernel_facts f;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"loaded", {.dm_crypt = COFFER_MODULE_LOADED, .device_mapper = true}, OK, "loaded",
			""},
		{"loaded, seen from a container",
			{.dm_crypt = COFFER_MODULE_LOADED, .container = true}, OK, "loaded", ""},
		{"built in", {.dm_crypt = COFFER_MODULE_BUILTIN}, OK, "a part of this kernel", ""},
		{"a module", {.dm_crypt = COFFER_MODULE_FILE}, OK, "when it is needed", ""},
		{"no such module", {.dm_crypt = COFFER_MODULE_ABSENT, .release = "6.1"}, BAD,
			"6.1 has no dm-crypt", "install"},
		{"no such module in a container",
			{.dm_crypt = COFFER_MODULE_ABSENT, .container = true}, NOTE,
			"in a container", ""},
		{"the kernel's modules are gone",
			{.dm_crypt = COFFER_MODULE_UNKNOWN,
				.other_modules = true,
				.release = "6.1.0-9"},
			BAD, "modules of the running kernel 6.1.0-9 are gone", "reboot"},
		{"the same in a container",
			{.dm_crypt = COFFER_MODULE_UNKNOWN,
				.other_modules = true,
				.container = true},
			NOTE, "in a container", ""},
		{"no modules at all", {.dm_crypt = COFFER_MODULE_UNKNOWN}, NOTE,
			"no device-mapper now", ""},
		{"no list, but device-mapper",
			{.dm_crypt = COFFER_MODULE_UNKNOWN, .device_mapper = true}, NOTE,
			"dm-crypt is not loaded", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_findings l = {0};
		char name[128];

		(void)snprintf(name, sizeof(name), "dm-crypt: %s", rows[i].name);
		if (coffer_judge_dm_crypt(&rows[i].f, &l) < 0)
			abort();
		one(name, &l, "dm-crypt", rows[i].v, rows[i].words, rows[i].remedy);
	}
}

static void check_small_ones(void)
{
	struct coffer_findings l = {0};
	int r = 0;

	r |= coffer_judge_udev(COFFER_UDEV_ANSWERS, &l);
	one("udev: runs", &l, "udev", OK, "udev runs", "");
	r |= coffer_judge_udev(COFFER_UDEV_NONE, &l);
	one("udev: none", &l, "udev", OK, "no udev", "");
	r |= coffer_judge_udev(COFFER_UDEV_HIDDEN, &l);
	one("udev: for root only", &l, "udev", UNCHECKED, "only root", "");
	r |= coffer_judge_udev(COFFER_UDEV_SILENT, &l);
	one("udev: a leftover", &l, "udev", NOTE, "wait for udev without end", "DM_DISABLE_UDEV=1");
	r |= coffer_judge_memory_lock(57344, 0, &l);
	one("memory: can be locked", &l, "memory-lock", OK, "57344 bytes", "");
	r |= coffer_judge_memory_lock(57344, ENOMEM, &l);
	one("memory: cannot be locked", &l, "memory-lock", BAD, "cannot be locked",
		"ulimit -l 56,");
	ok(r == 0, "no judge ran out of memory");
}

static void check_swaps(void)
{
	static const struct {
		const char *name;
		struct coffer_swap swaps[2];
		size_t n, volumes;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"none", {{""}}, 0, 1, OK, "no swap is to be seen", ""},
		{"plain, nothing open", {{"/dev/sda3", COFFER_SWAP_PLAIN}}, 1, 0, OK,
			"no encrypted volume is open", ""},
		{"plain, a volume open", {{"/dev/sda3", COFFER_SWAP_PLAIN}}, 1, 1, NOTE,
			"/dev/sda3 is not encrypted", "crypttab"},
		{"encrypted and in memory",
			{{"/dev/dm-1", COFFER_SWAP_ENCRYPTED}, {"/dev/zram0", COFFER_SWAP_MEMORY}},
			2, 1, OK, "all swap", ""},
		{"one of two plain",
			{{"/dev/zram0", COFFER_SWAP_MEMORY}, {"/swapfile", COFFER_SWAP_PLAIN}}, 2,
			2, NOTE, "/swapfile is not encrypted", "crypttab"},
		{"unknown", {{"/dev/loop0", COFFER_SWAP_UNKNOWN}}, 1, 0, UNCHECKED, "/dev/loop0",
			""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct coffer_findings l = {0};
		char name[128];

		(void)snprintf(name, sizeof(name), "swap: %s", rows[i].name);
		if (coffer_judge_swaps(rows[i].swaps, rows[i].n, rows[i].volumes, &l) < 0)
			abort();
		one(name, &l, "swap", rows[i].v, rows[i].words, rows[i].remedy);
	}
}

/* --- disks --- */

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
	check_lock_dir();
	check_lock_names();
	check_locks();
	check_left();
	check_dm_crypt();
	check_small_ones();
	check_swaps();
	check_states();
	check_volumes();
	return done_testing();
}
