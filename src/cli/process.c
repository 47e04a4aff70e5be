/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* process.c - this process: its signals, and its keys off the disk and out of sight */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"

/* --- keys --- */

void coffer_memory_protect(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak check traces its own process */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* The library locks the secrets that it holds itself; OpenSSL's key schedules lie in the heap,
 * whose pages the program may lock, but not a library. */
static void lock_heap(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	uintptr_t from, to;

	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[heap]") &&
			sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
			(void)mlock((const void *)from, to - from);
	(void)fclose(maps);
}

void coffer_memory_lock(void)
{
	/* Not the future: a limit that a later allocation hits would end the run. Beyond the limit
	 * of an ordinary user the heap alone still fits. */
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0)
		lock_heap();
}

/* --- requests to stop, granted at the next commit --- */

static volatile sig_atomic_t stop_wanted;

/* Set while a conversion shows progress: a step may take a while until its commit. */
static volatile sig_atomic_t announce;

static void want_stop(int signal)
{
	static const char text[] = "\r\033[Kstopping at the next commit ...\n";
	const int saved = errno;

	(void)signal;
	if (announce && !stop_wanted && write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		announce = 0;
	stop_wanted = 1;
	errno = saved;
}

void coffer_signals_announce(void)
{
	announce = 1;
}

void coffer_signals_install(void)
{
	/* Without SA_RESTART: a read of a passphrase must return. */
	const struct sigaction stop = {.sa_handler = want_stop};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)sigaction(SIGHUP, &stop, NULL);
	/* A conversion continues without the reader of its progress. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	/* A file size limit is then an error of the write, reported like any other. */
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	/* If the parent ignored it, the end of a child would go unnoticed. */
	(void)signal(SIGCHLD, SIG_DFL);
}

ssize_t coffer_signals_read(int fd, void *buf, size_t n)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	sigset_t stop, old;
	ssize_t k = -1;

	/* Blocked except during the wait: a signal between the test of the flag and a plain read()
	 * would be noticed only after the next key. */
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGINT);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &stop, &old);
	for (;;) {
		if (stop_wanted) {
			errno = EINTR;
			break;
		}
		if (ppoll(&pfd, 1, NULL, &old) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		k = read(fd, buf, n);
		if (k >= 0 || errno != EINTR)
			break;
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return k;
}

bool coffer_signals_stop(void *unused)
{
	(void)unused;
	return stop_wanted != 0;
}
