/* SPDX-License-Identifier: LGPL-2.1-or-later */
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
	snprintf(why, 256, "%s", text);
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

/* A header without anything of a reencryption, and its key, offset and sector size. */
static bool open_volume(const uint8_t *disk, uint64_t size, const char *passphrase,
	unsigned char key[64], size_t *key_size, uint64_t *offset, int *sector_size, char why[256])
{
	struct crypt_device *cd = NULL;
	struct crypt_params_reencrypt params = {0};
	char path[64];
	int fd = memfd_create("oracle", MFD_CLOEXEC);
	bool ok = false;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, NULL, NULL);
	*key_size = 64;
	if (fd < 0 || !write_all(fd, disk, size))
		say(why, "oracle: no memory");
	else if (crypt_init(&cd, path) < 0 || crypt_load(cd, CRYPT_LUKS2, NULL) < 0)
		say(why, "libcryptsetup does not load the header");
	else if (crypt_reencrypt_status(cd, &params) != CRYPT_REENCRYPT_NONE)
		say(why, "a reencryption is still under way");
	else if (crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)key, key_size, passphrase,
			 strlen(passphrase)) < 0)
		say(why, "the passphrase opens no keyslot");
	else
		ok = true;
	if (ok) {
		*offset = crypt_get_data_offset(cd) * 512;
		*sector_size = crypt_get_sector_size(cd);
	}
	crypt_free(cd);
	close(fd);
	return ok;
}

bool oracle_volume_read(const uint8_t *disk, uint64_t size, const char *passphrase, uint8_t *ret,
	uint64_t n, char why[256])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	unsigned char key[64];
	size_t key_size;
	uint64_t offset;
	int sector_size, len;
	bool ok;

	ok = open_volume(disk, size, passphrase, key, &key_size, &offset, &sector_size, why);
	if (ok && EVP_DecryptInit_ex(ctx, key_size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(),
			  NULL, key, NULL) != 1)
		abort();
	for (uint64_t at = 0; ok && at < n; at += (uint64_t)sector_size) {
		unsigned char iv[16] = {0};

		for (int i = 0; i < 8; i++)
			iv[i] = (unsigned char)(at / 512 >> (8 * i));
		if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, iv) != 1 ||
			EVP_DecryptUpdate(ctx, ret + at, &len, disk + offset + at, sector_size) !=
				1)
			abort();
	}
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

bool oracle_volume_equals(const uint8_t *disk, uint64_t size, const char *passphrase,
	const uint8_t *plain, uint64_t n, char why[256])
{
	uint8_t *now = malloc(n);
	bool ok;

	if (!now)
		abort();
	ok = oracle_volume_read(disk, size, passphrase, now, n, why);
	for (uint64_t at = 0; ok && at < n; at += 512) {
		if (memcmp(now + at, plain + at, 512) != 0) {
			snprintf(why, 256, "byte %llu of the volume differs",
				(unsigned long long)at);
			ok = false;
		}
	}
	free(now);
	return ok;
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

		(void)run(repair, passphrase);
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
