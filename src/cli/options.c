/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* options.c - rows of options that several verbs share */
#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crypto.h"
#include "base/err.h"
#include "cli/cli.h"

typedef struct coffer_encrypt_options encrypt;
typedef struct coffer_key_options key;
typedef struct coffer_call call;

const struct coffer_option coffer_key_options[] = {
	{"key-file", 'd', "FILE", COFFER_STRING(key, file),
		"read the passphrase from FILE (\"-\" for stdin)"},
	{"key-fd", 0, "FD", COFFER_FD(key, fd), "read the passphrase from descriptor FD",
		.max = 65535},
	{"keyfile-size", 'l', "BYTES", COFFER_SIZE(key, size),
		"read only this much of the key file [all]", .min = 1},
	{"keyfile-offset", 0, "BYTES", COFFER_SIZE(key, offset),
		"skip this much of the key file [0]"},
	{0},
};

bool coffer_key_given(const struct coffer_key_options *k)
{
	return k->file || k->fd >= 0 || k->ask;
}

int coffer_key_check(const void *key_options, struct coffer_err *e)
{
	const struct coffer_key_options *k = key_options;
	const bool file = k->file || k->fd >= 0;

	if ((k->size || k->offset) && !file)
		return coffer_err_usage(e, "%s requires --key-file or --key-fd",
			k->size ? "--keyfile-size" : "--keyfile-offset");
	if (k->ask && file)
		return coffer_err_usage(e, "--ask and %s are mutually exclusive",
			k->file ? "--key-file" : "--key-fd");
	if (k->file && k->fd >= 0)
		return coffer_err_usage(e, "--key-file and --key-fd are mutually exclusive");
	return 0;
}

static const char *expect_hash(const char *value)
{
	return coffer_digest_size(value) < 20 ? "sha256, sha512 or another strong hash" : NULL;
}

/* Eight, four, four, four and twelve hexadecimal digits. */
static const char *expect_uuid(const char *value)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(value) != sizeof(form) - 1)
		return "a UUID";
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '-' ? value[i] != '-' : !isxdigit((unsigned char)value[i]))
			return "a UUID";
	return NULL;
}

const char *coffer_expect_file(const char *value)
{
	return strcmp(value, "-") == 0 ? "a file; a file named '-' is ./-" : NULL;
}

static const char *const ciphers[] = {"aes-xts-plain64", NULL};
static const char *const key_sizes[] = {"256", "512", NULL};
static const char *const sector_sizes[] = {"512", "4096", NULL};
static const char *const pbkdfs[] = {"argon2id", "argon2i", "pbkdf2", NULL};

/* The library refuses most of these values, too, but only after it has read the disk. */
const struct coffer_option coffer_volume_options[] = {
	{"reduce-device-size", 0, "SIZE", COFFER_SIZE(encrypt, reserve),
		"free space required after the filesystem [32M]", .min = 2 << 20, .max = 512 << 20,
		.multiple = 8192},
	{"device-size", 0, "SIZE", COFFER_SIZE(encrypt, device_size),
		"bytes to encrypt [all before the reserve]", .min = 1},
	{"cipher", 'c', "SPEC", COFFER_STRING(encrypt, cipher), "cipher [aes-xts-plain64]",
		.words = ciphers},
	{"key-size", 's', "BITS", COFFER_NUMBER(encrypt, key_size),
		"size of the volume key: 256, 512 [512]", .words = key_sizes},
	{"sector-size", 0, "BYTES", COFFER_NUMBER(encrypt, sector_size),
		"sector size: 512, 4096 [4096 if possible]", .words = sector_sizes},
	{"hash", 'h', "NAME", COFFER_STRING(encrypt, hash),
		"hash for keyslots and digests [sha256]", .expect = expect_hash},
	{"pbkdf", 0, "NAME", COFFER_STRING(encrypt, pbkdf), "argon2id, argon2i, pbkdf2 [argon2id]",
		.words = pbkdfs},
	{"pbkdf-memory", 0, "KIB", COFFER_NUMBER(encrypt, pbkdf_memory),
		"memory for argon2 [libcryptsetup's choice]", .min = 1},
	{"pbkdf-parallel", 0, "N", COFFER_NUMBER(encrypt, pbkdf_parallel),
		"threads for argon2 [libcryptsetup's choice]", .min = 1},
	{"pbkdf-force-iterations", 0, "N", COFFER_NUMBER(encrypt, pbkdf_iterations),
		"number of iterations, instead of a benchmark", .min = 1},
	{"iter-time", 'i', "MS", COFFER_NUMBER(encrypt, iter_time),
		"time to unlock a keyslot, in milliseconds [2000]", .min = 1},
	{"uuid", 0, "UUID", COFFER_STRING(encrypt, uuid), "UUID of the volume [random]",
		.expect = expect_uuid},
	{"label", 0, "TEXT", COFFER_STRING(encrypt, label), "label of the volume [none]",
		.max = 47},
	{"luks2-metadata-size", 0, "BYTES", COFFER_SIZE(encrypt, metadata_size),
		"size of one header copy, 16K to 4M [64K]", .min = 16 << 10, .max = 4 << 20,
		.power_of_two = true},
	{"luks2-keyslots-size", 0, "BYTES", COFFER_SIZE(encrypt, keyslots_size),
		"size of the keyslots area [8M]", .min = 4096, .max = 128 << 20, .multiple = 4096},
	{0},
};

/* In the order of enum coffer_used_only and, without its DEFAULT, enum coffer_free_space. */
static const char *const used_only[] = {"auto", "yes", "no", NULL};
static const char *const free_space[] = {"keep", "discard", "fill", NULL};
_Static_assert(ARRAY_SIZE(used_only) == COFFER_N_USED_ONLY + 1, "a word for each value");
_Static_assert(ARRAY_SIZE(free_space) == COFFER_N_FREE_SPACE, "a word for each value");

/* These count for each run, a resumed one too. */
const struct coffer_option coffer_run_options[] = {
	{"threads", 0, "N", COFFER_NUMBER(encrypt, threads),
		"threads, 1 to 16 [number of CPUs, at least 8]", .min = 1,
		.max = COFFER_MAX_THREADS},
	{"used-only", 0, "WHEN", COFFER_CHOICE(encrypt, used_only),
		"encrypt only used blocks: auto, yes, no [auto]", .words = used_only},
	{"free-space", 0, "HOW", COFFER_CHOICE(encrypt, free_space),
		"unused blocks: keep, discard, fill [keep]", .words = free_space,
		.min = COFFER_FREE_KEEP},
	{"max-rate", 0, "SIZE", COFFER_SIZE(encrypt, max_rate),
		"bytes moved per second, at most [0, no limit]"},
	{"verify", 0, NULL, COFFER_FLAG(encrypt, verify),
		"read each step back before it is committed"},
	{0},
};

const struct coffer_option coffer_dry_run_options[] = {
	{"dry-run", 'n', NULL, COFFER_FLAG(call, dry_run), "check everything, write nothing"},
	{0},
};
const struct coffer_option coffer_yes_options[] = {
	{"yes", 'y', NULL, COFFER_FLAG(call, yes), "do not ask for confirmation"},
	{0},
};
const struct coffer_option coffer_quiet_options[] = {
	{"quiet", 'q', NULL, COFFER_FLAG(call, quiet), "print only what needs attention"},
	{0},
};
const struct coffer_option coffer_common_options[] = {
	{"json", 0, NULL, COFFER_FLAG(call, json), "write JSON to stdout"},
	{"help", 0, NULL, COFFER_FLAG(call, help), "show this help"},
	{0},
};
