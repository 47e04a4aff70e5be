/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper.c - jobs for libcryptsetup that run in the helper program */
#include "luks2/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "io/clock.h"
#include "luks2/helper_protocol.h"

extern char **environ;

#define NAME "coffer-helper"

enum {
	POLL_MS = 20,
	HIGH_FD = COFFER_HELPER_END + 10, /* beyond the descriptors of the helper */
	JUDGE_SECONDS = 60,		  /* it takes less than one, even on a busy machine */
};

static const char *const jobs[] = {
	[COFFER_HELPER_BUILD] = "creating the LUKS2 header",
	[COFFER_HELPER_JUDGE] = "checking the LUKS2 metadata",
	[COFFER_HELPER_OPEN_SLOT] = "trying a keyslot",
	[COFFER_HELPER_OPEN_TOKEN] = "trying a token",
	[COFFER_HELPER_CHECK_KEY] = "comparing the key with its digest",
	[COFFER_HELPER_CHECK_DIGEST] = "checking the digest of the reencryption",
};

struct call {
	struct coffer_helper_request request;
	const struct coffer_secret *secret; /* sent; NULL: none */
	struct coffer_secret *key;	    /* received; NULL: none */
	int header, data;		    /* memfds; -1: none */
	double end;			    /* the deadline; 0: none */
	const struct coffer_stop *stop;
	pid_t pid;
	int fd; /* this end of the socket */
	struct coffer_helper_reply reply;
};

static const char *job_of(const struct call *c)
{
	return jobs[c->request.job];
}

/* --- starting it --- */

/* It gets keys: it belongs to root or this user, and not everybody may write to it. */
static bool is_trusted(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & S_IWOTH);
}

/* A set-user-ID program trusts neither its environment nor its own directory. */
static const char *find_helper(char *buffer, size_t size)
{
	const char *own = secure_getenv("COFFER_HELPER");
	ssize_t n;
	char *slash;

	if (own && *own)
		return own;
	n = getauxval(AT_SECURE) ? -1 : readlink("/proc/self/exe", buffer, size - 1);
	if (n <= 0)
		return COFFER_HELPER_PATH;
	buffer[n] = '\0';
	slash = strrchr(buffer, '/');
	if (!slash || (size_t)(slash + 1 - buffer) + sizeof(NAME) > size)
		return COFFER_HELPER_PATH;
	slash[1] = '\0';
	if (!is_trusted(buffer))
		return COFFER_HELPER_PATH;
	memcpy(slash + 1, NAME, sizeof(NAME));
	return access(buffer, X_OK) == 0 && is_trusted(buffer) ? buffer : COFFER_HELPER_PATH;
}

/* All signals stay blocked: the caller decides about signals that a terminal sends to the group. */
static int set_attributes(posix_spawnattr_t *a)
{
	sigset_t all;
	int r;

	(void)sigfillset(&all);
	r = posix_spawnattr_setsigdefault(a, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &all);
	return r ? r : posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

/* Only the standard streams, the socket and the memfds stay open. */
static int set_files(posix_spawn_file_actions_t *files, const int fds[3])
{
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		r = fds[i] < 0 ? posix_spawn_file_actions_addclose(files, COFFER_HELPER_SOCKET + i)
			       : posix_spawn_file_actions_adddup2(
					 files, fds[i], COFFER_HELPER_SOCKET + i);
	return r ? r : posix_spawn_file_actions_addclosefrom_np(files, COFFER_HELPER_END);
}

static int spawn(const char *path, const int fds[3], pid_t *ret)
{
	const char *const argv[] = {NAME, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int r = posix_spawn_file_actions_init(&files);

	if (r)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = set_attributes(&attributes);
		if (r == 0)
			r = set_files(&files, fds);
		if (r == 0)
			r = posix_spawn(
				ret, path, &files, &attributes, (char *const *)argv, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* dup2 onto the same number would leave the descriptor to be closed, and onto another one of them
 * would close that one. */
static int high(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

/* ECOMM for all of them: libcryptsetup never returns it. */
static int not_asked(const struct call *c, int code, const char *path, struct coffer_err *e)
{
	return coffer_err_set(e, ECOMM, "%s: start %s: %s", job_of(c), path, strerror(code));
}

static int start(struct call *c, struct coffer_err *e)
{
	_cleanup_close_ int theirs = -1, header = high(c->header), data = high(c->data);
	char buffer[512];
	const char *path = find_helper(buffer, sizeof(buffer));
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return not_asked(c, errno, path, e);
	c->fd = pair[0];
	theirs = high(pair[1]);
	(void)close(pair[1]);
	if (theirs < 0 || (header < 0 && c->header >= 0) || (data < 0 && c->data >= 0))
		return not_asked(c, errno, path, e);
	r = spawn(path, (const int[]){theirs, header, data}, &c->pid);
	return r < 0 ? not_asked(c, -r, path, e) : 0;
}

/* --- talking to it --- */

/* Send or receive @n bytes. -EINTR: @stop; -ETIMEDOUT; -EPIPE: the helper has ended. */
static int transfer(const struct call *c, short events, void *data, size_t n)
{
	struct pollfd p = {.fd = c->fd, .events = events};

	for (size_t at = 0; at < n;) {
		uint8_t *next = (uint8_t *)data + at;
		ssize_t k;

		if (coffer_stop_wanted(c->stop))
			return -EINTR;
		if (poll(&p, 1, POLL_MS) <= 0) {
			/* Not before the poll: a caller that was stopped finds the reply. */
			if (c->end > 0 && coffer_clock() > c->end)
				return -ETIMEDOUT;
			continue;
		}
		k = events == POLLIN ? recv(c->fd, next, n - at, MSG_DONTWAIT)
				     : send(c->fd, next, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		at += k > 0 ? (size_t)k : 0;
	}
	return 0;
}

static int talk(struct call *c)
{
	int r = transfer(c, POLLOUT, &c->request, sizeof(c->request));

	if (r == 0 && c->secret)
		r = transfer(c, POLLOUT, c->secret->data, c->secret->size);
	if (r < 0 && r != -EPIPE) /* a helper that has ended may have sent the reason */
		return r;
	r = transfer(c, POLLIN, &c->reply, sizeof(c->reply));
	if (r < 0)
		return r;
	if (c->reply.key_size > (c->key ? c->key->capacity : 0))
		return -EPROTO;
	return c->key ? transfer(c, POLLIN, c->key->data, c->reply.key_size) : 0;
}

static int died(const struct call *c, int status, struct coffer_err *e)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return coffer_err_set(
			e, EIO, "%s was ended by signal %d", job_of(c), WTERMSIG(status));
	return coffer_err_set(e, EIO, "%s was stopped (out of memory?)", job_of(c));
}

static int finish(struct call *c, int r, struct coffer_err *e)
{
	int status = 0;

	if (r < 0)
		(void)kill(c->pid, SIGKILL);
	/* Where the caller reaps all children there is no status; the reply is enough. */
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	switch (r) {
	case 0:
		break;
	case -EINTR:
		return r;
	case -ETIMEDOUT:
		return coffer_err_set(
			e, ECOMM, "%s took more than %d seconds", job_of(c), JUDGE_SECONDS);
	case -EPROTO:
		return coffer_err_set(e, ECOMM, "%s: %s has another version", job_of(c), NAME);
	default:
		return died(c, status, e);
	}
	if (c->key)
		c->key->size = c->reply.key_size;
	return c->reply.e.code ? coffer_err_pass(e, c->reply.r, &c->reply.e) : c->reply.r;
}

static int run(struct call *c, enum coffer_helper_job job, struct coffer_err *e)
{
	int r;

	c->fd = -1;
	c->request.size = sizeof(c->request);
	(void)snprintf(c->request.version, sizeof(c->request.version), "%s", COFFER_VERSION);
	c->request.job = job;
	c->request.parent = getpid();
	if (c->secret && c->secret->size > COFFER_HELPER_MAX_SECRET)
		return coffer_err_set(e, EINVAL, "the passphrase is too long");
	c->request.secret_size = c->secret ? (uint32_t)c->secret->size : 0;
	r = start(c, e);
	if (r == 0)
		r = finish(c, talk(c), e);
	cleanup_close(&c->fd);
	return r;
}

/* --- the jobs --- */

int coffer_luks2_build(const struct coffer_luks2_format *f, const struct coffer_luks2_layout *l,
	const struct coffer_secret *passphrase, const struct coffer_stop *stop, int *ret_fd,
	struct coffer_err *e)
{
	struct call c = {
		.request = {.format = *f, .layout = *l}, .secret = passphrase, .stop = stop};
	_cleanup_close_ int header = -1, data = -1;
	int r;

	c.request.format.cipher = NULL;
	r = coffer_memfd("coffer-header", l->data_offset, &header, e);
	if (r == 0)
		r = coffer_memfd("coffer-no-data", l->device_size, &data, e);
	if (r < 0)
		return r;
	c.header = header;
	c.data = data;
	r = run(&c, COFFER_HELPER_BUILD, e);
	if (r == 0)
		*ret_fd = TAKE_FD(header);
	return r;
}

int coffer_luks2_judge(int fd, const struct coffer_stop *stop, struct coffer_err *e)
{
	struct call c = {
		.header = fd, .data = -1, .end = coffer_clock() + JUDGE_SECONDS, .stop = stop};

	return run(&c, COFFER_HELPER_JUDGE, e);
}

static int open_key(int fd, enum coffer_helper_job job, unsigned int number,
	const struct coffer_secret *passphrase, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	struct call c = {.request.number = (int)number,
		.secret = passphrase,
		.header = fd,
		.data = -1,
		.stop = stop};
	int r = coffer_secret_new(COFFER_MAX_VOLUME_KEY, &key, e);

	if (r < 0)
		return r;
	c.key = key;
	r = run(&c, job, e);
	if (r >= 0)
		*ret_key = TAKE_PTR(key);
	return r;
}

int coffer_luks2_open_slot(int fd, unsigned int slot, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, struct coffer_secret **ret_key, struct coffer_err *e)
{
	return open_key(fd, COFFER_HELPER_OPEN_SLOT, slot, passphrase, stop, ret_key, e);
}

int coffer_luks2_open_token(int fd, unsigned int token, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e)
{
	return open_key(fd, COFFER_HELPER_OPEN_TOKEN, token, NULL, stop, ret_key, e);
}

static int check_key(int fd, enum coffer_helper_job job, const struct coffer_secret *key,
	const struct coffer_stop *stop, struct coffer_err *e)
{
	struct call c = {.secret = key, .header = fd, .data = -1, .stop = stop};

	return run(&c, job, e);
}

int coffer_luks2_check_key(int fd, const struct coffer_secret *key, const struct coffer_stop *stop,
	struct coffer_err *e)
{
	return check_key(fd, COFFER_HELPER_CHECK_KEY, key, stop, e);
}

int coffer_luks2_check_digest(int fd, const struct coffer_secret *key,
	const struct coffer_stop *stop, struct coffer_err *e)
{
	return check_key(fd, COFFER_HELPER_CHECK_DIGEST, key, stop, e);
}
