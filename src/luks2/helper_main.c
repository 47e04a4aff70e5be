/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* helper_main.c - coffer-helper: one job for libcryptsetup */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "luks2/helper_protocol.h"
#include "luks2/libcryptsetup.h"

enum {
	JUDGE_SECONDS = 30,	/* of processor time; one header takes milliseconds */
	JUDGE_MEMORY = 1 << 30, /* address space; the metadata have 4 MiB at most */
	PROBE = 64 << 20,	/* what must be available of it */
};

/* Otherwise the next file that is opened would become a standard stream. */
static void open_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++) {
		const int null = fcntl(fd, F_GETFD) < 0 ? open("/dev/null", O_RDWR) : fd;

		if (null != fd)
			_exit(1);
	}
}

/* A token's plugin may start programs: they get neither socket nor header. */
static bool close_on_exec(void)
{
	for (int fd = COFFER_HELPER_SOCKET; fd < COFFER_HELPER_END; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 && errno != EBADF)
			return false;
	return true;
}

static int limit(int what, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return -errno;
	if (l.rlim_max < most)
		most = l.rlim_max;
	l = (struct rlimit){most, most};
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

/* A header that asks for too much ends this process only. Lack of memory must not look like a
 * refusal, so enough must be available. */
static int limit_judge(void)
{
	int r = limit(RLIMIT_CPU, JUDGE_SECONDS);
	void *p;

#ifndef __SANITIZE_ADDRESS__ /* its shadow takes terabytes of addresses */
	if (r == 0)
		r = limit(RLIMIT_AS, JUDGE_MEMORY);
#endif
	if (r < 0)
		return r;
	p = mmap(NULL, PROBE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	(void)munmap(p, PROBE);
	return 0;
}

/* Even with all signals blocked a call returns early: when the process is stopped and continued. */
static bool receive(void *to, size_t n)
{
	ssize_t k;

	for (uint8_t *at = to; n > 0; at += k, n -= (size_t)k) {
		k = recv(COFFER_HELPER_SOCKET, at, n, 0);
		if (k <= 0)
			return false;
	}
	return true;
}

static bool give(const void *from, size_t n)
{
	ssize_t k;

	for (const uint8_t *at = from; n > 0; at += k, n -= (size_t)k) {
		k = send(COFFER_HELPER_SOCKET, at, n, MSG_NOSIGNAL);
		if (k <= 0)
			return false;
	}
	return true;
}

static int work(struct coffer_helper_request *q, const struct coffer_secret *secret,
	struct coffer_secret *key, struct coffer_err *e)
{
	int r = coffer_cryptsetup_isolate(q->job == COFFER_HELPER_OPEN_TOKEN);

	if (r == 0 && q->job == COFFER_HELPER_JUDGE)
		r = limit_judge();
	if (r < 0)
		return coffer_err_errno(e, -r, "set up libcryptsetup");
	switch (q->job) {
	case COFFER_HELPER_BUILD:
		return coffer_cryptsetup_build(COFFER_HELPER_HEADER, COFFER_HELPER_DATA, &q->format,
			&q->layout, secret, e);
	case COFFER_HELPER_JUDGE:
		return coffer_cryptsetup_judge(COFFER_HELPER_HEADER, e);
	case COFFER_HELPER_OPEN_SLOT:
		return coffer_cryptsetup_open_slot(COFFER_HELPER_HEADER, q->number, secret, key, e);
	case COFFER_HELPER_OPEN_TOKEN:
		return coffer_cryptsetup_open_token(COFFER_HELPER_HEADER, q->number, key, e);
	case COFFER_HELPER_CHECK_KEY:
		return coffer_cryptsetup_check_key(COFFER_HELPER_HEADER, secret, e);
	case COFFER_HELPER_CHECK_DIGEST:
		return coffer_cryptsetup_check_digest(COFFER_HELPER_HEADER, secret, e);
	default:
		return coffer_err_errno(e, EPROTO, "coffer-helper, job %u", q->job);
	}
}

static bool fits(const struct coffer_helper_request *q)
{
	return q->size == sizeof(*q) && q->secret_size <= COFFER_HELPER_MAX_SECRET &&
	       strncmp(q->version, COFFER_VERSION, sizeof(q->version)) == 0;
}

int main(void)
{
	_cleanup_secret_ struct coffer_secret *secret = NULL, *key = NULL;
	struct coffer_helper_request q;
	struct coffer_helper_reply reply = {0};
	bool given;

	/* A parent that ended before this line has another process id than the request says. Not
	 * dumpable: no other process of this user may read the keys. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return 1;
	open_standard_streams();
	if (!close_on_exec())
		return 1;
	if (limit(RLIMIT_CORE, 0) < 0 || !receive(&q, sizeof(q)) || getppid() != q.parent)
		return 1;
	if (!fits(&q)) {
		reply.r = coffer_err_set(&reply.e, ECOMM, "coffer-helper has another version");
		return !give(&reply, sizeof(reply));
	}
	/* Locked memory only for jobs with keys: a user may have none. A passphrase can be empty.
	 */
	if (q.job != COFFER_HELPER_JUDGE && q.job != COFFER_HELPER_OPEN_TOKEN)
		reply.r = coffer_secret_new(q.secret_size ? q.secret_size : 1, &secret, &reply.e);
	if (reply.r == 0 && (q.job == COFFER_HELPER_OPEN_SLOT || q.job == COFFER_HELPER_OPEN_TOKEN))
		reply.r = coffer_secret_new(COFFER_MAX_VOLUME_KEY, &key, &reply.e);
	if (reply.r == 0) {
		if (key)
			key->size = 0;
		if (secret)
			secret->size = q.secret_size;
		if (secret && !receive(secret->data, secret->size))
			return 1;
		reply.r = work(&q, secret, key, &reply.e);
		reply.key_size = reply.r < 0 || !key ? 0 : (uint32_t)key->size;
	}
	given = give(&reply, sizeof(reply)) && give(key ? key->data : NULL, reply.key_size);
	coffer_secret_free(TAKE_PTR(secret));
	coffer_secret_free(TAKE_PTR(key));
	_exit(given ? 0 : 1); /* not exit(): exit handlers of plugins could block */
}
