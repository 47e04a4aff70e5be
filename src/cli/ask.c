/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ask.c - read keys, never from arguments or the environment, and ask questions */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/cli.h"

enum {
	MAX_TYPED = 512 /* as in cryptsetup */
};

/* Read @want bytes; 0: to the end, with @line to the end of the line, less than @size bytes.
 * Returns the bytes, without the newline. */
static int read_all(int fd, uint8_t *buf, size_t size, uint64_t want, bool line, const char *name,
	struct coffer_err *e)
{
	const size_t limit = want ? want : size;

	if (want >= size)
		return coffer_err_set(e, E2BIG, "--keyfile-size is above %zu", size - 1);
	for (size_t n = 0; n < limit;) {
		/* Byte by byte: the rest after the line belongs to the next reader. */
		const ssize_t k = coffer_signals_read(fd, buf + n, line ? 1 : limit - n);

		if (k < 0 && errno == EINTR)
			return coffer_err_set(e, EINTR, "stopped on request");
		if (k < 0)
			return coffer_err_errno(e, errno, "read the key from %s", name);
		if (k == 0 && want)
			return coffer_err_set(
				e, EIO, "%s has fewer than %" PRIu64 " bytes of key", name, want);
		if (k == 0 && n == 0 && line) /* an empty line is an empty passphrase */
			return coffer_err_set(
				e, ENODATA, "no passphrase from %s; use --key-file FILE", name);
		if (k == 0 || (line && buf[n] == '\n'))
			return (int)n;
		n += (size_t)k;
	}
	if (want)
		return (int)want;
	return coffer_err_set(e, E2BIG,
		"the key from %s is longer than %zu bytes; use --keyfile-size to read a part", name,
		size - 1);
}

static int read_key_fd(const struct coffer_key_options *k, int fd, const char *name,
	enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	uint8_t byte;
	int r;

	if (k->offset > 0 && lseek(fd, (off_t)k->offset, SEEK_CUR) < 0)
		for (uint64_t n = k->offset; n > 0; n--)
			if (coffer_signals_read(fd, &byte, 1) != 1)
				return coffer_err_set(
					e, EIO, "%s ends before --keyfile-offset", name);
	r = read_all(fd, buf, size, k->size, false, name, e);
	return r == 0 && why == COFFER_ASK_NEW
		       ? coffer_err_set(e, EINVAL, "the key from %s is empty", name)
		       : r;
}

static int prompt(int tty, const char *text, uint8_t *buf, size_t size, struct coffer_err *e)
{
	struct termios old, quiet;
	int r;

	if (tcgetattr(tty, &old) < 0)
		return coffer_err_errno(e, errno, "ask on the terminal");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
		return coffer_err_errno(e, errno, "switch the echo of the terminal off");
	if (write(tty, text, strlen(text)) < 0)
		r = coffer_err_errno(e, errno, "ask on the terminal");
	else
		r = read_all(tty, buf, min_u64(size, MAX_TYPED), 0, true, "the terminal", e);
	/* The echo comes back in every case. */
	if (tcsetattr(tty, TCSAFLUSH, &old) < 0 && r >= 0)
		r = coffer_err_errno(e, errno, "restore the terminal");
	if (write(tty, "\n", 1) < 0 && r >= 0)
		r = coffer_err_errno(e, errno, "ask on the terminal");
	return r;
}

static int ask_on_terminal(int tty, const char *device, enum coffer_ask why, uint8_t *buf,
	size_t size, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *again = NULL;
	char text[512];
	int r, n;

	(void)snprintf(text, sizeof(text),
		"%s for %s: ", why == COFFER_ASK_NEW ? "New passphrase" : "Passphrase", device);
	n = prompt(tty, text, buf, size, e);
	if (n < 0 || why != COFFER_ASK_NEW)
		return n;
	r = coffer_secret_new(MAX_TYPED, &again, e);
	if (r < 0)
		return r;
	r = prompt(tty, "Repeat the passphrase: ", again->data, again->size, e);
	if (r < 0)
		return r;
	if (r != n || memcmp(buf, again->data, (size_t)n) != 0)
		return coffer_err_set(e, EINVAL, "the two passphrases differ");
	return n;
}

bool coffer_confirm(const char *question)
{
	char answer[16] = "";

	if (!isatty(STDIN_FILENO)) {
		coffer_show_error("no terminal to ask on; use --yes");
		return false;
	}
	coffer_show_text(stderr, question);
	(void)fputs(" [y/N] ", stderr);
	(void)fflush(stderr);
	return fgets(answer, sizeof(answer), stdin) &&
	       (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0);
}

int coffer_read_key(const struct coffer_key_options *k, const char *device, enum coffer_ask why,
	uint8_t *buf, size_t size, struct coffer_err *e)
{
	_cleanup_close_ int fd = -1;

	if (k->fd >= 0)
		return read_key_fd(k, k->fd, "--key-fd", why, buf, size, e);
	if (k->file && strcmp(k->file, "-") == 0)
		return read_key_fd(k, STDIN_FILENO, "standard input", why, buf, size, e);
	if (!k->file && !isatty(STDIN_FILENO)) /* a pipe: its first line, as cryptsetup takes it */
		return read_all(STDIN_FILENO, buf, size, 0, true, "standard input", e);
	fd = open(k->file ? k->file : "/dev/tty",
		(k->file ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && k->file)
		return coffer_err_errno(e, errno, "open key file %s", k->file);
	if (fd < 0)
		return coffer_err_errno(e, errno, "open the terminal to ask for a passphrase");
	return k->file ? read_key_fd(k, fd, k->file, why, buf, size, e)
		       : ask_on_terminal(fd, device, why, buf, size, e);
}
