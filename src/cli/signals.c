/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signals.c - a wish to stop is remembered, and granted at the next commit */
#include <signal.h>
#include <stddef.h>

#include "cli/cli.h"

static volatile sig_atomic_t stop_wanted;

static void want_stop(int signal)
{
	(void)signal;
	stop_wanted = 1;
}

void coffer_signals_install(void)
{
	/* Without SA_RESTART: a read of a passphrase must return. */
	const struct sigaction stop = {.sa_handler = want_stop};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};

	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	(void)sigaction(SIGHUP, &stop, NULL);
	/* A reader of the progress that goes away must not end a conversion. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

bool coffer_signals_stop(void *unused)
{
	(void)unused;
	return stop_wanted != 0;
}
