/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle.c - what libcryptsetup and the filesystems' checkers say of a disk */
#include "oracle.h"

#include <fcntl.h>
#include <libcryptsetup.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(char why[256], const char *text)
{
	(void)snprintf(why, 256, "%s", text);
}

static bool write_all(int fd, const uint8_t *p, uint64_t n)
{
	for (uint64_t at = 0; at < n;) {
		ssize_t k = pwrite(fd, p + at, n - at, (off_t)at);

		if (k <= 0)
			return false;
		at += (uint64_t)k;
	}
	return true;
}

/* libcryptsetup over the first @n bytes of @disk, in a file of @size bytes, which it opens again
 * and again: the descriptor is the caller's, for as long as the handle lives. */
static struct crypt_device *load(const uint8_t *disk, uint64_t n, uint64_t size, int *ret_fd)
{
	struct crypt_device *cd = NULL;
	const int fd = memfd_create("oracle", MFD_CLOEXEC);
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, NULL, NULL);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || !write_all(fd, disk, n < size ? n : size))
		abort();
	if (crypt_init(&cd, path) < 0 || crypt_load(cd, CRYPT_LUKS2, NULL) < 0) {
		crypt_free(cd);
		cd = NULL;
	}
	*ret_fd = fd;
	return cd;
}

bool oracle_loads(const uint8_t *disk, uint64_t n, uint64_t size)
{
	int fd;
	struct crypt_device *cd = load(disk, n, size, &fd);

	crypt_free(cd);
	(void)close(fd);
	return cd != NULL;
}

bool oracle_unlocks(const uint8_t *disk, uint64_t n, uint64_t size, const char *passphrase)
{
	char key[64];
	size_t key_size = sizeof(key);
	int fd;
	struct crypt_device *cd = load(disk, n, size, &fd);
	const bool opens = cd && crypt_volume_key_get(cd, CRYPT_ANY_SLOT, key, &key_size,
					 passphrase, strlen(passphrase)) >= 0;

	crypt_free(cd);
	(void)close(fd);
	return opens;
}

struct volume {
	unsigned char key[64];
	size_t key_size;
	uint64_t offset;
	int sector_size;
};

/* A header without anything of a reencryption, and its key, offset and sector size. */
static bool open_volume(const uint8_t *disk, uint64_t size, const char *passphrase, uint64_t header,
	struct volume *v, char why[256])
{
	struct crypt_params_reencrypt params = {0};
	bool ok = false;
	int fd;
	struct crypt_device *cd = load(disk, header, size, &fd);

	*v = (struct volume){.key_size = sizeof(v->key)};
	if (!cd)
		say(why, "libcryptsetup does not load the header");
	else if (crypt_reencrypt_status(cd, &params) != CRYPT_REENCRYPT_NONE)
		say(why, "a reencryption is still under way");
	else if (crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)v->key, &v->key_size, passphrase,
			 strlen(passphrase)) < 0)
		say(why, "the passphrase opens no keyslot");
	else
		ok = true;
	if (ok) {
		v->offset = crypt_get_data_offset(cd) * 512;
		v->sector_size = crypt_get_sector_size(cd);
	}
	crypt_free(cd);
	(void)close(fd);
	return ok;
}

/* [0, n) of the volume, by sectors, in either direction. */
static void transform(
	const struct volume *v, bool encrypt, const uint8_t *from, uint8_t *to, uint64_t n)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int len;

	if (!ctx ||
		EVP_CipherInit_ex(ctx, v->key_size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(),
			NULL, v->key, NULL, encrypt) != 1)
		abort();
	for (uint64_t at = 0; at < n; at += (uint64_t)v->sector_size) {
		unsigned char iv[16] = {0};

		for (int i = 0; i < 8; i++)
			iv[i] = (unsigned char)(at / 512 >> (8 * i));
		if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, -1) != 1 ||
			EVP_CipherUpdate(ctx, to + at, &len, from + at, v->sector_size) != 1)
			abort();
	}
	EVP_CIPHER_CTX_free(ctx);
}

bool oracle_volume_read(const uint8_t *disk, uint64_t size, const char *passphrase, uint64_t offset,
	uint8_t *ret, uint64_t n, char why[256])
{
	struct volume v;

	if (!open_volume(disk, size, passphrase, offset, &v, why))
		return false;
	transform(&v, false, disk + v.offset, ret, n);
	return true;
}

/* --- many states of one content --- */

struct oracle {
	const uint8_t *plain;
	uint64_t n;
	/* The first key met is that of most states; the others come and go. */
	struct seen {
		struct volume v;
		uint8_t *encrypted;
	} seen[4];
	unsigned int next;
};

struct oracle *oracle_new(const uint8_t *plain, uint64_t n)
{
	struct oracle *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	o->plain = plain;
	o->n = n;
	return o;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < sizeof(o->seen) / sizeof(o->seen[0]); i++)
		free(o->seen[i].encrypted);
	free(o);
}

static const uint8_t *encrypted(struct oracle *o, const struct volume *v)
{
	const size_t n = sizeof(o->seen) / sizeof(o->seen[0]);
	struct seen *s;

	for (size_t i = 0; i < n; i++) {
		s = &o->seen[i];
		if (s->encrypted && s->v.key_size == v->key_size &&
			s->v.sector_size == v->sector_size &&
			memcmp(s->v.key, v->key, v->key_size) == 0)
			return s->encrypted;
	}
	s = &o->seen[o->seen[0].encrypted ? 1 + o->next++ % (n - 1) : 0];
	s->v = *v;
	if (!s->encrypted)
		s->encrypted = malloc(o->n);
	if (!s->encrypted)
		abort();
	transform(v, true, o->plain, s->encrypted, o->n);
	return s->encrypted;
}

bool oracle_equals(struct oracle *o, const uint8_t *disk, uint64_t size, const char *passphrase,
	uint64_t offset, const struct span *spans, size_t n_spans, char why[256])
{
	const uint8_t *want;
	struct volume v;

	if (!open_volume(disk, size, passphrase, offset, &v, why))
		return false;
	if (v.offset != offset) {
		say(why, "the volume begins elsewhere");
		return false;
	}
	want = encrypted(o, &v);
	for (size_t i = 0; i < n_spans; i++) {
		const struct span *s = &spans[i];

		if (s->start % (uint64_t)v.sector_size || s->end % (uint64_t)v.sector_size)
			abort();
		if (memcmp(disk + offset + s->start, want + s->start, s->end - s->start) == 0)
			continue;
		for (uint64_t at = s->start; at < s->end; at += (uint64_t)v.sector_size)
			if (memcmp(disk + offset + at, want + at, (size_t)v.sector_size) != 0) {
				(void)snprintf(why, 256, "byte %llu of the volume differs",
					(unsigned long long)at);
				return false;
			}
	}
	return true;
}

static int run(const char *const argv[], const char *input)
{
	int in[2], status;
	pid_t pid;

	if (pipe(in) < 0)
		abort();
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		const int null = open("/dev/null", O_WRONLY);

		dup2(in[0], 0);
		dup2(null, 1);
		dup2(null, 2);
		close(in[0]);
		close(in[1]);
		unsetenv("LD_PRELOAD");
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	if (write(in[1], input, strlen(input)) < 0)
		abort();
	close(in[1]);
	if (waitpid(pid, &status, 0) < 0)
		abort();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool oracle_stock_resume(
	uint8_t *disk, uint64_t size, const char *passphrase, bool repair_first, char why[256])
{
	/* Locks live in root's directory; another user's runs do without. */
	const char *locks = geteuid() == 0 ? "-q" : "--disable-locks";
	char path[] = "/tmp/coffer-crash-XXXXXX";
	int fd = mkstemp(path);
	bool ok = fd >= 0 && write_all(fd, disk, size);
	int r;

	if (ok && repair_first) {
		const char *const repair[] = {
			"cryptsetup", "repair", "-q", locks, "--key-file", "-", path, NULL};

		r = run(repair, passphrase);
		if (r != 0) {
			snprintf(why, 256, "cryptsetup repair ended with %d", r);
			ok = false;
		}
	}
	if (ok) {
		const char *const resume[] = {"cryptsetup", "reencrypt", "--resume-only", "-q",
			locks, "--force-offline-reencrypt", "--key-file", "-", path, NULL};

		r = run(resume, passphrase);
		if (r != 0) {
			snprintf(why, 256, "cryptsetup reencrypt --resume-only ended with %d", r);
			ok = false;
		}
	}
	if (ok && pread(fd, disk, size, 0) != (ssize_t)size)
		ok = false;
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return ok;
}
