/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* child.c - one job in a process of its own */
#include "io/child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

enum {
	POLL_MS = 20,
	STILL_POLLS = 500 / POLL_MS, /* for the first child; each one gets twice as long */
	MAX_CHILDREN = 5,
};

/* One page that both processes see. */
struct coffer_child {
	enum coffer_child_kind kind;
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

__attribute__((noreturn)) static void live(struct coffer_child *c, coffer_child_job job, void *arg)
{
	if (c->kind != COFFER_CHILD_TIDIES) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != c->parent)
			_exit(0);
	}
	c->r = job(arg, c, &c->e);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	_exit(0);
}

struct watch {
	bool on;
	clockid_t clock; /* processor time of the child */
	struct timespec used;
	int polls; /* since that last changed; a parent that is stopped counts none */
	int patience;
};

static bool stands_still(struct watch *w)
{
	struct timespec now;

	if (!w->on || clock_gettime(w->clock, &now) < 0)
		return false;
	if (now.tv_sec != w->used.tv_sec || now.tv_nsec != w->used.tv_nsec)
		w->polls = 0;
	w->used = now;
	return w->polls++ > w->patience;
}

/* 0: it has ended and was waited for, or somebody reaps all children; -EINTR: it was stopped;
 * -EDEADLK: it stood still. */
static int wait_for(struct coffer_child *c, pid_t pid, const struct coffer_stop *stop, int patience,
	struct coffer_err *e)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
	struct watch watch = {.patience = patience};
	bool still = false;
	pid_t done;

	watch.on = c->kind == COFFER_CHILD_WORKS && clock_getcpuclockid(pid, &watch.clock) == 0;
	while ((done = waitpid(pid, NULL, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (!c->stop && coffer_stop_wanted(stop))
			__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
		still = still || (!c->stop && stands_still(&watch));
		if (still || (c->stop && c->kind != COFFER_CHILD_TIDIES))
			(void)kill(pid, SIGKILL);
		(void)nanosleep(&nap, NULL);
	}
	if (done < 0 && errno != ECHILD)
		return coffer_err_errno(e, errno, "wait for a process");
	if (c->stop)
		return -EINTR;
	return still ? -EDEADLK : 0;
}

static int try_once(struct coffer_child *c, coffer_child_job job, void *arg,
	const struct coffer_stop *stop, int patience, const char *what, struct coffer_err *e)
{
	sigset_t all, before;
	pid_t pid;
	int r;

	c->parent = getpid();
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		live(c, job, arg);
	r = pid < 0 ? coffer_err_errno(e, errno, "start a process for %s", what) : 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		r = wait_for(c, pid, stop, patience, e);
	if (r < 0)
		return r;
	if (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE))
		return coffer_err_set(e, EIO, "%s was stopped (out of memory?)", what);
	if (c->r < 0 && e)
		*e = c->e;
	return c->r;
}

int coffer_child_run(coffer_child_job job, void *arg, enum coffer_child_kind kind,
	const struct coffer_stop *stop, const char *what, struct coffer_err *e)
{
	int r = -EDEADLK;
	struct coffer_child *c;

	c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return coffer_err_errno(e, errno, "start a process for %s", what);
	for (int i = 0; i < MAX_CHILDREN && r == -EDEADLK; i++) {
		*c = (struct coffer_child){.kind = kind};
		r = try_once(c, job, arg, stop, STILL_POLLS << i, what, e);
	}
	(void)munmap(c, sizeof(*c));
	if (r != -EDEADLK)
		return r;
	return coffer_err_set(e, EDEADLK,
		"%s stood still %d times: other threads of this program may be in its way", what,
		MAX_CHILDREN);
}
