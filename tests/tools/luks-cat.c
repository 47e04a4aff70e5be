/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* luks-cat IMAGE KEYFILE - write the decrypted volume to stdout
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

static void die(const char *what)
{
	fprintf(stderr, "luks-cat: %s\n", what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct crypt_device *cd = NULL;
	char *pass, key[128];
	size_t pass_size, key_size = sizeof(key);
	unsigned long long offset, sector = 0;
	unsigned int sector_size;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	ssize_t n;
	int fd, len;

	if (argc != 3)
		die("usage: luks-cat IMAGE KEYFILE");
	crypt_set_log_callback(NULL, NULL, NULL);
	if (crypt_init(&cd, argv[1]) < 0 || crypt_load(cd, CRYPT_LUKS2, NULL) < 0)
		die("no LUKS2 header");
	if (crypt_keyfile_device_read(cd, argv[2], &pass, &pass_size, 0, 0, 0) < 0)
		die("no key file");
	if (crypt_volume_key_get(cd, CRYPT_ANY_SLOT, key, &key_size, pass, pass_size) < 0)
		die("the key opens nothing");
	offset = crypt_get_data_offset(cd) * 512ULL;
	sector_size = (unsigned int)crypt_get_sector_size(cd);
	if (!ctx || EVP_DecryptInit_ex(ctx, key_size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(),
			    NULL, (unsigned char *)key, NULL) != 1)
		die("no cipher");
	fd = open(argv[1], O_RDONLY);
	if (fd < 0)
		die("cannot open the image");
	while ((n = pread(fd, buf, sizeof(buf), (off_t)(offset + sector * 512))) > 0) {
		for (ssize_t at = 0; at + (ssize_t)sector_size <= n; at += sector_size) {
			unsigned char iv[16] = {0};

			for (int i = 0; i < 8; i++)
				iv[i] = (unsigned char)(sector >> (8 * i));
			if (EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, iv) != 1 ||
				EVP_DecryptUpdate(
					ctx, buf + at, &len, buf + at, (int)sector_size) != 1)
				die("decryption failed");
			sector += sector_size / 512;
		}
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			exit(2); /* the reader has seen enough */
	}
	return n < 0 || fflush(stdout) != 0;
}
