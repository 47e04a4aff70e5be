/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* encrypt.c - encrypt a filesystem in place, or resume an interrupted run
 *
 *	cc -o encrypt encrypt.c $(pkg-config --cflags --libs libcoffer)
 *	./encrypt /dev/vda2 /run/key		# run it again after a power cut
 *	./encrypt -r /dev/vda2 /run/key		# resume an interrupted run, never start a new one
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <coffer/encrypt.h>

static volatile sig_atomic_t wanted;

static void on_signal(int sig)
{
	(void)sig;
	wanted = 1;
}

/* Called before each step. The run ends after the next commit, and the same call resumes. */
static bool stop(void *userdata)
{
	(void)userdata;
	return wanted;
}

/* @buf is locked memory, which the library wipes: read the key directly into it. */
static int passphrase(
	void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	FILE *f = fopen(userdata, "re");
	size_t n = 0;

	(void)why; /* ask for a new passphrase twice only if a person types it */
	if (f) {
		(void)setvbuf(f, NULL, _IONBF, 0); /* no copy of the key in a buffer of libc */
		n = fread(buf, 1, size, f);
		(void)fclose(f);
	}
	if (n > 0 && n < size)
		return (int)n;
	*e = (struct coffer_err){.code = EIO, .outcome = COFFER_FAILED};
	(void)snprintf(e->msg, sizeof(e->msg), "no key in %s", (const char *)userdata);
	return -EIO;
}

static void progress(void *userdata, const struct coffer_progress *p)
{
	(void)userdata;
	(void)fprintf(stderr, "\r%-8s %3.0f %%", coffer_phase_name(p->phase),
		p->total ? 100.0 * (double)p->done / (double)p->total : 0);
}

int main(int argc, char **argv)
{
	const bool resume = argc == 4 && strcmp(argv[1], "-r") == 0;
	struct coffer_encrypt_options o = {0}; /* 0 is the default of every field */
	struct coffer_encrypt_result result;
	struct coffer_err e = {0};
	int r;

	if (argc != 3 && !resume) {
		(void)fprintf(stderr, "usage: %s [-r] DEVICE KEYFILE\n", argv[0]);
		return COFFER_USAGE;
	}
	o.device = argv[argc - 2];
	o.callbacks = (struct coffer_encrypt_callbacks){
		.passphrase = passphrase,
		.progress = progress,
		.stop = stop,
		.userdata = argv[argc - 1],
	};
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);

	r = resume ? coffer_resume(&o, &result, &e) : coffer_encrypt(&o, &result, &e);
	(void)fputc('\n', stderr);
	if (r < 0) {
		/* The outcome is for programs, the message for people. */
		(void)fprintf(stderr, "%s\n", e.msg);
		if (e.outcome == COFFER_INTERRUPTED)
			(void)fprintf(stderr, "%" PRIu64 " of %" PRIu64 " bytes are encrypted\n",
				result.converted, result.used);
		return (int)e.outcome;
	}
	(void)printf("%s\n", result.uuid);
	return COFFER_DONE;
}
