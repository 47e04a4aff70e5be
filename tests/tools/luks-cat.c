/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* luks-cat.c - write the decrypted volume to stdout, without coffer
 *
 * luks-cat IMAGE KEYFILE [OUT] - write the decrypted volume to stdout
 *
 * With OUT it goes to that file, and a hole of the image stays a hole: a volume of a terabyte of
 * which little was ever written takes as little there. What lies in a hole has no content.
 *
 * An oracle for tests: it shares no code with coffer. The key comes from libcryptsetup, the data
 * from OpenSSL; it handles a finished volume with one crypt segment. */
#include <fcntl.h>
#include <libcryptsetup.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char buf[1 << 20];
static EVP_CIPHER_CTX *ctx;

static void die(const char *what)
{
	fprintf(stderr, "luks-cat: %s\n", what);
	exit(1);
}

/* n bytes of buf, from the sector of 512 bytes that has this number */
static void decrypt(ssize_t n, unsigned int sector_size, unsigned long long sector)
{
	int len;

	for (ssize_t at = 0; at + (ssize_t)sector_size <= n; at += sector_size) {
		unsigned char iv[16] = {0};

		for (int i = 0; i < 8; i++)
			iv[i] = (unsigned char)(sector >> (8 * i));
		if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, iv) != 1 ||
			EVP_DecryptUpdate(ctx, buf + at, &len, buf + at, (int)sector_size) != 1)
			die("decryption failed");
		sector += sector_size / 512;
	}
}

static void to_stdout(int fd, off_t offset, unsigned int sector_size)
{
	off_t at = offset;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		decrypt(n, sector_size, (unsigned long long)(at - offset) / 512);
		at += n;
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			exit(2); /* the reader has seen enough */
	}
	if (n < 0 || fflush(stdout) != 0)
		die("cannot read, or not write");
}

static void to_file(int fd, off_t offset, unsigned int sector_size, const char *name)
{
	const int out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	const off_t end = lseek(fd, 0, SEEK_END);
	off_t hole = 0;

	if (out < 0 || ftruncate(out, end - offset) < 0)
		die("cannot make the file");
	for (off_t at = offset; at < end;) {
		size_t n = sizeof(buf);

		if (at >= hole) {
			at = lseek(fd, at, SEEK_DATA);
			if (at < 0)
				break;		    /* holes up to the end */
			at -= (at - offset) % 4096; /* a file may have smaller blocks */
			hole = lseek(fd, at + 4096, SEEK_HOLE);
			hole += (4096 - (hole - offset) % 4096) % 4096;
		}
		if (hole > end)
			hole = end;
		if (hole - at < (off_t)n)
			n = (size_t)(hole - at);
		if (pread(fd, buf, n, at) != (ssize_t)n)
			die("cannot read the image");
		decrypt((ssize_t)n, sector_size, (unsigned long long)(at - offset) / 512);
		if (pwrite(out, buf, n, at - offset) != (ssize_t)n)
			die("cannot write the file");
		at += (off_t)n;
	}
	if (close(out) < 0)
		die("cannot write the file");
}

int main(int argc, char **argv)
{
	struct crypt_device *cd = NULL;
	char *pass, key[128];
	size_t pass_size, key_size = sizeof(key);
	unsigned int sector_size;
	off_t offset;
	int fd;

	if (argc != 3 && argc != 4)
		die("usage: luks-cat IMAGE KEYFILE [OUT]");
	crypt_set_log_callback(NULL, NULL, NULL);
	if (crypt_init(&cd, argv[1]) < 0 || crypt_load(cd, CRYPT_LUKS2, NULL) < 0)
		die("no LUKS2 header");
	if (crypt_keyfile_device_read(cd, argv[2], &pass, &pass_size, 0, 0, 0) < 0)
		die("no key file");
	if (crypt_volume_key_get(cd, CRYPT_ANY_SLOT, key, &key_size, pass, pass_size) < 0)
		die("the key opens nothing");
	offset = (off_t)crypt_get_data_offset(cd) * 512;
	sector_size = (unsigned int)crypt_get_sector_size(cd);
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx || EVP_DecryptInit_ex(ctx, key_size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(),
			    NULL, (unsigned char *)key, NULL) != 1)
		die("no cipher");
	fd = open(argv[1], O_RDONLY);
	if (fd < 0)
		die("cannot open the image");
	if (argc == 4)
		to_file(fd, offset, sector_size, argv[3]);
	else
		to_stdout(fd, offset, sector_size);
	return 0;
}
