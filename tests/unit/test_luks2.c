/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_luks2.c - the child process in which libcryptsetup works
 *
 * The child in which libcryptsetup makes a header may stand still, on a lock that another thread of
 * the caller had in its hands when it was forked. Here a handler of fork() waits in its stead. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "convert/geometry.h"
#include "luks2/libcryptsetup.h"
#include "tap.h"

static atomic_int *children; /* that were begun; shared with them */
static int hang_up_to;	     /* so many of them stand still */
static atomic_int handled;   /* signals that reached the caller's handler */

static void in_child(void)
{
	if (atomic_fetch_add(children, 1) < hang_up_to)
		for (;;)
			(void)pause();
}

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(children, 100); /* seen by the parent, whoever runs it */
	atomic_fetch_add(&handled, 1);
}

static bool stop_when_begun(void *userdata)
{
	(void)userdata;
	return atomic_load(children) > 0;
}

/* As a terminal does: the whole group gets it. */
static bool signal_all(void *userdata)
{
	bool *sent = userdata;

	if (!*sent && atomic_load(children) > 0) {
		*sent = true;
		(void)kill(0, SIGUSR1);
	}
	return false;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int build(int hang, const struct coffer_stop *stop, struct coffer_err *e)
{
	static const struct coffer_geometry g = {
		.device = 8 << 20, .shift = 1 << 20, .length = 6 << 20, .sector_size = 512};
	const struct coffer_luks2_format f = {.cipher = "aes-xts-plain64",
		.key_size = 64,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = 1000,
		.metadata_size = 16384,
		.keyslots_size = 512 << 10};
	const struct coffer_luks2_layout layout = {
		.device_size = g.device, .data_offset = g.shift, .sector_size = g.sector_size};
	_cleanup_secret_ struct coffer_secret *pass = NULL, *key = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	hang_up_to = hang;
	atomic_store(children, 0);
	if (coffer_secret_new(8, &pass, e) < 0)
		return -ENOMEM;
	memcpy(pass->data, "sesame!!", 8);
	r = coffer_luks2_build(&f, &layout, pass, stop, &fd, e);
	if (r == 0)
		r = coffer_luks2_unlock(fd, pass, &key, e);
	return r;
}

static const struct {
	const char *name;
	int hang, r, children;
} rows[] = {
	{"the first child is fine", 0, 0, 1},
	{"the first child stands still", 1, 0, 2},
	{"three children stand still", 3, 0, 4},
	{"all of them stand still", 99, -EDEADLK, 5},
};

int main(void)
{
	struct coffer_stop stop = {.wanted = stop_when_begun};
	struct coffer_err e = {0};
	bool sent = false;
	double begun;
	int r;

	children = mmap(
		NULL, sizeof(*children), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (children == MAP_FAILED || pthread_atfork(NULL, NULL, in_child) != 0)
		return 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r = build(rows[i].hang, NULL, &e);
		if (!ok(r == rows[i].r && atomic_load(children) == rows[i].children, "%s",
			    rows[i].name))
			note("%d, %d children: %s", r, atomic_load(children), e.msg);
	}
	ok(strstr(e.msg, "stood still 5 times"), "the error says so");

	begun = now();
	r = build(99, &stop, &e);
	ok(r == -EINTR && now() - begun < 0.4, "a wish to stop ends one that stands still");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no child is left");

	/* The group of whoever runs this test may hold more than this program. */
	(void)setpgid(0, 0);
	(void)signal(SIGUSR1, on_signal);
	stop = (struct coffer_stop){.wanted = signal_all, .userdata = &sent};
	r = build(0, &stop, &e);
	ok(r == 0 && sent && atomic_load(&handled) == 1 && atomic_load(children) == 101,
		"the caller's handlers do not run in the child");
	return done_testing();
}
