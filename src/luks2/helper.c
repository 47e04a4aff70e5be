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
	HIGH_FD = COFFER_HELPER_END + 10, /* no descriptor of the helper is up there */
	NO_LIMIT = 0,
	JUDGE_SECONDS = 60, /* at a busy machine it takes less than one */
};

struct call {
	const char *what; /* "making the LUKS2 header" */
	struct coffer_helper_request request;
	const struct coffer_secret *secret; /* sent; NULL: none */
	struct coffer_secret *key;	    /* received; NULL: none */
	int header, data;		    /* memfds; -1: none */
	int seconds;			    /* the deadline */
	const struct coffer_stop *stop;
	pid_t pid;
	int fd; /* this end of the socket */
	struct coffer_helper_reply reply;
};

/* --- starting it --- */

/* It gets keys: nobody but root and this user may have put it there. */
static bool is_trusted(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & S_IWOTH);
}

/* A set-user-ID program takes no path from its caller, and none from where it lies. */
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

/* All signals stay blocked: what a terminal sends to the group is for the caller to decide. */
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

/* Only the socket and the memfds stay open, beside the standard streams. */
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

/* dup2 to a descriptor's own number would leave it to be closed, and one may lie where another one
 * is put. */
static int high(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

/* libcryptsetup was not asked, whatever the reason: one code, which none of its answers has. */
static int not_asked(const struct call *c, int code, const char *path, struct coffer_err *e)
{
	return coffer_err_set(e, ECOMM, "start %s for %s: %s", path, c->what, strerror(code));
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

/* Bytes @at of what is sent: the request, then the secret. */
static int send_rest(const struct call *c, size_t *at)
{
	const size_t first = sizeof(c->request), size = first + c->request.secret_size;
	const bool rest = *at >= first;
	const uint8_t *from =
		rest ? c->secret->data + (*at - first) : (const uint8_t *)&c->request + *at;
	const ssize_t n =
		send(c->fd, from, (rest ? size : first) - *at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		*at += (size_t)n;
	/* EPIPE: it has ended, and may have said why */
	return n >= 0 || errno == EAGAIN || errno == EINTR || errno == EPIPE ? 0 : -errno;
}

/* The reply, then the key. 1: all of it is there; 0: more is to come; -EPIPE: the helper ended. */
static int receive_rest(struct call *c, size_t *at)
{
	const size_t first = sizeof(c->reply);
	uint8_t *to = (uint8_t *)&c->reply + *at;
	size_t size = first - *at;
	ssize_t n;

	if (*at >= first && c->key) {
		to = c->key->data + (*at - first);
		size = first + c->reply.key_size - *at;
	}
	n = recv(c->fd, to, size, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	*at += (size_t)n;
	if (*at < first)
		return 0;
	if (c->reply.key_size > (c->key ? c->key->capacity : 0))
		return -EPROTO;
	return *at == first + c->reply.key_size;
}

/* 0: the reply is there. -EINTR: @stop wanted it; -ETIMEDOUT; -EPIPE: it ended without a word. */
static int talk(struct call *c)
{
	const size_t to_send = sizeof(c->request) + c->request.secret_size;
	const double end = coffer_clock() + c->seconds;
	size_t sent = 0, received = 0;
	int r = 0;

	while (r == 0) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN | (sent < to_send ? POLLOUT : 0)};

		if (coffer_stop_wanted(c->stop))
			return -EINTR;
		if (poll(&p, 1, POLL_MS) <= 0) {
			/* Not before the poll: a stopped caller finds the reply waiting. */
			if (c->seconds != NO_LIMIT && coffer_clock() > end)
				return -ETIMEDOUT;
			continue;
		}
		if ((p.revents & POLLOUT) && sent < to_send)
			r = send_rest(c, &sent);
		if (r == 0 && (p.revents & (POLLIN | POLLHUP | POLLERR)))
			r = receive_rest(c, &received);
	}
	return r < 0 ? r : 0;
}

static int died(const struct call *c, int status, struct coffer_err *e)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return coffer_err_set(
			e, EIO, "%s was ended by signal %d", c->what, WTERMSIG(status));
	return coffer_err_set(e, EIO, "%s was stopped (out of memory?)", c->what);
}

/* Where the caller reaps all children there is no status, and the reply is enough. */
static int finish(struct call *c, int r, struct coffer_err *e)
{
	int status = 0;

	if (r < 0)
		(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	switch (r) {
	case 0:
		break;
	case -EINTR:
		return r;
	case -ETIMEDOUT:
		return coffer_err_set(
			e, ECOMM, "%s took more than %d seconds", c->what, c->seconds);
	case -EPROTO:
		return coffer_err_set(e, ECOMM, "%s: %s is of another version", c->what, NAME);
	default:
		return died(c, status, e);
	}
	if (c->key)
		c->key->size = c->reply.key_size;
	if (c->reply.e.code != 0 && e)
		*e = c->reply.e;
	return c->reply.r;
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

static bool put_text(char *to, size_t size, const char *text)
{
	return snprintf(to, size, "%s", text ? text : "") < (int)size;
}

static bool pack(struct coffer_helper_format *to, const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *l)
{
	*to = (struct coffer_helper_format){
		.key_size = f->key_size,
		.pbkdf_memory = f->pbkdf_memory,
		.pbkdf_parallel = f->pbkdf_parallel,
		.pbkdf_iterations = f->pbkdf_iterations,
		.iter_time = f->iter_time,
		.sector_size = l->sector_size,
		.metadata_size = f->metadata_size,
		.keyslots_size = f->keyslots_size,
		.device_size = l->device_size,
		.data_offset = l->data_offset,
	};
	return put_text(to->cipher, sizeof(to->cipher), f->cipher) &&
	       put_text(to->hash, sizeof(to->hash), f->hash) &&
	       put_text(to->pbkdf, sizeof(to->pbkdf), f->pbkdf) &&
	       put_text(to->uuid, sizeof(to->uuid), f->uuid) &&
	       put_text(to->label, sizeof(to->label), f->label);
}

int coffer_luks2_build(const struct coffer_luks2_format *f, const struct coffer_luks2_layout *l,
	const struct coffer_secret *passphrase, const struct coffer_stop *stop, int *ret_fd,
	struct coffer_err *e)
{
	struct call c = {.what = "making the LUKS2 header", .secret = passphrase, .stop = stop};
	_cleanup_close_ int header = -1, data = -1;
	int r;

	if (!pack(&c.request.format, f, l))
		return coffer_err_set(e, EINVAL, "a name in the LUKS2 options is too long");
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

int coffer_luks2_accepts(int fd, const struct coffer_stop *stop, struct coffer_err *e)
{
	struct call c = {
		.what = "reading the LUKS2 header", .header = fd, .data = -1, .stop = stop};

	return run(&c, COFFER_HELPER_LOAD, e);
}

int coffer_luks2_judge(int fd, struct coffer_err *e)
{
	struct call c = {.what = "judging the LUKS2 header",
		.header = fd,
		.data = -1,
		.seconds = JUDGE_SECONDS};

	return run(&c, COFFER_HELPER_JUDGE, e);
}

/* Of the key that comes back. */
static int run_for_key(struct call *c, enum coffer_helper_job job, struct coffer_secret **ret_key,
	struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	int r = coffer_secret_new(COFFER_MAX_VOLUME_KEY, &key, e);

	if (r < 0)
		return r;
	c->key = key;
	r = run(c, job, e);
	if (r >= 0)
		*ret_key = TAKE_PTR(key);
	return r;
}

int coffer_luks2_open_slot(int fd, unsigned int slot, const struct coffer_secret *passphrase,
	const struct coffer_stop *stop, struct coffer_secret **ret_key, struct coffer_err *e)
{
	struct call c = {.what = "trying a keyslot",
		.request.number = (int)slot,
		.secret = passphrase,
		.header = fd,
		.data = -1,
		.stop = stop};

	return run_for_key(&c, COFFER_HELPER_OPEN_SLOT, ret_key, e);
}

int coffer_luks2_open_token(int fd, unsigned int token, const struct coffer_stop *stop,
	struct coffer_secret **ret_key, struct coffer_err *e)
{
	struct call c = {.what = "asking a token",
		.request.number = (int)token,
		.header = fd,
		.data = -1,
		.stop = stop};

	return run_for_key(&c, COFFER_HELPER_OPEN_TOKEN, ret_key, e);
}

int coffer_luks2_check_key(int fd, const struct coffer_secret *key, const struct coffer_stop *stop,
	struct coffer_err *e)
{
	struct call c = {.what = "comparing the key with its digest",
		.secret = key,
		.header = fd,
		.data = -1,
		.stop = stop};

	return run(&c, COFFER_HELPER_CHECK_KEY, e);
}

int coffer_luks2_check_digest(struct json_object *json, const struct coffer_secret *key,
	const struct coffer_stop *stop, struct coffer_err *e)
{
	struct call c = {.what = "confirming the conversion's metadata",
		.secret = key,
		.data = -1,
		.stop = stop};
	const char *text = coffer_json_text(json);
	const size_t n = text ? strlen(text) : 0;
	_cleanup_close_ int fd = -1;
	int r;

	if (!text)
		return coffer_err_errno(e, ENOMEM, "check the conversion's metadata");
	r = coffer_memfd("coffer-metadata", n, &fd, e);
	if (r < 0)
		return r;
	if (pwrite(fd, text, n, 0) != (ssize_t)n)
		return coffer_err_set(e, EIO, "copy the metadata to memory");
	c.header = fd;
	c.request.number = (int)n;
	return run(&c, COFFER_HELPER_CHECK_DIGEST, e);
}
