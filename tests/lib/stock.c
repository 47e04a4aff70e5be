/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stock.c - headers by libcryptsetup, and what it calls them */
#include "lib/stock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libcryptsetup.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "luks2/helper.h"

static char last_words[512];

static void listen(int level, const char *msg, void *usrptr)
{
	(void)usrptr;
	if (level == CRYPT_LOG_ERROR)
		(void)snprintf(last_words, sizeof(last_words), "%s", msg);
}

static bool transfer(int fd, uint8_t *p, size_t n, bool write)
{
	for (size_t at = 0; at < n;) {
		const ssize_t k = write ? pwrite(fd, p + at, n - at, (off_t)at)
					: pread(fd, p + at, n - at, (off_t)at);

		if (k <= 0)
			return false;
		at += (size_t)k;
	}
	return true;
}

static int memfd_of(const uint8_t *p, size_t n)
{
	int fd = memfd_create("stock", MFD_CLOEXEC);

	if (fd < 0 || !transfer(fd, (uint8_t *)p, n, true))
		abort();
	return fd;
}

uint8_t *stock_header(const struct coffer_geometry *g, const char *cipher, uint32_t key_size)
{
	const struct coffer_luks2_format f = {
		.cipher = cipher,
		.key_size = key_size,
		.pbkdf = "pbkdf2",
		.pbkdf_iterations = 1000,
		.metadata_size = 16384,
		.keyslots_size = (UINT64_C(1) << 20) - 32768,
	};
	const struct coffer_luks2_layout layout = {
		.device_size = g->device, .data_offset = g->shift, .sector_size = g->sector_size};
	_cleanup_secret_ struct coffer_secret *pass = NULL;
	_cleanup_close_ int fd = -1;
	struct coffer_err e = {0};
	uint8_t *p = malloc(g->shift);

	if (!p || coffer_secret_new(strlen(STOCK_PASSPHRASE), &pass, &e) < 0)
		abort();
	memcpy(pass->data, STOCK_PASSPHRASE, pass->size);
	if (coffer_luks2_build(&f, &layout, pass, NULL, &fd, &e) < 0 ||
		!transfer(fd, p, g->shift, false)) {
		printf("# no header: %s\n", e.msg);
		free(p);
		return NULL;
	}
	return p;
}

static struct crypt_device *load(int fd)
{
	struct crypt_device *cd = NULL;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, listen, NULL);
	if (crypt_init(&cd, path) < 0)
		abort();
	if (crypt_load(cd, CRYPT_LUKS2, NULL) < 0) {
		crypt_free(cd);
		return NULL;
	}
	return cd;
}

static enum stock_verdict verdict(struct crypt_device *cd, uint64_t shift)
{
	struct crypt_params_reencrypt p = {0};
	const crypt_reencrypt_info info = crypt_reencrypt_status(cd, &p);

	if (info == CRYPT_REENCRYPT_NONE)
		return STOCK_NONE;
	if ((info != CRYPT_REENCRYPT_CLEAN && info != CRYPT_REENCRYPT_CRASH) ||
		p.mode != CRYPT_REENCRYPT_ENCRYPT || p.direction != CRYPT_REENCRYPT_BACKWARD ||
		!p.resilience || strcmp(p.resilience, "datashift") != 0 ||
		p.data_shift * 512 != shift || !(p.flags & CRYPT_REENCRYPT_MOVE_FIRST_SEGMENT))
		return STOCK_INVALID;
	return info == CRYPT_REENCRYPT_CLEAN ? STOCK_CLEAN : STOCK_CRASHED;
}

enum stock_verdict stock_judge(const uint8_t *header, size_t n, uint64_t shift)
{
	_cleanup_close_ int fd = memfd_of(header, n);
	_cleanup_free_ uint8_t *after = malloc(n);
	struct crypt_device *cd = load(fd);
	enum stock_verdict v;

	if (!cd)
		return STOCK_REJECTED;
	v = verdict(cd, shift);
	crypt_free(cd);
	/* It repairs a bad copy from a good one while it loads: then not both were good. */
	if (!after || !transfer(fd, after, n, false) || memcmp(header, after, n) != 0)
		return STOCK_REJECTED;
	return v;
}

size_t stock_key(const uint8_t *header, size_t n, uint8_t key[64])
{
	_cleanup_close_ int fd = memfd_of(header, n);
	struct crypt_device *cd = load(fd);
	size_t size = 64;

	if (!cd || crypt_volume_key_get(cd, CRYPT_ANY_SLOT, (char *)key, &size, STOCK_PASSPHRASE,
			   strlen(STOCK_PASSPHRASE)) < 0)
		size = 0;
	crypt_free(cd);
	return size;
}

/* Called before the first step and after each. */
static int count_down(uint64_t size, uint64_t offset, void *usrptr)
{
	unsigned int *left = usrptr;

	(void)size;
	(void)offset;
	return *left != 0 && --*left == 0;
}

static int resume_in_child(int fd, unsigned int steps)
{
	const struct crypt_params_reencrypt params = {.flags = CRYPT_REENCRYPT_RESUME_ONLY};
	unsigned int left = steps ? steps + 1 : 0;
	struct crypt_device *cd;
	int r;

	/* Its locks are for volumes that somebody else may use, and need rights of their own. */
	if (crypt_metadata_locking(NULL, 0) < 0)
		return 1;
	cd = load(fd);
	if (!cd)
		return 1;
	r = crypt_reencrypt_init_by_passphrase(cd, NULL, STOCK_PASSPHRASE, strlen(STOCK_PASSPHRASE),
		CRYPT_ANY_SLOT, 0, NULL, NULL, &params);
	if (r >= 0)
		r = crypt_reencrypt_run(cd, count_down, &left);
	crypt_free(cd);
	return r < 0;
}

bool stock_resume(uint8_t *disk, uint64_t size, unsigned int steps)
{
	_cleanup_close_ int fd = memfd_of(disk, size);
	const pid_t pid = fork();
	int status = 1;

	if (pid == 0) {
		const int bad = resume_in_child(fd, steps);

		if (bad)
			printf("# stock: %s", last_words);
		(void)fflush(stdout);
		_exit(bad);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return false;
	return transfer(fd, disk, size, false);
}
