/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.c - threads that share one state under one lock */
#include "io/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
	MAX_THREADS = 64
};

struct coffer_threads {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned int n, running; /* running: atomic, gives each thread its number */
	pthread_t ids[MAX_THREADS];
	coffer_threads_work work;
	void *arg;
};

unsigned int coffer_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

struct coffer_threads *coffer_threads_new(void)
{
	struct coffer_threads *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (!c)
		return NULL;
	(void)pthread_mutex_init(&c->mutex, NULL);
	/* A wait must not end early or late because the time of day is set. */
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	return c;
}

static void *run(void *arg)
{
	struct coffer_threads *c = arg;

	c->work(c->arg, __atomic_fetch_add(&c->running, 1, __ATOMIC_RELAXED));
	return NULL;
}

unsigned int coffer_threads_start(
	struct coffer_threads *c, unsigned int threads, coffer_threads_work work, void *arg)
{
	sigset_t all, old;

	c->work = work;
	c->arg = arg;
	/* Only the caller's thread handles signals; a new thread inherits the blocked set. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	while (c->n < threads && c->n < MAX_THREADS) {
		if (pthread_create(&c->ids[c->n], NULL, run, c) != 0)
			break; /* fewer threads do the work */
		c->n++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c->n;
}

void coffer_threads_join(struct coffer_threads *c)
{
	if (!c)
		return;
	for (unsigned int i = 0; i < c->n; i++)
		(void)pthread_join(c->ids[i], NULL);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->mutex);
	free(c);
}

void coffer_threads_lock(struct coffer_threads *c)
{
	(void)pthread_mutex_lock(&c->mutex);
}

void coffer_threads_unlock(struct coffer_threads *c)
{
	(void)pthread_mutex_unlock(&c->mutex);
}

void coffer_threads_wait(struct coffer_threads *c, double seconds)
{
	struct timespec t;

	if (seconds < 0) {
		(void)pthread_cond_wait(&c->changed, &c->mutex);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)seconds;
	t.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(&c->changed, &c->mutex, &t);
}

void coffer_threads_wake(struct coffer_threads *c)
{
	(void)pthread_cond_broadcast(&c->changed);
}
