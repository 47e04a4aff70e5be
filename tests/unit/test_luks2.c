/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_luks2.c - the helper program: it makes headers, and no way of dying of it is the caller's */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/clock.h"
#include "luks2/helper.h"
#include "tap.h"

static atomic_int handled; /* signals that reached the caller's handler */

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static int build(unsigned int iterations, const struct coffer_stop *stop, struct coffer_err *e)
{
	const struct coffer_luks2_format f = {.cipher = "aes-xts-plain64",
		.key_size = 64,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = iterations,
		.metadata_size = 16384,
		.keyslots_size = 512 << 10};
	const struct coffer_luks2_layout layout = {
		.device_size = 8 << 20, .data_offset = 1 << 20, .sector_size = 512};
	_cleanup_secret_ struct coffer_secret *pass = NULL, *key = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	*e = (struct coffer_err){0};
	if (coffer_secret_new(8, &pass, e) < 0)
		return -ENOMEM;
	memcpy(pass->data, "sesame!!", 8);
	r = coffer_luks2_build(&f, &layout, pass, stop, &fd, e);
	if (r == 0)
		r = coffer_luks2_unlock(fd, pass, &key, e);
	return r;
}

/* --- a helper of the test's own --- */

static char folder[] = "/tmp/coffer-test-XXXXXX";

static void write_script(char *path, size_t size, const char *text)
{
	FILE *f;

	(void)snprintf(path, size, "%s/helper", folder);
	f = fopen(path, "w");
	if (!f || fprintf(f, "#!/bin/sh\n%s\n", text) < 0 || fclose(f) != 0 ||
		chmod(path, 0700) < 0)
		abort();
}

static void test_helpers(const char *real)
{
	static const struct {
		const char *name, *text;
		int r;
		const char *says;
	} rows[] = {
		{"ends at once", "exit 0", -EIO, "was stopped"},
		{"is killed", "kill -KILL $$", -EIO, "was stopped"},
		{"crashes", "exec python3 -c 'import ctypes; ctypes.string_at(0)'", -EIO,
			"was ended by signal 11"},
		{"prints nonsense", "head -c 1000 /dev/zero >&3", -EIO, "was stopped"},
		{"promises a key that nobody wants",
			"head -c 5000 /dev/zero | tr '\\0' '\\377' >&3; sleep 9", -ECOMM,
			"has another version"},
	};
	struct coffer_err e = {0};
	char path[64];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		write_script(path, sizeof(path), rows[i].text);
		(void)setenv("COFFER_HELPER", path, 1);
		r = build(1000, NULL, &e);
		ok(r == rows[i].r && strstr(e.msg, rows[i].says), "a helper that %s (%d: %s)",
			rows[i].name, r, e.msg);
	}
	(void)unlink(path);
	r = build(1000, NULL, &e);
	ok(r == -ECOMM && strstr(e.msg, path), "a helper that is missing is named (%s)", e.msg);
	(void)setenv("COFFER_HELPER", real, 1);
}

/* --- many threads --- */

static atomic_bool over;

/* What a fork would leave locked in the child: libc's allocator and random numbers. */
static void *busy(void *arg)
{
	(void)arg;
	while (!atomic_load(&over)) {
		free(malloc((size_t)random() % 100000));
		(void)random();
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[3];
	struct coffer_err e;
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		if (pthread_create(&threads[i], NULL, busy, NULL) != 0)
			abort();
	for (int i = 0; i < 10; i++)
		bad += build(1000, NULL, &e) < 0;
	atomic_store(&over, true);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		(void)pthread_join(threads[i], NULL);
	ok(bad == 0, "busy threads of the caller are in no helper's way");
}

/* --- the caller's wishes, signals and descriptors --- */

static bool at_third(void *userdata)
{
	return ++*(int *)userdata >= 3;
}

/* As a terminal does: the whole group gets it. */
static bool signal_all(void *userdata)
{
	bool *sent = userdata;

	if (!*sent) {
		*sent = true;
		(void)kill(0, SIGUSR1);
		(void)kill(0, SIGINT);
	}
	return false;
}

static void test_caller(void)
{
	int asked = 0;
	bool sent = false;
	struct coffer_stop stop = {.wanted = at_third, .userdata = &asked};
	struct coffer_err e;
	double begun = coffer_clock();
	int r;

	r = build(2000000000, &stop, &e);
	ok(r == -EINTR && coffer_clock() - begun < 900 && e.msg[0] == '\0',
		"a wish to stop ends a helper that calculates for minutes (%d)", r);
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no child is left");

	/* The group of whoever runs this test may hold more than this program. */
	(void)setpgid(0, 0);
	(void)signal(SIGUSR1, on_signal);
	(void)signal(SIGINT, on_signal);
	stop = (struct coffer_stop){.wanted = signal_all, .userdata = &sent};
	r = build(1000, &stop, &e);
	ok(r == 0 && sent && atomic_load(&handled) == 2,
		"signals to the group reach the caller, and do not end the helper (%d: %s)", r,
		e.msg);
	(void)signal(SIGCHLD, SIG_IGN);
	r = build(1000, NULL, &e);
	(void)signal(SIGCHLD, SIG_DFL);
	ok(r == 0, "somebody else reaps the helper (%d: %s)", r, e.msg);
}

/* What is open here and not marked for exec is no business of the helper's. */
static void test_descriptors(const char *real)
{
	char path[64], got[512], text[256];
	struct coffer_err e;
	ssize_t n;
	FILE *f;
	int fds[2];

	if (pipe(fds) < 0)
		abort();
	(void)snprintf(text, sizeof(text), "ls /proc/self/fd | tr '\\n' ' ' > %s/fds", folder);
	write_script(path, sizeof(path), text);
	(void)setenv("COFFER_HELPER", path, 1);
	(void)build(1000, NULL, &e);
	(void)setenv("COFFER_HELPER", real, 1);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/fds", folder);
	f = fopen(path, "r");
	n = f ? (ssize_t)fread(got, 1, sizeof(got) - 1, f) : 0;
	got[n > 0 ? n : 0] = '\0';
	/* 6 is the folder that ls reads */
	ok(strcmp(got, "0 1 2 3 4 5 6 ") == 0, "the helper has three descriptors: '%s'", got);
	if (f)
		(void)fclose(f);
	(void)unlink(path);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int main(void)
{
	char *real = getenv("COFFER_HELPER") ? strdup(getenv("COFFER_HELPER")) : NULL;
	struct coffer_err e;
	int r;

	if (!real) {
		(void)fprintf(stderr, "COFFER_HELPER names no helper: tests/run sets it\n");
		return 1;
	}
	if (!mkdtemp(folder))
		return 1;
	r = build(1000, NULL, &e);
	ok(r == 0, "a header is made, and opens (%d: %s)", r, e.msg);
	test_helpers(real);
	test_threads();
	test_descriptors(real);
	test_caller();
	(void)rmdir(folder);
	free(real);
	return done_testing();
}
