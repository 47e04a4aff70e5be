/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signals.c - requests to stop, granted at the next commit */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "cli/cli.h"

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
