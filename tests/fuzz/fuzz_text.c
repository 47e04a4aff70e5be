/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_text.c - fuzz target: texts of other programs, and the command line
 *
 * Input: which reader, and a text for it: what a checker of filesystems has said, a device's
 * numbers in sysfs, what the kernel says of a mount, the table of mounts; a word for a shell;
 * options. What the system would give as a file is given as one, in memory. */
#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/quote.h"
#include "base/size.h"
#include "block/mounts.h"
#include "cli/cli.h"
#include "fs/fsck.h"
#include "fs/hidden_mount.h"
#include "io/sysfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void demand(bool good)
{
	if (!good)
		abort();
}

/* --- files --- */

static int file_of(const char *text, size_t n, char path[32])
{
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);

	demand(fd >= 0 && write(fd, text, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* Digits, a colon, digits; what was taken is that, and not one number more. */
static void check_dev(const char *text, size_t n)
{
	char path[32], line[64], again[64];
	dev_t dev = 77;
	const int fd = file_of(text, n, path);
	const char *p = line;

	if (coffer_sysfs_read_dev(AT_FDCWD, path, &dev)) {
		demand(coffer_sysfs_read_line(AT_FDCWD, path, line, sizeof(line)));
		demand(line[strspn(line, "0123456789:")] == '\0');
		(void)snprintf(again, sizeof(again), "%u:", major(dev));
		p += strspn(p, "0") - (*p == '0' && !isdigit((unsigned char)p[strspn(p, "0")]));
		demand(strncmp(p, again, strlen(again)) == 0);
		p += strlen(again);
		(void)snprintf(again, sizeof(again), "%u", minor(dev));
		p += strspn(p, "0") - (*p == '0' && !p[strspn(p, "0")]);
		demand(strcmp(p, again) == 0);
	} else {
		demand(dev == 77);
	}
	(void)close(fd);
}

static void check_words(const char *text, size_t n)
{
	char path[32], words[40];
	const int fd = file_of(text, n, path);

	memset(words, 'x', sizeof(words));
	coffer_mount_last_error(fd, words, sizeof(words));
	demand(memchr(words, 0, sizeof(words)) != NULL && !strchr(words, '\n') &&
		(!words[0] || strncmp(words, ": ", 2) == 0));
	(void)close(fd);
}

static void check_mounts(const char *text, size_t n)
{
	struct coffer_mounts m = {0};
	char path[32];
	const int fd = file_of(text, n, path);
	bool read = false;
	const int r = coffer_mounts_add(&m, path, 5, &read);

	demand(r == 0);
	for (size_t i = 0; i < m.n; i++)
		demand(m.items[i].name && m.items[i].pid == 5 && m.items[i].id.block);
	demand(read || m.n == 0);
	coffer_mounts_free(&m);
	(void)close(fd);
}

/* --- a checker's output --- */

static void check_complaint(const char *text)
{
	static const char *const routine[] = {"Pass ", " ", NULL};
	char line[64];
	bool found = false;

	memset(line, 'x', sizeof(line));
	coffer_fsck_complaint(text, routine, line, sizeof(line));
	demand(memchr(line, 0, sizeof(line)) != NULL && !strchr(line, '\n'));
	/* It is the beginning of a line; and a routine one only if there is no other. */
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		const size_t n = strcspn(p, "\n");
		const bool is_routine = strncmp(p, "Pass ", 5) == 0 || *p == ' ';

		if (n > 0 && !is_routine) {
			demand(strncmp(p, line, strlen(line)) == 0 &&
				(strlen(line) == n || strlen(line) == sizeof(line) - 1));
			return;
		}
		found = found || (n > 0 && strncmp(p, line, strlen(line)) == 0);
	}
	demand(found || !line[0]);
}

/* --- a word for a shell --- */

/* As a shell reads one word: -1 where it is none, or more than one, or not ended. */
static ssize_t unquote(const char *p, char *ret)
{
	static const char special[] = " \t\n|&;<>()$`\"*?[]#~={}!";
	size_t n = 0;
	bool any = false;

	for (; *p; p++, any = true) {
		if (*p == '\'') {
			for (p++; *p && *p != '\''; p++)
				ret[n++] = *p;
			if (!*p)
				return -1;
		} else if (*p == '\\') {
			if (!p[1] || p[1] == '\n')
				return -1;
			ret[n++] = *++p;
		} else if (strchr(special, *p) && !(any && strchr("#~=", *p)) && *p != '=') {
			return -1;
		} else {
			ret[n++] = *p;
		}
	}
	ret[n] = '\0';
	return any ? (ssize_t)n : -1;
}

static void check_quote(const char *word, size_t n)
{
	const size_t size = 4 * n + 3;
	char *whole = malloc(size), *back = malloc(size);

	demand(whole && back);
	demand(coffer_quote(word, whole, size) && unquote(whole, back) == (ssize_t)strlen(word) &&
		strcmp(back, word) == 0);
	/* All of it or dots, and never longer than its space. */
	for (size_t k = 0; k < 24; k++) {
		char *cut = malloc(k ? k : 1);

		demand(cut != NULL);
		demand(coffer_quote(word, cut, k) == (k > strlen(whole)));
		if (k > 0)
			demand(memchr(cut, 0, k) && strcmp(cut, k > strlen(whole) ? whole
								: k > 3		  ? "..."
										  : "") == 0);
		free(cut);
	}
	free(whole);
	free(back);
}

/* --- numbers --- */

/* Digits and a unit, in a number that cannot wrap. */
static void check_size(const char *text)
{
	static const char units[] = "KMGT";
	unsigned __int128 v = 0;
	const char *p = text;
	uint64_t got = 77;
	const int r = coffer_size_parse(text, &got);
	bool good = isdigit((unsigned char)*p) != 0;

	for (; isdigit((unsigned char)*p); p++)
		v = v > UINT64_MAX ? v : v * 10 + (unsigned int)(*p - '0');
	if (good && *p && strchr(units, *p)) {
		v <<= 10 * (strchr(units, *p) - units + 1);
		p += strcmp(p + 1, "iB") == 0 ? 3 : 1;
	}
	good = good && !*p && v <= INT64_MAX;
	demand((r == 0) == good && got == (good ? (uint64_t)v : 77));
}

/* A list of options as a command line has them, one in each line. */
struct options {
	struct coffer_call call;
	struct coffer_key_options key;
	struct coffer_encrypt_options encrypt;
	const char *file;
	unsigned int words;
};

static const char *const words[] = {"uuid", "geometry", "keyslots", "volume-key", NULL};
static const struct coffer_option rows[] = {
	{"allow", 0, "LIST", COFFER_LIST(struct options, words), .words = words},
	{"file", 'f', "FILE", COFFER_STRING(struct options, file), .expect = coffer_expect_file},
	{0}};
static const struct coffer_cmd cmd = {.name = "fuzz",
	.options =
		COFFER_GROUPS({coffer_key_options, offsetof(struct options, key), coffer_key_check},
			{coffer_volume_options, offsetof(struct options, encrypt)},
			{coffer_run_options, offsetof(struct options, encrypt)}, {rows},
			{coffer_dry_run_options}, {coffer_yes_options}, {coffer_quiet_options},
			{coffer_common_options}),
	.size = sizeof(struct options)};

static void check_args(char *text)
{
	char *argv[40] = {(char[]){"fuzz"}}, *rest = text;
	struct options a = {0};
	struct coffer_err e = {0};
	const struct coffer_encrypt_options *o = &a.encrypt;
	int argc = 1, r;

	while (rest && argc < 39) {
		argv[argc++] = rest;
		rest = strchr(rest, '\n');
		if (rest)
			*rest++ = '\0';
	}
	optind = 0; /* anew */
	r = coffer_args_parse(&cmd, argc, argv, &a, &e);
	demand(r == 0 || (r < 0 && e.outcome == COFFER_USAGE && e.msg[0]));
	if (r < 0 || a.call.help)
		return;
	demand(a.call.device && a.call.operands[0] == a.call.device && !a.call.operands[1]);
	demand(o->threads <= 16 && o->key_size % 256 == 0 && o->key_size <= 512);
	demand(o->reserve % 8192 == 0 && o->reserve <= 512 << 20 &&
		(o->reserve == 0 || o->reserve >= 2 << 20));
	demand(o->sector_size == 0 || o->sector_size == 512 || o->sector_size == 4096);
	demand(o->device_size <= INT64_MAX && o->max_rate <= INT64_MAX);
	demand(o->metadata_size == 0 || (o->metadata_size >= 16384 && o->metadata_size <= 4 << 20 &&
						(o->metadata_size & (o->metadata_size - 1)) == 0));
	demand(o->keyslots_size % 4096 == 0 && o->keyslots_size <= 128 << 20);
	demand(o->used_only < COFFER_N_USED_ONLY && o->free_space < COFFER_N_FREE_SPACE);
	demand(!o->cipher || strcmp(o->cipher, "aes-xts-plain64") == 0);
	demand(!o->label || strlen(o->label) <= 47);
	demand(a.words <= 15 && (!a.file || strcmp(a.file, "-") != 0));
	demand(a.key.fd >= -1 && a.key.fd <= 65535 && !(a.key.file && a.key.fd >= 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text;

	if (n == 0)
		return 0;
	text = calloc(1, n);
	if (!text)
		return 0;
	memcpy(text, data + 1, n - 1);
	switch (data[0] % 7) {
	case 0:
		check_complaint(text);
		break;
	case 1:
		check_dev(text, n - 1);
		break;
	case 2:
		check_words(text, n - 1);
		break;
	case 3:
		check_mounts(text, n - 1);
		break;
	case 4:
		check_quote(text, n - 1);
		break;
	case 5:
		check_size(text);
		break;
	default:
		check_args(text);
	}
	free(text);
	return 0;
}
