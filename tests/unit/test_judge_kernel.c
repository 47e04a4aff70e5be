/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_kernel.c - what doctor makes of the kernel, of udev, memory and swap
 *
 * Each row is its facts, and the one finding of them. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "one_finding.h"
#include "report/judge.h"
#include "tap.h"

static void check_dm_crypt(void)
{
	static const struct {
		const char *name;
		struct coffer_kernel_facts f;
		enum coffer_verdict v;
		const char *words, *remedy;
	} rows[] = {
		{"available", {.dm_crypt = COFFER_MODULE_AVAILABLE}, OK, "available", ""},
		{"available, in a container",
			{.dm_crypt = COFFER_MODULE_AVAILABLE, .container = true}, OK, "available",
			""},
		{"no such module", {.dm_crypt = COFFER_MODULE_ABSENT, .release = "6.1"}, BAD,
			"6.1 has no dm-crypt", "install"},
		{"no such module in a container",
			{.dm_crypt = COFFER_MODULE_ABSENT, .container = true}, NOTE,
			"in this container", ""},
		{"the kernel's modules are gone",
			{.dm_crypt = COFFER_MODULE_UNKNOWN,
				.other_modules = true,
				.release = "6.1.0-9"},
			BAD, "modules of the running kernel 6.1.0-9 are not", "reboot"},
		{"the same in a container",
			{.dm_crypt = COFFER_MODULE_UNKNOWN,
				.other_modules = true,
				.container = true},
			NOTE, "in this container", ""},
		{"no modules at all", {.dm_crypt = COFFER_MODULE_UNKNOWN}, NOTE, "cannot be loaded",
			""},
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
	one("udev: runs", &l, "udev", OK, "udev is running", "");
	r |= coffer_judge_udev(COFFER_UDEV_NONE, &l);
	one("udev: none", &l, "udev", OK, "no udev", "");
	r |= coffer_judge_udev(COFFER_UDEV_HIDDEN, &l);
	one("udev: for root only", &l, "udev", UNCHECKED, "only root", "");
	r |= coffer_judge_udev(COFFER_UDEV_SILENT, &l);
	one("udev: silent", &l, "udev", NOTE, "wait for it forever", "DM_DISABLE_UDEV=1");
	r |= coffer_judge_memory_lock(49152, 0, &l);
	one("memory: can be locked", &l, "memory-lock", OK, "48.0 KiB", "");
	r |= coffer_judge_memory_lock(49152, ENOMEM, &l);
	one("memory: cannot be locked", &l, "memory-lock", BAD, "cannot be locked",
		"'ulimit -l 48'");
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
		{"none", {{""}}, 0, 1, OK, "no secrets", ""},
		{"plain, nothing open", {{"/dev/sda3", COFFER_SWAP_PLAIN}}, 1, 0, OK, "no secrets",
			""},
		{"plain, a volume open", {{"/dev/sda3", COFFER_SWAP_PLAIN}}, 1, 1, NOTE,
			"/dev/sda3 is not encrypted", "crypttab"},
		{"encrypted and in memory",
			{{"/dev/dm-1", COFFER_SWAP_ENCRYPTED}, {"/dev/zram0", COFFER_SWAP_MEMORY}},
			2, 1, OK, "no secrets", ""},
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

int main(void)
{
	check_dm_crypt();
	check_small_ones();
	check_swaps();
	return done_testing();
}
