/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_child.c - helper processes: deadlines, stops, and none is left */
#include "io/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "tap.h"

static void nap(void)
{
	const struct timespec t = {.tv_nsec = 5000000};

	(void)nanosleep(&t, NULL);
}

static int succeed(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)arg;
	(void)e;
	return coffer_child_stopped(c) ? -1 : 7;
}

static int fail(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)arg;
	(void)c;
	(void)coffer_err_set(e, ENOKEY, "no key");
	coffer_err_outcome(e, COFFER_NEEDS_REPAIR);
	return -ENOKEY;
}

static int crash(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)arg;
	(void)c;
	(void)e;
	(void)raise(SIGKILL);
	return 0;
}

static int leave(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)arg;
	(void)c;
	(void)e;
	_exit(0); /* as a library that exits would */
}

/* Ends when it is told, and leaves a mark in shared memory, or in a pipe. */
static int polite(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)e;
	while (!coffer_child_stopped(c))
		nap();
	*(volatile int *)arg = 42;
	return 0;
}

static int polite_pipe(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	(void)e;
	if (write(*(int *)arg, "b", 1) != 1)
		return -EIO;
	while (!coffer_child_stopped(c))
		nap();
	return write(*(int *)arg, "e", 1) == 1 ? 0 : -EIO;
}

static bool count_down(void *userdata)
{
	int *left = userdata;

	return *left <= 0 || --*left == 0;
}

static bool never(void *userdata)
{
	(void)userdata;
	return false;
}

static void test_results(void)
{
	const struct coffer_stop quiet = {.wanted = never}, none = {0};
	static const struct {
		const char *name;
		coffer_child_job job;
		int r;
		const char *text;
	} rows[] = {
		{"a number comes back", succeed, 7, ""},
		{"an error comes back", fail, -ENOKEY, "no key"},
		{"a child that is killed", crash, -EIO, "the test ended early (out of memory?)"},
		{"a child that leaves early", leave, -EIO, "the test ended early (out of memory?)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct coffer_stop *const stops[] = {NULL, &none, &quiet};

		for (size_t k = 0; k < ARRAY_SIZE(stops); k++) {
			struct coffer_err e = {0};
			const int r = coffer_child_run(rows[i].job, NULL, stops[k], "the test", &e);

			ok(r == rows[i].r && strcmp(e.msg, rows[i].text) == 0 &&
					(r != -ENOKEY || e.outcome == COFFER_NEEDS_REPAIR),
				"%s, stop %zu (%d: %s)", rows[i].name, k, r, e.msg);
		}
	}
}

static void test_stop(void)
{
	int left = 3;
	const struct coffer_stop stop = {.wanted = count_down, .userdata = &left};
	struct coffer_err e = {0};
	int *mark = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mark == MAP_FAILED)
		abort();
	ok(coffer_child_run(polite, mark, &stop, "the test", &e) == -EINTR && *mark == 42 &&
			e.msg[0] == '\0',
		"a child that is asked cleans up first");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "and no child is left behind");
	(void)munmap(mark, 4096);
}

/* SIGCHLD ignored: the kernel reaps, waitpid finds nobody. */
static void test_reaped(void)
{
	struct coffer_err e = {0};
	int r;

	(void)signal(SIGCHLD, SIG_IGN);
	r = coffer_child_run(succeed, NULL, NULL, "the test", &e);
	(void)signal(SIGCHLD, SIG_DFL);
	ok(r == 7, "somebody else reaps the child: its report counts (%d: %s)", r, e.msg);
}

/* The caller is killed: the child ends by itself and can still clean up. */
static void test_orphan(void)
{
	char got[3] = "";
	size_t n = 0;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		(void)coffer_child_run(polite_pipe, &fds[1], NULL, "the test", NULL);
		_exit(0);
	}
	(void)close(fds[1]);
	while (pid > 0 && n < 2 && read(fds[0], got + n, 1) == 1)
		if (n++ == 0)
			(void)kill(pid, SIGKILL);
	ok(pid > 0 && strcmp(got, "be") == 0, "the caller is killed, its child cleans up: '%s'",
		got);
	(void)close(fds[0]);
	(void)waitpid(pid, NULL, 0);
}

int main(void)
{
	test_results();
	test_stop();
	test_reaped();
	test_orphan();
	return done_testing();
}
