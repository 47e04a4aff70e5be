/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "os/luks2.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <libcryptsetup.h>

#include "base/cleanup.h"
#include "base/crypto.h"
#include "base/err.h"

DEFINE_CLEANUP(struct crypt_device *, crypt, crypt_free);

enum {
	MAX_LOG = 256,
	POLL_MS = 20,
	STILL_POLLS = 500 / POLL_MS, /* for the first child; each one gets twice as long */
	MAX_CHILDREN = 5,
};

/* libcryptsetup's last complaint; it says more than its return value. */
struct log {
	char text[MAX_LOG];
};

static void keep_errors(int level, const char *msg, void *usrptr)
{
	struct log *log = usrptr;

	if (level != CRYPT_LOG_ERROR)
		return;
	(void)snprintf(log->text, sizeof(log->text), "%s", msg);
	log->text[strcspn(log->text, "\n")] = '\0';
}

static int complain(struct coffer_err *e, int r, const struct log *log, const char *what)
{
	if (log->text[0])
		return coffer_err_set(e, -r, "%s: %s", what, log->text);
	return coffer_err_errno(e, -r, "%s", what);
}

int coffer_memfd(const char *name, uint64_t size, int *ret_fd, struct coffer_err *e)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return coffer_err_errno(e, errno, "make a file in memory");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

struct fd_path {
	char text[32];
};

static struct fd_path path_of(int fd)
{
	struct fd_path p;

	(void)snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", fd);
	return p;
}

/* libcryptsetup sets itself up at its first use, without a lock: two threads must not come first at
 * the same time. Looking for a header where none can be is the smallest use that does so. */
static void set_up(void)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	_cleanup_close_ int fd = -1;
	struct log log = {0};

	if (coffer_memfd("coffer-nothing", COFFER_BLOCK, &fd, NULL) < 0 ||
		crypt_init(&cd, path_of(fd).text) < 0)
		return; /* whoever comes next meets the same, and says so */
	crypt_set_log_callback(cd, keep_errors, &log);
	(void)crypt_load(cd, CRYPT_LUKS2, NULL);
}

static void set_up_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_up);
}

static int set_pbkdf(struct crypt_device *cd, const struct coffer_luks2_format *f)
{
	const char *type = f->pbkdf ? f->pbkdf : crypt_get_pbkdf_default(CRYPT_LUKS2)->type;
	const struct crypt_pbkdf_type *defaults = crypt_get_pbkdf_type_params(type);
	struct crypt_pbkdf_type pbkdf;

	if (!defaults)
		return -EINVAL;
	pbkdf = *defaults;
	if (f->hash)
		pbkdf.hash = f->hash;
	if (f->iter_time)
		pbkdf.time_ms = f->iter_time;
	if (f->pbkdf_memory)
		pbkdf.max_memory_kb = f->pbkdf_memory;
	if (f->pbkdf_parallel)
		pbkdf.parallel_threads = f->pbkdf_parallel;
	if (f->pbkdf_iterations) {
		pbkdf.iterations = f->pbkdf_iterations;
		pbkdf.flags |= CRYPT_PBKDF_NO_BENCHMARK;
	}
	return crypt_set_pbkdf_type(cd, &pbkdf);
}

static int split_cipher(const char *spec, char cipher[64], const char **mode)
{
	const char *dash = strchr(spec, '-');

	if (!dash || dash - spec >= 64)
		return -EINVAL;
	memcpy(cipher, spec, (size_t)(dash - spec));
	cipher[dash - spec] = '\0';
	*mode = dash + 1;
	return 0;
}

static int format(struct crypt_device *cd, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, const char *data, const char *cipher, const char *mode)
{
	struct crypt_params_luks2 params = {
		.sector_size = g->sector_size, .data_device = data, .label = f->label};
	int r;

	r = set_pbkdf(cd, f);
	if (r == 0)
		r = crypt_set_data_offset(cd, g->shift / COFFER_SECTOR);
	if (r == 0)
		r = crypt_set_metadata_size(cd, f->metadata_size, f->keyslots_size);
	if (r == 0)
		r = crypt_format(
			cd, CRYPT_LUKS2, cipher, mode, f->uuid, NULL, f->key_size, &params);
	return r;
}

static int start_reencryption(struct crypt_device *cd, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, const struct coffer_secret *pass, const char *cipher,
	const char *mode)
{
	const struct crypt_params_luks2 luks2 = {.sector_size = g->sector_size};
	const struct crypt_params_reencrypt params = {
		.mode = CRYPT_REENCRYPT_ENCRYPT,
		.direction = CRYPT_REENCRYPT_BACKWARD,
		.resilience = "datashift",
		.hash = f->hash ? f->hash : "sha256",
		.data_shift = g->shift / COFFER_SECTOR,
		.luks2 = &luks2,
		.flags = CRYPT_REENCRYPT_INITIALIZE_ONLY | CRYPT_REENCRYPT_MOVE_FIRST_SEGMENT,
	};
	int slot, r;

	slot = crypt_keyslot_add_by_key(
		cd, CRYPT_ANY_SLOT, NULL, f->key_size, (const char *)pass->data, pass->size, 0);
	if (slot < 0)
		return slot;
	r = crypt_reencrypt_init_by_passphrase(cd, NULL, (const char *)pass->data, pass->size,
		CRYPT_ANY_SLOT, slot, cipher, mode, &params);
	return r < 0 ? r : 0;
}

/* In the child: everything with libcryptsetup's locks off, since they would be taken for a volume
 * that does not exist yet, and an ordinary user has none. Switching them off is for the life of
 * the process and for all its handles, which is why this runs in a child. */
static int build_in_child(int header, int data, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, const struct coffer_secret *pass, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	const struct fd_path header_path = path_of(header), data_path = path_of(data);
	struct log log = {0};
	char cipher[64];
	const char *mode;
	int r;

	r = coffer_secret_relock(pass);
	if (r < 0)
		return coffer_err_errno(e, -r, "lock the passphrase in memory");
	r = split_cipher(f->cipher, cipher, &mode);
	if (r < 0)
		return coffer_err_set(e, EINVAL, "'%s' is no cipher", f->cipher);
	r = crypt_metadata_locking(NULL, 0);
	if (r == 0)
		r = crypt_init_data_device(&cd, header_path.text, data_path.text);
	if (r < 0)
		return complain(e, r, &log, "set up libcryptsetup");
	crypt_set_log_callback(cd, keep_errors, &log);
	if (f->pbkdf && !crypt_get_pbkdf_type_params(f->pbkdf))
		return coffer_err_set(e, EINVAL,
			"'%s' is no key derivation; take argon2id, argon2i or pbkdf2", f->pbkdf);
	r = format(cd, f, g, data_path.text, cipher, mode);
	if (r < 0)
		return complain(e, r, &log, "make the LUKS2 header");
	r = start_reencryption(cd, f, g, pass, cipher, mode);
	if (r < 0)
		return complain(e, r, &log, "prepare the LUKS2 header for an encryption in place");
	return 0;
}

struct child_report {
	int r;
	struct coffer_err e;
};

/* fork() in a process of several threads may catch another one with a lock of libc or libcrypto in
 * its hands, and in the child nobody is left to give it back. A child that waits for it
 * uses no processor time; one that works for libcryptsetup does all the time. */
struct watch {
	clockid_t clock; /* processor time of the child */
	struct timespec used;
	int polls; /* since that last changed; a parent that is stopped counts none */
	int patience;
};

static bool stands_still(struct watch *w)
{
	struct timespec now;

	if (clock_gettime(w->clock, &now) < 0)
		return false;
	if (now.tv_sec != w->used.tv_sec || now.tv_nsec != w->used.tv_nsec)
		w->polls = 0;
	w->used = now;
	return w->polls++ > w->patience;
}

/* The child only ever writes to memory: to end it at any moment is safe. */
static void end_child(pid_t pid)
{
	int status;

	(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static int wait_child(
	pid_t pid, const struct coffer_luks2_stop *stop, int patience, struct coffer_err *e)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
	struct watch watch = {.patience = patience};
	const bool watched = clock_getcpuclockid(pid, &watch.clock) == 0;
	pid_t done;
	int status;

	while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
		const bool stopped = stop && stop->wanted && stop->wanted(stop->user);

		if (stopped || (watched && stands_still(&watch))) {
			end_child(pid);
			return stopped ? -EINTR : -EDEADLK;
		}
		(void)nanosleep(&nap, NULL);
	}
	if (done < 0 && errno == ECHILD) /* somebody reaps all children: the report tells */
		status = 0;
	else if (done < 0)
		return coffer_err_errno(e, errno, "wait for libcryptsetup");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return coffer_err_set(
			e, EIO, "making the LUKS2 header was stopped (out of memory?)");
	return 0;
}

/* -EDEADLK without a word: the child stood still. */
static int run_child(int header, int data, const struct coffer_luks2_format *f,
	const struct coffer_geometry *g, const struct coffer_secret *pass,
	const struct coffer_luks2_stop *stop, int patience, struct child_report *report,
	struct coffer_err *e)
{
	/* One page shared with the child carries its report; no key passes through it. */
	sigset_t all, before;
	pid_t pid;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		/* It decides nothing: signals are the parent's, whose handlers must not run twice;
		 * and with the parent goes the child. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		report->r = build_in_child(header, data, f, g, pass, &report->e);
		_exit(0);
	}
	r = pid < 0 ? coffer_err_errno(e, errno, "start a process for libcryptsetup") : 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		r = wait_child(pid, stop, patience, e);
	if (r < 0)
		return r;
	if (report->r < 0 && e)
		*e = report->e;
	return report->r;
}

/* One try, on empty files. */
static int try_build(const struct coffer_luks2_format *f, const struct coffer_geometry *g,
	const struct coffer_secret *passphrase, const struct coffer_luks2_stop *stop, int patience,
	int *ret_fd, struct coffer_err *e)
{
	_cleanup_close_ int header = -1, data = -1;
	struct child_report *report;
	int r;

	r = coffer_memfd("coffer-header", g->shift, &header, e);
	if (r == 0)
		r = coffer_memfd("coffer-no-data", g->device, &data, e);
	if (r < 0)
		return r;
	report = mmap(
		NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return coffer_err_errno(e, errno, "start a process for libcryptsetup");
	report->r = -EIO;
	r = run_child(header, data, f, g, passphrase, stop, patience, report, e);
	(void)munmap(report, sizeof(*report));
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(header);
	return 0;
}

/* libcryptsetup would ask libuuid, which seeds libc's random numbers: a lock that another thread of
 * the caller may hold at the fork, and the one that was seen to keep a child waiting. */
static int random_uuid(char ret[37])
{
	uint8_t b[16];

	if (coffer_random(b, sizeof(b)) < 0)
		return -EIO;
	b[6] = (b[6] & 0x0f) | 0x40; /* version 4, RFC 9562 */
	b[8] = (b[8] & 0x3f) | 0x80;
	(void)snprintf(ret, 37,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
	return 0;
}

int coffer_luks2_build(const struct coffer_luks2_format *f, const struct coffer_geometry *g,
	const struct coffer_secret *passphrase, const struct coffer_luks2_stop *stop, int *ret_fd,
	struct coffer_err *e)
{
	struct coffer_luks2_format format = *f;
	char uuid[37];

	set_up_once();
	if (!format.uuid) {
		if (random_uuid(uuid) < 0)
			return coffer_err_set(e, EIO, "libcrypto has no random bytes");
		format.uuid = uuid;
	}
	for (int i = 0; i < MAX_CHILDREN; i++) {
		const int r = try_build(&format, g, passphrase, stop, STILL_POLLS << i, ret_fd, e);

		if (r != -EDEADLK)
			return r;
	}
	return coffer_err_set(e, EDEADLK,
		"making the LUKS2 header stood still %d times: other threads of this program may "
		"be in its way",
		MAX_CHILDREN);
}

int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	_cleanup_secret_ struct coffer_secret *key = NULL;
	const struct fd_path path = path_of(fd);
	struct log log = {0};
	size_t size;
	int r;

	set_up_once();
	r = crypt_init(&cd, path.text);
	if (r < 0)
		return complain(e, r, &log, "set up libcryptsetup");
	crypt_set_log_callback(cd, keep_errors, &log);
	r = crypt_load(cd, CRYPT_LUKS2, NULL);
	if (r < 0)
		return complain(e, r, &log, "libcryptsetup does not accept the LUKS2 header");
	size = 4096;
	r = coffer_secret_new(size, &key, e);
	if (r < 0)
		return r;
	r = crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)key->data, &size,
		(const char *)passphrase->data, passphrase->size);
	if (r == -EPERM || r == -ENOENT)
		return coffer_err_set(
			e, EPERM, "no keyslot opens with this passphrase or key file");
	if (r < 0)
		return complain(e, r, &log, "read the volume key");
	key->size = size;
	*ret_key = TAKE_PTR(key);
	return 0;
}
