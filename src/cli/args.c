/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* args.c - options of the verbs, from each verb's own list */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"

enum {
	MAX_OPTIONS = 40,
	FIRST_LONG = 256
};

static int set_size(const char *name, const char *value, uint64_t *ret, struct coffer_err *e)
{
	const bool zero_too = strcmp(name, "keyfile-offset") == 0 || strcmp(name, "max-rate") == 0;

	if (coffer_size_parse(value, ret) < 0 || (*ret == 0 && !zero_too))
		return coffer_err_usage(
			e, "--%s: '%s' is no size (like 4096, 32M, 1G)", name, value);
	return 0;
}

static int set_u32(const char *name, const char *value, uint32_t *ret, struct coffer_err *e)
{
	uint64_t v;

	if (coffer_size_parse(value, &v) < 0 || v == 0 || v > UINT32_MAX ||
		value[strspn(value, "0123456789")])
		return coffer_err_usage(e, "--%s: '%s' is no number above 0", name, value);
	*ret = (uint32_t)v;
	return 0;
}

static int set_number(const char *name, const char *value, uint32_t *ret, struct coffer_err *e)
{
	const int r = set_u32(name, value, ret, e);

	if (r == 0 && strcmp(name, "threads") == 0 && *ret > COFFER_MAX_THREADS)
		return coffer_err_usage(
			e, "--threads: %d is the most, not %s", COFFER_MAX_THREADS, value);
	if (r == 0 && strcmp(name, "key-size") == 0 && *ret != 256 && *ret != 512)
		return coffer_err_usage(e, "--key-size is 256 or 512, not %s", value);
	return r;
}

static int set_reserve(const char *value, uint64_t *ret, struct coffer_err *e)
{
	const int r = set_size("reduce-device-size", value, ret, e);

	if (r == 0 && (*ret % 8192 || *ret < (2 << 20) || *ret > (512 << 20)))
		return coffer_err_usage(e,
			"--reduce-device-size: %s is no multiple of 8192 between 2M and 512M",
			value);
	return r;
}

static int set_fd(const char *value, int *ret, struct coffer_err *e)
{
	uint32_t v = 0;

	if (strcmp(value, "0") != 0 && (set_u32("key-fd", value, &v, NULL) < 0 || v > 65535))
		return coffer_err_usage(e, "--key-fd: '%s' is no descriptor", value);
	*ret = (int)v;
	return 0;
}

static int set_sector_size(const char *value, uint32_t *ret, struct coffer_err *e)
{
	const int r = set_u32("sector-size", value, ret, e);

	if (r == 0 && *ret != 512 && *ret != 4096)
		return coffer_err_usage(e, "--sector-size is 512 or 4096, not %s", value);
	return r;
}

static int set_metadata_size(const char *value, uint64_t *ret, struct coffer_err *e)
{
	const int r = set_size("luks2-metadata-size", value, ret, e);

	if (r == 0 && (*ret < 16384 || *ret > (4 << 20) || (*ret & (*ret - 1))))
		return coffer_err_usage(
			e, "--luks2-metadata-size is a power of two from 16K to 4M, not %s", value);
	return r;
}

static int set_keyslots_size(const char *value, uint64_t *ret, struct coffer_err *e)
{
	const int r = set_size("luks2-keyslots-size", value, ret, e);

	if (r == 0 && (*ret % 4096 || *ret > (128 << 20)))
		return coffer_err_usage(
			e, "--luks2-keyslots-size: %s is no multiple of 4096 up to 128M", value);
	return r;
}

static int set_used_only(const char *value, enum coffer_used_only *ret, struct coffer_err *e)
{
	for (int i = 0; i < COFFER_N_USED_ONLY; i++) {
		*ret = (enum coffer_used_only)i;
		if (strcmp(value, coffer_used_only_name(*ret)) == 0)
			return 0;
	}
	return coffer_err_usage(e, "--used-only is auto, yes or no, not '%s'", value);
}

/* What a run does that was given no such option has a name, too, but nobody asks for it. */
static int set_free_space(const char *value, enum coffer_free_space *ret, struct coffer_err *e)
{
	for (int i = COFFER_FREE_DEFAULT + 1; i < COFFER_N_FREE_SPACE; i++) {
		*ret = (enum coffer_free_space)i;
		if (strcmp(value, coffer_free_space_name(*ret)) == 0)
			return 0;
	}
	return coffer_err_usage(e, "--free-space is keep, discard or fill, not '%s'", value);
}

/* A list of words with commas between. */
static int set_allow(const char *value, unsigned int *ret, struct coffer_err *e)
{
	static const struct {
		const char *name;
		enum coffer_restore_allow bit;
	} words[] = {
		{"uuid", COFFER_ALLOW_UUID},
		{"geometry", COFFER_ALLOW_GEOMETRY},
		{"keyslots", COFFER_ALLOW_KEYSLOTS},
		{"volume-key", COFFER_ALLOW_VOLUME_KEY},
	};

	for (const char *word = value;; word++) {
		const size_t n = strcspn(word, ",");
		size_t i;

		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (strlen(words[i].name) == n && strncmp(word, words[i].name, n) == 0)
				break;
		if (i == ARRAY_SIZE(words))
			return coffer_err_usage(e,
				"--allow is uuid, geometry, keyslots, volume-key, or several of "
				"them with commas between, not '%s'",
				value);
		*ret |= words[i].bit;
		word += n;
		if (!*word)
			return 0;
	}
}

/* Eight, four, four, four and twelve hexadecimal digits. */
static bool is_uuid(const char *value)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(value) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '-' ? value[i] != '-' : !isxdigit((unsigned char)value[i]))
			return false;
	return true;
}

/* The library says the same of most of it, but not before it has looked at the disk. */
static int check_text(const char *name, const char *value, struct coffer_err *e)
{
	if (strcmp(name, "cipher") == 0 && strcmp(value, "aes-xts-plain64") != 0)
		return coffer_err_usage(e, "--cipher is aes-xts-plain64, not '%s'", value);
	if (strcmp(name, "hash") == 0 && coffer_digest_size(value) < 20)
		return coffer_err_usage(
			e, "--hash: '%s' cannot be used; take sha256 or sha512", value);
	if (strcmp(name, "pbkdf") == 0 && strcmp(value, "argon2id") != 0 &&
		strcmp(value, "argon2i") != 0 && strcmp(value, "pbkdf2") != 0)
		return coffer_err_usage(
			e, "--pbkdf is argon2id, argon2i or pbkdf2, not '%s'", value);
	if (strcmp(name, "header-backup-file") == 0 && strcmp(value, "-") == 0)
		return coffer_err_usage(e,
			"--header-backup-file is a file, not standard input or output; one with "
			"the name '-' is ./-");
	if (strcmp(name, "uuid") == 0 && !is_uuid(value))
		return coffer_err_usage(e, "--uuid: '%s' is no UUID", value);
	if (strcmp(name, "label") == 0 && strlen(value) > 47)
		return coffer_err_usage(
			e, "--label has %zu bytes, and LUKS2 47 for it", strlen(value));
	return 0;
}

static int set_option(
	struct coffer_args *a, const char *name, const char *value, struct coffer_err *e)
{
	struct coffer_encrypt_options *o = &a->encrypt;
	const struct {
		const char *name;
		const char **text;
		uint32_t *number;
		bool *flag;
	} simple[] = {
		{"key-file", &a->key_file, NULL, NULL},
		{"cipher", &o->cipher, NULL, NULL},
		{"hash", &o->hash, NULL, NULL},
		{"pbkdf", &o->pbkdf, NULL, NULL},
		{"uuid", &o->uuid, NULL, NULL},
		{"label", &o->label, NULL, NULL},
		{"key-size", NULL, &o->key_size, NULL},
		{"pbkdf-memory", NULL, &o->pbkdf_memory, NULL},
		{"pbkdf-parallel", NULL, &o->pbkdf_parallel, NULL},
		{"pbkdf-force-iterations", NULL, &o->pbkdf_iterations, NULL},
		{"iter-time", NULL, &o->iter_time, NULL},
		{"threads", NULL, &o->threads, NULL},
		{"serialize-memory-hard-pbkdf", NULL, NULL, &o->serialize_memory_hard_pbkdf},
		{"verify", NULL, NULL, &o->verify},
		{"dry-run", NULL, NULL, &o->dry_run},
		{"resume-only", NULL, NULL, &o->resume_only},
		{"json", NULL, NULL, &a->json},
		{"quiet", NULL, NULL, &a->quiet},
		{"scratch", &a->scratch, NULL, NULL},
		{"header-backup-file", &a->header_backup_file, NULL, NULL},
		{"no-speed", NULL, NULL, &a->no_speed},
		{"yes", NULL, NULL, &a->yes},
		{"ask", NULL, NULL, &a->ask},
		{"tokens", NULL, NULL, &a->tokens},
		{"check-filesystem", NULL, NULL, &a->check_filesystem},
		{"help", NULL, NULL, &a->help},
	};

	for (size_t i = 0; i < ARRAY_SIZE(simple); i++) {
		if (strcmp(name, simple[i].name) != 0)
			continue;
		if (simple[i].number)
			return set_number(name, value, simple[i].number, e);
		if (simple[i].flag)
			*simple[i].flag = true;
		else
			*simple[i].text = value;
		return simple[i].text ? check_text(name, value, e) : 0;
	}
	if (strcmp(name, "reduce-device-size") == 0)
		return set_reserve(value, &o->reserve, e);
	if (strcmp(name, "device-size") == 0)
		return set_size(name, value, &o->device_size, e);
	if (strcmp(name, "max-rate") == 0)
		return set_size(name, value, &o->max_rate, e);
	if (strcmp(name, "used-only") == 0)
		return set_used_only(value, &o->used_only, e);
	if (strcmp(name, "free-space") == 0)
		return set_free_space(value, &o->free_space, e);
	if (strcmp(name, "keyfile-size") == 0)
		return set_size(name, value, &a->keyfile_size, e);
	if (strcmp(name, "keyfile-offset") == 0)
		return set_size(name, value, &a->keyfile_offset, e);
	if (strcmp(name, "sector-size") == 0)
		return set_sector_size(value, &o->sector_size, e);
	if (strcmp(name, "luks2-metadata-size") == 0)
		return set_metadata_size(value, &o->metadata_size, e);
	if (strcmp(name, "luks2-keyslots-size") == 0)
		return set_keyslots_size(value, &o->keyslots_size, e);
	if (strcmp(name, "allow") == 0)
		return set_allow(value, &a->allow, e);
	if (strcmp(name, "key-fd") == 0)
		return set_fd(value, &a->key_fd, e);
	return coffer_err_usage(e, "--%s is listed but not known", name);
}

/* getopt's table and short string from the verb's list. */
static void build_getopt(const struct coffer_cmd *cmd, struct option longs[MAX_OPTIONS],
	char shorts[2 * MAX_OPTIONS])
{
	const struct coffer_option *o = cmd->options;
	char *s = shorts;
	size_t i;

	*s++ = ':'; /* a missing value is told apart from an unknown option */
	for (i = 0; i < MAX_OPTIONS - 1 && o[i].name; i++) {
		longs[i] = (struct option){o[i].name, o[i].value ? required_argument : no_argument,
			NULL, FIRST_LONG + (int)i};
		if (o[i].short_name) {
			*s++ = o[i].short_name;
			if (o[i].value)
				*s++ = ':';
		}
	}
	longs[i] = (struct option){0};
	*s = '\0';
}

static const char *option_name(const struct coffer_cmd *cmd, int c)
{
	if (c >= FIRST_LONG)
		return cmd->options[c - FIRST_LONG].name;
	for (const struct coffer_option *o = cmd->options; o->name; o++)
		if (o->short_name == c)
			return o->name;
	return NULL;
}

int coffer_args_parse(const struct coffer_cmd *cmd, int argc, char **argv, struct coffer_args *ret,
	struct coffer_err *e)
{
	struct option longs[MAX_OPTIONS];
	char shorts[2 * MAX_OPTIONS];
	int c, r = 0;

	*ret = (struct coffer_args){.key_fd = -1};
	build_getopt(cmd, longs, shorts);
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const char *name = option_name(cmd, c);

		if (c == ':')
			return coffer_err_usage(e, "%s needs a value%s", argv[optind - 1],
				optopt == 'h' ? " (-h is --hash; --help shows the help)" : "");
		if (!name)
			return coffer_err_usage(e,
				"'%s' is no option, or not a whole one; 'coffer %s --help' lists "
				"them",
				optopt && optopt < FIRST_LONG ? (char[]){'-', (char)optopt, 0}
							      : argv[optind - 1],
				cmd->name);
		r = set_option(ret, name, optarg, e);
	}
	if (r < 0 || ret->help)
		return r;
	if (argc - optind != 1 && !cmd->any_number)
		return coffer_err_usage(
			e, "exactly one device or image is wanted, not %d", argc - optind);
	if ((ret->keyfile_size || ret->keyfile_offset) && !ret->key_file && ret->key_fd < 0)
		return coffer_err_usage(
			e, "--keyfile-size and --keyfile-offset are parts of a --key-file");
	if (ret->ask && (ret->key_file || ret->key_fd >= 0))
		return coffer_err_usage(e, "--ask and a key file exclude each other");
	if (ret->key_file && ret->key_fd >= 0)
		return coffer_err_usage(e, "--key-file and --key-fd exclude each other");
	ret->words = argv + 1; /* getopt has put the operands behind the options */
	ret->operands = argv + optind;
	ret->encrypt.device = argv[optind];
	return 0;
}

void coffer_print_help(const struct coffer_cmd *cmd)
{
	(void)printf("Usage: coffer %s [OPTION...] %s\n\n%s.\n\nOptions:\n", cmd->name, cmd->args,
		cmd->summary);
	for (const struct coffer_option *o = cmd->options; o->name; o++) {
		char left[64];

		(void)snprintf(left, sizeof(left), "%s%c%s --%s%s%s", o->short_name ? " -" : "   ",
			o->short_name ? o->short_name : ' ', o->short_name ? "," : " ", o->name,
			o->value ? " " : "", o->value ? o->value : "");
		(void)printf("%-38s %s\n", left, o->help);
	}
}
