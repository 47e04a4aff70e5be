/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_lock_order.c - the order of locks
 *
 * The order of locks: each set of held ones against each wanted one, and what the module makes of a
 * wrong one. It is built twice: a debug build aborts, any other returns an error. */
#include "luks2/lock_name.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "luks2/locks.h"
#include "tap.h"

/* Said in words, not in bits: what may be held when a lock is taken. */
static const char *const may_hold[] = {
	[COFFER_LOCK_REENCRYPTION] = "",
	[COFFER_LOCK_DISK] = "reencryption",
	[COFFER_LOCK_OPAL] = "reencryption disk",
	[COFFER_LOCK_METADATA] = "reencryption disk OPAL",
	[COFFER_LOCK_MEMORY_HARD] = "",
};

static bool allowed(unsigned int held, enum coffer_lock_kind wanted)
{
	for (int i = 0; i < COFFER_N_LOCKS; i++)
		if (held & 1U << i &&
			!strstr(may_hold[wanted], coffer_lock_kind_name((enum coffer_lock_kind)i)))
			return false;
	return true;
}

static void test_each_set(void)
{
	for (unsigned int held = 0; held < 1U << COFFER_N_LOCKS; held++)
		for (int w = 0; w < COFFER_N_LOCKS; w++) {
			const enum coffer_lock_kind wanted = (enum coffer_lock_kind)w;

			ok(coffer_lock_order(held, wanted) ==
					(allowed(held, wanted) ? 0 : -EDEADLK),
				"held 0x%x, wanted %s", held, coffer_lock_kind_name(wanted));
		}
	ok(coffer_lock_order(0, COFFER_N_LOCKS) == -EDEADLK, "no such lock");
	ok(strcmp(coffer_lock_kind_name(COFFER_N_LOCKS), "unknown") == 0, "its name");
}

/* R reencryption, S metadata shared, M metadata exclusively, H header, - releases the last one.
 * Returns what the last call did. */
static int play(const char *calls, unsigned int *ret_held)
{
	struct coffer_dev d = {.fd = -1, .name = (char *)"disk"};
	struct coffer_lock *locks[8] = {0};
	struct coffer_err e = {0};
	size_t n = 0;
	int r = 0;

	for (const char *c = calls; *c && r == 0; c++) {
		struct coffer_lock **l = &locks[n];

		if (*c == 'R')
			r = coffer_lock_reencryption(&d, "uuid", l, &e);
		else if (*c == 'H')
			r = coffer_lock_header(&d, l, &e);
		else if (*c == '-')
			coffer_lock_free(locks[--n]);
		else
			r = coffer_lock_metadata(&d, *c == 'M', l, &e);
		n += r == 0 && *c != '-';
	}
	while (n > 0)
		coffer_lock_free(locks[--n]);
	*ret_held = d.locks;
	return r;
}

/* In a child, since a debug build ends there. */
static bool aborts(const char *calls)
{
	const struct rlimit no_core = {0, 0};
	unsigned int held;
	pid_t pid;
	int status;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		(void)play(calls, &held);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGABRT;
}

static void test_module(void)
{
	static const struct {
		const char *calls;
		bool good;
	} rows[] = {
		{"R", true},
		{"RM", true},
		{"RS", true},
		{"RH", true},
		{"RS-M-H-M", true},
		{"M-R", true},
		{"H-H", true},
		{"R-R", true},
		{"MR", false},
		{"SR", false},
		{"HR", false},
		{"MM", false},
		{"SM", false},
		{"HM", false},
		{"HH", false},
		{"MH", false},
		{"RR", false},
		{"RS-MH", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int held = 77;

		if (rows[i].good) {
			ok(play(rows[i].calls, &held) == 0 && held == 0, "in order: %s",
				rows[i].calls);
			continue;
		}
#ifdef COFFER_DEBUG
		ok(aborts(rows[i].calls), "not in order, ends a debug build: %s", rows[i].calls);
#else
		ok(!aborts(rows[i].calls) && play(rows[i].calls, &held) == -EDEADLK && held == 0,
			"not in order, an error: %s", rows[i].calls);
#endif
	}
}

int main(void)
{
	test_each_set();
	test_module();
	return done_testing();
}
