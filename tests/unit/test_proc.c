/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_proc.c - texts of /proc and /sys */
#include "block/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

/* The text in memory of just its size, where a byte too many is seen. */
static char *exactly(const char *s)
{
	const size_t n = strlen(s) + 1;
	char *p = malloc(n);

	if (p)
		memcpy(p, s, n);
	return p;
}

static void check_lock(void)
{
	static const struct {
		const char *name, *line;
		int r;
		struct coffer_lock_line l;
	} rows[] = {
		{"flock", "1: FLOCK  ADVISORY  WRITE 3099 00:27:257 0 EOF", 0,
			{.flock = true, .pid = 3099, .minor = 0x27, .ino = 257}},
		{"flock, shared", "22: FLOCK  ADVISORY  READ 12 fe:00:1308621 0 EOF", 0,
			{.flock = true, .pid = 12, .major = 0xfe, .ino = 1308621}},
		{"one that waits", "1: -> FLOCK  ADVISORY  WRITE 3100 00:27:257 0 EOF", 0,
			{.flock = true, .waits = true, .pid = 3100, .minor = 0x27, .ino = 257}},
		{"one that waits for the one that waits",
			"1:    -> FLOCK  ADVISORY  WRITE 3101 00:27:257 0 EOF", 0,
			{.flock = true, .waits = true, .pid = 3101, .minor = 0x27, .ino = 257}},
		{"POSIX", "3: POSIX  ADVISORY  WRITE 700 103:1234567:18446744073709551615 128 128",
			0, {.pid = 700, .major = 0x103, .minor = 0x1234567, .ino = UINT64_MAX}},
		{"open file description", "4: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 EOF", 0,
			{.pid = -1, .major = 0xfe, .ino = 77}},
		{"of another pid namespace", "4: FLOCK  ADVISORY  WRITE 0 fe:00:77 0 EOF", 0,
			{.flock = true, .major = 0xfe, .ino = 77}},
		{"lease", "5: LEASE  ACTIVE    READ  900 00:2c:5 0 EOF", 0,
			{.pid = 900, .minor = 0x2c, .ino = 5}},
		{"largest pid", "1: FLOCK  ADVISORY  WRITE 2147483647 00:00:1 0 EOF", 0,
			{.flock = true, .pid = INT32_MAX, .ino = 1}},

		{"empty", "", -EBADMSG, {0}},
		{"blanks", "   ", -EBADMSG, {0}},
		{"no number", "FLOCK  ADVISORY  WRITE 3099 00:27:257 0 EOF", -EBADMSG, {0}},
		{"number without colon", "1 FLOCK  ADVISORY  WRITE 3099 00:27:257 0 EOF", -EBADMSG,
			{0}},
		{"no file", "1: FLOCK  ADVISORY  WRITE 3099 <none>:0 0 EOF", -EBADMSG, {0}},
		{"no inode", "1: POSIX  *NOINODE* UNKNOWN READ 3099 00:27:257 0 EOF", -EBADMSG,
			{0}},
		{"cut after the inode", "1: FLOCK  ADVISORY  WRITE 3099 00:27:257", -EBADMSG, {0}},
		{"cut within the range", "1: FLOCK  ADVISORY  WRITE 3099 00:27:257 0", -EBADMSG,
			{0}},
		{"pid too large", "1: FLOCK  ADVISORY  WRITE 2147483648 00:27:257 0 EOF", -EBADMSG,
			{0}},
		{"pid negative", "1: FLOCK  ADVISORY  WRITE -2 00:27:257 0 EOF", -EBADMSG, {0}},
		{"inode wraps", "1: FLOCK  ADVISORY  WRITE 1 00:27:18446744073709551616 0 EOF",
			-EBADMSG, {0}},
		{"major wraps", "1: FLOCK  ADVISORY  WRITE 1 100000000:27:1 0 EOF", -EBADMSG, {0}},
		{"two numbers of a file", "1: FLOCK  ADVISORY  WRITE 1 00:27 0 EOF", -EBADMSG, {0}},
		{"empty minor", "1: FLOCK  ADVISORY  WRITE 1 00::7 0 EOF", -EBADMSG, {0}},
		{"inode in hex", "1: FLOCK  ADVISORY  WRITE 1 00:27:1f 0 EOF", -EBADMSG, {0}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *line = exactly(rows[i].line);
		struct coffer_lock_line l = {.pid = 77}, was = l;
		const int r = coffer_lock_parse(line, &l);

		if (r == 0)
			was = rows[i].l;
		if (!ok(r == rows[i].r && l.flock == was.flock && l.waits == was.waits &&
				    l.pid == was.pid && l.major == was.major &&
				    l.minor == was.minor && l.ino == was.ino,
			    "lock: %s", rows[i].name))
			note("it gave %d, flock %d, waits %d, pid %" PRId32 ", %" PRIx32 ":%" PRIx32
			     ":%" PRIu64,
				r, l.flock, l.waits, l.pid, l.major, l.minor, l.ino);
	}
}

#define LOCK "1: FLOCK  ADVISORY  WRITE 3099 00:27:257 0 EOF\n"

static void check_fdinfo(void)
{
	static const struct {
		const char *name, *text;
		int r;
		uint32_t flags;
		bool flocked;
	} rows[] = {
		{"reading", "pos:\t0\nflags:\t02100000\nmnt_id:\t43\nino:\t257\n", 0,
			O_RDONLY | O_CLOEXEC | 0100000, false},
		{"writing", "pos:\t0\nflags:\t0100001\nmnt_id:\t43\n", 0, O_WRONLY | 0100000,
			false},
		{"both", "pos:\t0\nflags:\t02\n", 0, O_RDWR, false},
		{"path only", "pos:\t0\nflags:\t010000000\n", 0, O_PATH, false},
		{"with a flock", "pos:\t0\nflags:\t02\nlock:\t" LOCK, 0, O_RDWR, true},
		{"with two locks",
			"flags:\t02\nlock:\t1: POSIX  ADVISORY  WRITE 1 00:27:2 0 EOF\n"
			"lock:\t" LOCK,
			0, O_RDWR, true},
		{"with a lock of fcntl",
			"flags:\t02\nlock:\t1: OFDLCK ADVISORY  READ -1 00:27:2 0 EOF\n", 0, O_RDWR,
			false},
		{"with a flock that waits",
			"flags:\t02\nlock:\t1: -> FLOCK  ADVISORY  WRITE 1 00:27:2 0 EOF\n", 0,
			O_RDWR, false},
		{"with empty lines", "\nflags:\t02\n\nlock:\t" LOCK "\n", 0, O_RDWR, true},
		{"with a lock that is nonsense", "flags:\t02\nlock:\tnonsense\n", 0, O_RDWR, false},
		{"no newline at the end", "pos:\t0\nflags:\t02", 0, O_RDWR, false},
		{"largest", "flags:\t037777777777\n", 0, UINT32_MAX, false},
		{"flags twice: the first ones", "flags:\t02\nflags:\t01\n", 0, O_RDWR, false},

		{"empty", "", -EBADMSG, 0, false},
		{"no flags", "pos:\t0\nmnt_id:\t43\n", -EBADMSG, 0, false},
		{"flags without a number", "flags:\n", -EBADMSG, 0, false},
		{"flags not octal", "flags:\t08\n", -EBADMSG, 0, false},
		{"flags too large", "flags:\t040000000000\n", -EBADMSG, 0, false},
		{"flags with a sign", "flags:\t-1\n", -EBADMSG, 0, false},
		{"other name", "xflags:\t02\n", -EBADMSG, 0, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exactly(rows[i].text);
		struct coffer_fdinfo info = {.flags = 77};
		const int r = coffer_fdinfo_parse(text, &info);

		if (!ok(r == rows[i].r && info.flags == (r == 0 ? rows[i].flags : 77) &&
				    info.flocked == rows[i].flocked,
			    "fdinfo: %s", rows[i].name))
			note("it gave %d, flags %" PRIo32 ", flocked %d", r, info.flags,
				info.flocked);
	}
}

static void check_state(void)
{
	static const struct {
		const char *name, *text;
		char state;
	} rows[] = {
		{"sleeps", "812 (cryptsetup) S 1 812 812 0", 'S'},
		{"stopped, the last field", "1 (a) T", 'T'},
		{"brackets and blanks in the name", "1 (a) S 1 (b c)) R 1 1 1 0", 'R'},
		{"empty", "", 0},
		{"no brackets", "1 a S 1 1 1 0", 0},
		{"nothing after the name", "1 (a)", 0},
		{"a state of two letters", "1 (a) SS 1 1 1 0", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exactly(rows[i].text);
		const char state = coffer_proc_state_parse(text);

		if (!ok(state == rows[i].state, "state: %s", rows[i].name))
			note("it gave %c", state ? state : '-');
	}
}

static void check_numbers(void)
{
	static const char meminfo[] = "MemTotal:        4025404 kB\nMemAvailable:   3601244 kB\n"
				      "SwapFree:              0 kB\nBad: x\nLast: 9";
	static const struct {
		const char *name;
		int r;
		uint64_t v;
	} rows[] = {
		{"MemAvailable:", 0, 3601244},
		{"SwapFree:", 0, 0},
		{"Last:", 0, 9},
		{"Mem", -ENODATA, 77},
		{"Bad:", -ENODATA, 77},
		{"kB", -ENODATA, 77},
	};
	_cleanup_free_ char *text = exactly(meminfo);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 77;
		const int r = coffer_proc_number(text, rows[i].name, &v);

		if (!ok(r == rows[i].r && v == rows[i].v, "number: %s", rows[i].name))
			note("it gave %d, %" PRIu64, r, v);
	}
}

static void check_module_lists(void)
{
	static const struct {
		const char *name, *text, *what;
		bool found;
	} rows[] = {
		{"modules.dep", "kernel/drivers/md/dm-crypt.ko: kernel/drivers/md/dm-mod.ko",
			"dm-crypt", true},
		{"modules.dep, compressed", "kernel/drivers/md/dm-crypt.ko.xz:", "dm-crypt", true},
		{"modules.builtin", "kernel/drivers/md/dm_crypt.ko", "dm-crypt", true},
		{"no folder", "dm-crypt.ko", "dm_crypt", true},
		{"what needs it is not it", "kernel/x.ko: kernel/drivers/md/dm-crypt.ko",
			"dm-crypt", false},
		{"a longer name", "kernel/drivers/md/dm-crypt2.ko", "dm-crypt", false},
		{"a name before it", "kernel/drivers/md/xdm-crypt.ko", "dm-crypt", false},
		{"cut", "kernel/drivers/md/dm-crypt.k", "dm-crypt", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = exactly(rows[i].text);

		ok(coffer_module_line(text, rows[i].what) == rows[i].found, "module: %s",
			rows[i].name);
	}
}

int main(void)
{
	check_lock();
	check_fdinfo();
	check_state();
	check_numbers();
	check_module_lists();
	return done_testing();
}
