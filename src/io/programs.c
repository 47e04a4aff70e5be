/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* programs.c - find a program, and ask one what it has to say about itself */
#include "io/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "io/clock.h"

#define PATIENCE 5.0 /* seconds */

bool coffer_program_find(const char *name, char *ret, size_t size)
{
	static const char system_path[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
	const char *own = getenv("PATH");
	const char *const paths[] = {own ? own : "", system_path};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (const char *p = paths[i]; *p; p += strspn(p, ":")) {
			const size_t n = strcspn(p, ":");

			if (*p == '/' &&
				snprintf(ret, size, "%.*s/%s", (int)n, p, name) < (int)size &&
				access(ret, X_OK) == 0)
				return true;
			p += n;
		}
	return false;
}

/* The caller's handlers and its mask are not the program's. */
static int set_signals(posix_spawnattr_t *a)
{
	sigset_t set;
	int r;

	(void)sigfillset(&set);
	r = posix_spawnattr_setsigdefault(a, &set);
	(void)sigemptyset(&set);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &set);
	return r ? r : posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int spawn(const char *path, const char *option, int out, pid_t *ret)
{
	static const char *const env[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	const char *const argv[] = {path, option, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int r;

	r = posix_spawn_file_actions_init(&files);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_signals(&attributes);
		if (r == 0)
			r = posix_spawn_file_actions_addopen(
				&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
		if (r == 0)
			r = posix_spawn(ret, path, &files, &attributes, (char *const *)argv,
				(char *const *)env);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return -r;
}

static int wait_for(pid_t pid, int *ret_status)
{
	const double end = coffer_clock() + PATIENCE;
	bool late = false;
	pid_t done;
	int status = 0;

	while ((done = waitpid(pid, &status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		late |= coffer_clock() > end;
		if (late)
			(void)kill(pid, SIGKILL);
		coffer_sleep(0.002);
	}
	if (done < 0)
		return -ECHILD;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return late ? -ETIME : 0;
}

int coffer_program_ask(
	const char *path, const char *option, char *ret, size_t size, int *ret_status)
{
	_cleanup_close_ int out = memfd_create("coffer-program", MFD_CLOEXEC);
	ssize_t n;
	pid_t pid = 0;
	int r;

	ret[0] = '\0';
	*ret_status = -1;
	if (out < 0)
		return -errno;
	r = spawn(path, option, out, &pid);
	if (r == 0)
		r = wait_for(pid, ret_status);
	if (r < 0)
		return r;
	n = pread(out, ret, size - 1, 0);
	ret[n > 0 ? n : 0] = '\0';
	return 0;
}
