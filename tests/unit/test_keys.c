/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_keys.c - keyslots, tokens and digests
 *
 * Keyslots, tokens and digests, told from the metadata and tried out one by one. The headers are
 * libcryptsetup's own, in memory; the hostile ones are those with one number changed. */
#include "luks2/keyslots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <json-c/json.h>
#include <libcryptsetup.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "io/clock.h"
#include "luks2/copy.h"
#include "luks2/helper.h"
#include "tap.h"

enum {
	SIZE = 4 << 20
};

static struct coffer_secret *secret(const char *text)
{
	struct coffer_secret *s;

	if (coffer_secret_new(strlen(text), &s, NULL) < 0)
		abort();
	memcpy(s->data, text, s->size);
	return s;
}

/* Keyslots 0 "first" and 3 "second", argon2id and pbkdf2; 5 "apart" with a key of its own; tokens
 * 0 for slot 3 from the keyring, 1 of a type that nobody knows, 2 without a keyslot, 4 whose key
 * is in no keyring. */
static int make_header(void)
{
	const struct crypt_pbkdf_type cheap = {.type = "pbkdf2",
		.hash = "sha256",
		.iterations = 1000,
		.flags = CRYPT_PBKDF_NO_BENCHMARK};
	const struct crypt_pbkdf_type argon = {.type = "argon2id",
		.iterations = 4,
		.max_memory_kb = 64,
		.parallel_threads = 1,
		.flags = CRYPT_PBKDF_NO_BENCHMARK};
	const struct crypt_token_params_luks2_keyring known = {"coffer-test-known"},
						      unknown = {"coffer-test-unknown"};
	const char *other = "{\"type\":\"of-nobody\",\"keyslots\":[\"0\"],\"x\":1}",
		   *lonely = "{\"type\":\"of-nobody\",\"keyslots\":[]}";
	struct crypt_device *cd = NULL;
	char path[32];
	int fd;

	if (coffer_memfd("test", SIZE, &fd, NULL) < 0)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	crypt_set_log_callback(NULL, NULL, NULL);
	if (crypt_init(&cd, path) < 0 || crypt_set_metadata_size(cd, 16384, 2 << 20) < 0 ||
		crypt_set_data_offset(cd, (3 << 20) / 512) < 0 ||
		crypt_set_pbkdf_type(cd, &argon) < 0 ||
		crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, 64, NULL) < 0 ||
		crypt_keyslot_add_by_volume_key(cd, 0, NULL, 0, "first", 5) != 0 ||
		crypt_set_pbkdf_type(cd, &cheap) < 0 ||
		crypt_keyslot_add_by_volume_key(cd, 3, NULL, 0, "second", 6) != 3 ||
		crypt_keyslot_add_by_key(
			cd, 5, NULL, 32, "apart", 5, CRYPT_VOLUME_KEY_NO_SEGMENT) != 5 ||
		crypt_keyslot_set_priority(cd, 3, CRYPT_SLOT_PRIORITY_PREFER) < 0 ||
		crypt_token_luks2_keyring_set(cd, 0, &known) != 0 ||
		crypt_token_assign_keyslot(cd, 0, 3) != 0 ||
		crypt_token_json_set(cd, 1, other) != 1 ||
		crypt_token_json_set(cd, 2, lonely) != 2 ||
		crypt_token_luks2_keyring_set(cd, 4, &unknown) != 4 ||
		crypt_token_assign_keyslot(cd, 4, 0) != 4)
		abort();
	crypt_free(cd);
	return fd;
}

/* --- reading and changing its metadata --- */

static uint8_t header[SIZE];

static struct json_object *metadata(int fd, struct coffer_luks2_bin *bin)
{
	struct json_object *o = NULL;
	const char *text;
	size_t n;

	if (pread(fd, header, SIZE, 0) != SIZE || coffer_luks2_bin_read(header, 0, bin) < 0 ||
		coffer_luks2_copy_check(header, bin, &text, &n) < 0 ||
		coffer_json_parse(text, n, &o) < 0)
		abort();
	return o;
}

static struct json_object *kdf_of(struct json_object *json, const char *slot)
{
	return coffer_json_object(
		coffer_json_object(coffer_json_object(json, "keyslots"), slot), "kdf");
}

/* Both copies with @json, sealed as if they were honest. */
static void put_metadata(int fd, const struct coffer_luks2_bin *bin, struct json_object *json)
{
	for (int i = 0; i < 2; i++)
		if (coffer_luks2_copy_seal(header + i * bin->copy_size, bin->seqid + 1,
			    coffer_json_text(json), NULL) < 0)
			abort();
	if (pwrite(fd, header, SIZE, 0) != SIZE)
		abort();
}

/* --- what the metadata tell, against libcryptsetup's own account --- */

static void test_list(int fd)
{
	struct coffer_luks2_bin bin;
	_cleanup_json_ struct json_object *json = metadata(fd, &bin);
	struct coffer_keys k;
	struct crypt_device *cd = NULL;
	char path[32];
	bool same = true;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (crypt_init(&cd, path) < 0 || crypt_load(cd, CRYPT_LUKS2, NULL) < 0)
		abort();
	coffer_keys_read(json, &k);
	ok(k.n_slots == 3 && k.n_tokens == 4 && k.n_digests == 2,
		"3 keyslots, 4 tokens, 2 digests");
	for (size_t i = 0; i < k.n_slots; i++) {
		const struct coffer_keyslot *s = &k.slots[i];
		const int n = (int)s->number;
		struct crypt_pbkdf_type kdf;
		uint64_t offset, length;

		same = same && crypt_keyslot_get_pbkdf(cd, n, &kdf) == 0 &&
		       strcmp(s->kdf, kdf.type) == 0 && strcmp(s->type, "luks2") == 0 &&
		       (int)s->key_size == crypt_keyslot_get_key_size(cd, n) &&
		       (int)s->priority == (int)crypt_keyslot_get_priority(cd, n) &&
		       s->bound == (crypt_keyslot_status(cd, n) != CRYPT_SLOT_UNBOUND) &&
		       crypt_keyslot_area(cd, n, &offset, &length) == 0 && s->offset == offset &&
		       s->material == (uint64_t)s->key_size * 4000 && s->material <= length;
	}
	ok(same, "each keyslot is as libcryptsetup tells it");
	same = true;
	for (size_t i = 0; i < k.n_tokens; i++)
		for (int n = 0; n < 32; n++)
			same = same && (k.tokens[i].keyslots >> n & 1) ==
					       (crypt_token_is_assigned(
							cd, (int)k.tokens[i].number, n) == 0);
	ok(same && strcmp(k.tokens[0].type, "luks2-keyring") == 0 && k.tokens[2].number == 2 &&
			k.tokens[2].keyslots == 0,
		"each token too");
	crypt_free(cd);
}

static const struct {
	const char *name, *json;
	size_t slots, tokens, digests;
} odd_rows[] = {
	{"nothing", "{}", 0, 0, 0},
	{"other types", "{\"keyslots\":[],\"tokens\":7,\"digests\":\"x\"}", 0, 0, 0},
	{"names that are not numbers",
		"{\"keyslots\":{\"\":{},\"-1\":{},\"32\":{},\"0x1\":{},\"007\":{},\"1\":{}}}", 1, 0,
		0},
	{"members that are missing",
		"{\"keyslots\":{\"1\":{\"area\":7}},\"tokens\":{\"1\":{\"keyslots\":{}}},"
		"\"digests\":{\"0\":[]}}",
		1, 1, 1},
	{"lists of nonsense",
		"{\"tokens\":{\"1\":{\"type\":7,\"keyslots\":[1,null,\"99\",\"31\"]}}}", 0, 1, 0},
};

static void test_odd(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(odd_rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_keys k;

		if (coffer_json_parse(odd_rows[i].json, strlen(odd_rows[i].json), &json) < 0)
			abort();
		coffer_keys_read(json, &k);
		ok(k.n_slots == odd_rows[i].slots && k.n_tokens == odd_rows[i].tokens &&
				k.n_digests == odd_rows[i].digests &&
				(k.n_tokens == 0 || !k.tokens[0].type[0]),
			"metadata with %s", odd_rows[i].name);
	}
}

/* --- trying them out --- */

static void test_open(int fd)
{
	static const struct {
		const char *pass;
		unsigned int slot;
		int r, check;
	} rows[] = {
		{"first", 0, 0, 0},
		{"second", 3, 0, 0},
		{"apart", 5, 0, -EPERM},
		{"second", 0, -EPERM, 0},
		{"first", 3, -EPERM, 0},
		{"first", 5, -EPERM, 0},
		{"first", 7, -EINVAL, 0},
		{"", 0, -EPERM, 0},
	};
	_cleanup_secret_ struct coffer_secret *volume = NULL, *all = secret("second");

	ok(coffer_luks2_judge(fd, NULL, NULL) == 1 &&
			coffer_luks2_unlock(fd, all, &volume, NULL) == 0,
		"libcryptsetup takes the header");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_secret_ struct coffer_secret *pass = secret(rows[i].pass), *key = NULL;
		struct coffer_err e = {0};
		const int r = coffer_luks2_open_slot(fd, rows[i].slot, pass, NULL, &key, &e);

		ok(r == rows[i].r && (r == 0) == (key != NULL), "keyslot %u with '%s' (%d: %s)",
			rows[i].slot, rows[i].pass, r, e.msg);
		if (r < 0 || !key)
			continue;
		ok((key->size == volume->size && memcmp(key->data, volume->data, key->size) == 0) ==
				(rows[i].check == 0),
			"its key is %sthe volume's", rows[i].check ? "not " : "");
		ok(coffer_luks2_check_key(fd, key, NULL, NULL) == rows[i].check,
			"and the digest says so");
	}
	volume->data[0] ^= 1;
	ok(coffer_luks2_check_key(fd, volume, NULL, NULL) == -EPERM,
		"a key with one wrong bit is not the volume's");
}

static void test_tokens(int fd)
{
	_cleanup_secret_ struct coffer_secret *key = NULL;
	struct coffer_err e = {0};
	int r;

	/* the session's keyring; the child has it too */
	if (syscall(SYS_add_key, "user", "coffer-test-known", "second", 6, -3) < 0) {
		skip("tokens", "no kernel keyring here");
		return;
	}
	r = coffer_luks2_open_token(fd, 0, NULL, &key, &e);
	ok(r == 3 && coffer_luks2_check_key(fd, key, NULL, NULL) == 0,
		"a token with its key in the keyring opens its keyslot (%d: %s)", r, e.msg);
	coffer_secret_free(TAKE_PTR(key));
	r = coffer_luks2_open_token(fd, 1, NULL, &key, &e);
	ok(r == -ENOENT, "one of a type that nobody knows does not (%d: %s)", r, e.msg);
	r = coffer_luks2_open_token(fd, 4, NULL, &key, &e);
	ok(r < 0, "nor does one whose key is in no keyring (%d: %s)", r, e.msg);
	r = coffer_luks2_open_token(fd, 2, NULL, &key, &e);
	ok(r == -ENOENT, "nor one without a keyslot (%d: %s)", r, e.msg);
	r = coffer_luks2_open_token(fd, 9, NULL, &key, &e);
	ok(r == -ENOENT, "nor one that is not there (%d: %s)", r, e.msg);
	if (syscall(SYS_add_key, "user", "coffer-test-unknown", "wrong", 5, -3) < 0)
		abort();
	r = coffer_luks2_open_token(fd, 4, NULL, &key, &e);
	ok(r == -EPERM, "one with a wrong key is told apart (%d: %s)", r, e.msg);
	(void)syscall(
		SYS_keyctl, 3, syscall(SYS_request_key, "user", "coffer-test-known", NULL, 0));
}

/* --- headers that want to harm --- */

static bool at_third(void *userdata)
{
	return ++*(int *)userdata >= 3;
}

static void test_hostile(int fd)
{
	_cleanup_secret_ struct coffer_secret *second = secret("second"), *key = NULL;
	struct coffer_luks2_bin bin;
	_cleanup_json_ struct json_object *json = metadata(fd, &bin);
	int asked = 0;
	const struct coffer_stop stop = {.wanted = at_third, .userdata = &asked};
	const double start = coffer_clock();
	struct coffer_err e = {0};
	int r;

	json_object_object_add(kdf_of(json, "3"), "iterations", json_object_new_int64(0xffffffff));
	put_metadata(fd, &bin, json);
	r = coffer_luks2_open_slot(fd, 3, second, &stop, &key, &e);
	ok(r == -EINTR && coffer_clock() - start < 900,
		"a keyslot that takes hours can be stopped (%d: %s)", r, e.msg);
	memset(header + bin.copy_size + 4096, 'x', 100);
	memset(header + 4096, 'x', 100);
	if (pwrite(fd, header, SIZE, 0) != SIZE)
		abort();
	memset(&e, 0, sizeof(e));
	r = coffer_luks2_judge(fd, NULL, &e);
	ok(r == 0 && e.msg[0], "a header that is none is not accepted (%s)", e.msg);
	ok(coffer_luks2_open_slot(fd, 3, second, NULL, &key, NULL) < 0 &&
			coffer_luks2_check_key(fd, second, NULL, NULL) < 0 &&
			coffer_luks2_open_token(fd, 0, NULL, &key, NULL) < 0 && !key,
		"and nothing of it opens");
}

int main(void)
{
	_cleanup_close_ int fd = make_header();

	test_list(fd);
	test_odd();
	test_open(fd);
	test_tokens(fd);
	test_hostile(fd);
	return done_testing();
}
