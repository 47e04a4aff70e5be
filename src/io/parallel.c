/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parallel.c - the same job on many pieces, on several threads */
#include "io/parallel.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "base/err.h"

enum {
	MAX_THREADS = 16
};

struct pool {
	pthread_mutex_t mutex; /* guards what follows */
	size_t next;
	size_t n;
	int r;
	struct coffer_err e;
	coffer_job job;
	void *arg;
};

struct worker {
	struct pool *pool;
	unsigned int thread;
};

static void *work(void *arg)
{
	const struct worker *w = arg;
	struct pool *p = w->pool;

	for (;;) {
		struct coffer_err e = {0};
		size_t i;
		int r;

		(void)pthread_mutex_lock(&p->mutex);
		i = p->r == 0 ? p->next : p->n;
		if (i < p->n)
			p->next++;
		(void)pthread_mutex_unlock(&p->mutex);
		if (i >= p->n)
			return NULL;
		r = p->job(p->arg, w->thread, i, &e);
		if (r == 0)
			continue;
		(void)pthread_mutex_lock(&p->mutex);
		if (p->r == 0) {
			p->r = r;
			p->e = e;
		}
		(void)pthread_mutex_unlock(&p->mutex);
	}
}

int coffer_parallel_run(
	unsigned int threads, size_t n, coffer_job job, void *arg, struct coffer_err *e)
{
	struct pool p = {.mutex = PTHREAD_MUTEX_INITIALIZER, .n = n, .job = job, .arg = arg};
	struct worker w[MAX_THREADS];
	pthread_t ids[MAX_THREADS] = {0};
	unsigned int started = 0;
	sigset_t all, old;

	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	if (threads > n)
		threads = (unsigned int)n;
	/* Signals are for the thread that can act on them; a blocked set is inherited. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 1; i < threads; i++) {
		w[i] = (struct worker){&p, i};
		if (pthread_create(&ids[started + 1], NULL, work, &w[i]) != 0)
			break; /* fewer threads do the same work */
		started++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	w[0] = (struct worker){&p, 0};
	(void)work(&w[0]);
	for (unsigned int i = 1; i <= started; i++)
		(void)pthread_join(ids[i], NULL);
	(void)pthread_mutex_destroy(&p.mutex);
	if (p.r < 0 && e)
		*e = p.e;
	return p.r;
}

unsigned int coffer_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}
