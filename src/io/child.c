/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.c - run one job in a forked process that cleans up after itself */
#include "io/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

enum {
	POLL_MS = 20,
};

/* Shared by both processes. */
struct coffer_child {
	pid_t parent;
	bool stop; /* atomic */
	bool done; /* the job has returned: r and e are its own */
	int r;
	struct coffer_err e;
};

bool coffer_child_stopped(const struct coffer_child *c)
{
	return __atomic_load_n(&c->stop, __ATOMIC_RELAXED) || getppid() != c->parent;
}

__attribute__((noreturn)) static void child_main(
	struct coffer_child *c, coffer_child_job job, void *arg)
{
	c->r = job(arg, c, &c->e);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	_exit(0);
}

/* 0: it has ended, perhaps reaped by another thread; -EINTR: it was stopped. */
static int wait_for(
	struct coffer_child *c, pid_t pid, const struct coffer_stop *stop, struct coffer_err *e)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
	pid_t done;

	while ((done = waitpid(pid, NULL, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (!c->stop && coffer_stop_wanted(stop))
			__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
		(void)nanosleep(&nap, NULL);
	}
	if (done < 0 && errno != ECHILD)
		return coffer_err_errno(e, errno, "wait for a process");
	return c->stop ? -EINTR : 0;
}

static int run(struct coffer_child *c, coffer_child_job job, void *arg,
	const struct coffer_stop *stop, const char *what, struct coffer_err *e)
{
	sigset_t all, before;
	pid_t pid;
	int r;

	c->parent = getpid();
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		child_main(c, job, arg);
	r = pid < 0 ? coffer_err_errno(e, errno, "start a process for %s", what) : 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;
	r = wait_for(c, pid, stop, e);
	if (r < 0)
		return r;
	if (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE))
		return coffer_err_set(e, EIO, "%s ended early (out of memory?)", what);
	if (c->r < 0 && e)
		*e = c->e;
	return c->r;
}

int coffer_child_run(coffer_child_job job, void *arg, const struct coffer_stop *stop,
	const char *what, struct coffer_err *e)
{
	struct coffer_child *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int r;

	if (c == MAP_FAILED)
		return coffer_err_errno(e, errno, "start a process for %s", what);
	r = run(c, job, arg, stop, what, e);
	(void)munmap(c, sizeof(*c));
	return r;
}
