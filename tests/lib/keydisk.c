/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keydisk.c - a small volume in memory whose keyslots can be changed */
#include "lib/keydisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcryptsetup.h>

#include "base/crypto.h"
#include "io/dev.h"

static const struct crypt_pbkdf_type cheap = {.type = CRYPT_KDF_PBKDF2,
	.hash = "sha256",
	.iterations = 1000,
	.flags = CRYPT_PBKDF_NO_BENCHMARK};

static void listen(int level, const char *msg, void *usrptr)
{
	(void)usrptr;
	if (level == CRYPT_LOG_ERROR && getenv("KEYDISK_DEBUG"))
		printf("# stock: %s", msg);
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	printf("# keydisk: %s failed\n", what);
	abort();
}

static void transfer(int fd, uint8_t *p, bool write)
{
	for (size_t at = 0; at < KEYDISK_SIZE;) {
		const ssize_t k = write ? pwrite(fd, p + at, KEYDISK_SIZE - at, (off_t)at)
					: pread(fd, p + at, KEYDISK_SIZE - at, (off_t)at);

		must(k > 0, "copying a disk");
		at += (size_t)k;
	}
}

static int fd_of(const uint8_t *disk)
{
	const int fd = memfd_create("keydisk", MFD_CLOEXEC);

	must(fd >= 0, "memfd");
	transfer(fd, (uint8_t *)disk, true);
	return fd;
}

static struct crypt_device *device_of(int fd)
{
	struct crypt_device *cd = NULL;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, listen, NULL);
	(void)crypt_metadata_locking(NULL, 0); /* nobody else knows these disks */
	must(crypt_init(&cd, path) == 0, "crypt_init");
	return cd;
}

static struct crypt_device *load(int fd)
{
	struct crypt_device *cd = device_of(fd);

	if (crypt_load(cd, CRYPT_LUKS2, NULL) == 0 && crypt_set_pbkdf_type(cd, &cheap) == 0)
		return cd;
	crypt_free(cd);
	return NULL;
}

uint8_t *keydisk_new(uint64_t keyslots_size, const char *uuid, uint8_t key[64])
{
	struct crypt_params_luks2 params = {.pbkdf = &cheap, .sector_size = 512};
	uint8_t *disk = malloc(KEYDISK_SIZE);
	struct crypt_device *cd;
	int fd;

	must(disk && coffer_random(disk, KEYDISK_SIZE) == 0 && coffer_random(key, 64) == 0,
		"space");
	fd = fd_of(disk);
	cd = device_of(fd);
	must(crypt_set_metadata_size(cd, KEYDISK_COPY, keyslots_size) == 0, "sizes");
	must(crypt_set_data_offset(cd, KEYDISK_DATA / 512) == 0, "the data offset");
	must(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", uuid, (const char *)key, 64,
		     &params) == 0,
		"crypt_format");
	crypt_free(cd);
	transfer(fd, disk, false);
	(void)close(fd);
	return disk;
}

uint8_t *keydisk_copy(const uint8_t *disk)
{
	uint8_t *copy = malloc(KEYDISK_SIZE);

	must(copy != NULL, "memory");
	memcpy(copy, disk, KEYDISK_SIZE);
	return copy;
}

/* Let @change work on the disk. */
static struct crypt_device *begin(const uint8_t *disk, int *ret_fd)
{
	struct crypt_device *cd;

	*ret_fd = fd_of(disk);
	cd = load(*ret_fd);
	must(cd != NULL, "crypt_load");
	return cd;
}

static void end(struct crypt_device *cd, int fd, uint8_t *disk)
{
	crypt_free(cd);
	transfer(fd, disk, false);
	(void)close(fd);
}

void keydisk_add(uint8_t *disk, int slot, const char *passphrase, const uint8_t key[64])
{
	int fd;
	struct crypt_device *cd = begin(disk, &fd);

	must(crypt_keyslot_add_by_volume_key(
		     cd, slot, (const char *)key, 64, passphrase, strlen(passphrase)) == slot,
		"adding a keyslot");
	end(cd, fd, disk);
}

void keydisk_kill(uint8_t *disk, int slot)
{
	int fd;
	struct crypt_device *cd = begin(disk, &fd);

	must(crypt_keyslot_destroy(cd, slot) == 0, "removing a keyslot");
	end(cd, fd, disk);
}

void keydisk_label(uint8_t *disk, const char *label)
{
	int fd;
	struct crypt_device *cd = begin(disk, &fd);

	must(crypt_set_label(cd, label, NULL) == 0, "setting the label");
	end(cd, fd, disk);
}

uint8_t *keydisk_backup(const uint8_t *disk, uint64_t *ret_n)
{
	char path[] = "/tmp/coffer-keydisk-XXXXXX";
	int fd;
	struct crypt_device *cd = begin(disk, &fd);
	uint8_t *file;
	FILE *f;

	/* It must not exist, and lies in a folder that nobody else writes to. */
	must(mkdtemp(path) != NULL && chdir(path) == 0, "a folder");
	must(crypt_header_backup(cd, CRYPT_LUKS2, "backup") == 0, "crypt_header_backup");
	crypt_free(cd);
	(void)close(fd);
	f = fopen("backup", "r");
	must(f && fseek(f, 0, SEEK_END) == 0, "the backup");
	*ret_n = (uint64_t)ftell(f);
	file = coffer_dev_buffer(*ret_n);
	must(file && fseek(f, 0, SEEK_SET) == 0 && fread(file, 1, *ret_n, f) == *ret_n, "reading");
	(void)fclose(f);
	must(unlink("backup") == 0 && chdir("/") == 0 && rmdir(path) == 0, "cleaning up");
	return file;
}

bool keydisk_opens(
	const uint8_t *disk, const char *const *passphrases, size_t n, const uint8_t key[64])
{
	static int fd = -1; /* a new one each time would cost more than all else */
	struct crypt_device *cd;
	bool good;

	if (fd < 0)
		fd = fd_of(disk);
	else
		transfer(fd, (uint8_t *)disk, true);
	cd = load(fd);
	good = cd != NULL;
	for (size_t i = 0; i < n && passphrases[i] && good; i++) {
		char found[64];
		size_t size = sizeof(found);

		good = crypt_volume_key_get(cd, CRYPT_ANY_SLOT, found, &size, passphrases[i],
			       strlen(passphrases[i])) >= 0 &&
		       size == 64 && memcmp(found, key, 64) == 0;
	}
	crypt_free(cd);
	return good;
}
