/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcryptsetup.c - the only user of libcryptsetup */
#include "luks2/libcryptsetup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <libcryptsetup.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "io/udev.h"
#include "luks2/reencrypt_digest.h"

DEFINE_CLEANUP(struct crypt_device *, crypt, crypt_free);

enum {
	MAX_LOG = 256,
};

/* Messages of libcryptsetup, which say more than its return values. */
struct log {
	char text[MAX_LOG];   /* the last error */
	char reason[MAX_LOG]; /* why it rejected the first header copy */
	enum {
		READING,
		JUDGING,
		GIVEN_UP
	} state;
};

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The reason for a rejected header is in its debug messages only: between the checksum of the first
 * copy and the attempt to repair it. */
static void keep_reason(struct log *log, const char *msg)
{
	const size_t n = strlen(log->reason);

	if (begins(msg, "Checksum:")) {
		log->state = log->state == READING ? JUDGING : log->state;
	} else if (log->state != JUDGING) {
		return;
	} else if (begins(msg, "Repairing JSON metadata") || begins(msg, "ERROR:") ||
		   begins(msg, "Trying to read secondary")) {
		log->state = GIVEN_UP;
	} else {
		(void)snprintf(log->reason + n, sizeof(log->reason) - n, "%s%.*s", n ? " " : "",
			(int)strcspn(msg, "\n"), msg);
	}
}

static void keep_errors(int level, const char *msg, void *usrptr)
{
	struct log *log = usrptr;

	if (level == CRYPT_LOG_ERROR)
		(void)snprintf(log->text, sizeof(log->text), "%.*s", (int)strcspn(msg, "\n"), msg);
	else if (level == CRYPT_LOG_DEBUG)
		keep_reason(log, msg);
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
		return coffer_err_errno(e, errno, "create a memfd");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Open libcryptsetup on the header in memfd @fd; the data are on @data, or NULL. */
static int open_device(
	int fd, const char *data, struct log *log, struct crypt_device **ret, struct coffer_err *e)
{
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = crypt_init_data_device(ret, path, data);
	if (r < 0)
		return complain(e, r, log, "set up libcryptsetup");
	crypt_set_log_callback(*ret, keep_errors, log);
	return 0;
}

/* libcryptsetup initializes itself at its first use, without a lock, so this must not happen in two
 * threads at once. To load a header from an empty file is the smallest use. A failure here is
 * reported by the next use. */
static void set_up(void)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	_cleanup_close_ int fd = -1;
	struct log log = {0};

	if (coffer_memfd("coffer-nothing", COFFER_BLOCK, &fd, NULL) == 0 &&
		open_device(fd, NULL, &log, &cd, NULL) == 0)
		(void)crypt_load(cd, CRYPT_LUKS2, NULL);
}

static void set_up_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, set_up);
}

const char *coffer_luks2_pbkdf(const struct coffer_luks2_format *f)
{
	return f->pbkdf[0] ? f->pbkdf : crypt_get_pbkdf_default(CRYPT_LUKS2)->type;
}

static int set_pbkdf(struct crypt_device *cd, const struct coffer_luks2_format *f)
{
	const struct crypt_pbkdf_type *defaults =
		crypt_get_pbkdf_type_params(coffer_luks2_pbkdf(f));
	struct crypt_pbkdf_type pbkdf;

	if (!defaults)
		return -EINVAL;
	pbkdf = *defaults;
	if (f->hash[0])
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

/* libcryptsetup wants a device for this, but does not read it. */
int coffer_luks2_check_format(const struct coffer_luks2_format *f, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	_cleanup_close_ int fd = -1;
	struct log log = {0};
	int r;

	set_up_once();
	r = coffer_memfd("coffer-nothing", COFFER_BLOCK, &fd, e);
	if (r == 0)
		r = open_device(fd, NULL, &log, &cd, e);
	if (r < 0)
		return r;
	r = set_pbkdf(cd, f);
	return r < 0 ? complain(e, r, &log, "the key derivation") : 0;
}

/* The only one that coffer converts to, see coffer_new_header_check. */
#define CIPHER "aes"
#define MODE   "xts-plain64"

static int format(struct crypt_device *cd, const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *l, const char *data)
{
	struct crypt_params_luks2 params = {.sector_size = l->sector_size,
		.data_device = data,
		.label = f->label[0] ? f->label : NULL};
	int r;

	r = set_pbkdf(cd, f);
	if (r == 0)
		r = crypt_set_data_offset(cd, l->data_offset / COFFER_SECTOR);
	if (r == 0)
		r = crypt_set_metadata_size(cd, f->metadata_size, f->keyslots_size);
	if (r == 0)
		r = crypt_format(cd, CRYPT_LUKS2, CIPHER, MODE, f->uuid[0] ? f->uuid : NULL, NULL,
			f->key_size, &params);
	return r;
}

static int start_reencryption(struct crypt_device *cd, const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *l, const struct coffer_secret *pass)
{
	const struct crypt_params_luks2 luks2 = {.sector_size = l->sector_size};
	const struct crypt_params_reencrypt params = {
		.mode = CRYPT_REENCRYPT_ENCRYPT,
		.direction = CRYPT_REENCRYPT_BACKWARD,
		.resilience = "datashift",
		.hash = f->hash[0] ? f->hash : "sha256",
		.data_shift = l->data_offset / COFFER_SECTOR,
		.luks2 = &luks2,
		.flags = CRYPT_REENCRYPT_INITIALIZE_ONLY | CRYPT_REENCRYPT_MOVE_FIRST_SEGMENT,
	};
	int slot, r;

	slot = crypt_keyslot_add_by_key(
		cd, CRYPT_ANY_SLOT, NULL, f->key_size, (const char *)pass->data, pass->size, 0);
	if (slot < 0)
		return slot;
	r = crypt_reencrypt_init_by_passphrase(cd, NULL, (const char *)pass->data, pass->size,
		CRYPT_ANY_SLOT, slot, CIPHER, MODE, &params);
	return r < 0 ? r : 0;
}

static void keep_nothing(int level, const char *msg, void *usrptr)
{
	(void)level;
	(void)msg;
	(void)usrptr;
}

int coffer_cryptsetup_isolate(bool tokens)
{
	const int r = crypt_metadata_locking(NULL, 0);

	if (!tokens)
		crypt_token_external_disable();
	crypt_set_debug_level(CRYPT_DEBUG_ALL);
	crypt_set_log_callback(NULL, keep_nothing, NULL);
	return r;
}

int coffer_cryptsetup_build(int header, int data, const struct coffer_luks2_format *f,
	const struct coffer_luks2_layout *l, const struct coffer_secret *pass, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	struct log log = {0};
	char data_path[32];
	int r;

	(void)snprintf(data_path, sizeof(data_path), "/proc/self/fd/%d", data);
	r = open_device(header, data_path, &log, &cd, e);
	if (r < 0)
		return r;
	if (f->pbkdf[0] && !crypt_get_pbkdf_type_params(f->pbkdf))
		return coffer_err_set(e, EINVAL,
			"unknown key derivation '%s'; use argon2id, argon2i or pbkdf2", f->pbkdf);
	r = format(cd, f, l, data_path);
	if (r < 0)
		return complain(e, r, &log, "create the LUKS2 header");
	r = start_reencryption(cd, f, l, pass);
	if (r < 0)
		return complain(e, r, &log, "prepare the LUKS2 header for encryption in place");
	return 0;
}

/* Load the header in memfd @fd. */
static int load(int fd, struct log *log, struct crypt_device **ret, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	int r = open_device(fd, NULL, log, &cd, e);

	if (r < 0)
		return r;
	r = crypt_load(cd, CRYPT_LUKS2, NULL);
	if (r < 0 && log->reason[0])
		memcpy(log->text, log->reason, sizeof(log->text));
	if (r < 0)
		return complain(e, r, log, "libcryptsetup does not accept the LUKS2 header");
	*ret = TAKE_PTR(cd);
	return 0;
}

/* --- jobs of coffer-helper --- */

int coffer_cryptsetup_judge(int fd, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	struct log log = {0};
	const int r = load(fd, &log, &cd, e);

	if (r != -EINVAL)
		return r < 0 ? r : 1;
	(void)coffer_err_set(e, EINVAL, "%s", log.text[0] ? log.text : "it gives no reason");
	return 0;
}

int coffer_cryptsetup_open_slot(int fd, int slot, const struct coffer_secret *passphrase,
	struct coffer_secret *key, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	size_t size = key->capacity;
	struct log log = {0};
	int r = load(fd, &log, &cd, e);

	if (r < 0)
		return r;
	r = crypt_volume_key_get(cd, slot, (char *)key->data, &size, (const char *)passphrase->data,
		passphrase->size);
	if (r == -EPERM || r == -ENOENT)
		return coffer_err_id(e,
			coffer_err_set(
				e, EPERM, "no keyslot opens with this passphrase or key file"),
			COFFER_FINDING_PASSPHRASE);
	if (r < 0)
		return complain(e, r, &log, "read the volume key");
	key->size = size;
	return 0;
}

int coffer_luks2_unlock(int fd, const struct coffer_secret *passphrase,
	struct coffer_secret **ret_key, struct coffer_err *e)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	int r;

	set_up_once();
	r = coffer_secret_new(COFFER_MAX_VOLUME_KEY, &key, e);
	if (r == 0)
		r = coffer_cryptsetup_open_slot(fd, CRYPT_ANY_SLOT, passphrase, key, e);
	if (r == 0)
		*ret_key = TAKE_PTR(key);
	return r;
}

int coffer_cryptsetup_check_key(int fd, const struct coffer_secret *key, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	struct log log = {0};
	int r = load(fd, &log, &cd, e);

	if (r < 0)
		return r;
	r = crypt_volume_key_verify(cd, (const char *)key->data, key->size);
	if (r == -EPERM)
		return coffer_err_set(e, EPERM, "this is not the volume key");
	return r < 0 ? complain(e, r, &log, "compare the key with its digest") : 0;
}

int coffer_cryptsetup_check_digest(int fd, const struct coffer_secret *key, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	_cleanup_json_ struct json_object *json = NULL;
	struct log log = {0};
	const char *text;
	int r = load(fd, &log, &cd, e);

	if (r < 0)
		return r;
	r = crypt_dump_json(cd, &text, 0);
	if (r == 0)
		r = coffer_json_parse(text, strlen(text), &json);
	if (r < 0)
		return complain(e, r, &log, "read the metadata");
	return coffer_reencrypt_digest_verify(json, key->data, key->size, e);
}

DEFINE_CLEANUP(struct crypt_keyslot_context *, context, crypt_keyslot_context_free);

int coffer_cryptsetup_open_token(int fd, int token, struct coffer_secret *key, struct coffer_err *e)
{
	_cleanup_(cleanup_context) struct crypt_keyslot_context *context = NULL;
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	size_t size = key->capacity;
	struct log log = {0};
	int r = load(fd, &log, &cd, e);

	if (r < 0)
		return r;
	r = crypt_keyslot_context_init_by_token(cd, token, NULL, NULL, 0, NULL, &context);
	if (r == 0)
		r = crypt_volume_key_get_by_keyslot_context(
			cd, CRYPT_ANY_SLOT, (char *)key->data, &size, context);
	if (r < 0)
		return complain(e, r, &log, "open with the token");
	key->size = size;
	return r;
}

/* --- a mapping, in a child --- */

struct mapping {
	int fd;
	const char *device;
	const struct coffer_secret *key;
	coffer_luks2_job job;
	void *arg;
	char name[64];
};

static bool child_stopped(void *userdata)
{
	return coffer_child_stopped(userdata);
}

/* libdevmapper waits until udev has processed the mapping, forever if udev does not run. If udev
 * runs it must be notified, since it has to know that the mapping is private. */
static void choose_udev(void)
{
	if (coffer_udev_probe() != COFFER_UDEV_ANSWERS)
		(void)setenv("DM_DISABLE_UDEV", "1", 1);
}

/* @log is used by *ret as well. */
static int activate(
	struct mapping *m, struct log *log, struct crypt_device **ret, struct coffer_err *e)
{
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	int r;

	choose_udev();
	r = open_device(m->fd, m->device, log, &cd, e);
	if (r < 0)
		return r;
	/* pass the key to the kernel in the table, not in a keyring */
	r = crypt_volume_key_keyring(cd, 0);
	if (r == 0)
		r = crypt_load(cd, CRYPT_LUKS2, NULL);
	if (r == 0)
		r = crypt_activate_by_volume_key(cd, m->name, (const char *)m->key->data,
			m->key->size,
			CRYPT_ACTIVATE_READONLY | CRYPT_ACTIVATE_PRIVATE |
				CRYPT_ACTIVATE_IGNORE_PERSISTENT);
	if (r < 0 && access("/sys/class/misc/device-mapper", F_OK) < 0)
		return coffer_err_set(e, ENODEV, "this kernel has no device-mapper");
	if (r < 0)
		return complain(e, r, log, "map the volume");
	*ret = TAKE_PTR(cd);
	return 0;
}

/* A name that lasts as long as the mapping @fd. Without udev libdevmapper removes the name in @path
 * at the deferred deactivation; the name that the kernel gives stays. */
static int lasting_name(int fd, char *path, size_t size, struct coffer_err *e)
{
	struct stat open_one, named;

	if (fstat(fd, &open_one) < 0)
		return coffer_err_errno(e, errno, "stat the mapping");
	if (stat(path, &named) == 0 && named.st_rdev == open_one.st_rdev)
		return 0;
	(void)snprintf(path, size, "/dev/dm-%u", minor(open_one.st_rdev));
	if (stat(path, &named) == 0 && S_ISBLK(named.st_mode) && named.st_rdev == open_one.st_rdev)
		return 0;
	return coffer_err_refuse(e, ENODEV, "the mapping has no name in /dev");
}

static int map_job(void *arg, const struct coffer_child *c, struct coffer_err *e)
{
	struct log log = {0};
	_cleanup_(cleanup_crypt) struct crypt_device *cd = NULL;
	const struct coffer_stop stop = {.wanted = child_stopped, .userdata = (void *)c};
	_cleanup_close_ int fd = -1;
	struct mapping *m = arg;
	char path[128];
	int r, gone;

	r = coffer_secret_relock(m->key);
	if (r < 0)
		return coffer_err_errno(e, -r, "lock the key in memory");
	r = activate(m, &log, &cd, e);
	if (r < 0) {
		coffer_err_outcome(e, COFFER_REFUSED);
		return r;
	}
	(void)snprintf(path, sizeof(path), "%s/%s", crypt_get_dir(), m->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		r = coffer_err_errno(e, errno, "open %s", path);
	/* From here on the mapping ends with this process. */
	gone = crypt_deactivate_by_name(cd, m->name, CRYPT_DEACTIVATE_DEFERRED);
	if (r == 0)
		r = lasting_name(fd, path, sizeof(path), e);
	if (r == 0)
		r = m->job(m->arg, path, &stop, e);
	cleanup_close(&fd);
	fd = -1;
	if (gone < 0)
		(void)crypt_deactivate_by_name(cd, m->name, 0);
	return r;
}

int coffer_luks2_map(int fd, const char *device, const struct coffer_secret *key,
	coffer_luks2_job job, void *arg, const struct coffer_stop *stop, struct coffer_err *e)
{
	struct mapping m = {.fd = fd, .device = device, .key = key, .job = job, .arg = arg};

	if (geteuid() != 0)
		return coffer_err_refuse(e, EPERM, "only root can map a volume");
	(void)snprintf(m.name, sizeof(m.name), "coffer-verify-%d", (int)getpid());
	set_up_once(); /* not in another thread during the fork */
	return coffer_child_run(map_job, &m, stop, "reading the mapped volume", e);
}
