/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_crypto.c - hashes, ciphers and random bytes */
#include "base/crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "tap.h"

static size_t unhex(const char *hex, uint8_t *ret)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		const char pair[3] = {hex[0], hex[1], 0};

		ret[n++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return n;
}

static bool is_hex(const uint8_t *p, size_t n, const char *hex)
{
	uint8_t want[1024];

	return strlen(hex) == 2 * n && unhex(hex, want) == n && memcmp(p, want, n) == 0;
}

/* --- AES-XTS --- */

/* IEEE 1619-2007, annex B: data units of 512 bytes. */
static const char key_128[] = "27182818284590452353602874713526"
			      "31415926535897932384626433832795";
static const char key_256[] = "2718281828459045235360287471352662497757247093699959574966967627"
			      "3141592653589793238462643383279502884197169399375105820974944592";
static const char vector_4[] = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c"
			       "c78cf7f5e543445f8333d8fa7f56000005279fa5d8b5e4ad40e736ddb4d35412"
			       "328063fd2aab53e5ea1e0a9f332500a5df9487d07a5c92cc512c8866c7e860ce"
			       "93fdf166a24912b422976146ae20ce846bb7dc9ba94a767aaef20c0d61ad0265"
			       "5ea92dc4c4e41a8952c651d33174be51a10c421110e6d81588ede82103a252d8"
			       "a750e8768defffed9122810aaeb99f9172af82b604dc4b8e51bcb08235a6f434"
			       "1332e4ca60482a4ba1a03b3e65008fc5da76b70bf1690db4eae29c5f1badd03c"
			       "5ccf2a55d705ddcd86d449511ceb7ec30bf12b1fa35b913f9f747a8afd1b130e"
			       "94bff94effd01a91735ca1726acd0b197c4e5b03393697e126826fb6bbde8ecc"
			       "1e08298516e2c9ed03ff3c1b7860f6de76d4cecd94c8119855ef5297ca67e9f3"
			       "e7ff72b1e99785ca0a7e7720c5b36dc6d72cac9574c8cbbc2f801e23e56fd344"
			       "b07f22154beba0f08ce8891e643ed995c94d9a69c9f1b5f499027a78572aeebd"
			       "74d20cc39881c213ee770b1010e4bea718846977ae119f7a023ab58cca0ad752"
			       "afe656bb3c17256a9f6e9bf19fdd5a38fc82bbe872c5539edb609ef4f79c203e"
			       "bb140f2e583cb2ad15b4aa5b655016a8449277dbd477ef2c8d6c017db738b18d"
			       "eb4a427d1923ce3ff262735779a418f20a282df920147beabe421ee5319d0568";
static const char vector_5[] = "264d3ca8512194fec312c8c9891f279fefdd608d0c027b60483a3fa811d65ee5"
			       "9d52d9e40ec5672d81532b38b6b089ce951f0f9c35590b8b978d175213f329bb"
			       "1c2fd30f2f7f30492a61a532a79f51d36f5e31a7c9a12c286082ff7d2394d18f"
			       "783e1a8e72c722caaaa52d8f065657d2631fd25bfd8e5baad6e527d763517501"
			       "c68c5edc3cdd55435c532d7125c8614deed9adaa3acade5888b87bef641c4c99"
			       "4c8091b5bcd387f3963fb5bc37aa922fbfe3df4e5b915e6eb514717bdd2a7407"
			       "9a5073f5c4bfd46adf7d282e7a393a52579d11a028da4d9cd9c77124f9648ee3"
			       "83b1ac763930e7162a8d37f350b2f74b8472cf09902063c6b32e8c2d9290cefb"
			       "d7346d1c779a0df50edcde4531da07b099c638e83a755944df2aef1aa31752fd"
			       "323dcb710fb4bfbb9d22b925bc3577e1b8949e729a90bbafeacf7f7879e7b114"
			       "7e28ba0bae940db795a61b15ecf4df8db07b824bb062802cc98a9545bb2aaeed"
			       "77cb3fc6db15dcd7d80d7d5bc406c4970a3478ada8899b329198eb61c193fb62"
			       "75aa8ca340344a75a862aebe92eee1ce032fd950b47d7704a3876923b4ad6284"
			       "4bf4a09c4dbe8b4397184b7471360c9564880aedddb9baa4af2e75394b08cd32"
			       "ff479c57a07d3eab5d54de5f9738b8d27f27a9f0ab11799d7b7ffefb2704c95c"
			       "6ad12c39f1e867a4b7b1d7818a4b753dfd2a89ccb45e001a03a867b187f225dd";
static const char vector_10[] = "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
				"5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd"
				"5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0"
				"c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca"
				"2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500dc4cd120c0f7418dae3d0"
				"b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f"
				"93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec"
				"583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6ba02469a020a"
				"84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1"
				"505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae"
				"9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f90c29"
				"a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac"
				"6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f"
				"645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed4385"
				"1ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa"
				"773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151";

static void check_xts_vectors(void)
{
	static const struct {
		const char *name, *key, *plain, *cipher; /* plain NULL: 00 01 .. ff 00 .. ff */
		uint64_t unit;
		const char *begin, *end; /* of the cipher text, where the whole is not given */
	} rows[] = {
		{"vector 4: AES-128, unit 0", key_128, NULL, vector_4, 0, NULL, NULL},
		{"vector 5: AES-128, unit 1", key_128, vector_4, vector_5, 1, NULL, NULL},
		{"vector 10: AES-256, unit 0xff", key_256, NULL, vector_10, 0xff, NULL, NULL},
		{"vector 11: AES-256, unit 0xffff", key_256, NULL, NULL, 0xffff,
			"77a31251618a15e6b92d1d66dffe7b50", "a4f9e27b42af8100cb9d59cef9645803"},
		{"vector 12: AES-256, unit 0xffffff", key_256, NULL, NULL, 0xffffff,
			"e387aaa58ba483afa7e8eb469778317e", "2263a1eef52dd6888c309f5a7d712826"},
		{"vector 13: AES-256, unit 0xffffffff", key_256, NULL, NULL, 0xffffffff,
			"bf53d2dade78e822a4d949a9bc6766b0", "4c82f335abb152c4a93411373aaa8220"},
		{"vector 14: AES-256, unit 0xffffffffff", key_256, NULL, NULL, 0xffffffffff,
			"64497e5a831e4a932c09be3e5393376d", "d609d273ad5b0d59631c531f6a0a57b9"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_xts_ struct coffer_xts *x = NULL;
		uint8_t key[64], plain[512], buf[512];
		const size_t key_size = unhex(rows[i].key, key);
		bool good;

		for (size_t k = 0; k < sizeof(plain); k++)
			plain[k] = (uint8_t)k;
		if (rows[i].plain)
			(void)unhex(rows[i].plain, plain);
		memcpy(buf, plain, sizeof(buf));
		good = coffer_xts_new(key, key_size, 512, &x, NULL) == 0 &&
		       coffer_xts_encrypt(x, rows[i].unit * 512, buf, sizeof(buf)) == 0;
		if (rows[i].cipher)
			good = good && is_hex(buf, sizeof(buf), rows[i].cipher);
		else
			good = good && is_hex(buf, 16, rows[i].begin) &&
			       is_hex(buf + 496, 16, rows[i].end);
		ok(good, "%s", rows[i].name);
		ok(x && coffer_xts_decrypt(x, rows[i].unit * 512, buf, sizeof(buf)) == 0 &&
				memcmp(buf, plain, sizeof(buf)) == 0,
			"%s: and back", rows[i].name);
	}
}

/* One sector by OpenSSL alone, with the tweak spelled out. */
static bool naive_sector(
	const uint8_t *key, size_t key_size, uint64_t tweak, uint8_t *buf, size_t n)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t iv[16] = {0};
	int done = 0;
	bool good;

	for (int i = 0; i < 8; i++)
		iv[i] = (uint8_t)(tweak >> (8 * i));
	good = ctx &&
	       EVP_EncryptInit_ex(ctx, key_size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(), NULL,
		       key, iv) == 1 &&
	       EVP_EncryptUpdate(ctx, buf, &done, buf, (int)n) == 1 && (size_t)done == n;
	EVP_CIPHER_CTX_free(ctx);
	return good;
}

static void check_xts_sectors(void)
{
	static const struct {
		const char *name;
		size_t key_size;
		uint32_t sector_size;
		uint64_t offset;
		size_t n; /* bytes */
	} rows[] = {
		{"512, one sector", 64, 512, 0, 512},
		{"512, many", 64, 512, 0, 65536},
		{"512, many, from the middle", 64, 512, 1536, 8192},
		{"512, AES-128", 32, 512, 512, 8192},
		{"512, across 2^32 sectors", 64, 512, (UINT64_C(1) << 41) - 1024, 4096},
		{"512, near 2^63", 64, 512, INT64_MAX - 4095, 4096},
		{"4096, one sector", 64, 4096, 0, 4096},
		{"4096, many", 64, 4096, 0, 65536},
		{"4096, many, from the middle", 64, 4096, 12288, 65536},
		{"4096, AES-128", 32, 4096, 4096, 16384},
		{"4096, across 2^32 sectors", 64, 4096, (UINT64_C(1) << 41) - 8192, 16384},
		{"nothing", 64, 512, 512, 0},
	};
	static uint8_t plain[65536], want[65536], have[65536];
	uint8_t key[64];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(3 * i + 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_xts_ struct coffer_xts *x = NULL;
		const size_t step = rows[i].sector_size;
		bool good = true;

		memcpy(want, plain, sizeof(want));
		memcpy(have, plain, sizeof(have));
		for (size_t at = 0; at < rows[i].n; at += step)
			good &= naive_sector(key, rows[i].key_size, (rows[i].offset + at) / 512,
				want + at, step);
		good = good &&
		       coffer_xts_new(key, rows[i].key_size, rows[i].sector_size, &x, NULL) == 0 &&
		       coffer_xts_encrypt(x, rows[i].offset, have, rows[i].n) == 0;
		ok(good && memcmp(want, have, sizeof(want)) == 0, "sectors: %s", rows[i].name);
		ok(x && coffer_xts_decrypt(x, rows[i].offset, have, rows[i].n) == 0 &&
				memcmp(plain, have, sizeof(want)) == 0,
			"sectors: %s: and back", rows[i].name);
	}
}

static void check_xts_refusals(void)
{
	static const size_t bad_sizes[] = {0, 16, 31, 33, 48, 63, 65, 128};
	_cleanup_xts_ struct coffer_xts *x = NULL;
	struct coffer_err e = {0};
	uint8_t key[128], buf[8192] = {0};

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(bad_sizes); i++)
		ok(coffer_xts_new(key, bad_sizes[i], 512, &x, &e) == -EINVAL && !x,
			"no key of %zu bytes", bad_sizes[i]);
	ok(e.code == EINVAL, "and it says so");
	if (coffer_xts_new(key, 64, 4096, &x, NULL) < 0)
		return;
	ok(coffer_xts_encrypt(x, 512, buf, 4096) == -EIO, "an offset inside a sector");
	ok(coffer_xts_encrypt(x, 0, buf, 512) == -EIO, "a part of a sector");
	ok(coffer_xts_decrypt(x, 4096, buf, 4608) == -EIO, "a sector and a part");
	ok(bytes_are_zero(buf, sizeof(buf)), "refused calls change nothing");
	coffer_xts_free(NULL);
}

/* --- digests --- */

static void check_pbkdf2(void)
{
	static const struct {
		const char *name, *hash, *password;
		size_t password_size;
		const char *salt;
		size_t salt_size;
		uint32_t iterations;
		const char *want;
	} rows[] = {
		{"RFC 6070, 1", "sha1", "password", 8, "salt", 4, 1,
			"0c60c80f961f0e71f3a9b524af6012062fe037a6"},
		{"RFC 6070, 2", "sha1", "password", 8, "salt", 4, 2,
			"ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
		{"SHA-256, 1 iteration", "sha256", "password", 8, "salt", 4, 1,
			"120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"},
		{"SHA-256, 2 iterations", "sha256", "password", 8, "salt", 4, 2,
			"ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"},
		{"SHA-256, 4096 iterations", "sha256", "password", 8, "salt", 4, 4096,
			"c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"},
		{"SHA-256, longer than a block", "sha256", "passwordPASSWORDpassword", 24,
			"saltSALTsaltSALTsaltSALTsaltSALTsalt", 36, 4096,
			"348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1"
			"c635518c7dac47e9"},
		{"SHA-256, NULs inside", "sha256", "pass\0word", 9, "sa\0lt", 5, 4096,
			"89b69d0516f829893c696226650a8687"},
	};
	uint8_t out[64];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ok(coffer_pbkdf2(rows[i].hash, rows[i].password, rows[i].password_size,
			   rows[i].salt, rows[i].salt_size, rows[i].iterations, out,
			   strlen(rows[i].want) / 2) == 0 &&
				is_hex(out, strlen(rows[i].want) / 2, rows[i].want),
			"PBKDF2: %s", rows[i].name);
	ok(coffer_pbkdf2("nohash", "a", 1, "b", 1, 1, out, 32) == -EOPNOTSUPP,
		"PBKDF2: unknown hash");
	ok(coffer_pbkdf2("sha256", "a", 1, "b", 1, UINT32_MAX, out, 32) == -EINVAL,
		"PBKDF2: more iterations than libcrypto counts");
	ok(coffer_pbkdf2("sha256", "a", 1, "b", 1, 0, out, 32) < 0, "PBKDF2: no iterations");
}

static void check_digests(void)
{
	static const struct {
		const char *name, *want; /* of "abc" */
	} rows[] = {
		{"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
			   "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
	};
	uint8_t out[COFFER_MAX_DIGEST_SIZE];
	struct coffer_digest *d;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		n = 0;
		ok(coffer_digest_new(rows[i].name, &d) == 0 && coffer_digest_add(d, "a", 1) == 0 &&
				coffer_digest_add(d, "", 0) == 0 &&
				coffer_digest_add(d, "bc", 2) == 0 &&
				coffer_digest_end(d, out, &n) == 0 && is_hex(out, n, rows[i].want),
			"digest in pieces: %s", rows[i].name);
	}
	ok(coffer_sha256("abc", 3, out) == 0 && is_hex(out, 32, rows[0].want), "SHA-256 at once");
	ok(coffer_sha256("", 0, out) == 0 &&
			is_hex(out, 32,
				"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
		"SHA-256 of nothing");
	ok(coffer_digest_new("nohash", &d) == -EOPNOTSUPP, "unknown digest");
	ok(coffer_digest_new("", &d) == -EOPNOTSUPP, "digest without a name");
	ok(coffer_equal_secret("abc", "abd", 2) && !coffer_equal_secret("abc", "abd", 3) &&
			coffer_equal_secret("a", "b", 0),
		"equal secrets");
	coffer_digest_free(NULL);
}

static void check_base64(void)
{
	static const struct {
		const char *text;
		int r;
		const char *want;
	} rows[] = {
		{"Zg==", 0, "66"}, /* RFC 4648 */
		{"Zm8=", 0, "666f"},
		{"Zm9v", 0, "666f6f"},
		{"Zm9vYg==", 0, "666f6f62"},
		{"Zm9vYmE=", 0, "666f6f6261"},
		{"Zm9vYmFy", 0, "666f6f626172"},
		{"+/+/", 0, "fbffbf"},
		{"", -EBADMSG, NULL},
		{"Zg", -EBADMSG, NULL},
		{"Zg=", -EBADMSG, NULL},
		{"Zm9v\n", -EBADMSG, NULL},
		{" Zm9", -EBADMSG, NULL},
		{"    ", -EBADMSG, NULL},
		{"Zm9v    ", -EBADMSG, NULL},
		{"    Zm9v", -EBADMSG, NULL},
		{"Zm9v\n\n\n\n", -EBADMSG, NULL},
		{"Zm-_", -EBADMSG, NULL},
		{"Zm9*", -EBADMSG, NULL},
		{"====", -EBADMSG, NULL},
		{"Z===", -EBADMSG, NULL},
		{"Zg=v", -EBADMSG, NULL},
		{"Z=9v", -EBADMSG, NULL},
		{"=m9v", -EBADMSG, NULL},
		{"Zg==Zm9v", -EBADMSG, NULL},
		{"Zm9vYmFyZm9vYmFyZm9vYmFy", -ENOSPC, NULL},
	};
	uint8_t buf[12];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = rows[i].text;
		int r;

		n = 77;
		r = coffer_base64_decode(text, buf, sizeof(buf), &n);
		if (!ok(r == rows[i].r && (r < 0 ? n == 77 : is_hex(buf, n, rows[i].want)),
			    "base64: '%.*s'", (int)strcspn(text, "\n"), text))
			note("it gave %d, %zu bytes", r, n);
	}
	ok(coffer_base64_decode(NULL, buf, sizeof(buf), &n) == -EBADMSG, "base64: no text");
	ok(coffer_base64_decode("Zm9v", buf, 2, &n) == -ENOSPC, "base64: no space");
}

static void check_random(void)
{
	static uint8_t a[3 << 20], b[3 << 20];
	bool good = coffer_random(a, sizeof(a)) == 0 && coffer_random(b, sizeof(b)) == 0;

	/* Every page differs: nothing of a large request was left out. */
	for (size_t at = 0; at < sizeof(a); at += 4096)
		good &= memcmp(a + at, b + at, 4096) != 0 && !bytes_are_zero(a + at, 32);
	ok(good, "random: all of a large buffer");
	ok(coffer_random(a, 0) == 0, "random: nothing");
}

int main(void)
{
	check_xts_vectors();
	check_xts_sectors();
	check_xts_refusals();
	check_pbkdf2();
	check_digests();
	check_base64();
	check_random();
	return done_testing();
}
