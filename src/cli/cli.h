/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cli.h - what the verbs share: the table of options, passphrases, progress, reports
 *
 * Only this layer prints, asks and exits. Data goes to stdout, people's text to stderr. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coffer/backup.h"
#include "coffer/encrypt.h"
#include "coffer/repair.h"
#include "coffer/status.h"

/* One option, in one list that both the parser and the help text use. */
struct coffer_option {
	const char *name;  /* without the dashes */
	char short_name;   /* 0: none */
	const char *value; /* name of its value in the help; NULL: takes none */
	const char *help;
};

/* The options that describe a new volume and how it is made: encrypt's and plan's. */
/* clang-format off */
#define COFFER_VOLUME_OPTIONS \
	{"reduce-device-size", 0, "SIZE", "reserve behind the filesystem, 2M to 512M (32M)"}, \
	{"device-size", 0, "SIZE", "bytes of content, for content coffer does not know"}, \
	{"cipher", 'c', "SPEC", "cipher (aes-xts-plain64)"}, \
	{"key-size", 's', "BITS", "volume key: 512 or 256 (512)"}, \
	{"sector-size", 0, "BYTES", "512 or 4096 (the largest the filesystem can live on)"}, \
	{"hash", 'h', "NAME", "hash of key derivation and digests (sha256)"}, \
	{"pbkdf", 0, "NAME", "argon2id, argon2i or pbkdf2 (argon2id)"}, \
	{"pbkdf-memory", 0, "KIB", "memory of argon2"}, \
	{"pbkdf-parallel", 0, "N", "threads of argon2"}, \
	{"pbkdf-force-iterations", 0, "N", "fixed iterations instead of a benchmark"}, \
	{"iter-time", 'i', "MS", "time one unlock shall take (2000)"}, \
	{"uuid", 0, "UUID", "of the LUKS2 volume (random)"}, \
	{"label", 0, "TEXT", "of the LUKS2 volume"}, \
	{"luks2-metadata-size", 0, "BYTES", "of one header copy, 16K to 4M (64K)"}, \
	{"luks2-keyslots-size", 0, "BYTES", "of the keyslots area (8M)"}, \
	{"threads", 0, "N", "threads of the engine, up to 16"}

/* Those that count for each run, a resumed one too: encrypt's, plan's and repair's. */
#define COFFER_RUN_OPTIONS \
	{"used-only", 0, "WHEN", "encrypt used blocks only: auto, yes or no (auto)"}, \
	{"free-space", 0, "HOW", "of free blocks: keep, discard or fill (keep)"}, \
	{"max-rate", 0, "SIZE", "move at most so many bytes each second (no limit)"}, \
	{"verify", 0, NULL, "read each step back and compare it before it counts"}
/* clang-format on */

struct coffer_args;

struct coffer_cmd {
	const char *name; /* one word, or two with a blank between: "header check" */
	const char *args;
	const char *summary;
	const struct coffer_option *options; /* ends with a NULL name */
	bool any_number; /* of operands, none too; else exactly one, the device */
	/* Returns an exit code (enum coffer_outcome). */
	int (*run)(const struct coffer_cmd *cmd, const struct coffer_args *args);
};

extern const struct coffer_cmd coffer_cmd_encrypt;
extern const struct coffer_cmd coffer_cmd_abort;
extern const struct coffer_cmd coffer_cmd_header_check;
extern const struct coffer_cmd coffer_cmd_header_backup;
extern const struct coffer_cmd coffer_cmd_header_restore;
extern const struct coffer_cmd coffer_cmd_doctor;
extern const struct coffer_cmd coffer_cmd_plan;
extern const struct coffer_cmd coffer_cmd_repair;
extern const struct coffer_cmd coffer_cmd_status;
extern const struct coffer_cmd coffer_cmd_verify;

/* All that the verbs' options can set. */
struct coffer_args {
	struct coffer_encrypt_options encrypt;
	char **words;	      /* behind the verb, as they were given; NULL-ended */
	const char *key_file; /* "-": stdin */
	int key_fd;	      /* -1: none */
	uint64_t keyfile_offset;
	uint64_t keyfile_size; /* 0: all */
	char **operands;       /* NULL-ended; encrypt.device is the first */
	const char *scratch;
	const char *header_backup_file;
	unsigned int allow; /* enum coffer_restore_allow */
	bool no_speed;
	bool json;
	bool quiet;
	bool yes;
	bool ask;
	bool tokens;
	bool check_filesystem;
	bool help;
};

/* Parse @argv by @cmd's list and its number of operands, which does not count when help is asked
 * for. */
int coffer_args_parse(const struct coffer_cmd *cmd, int argc, char **argv, struct coffer_args *ret,
	struct coffer_err *e);
void coffer_print_help(const struct coffer_cmd *cmd);

enum {
	COFFER_MAX_KEY = 32 << 10 /* as much as the library asks for */
};

/* Keep keys out of core dumps and of other processes' sight; at the start of main. */
void coffer_memory_protect(void);
/* Lock what is in memory now, cipher contexts in the heap above all. As far as this user may. */
void coffer_memory_lock(void);

/* Read the passphrase or key into @buf: from --key-fd, --key-file, a terminal, or a line of stdin.
 * Returns its length. */
int coffer_read_key(const struct coffer_args *a, enum coffer_ask why, uint8_t *buf, size_t size,
	struct coffer_err *e);

/* May it be done? A person decides on a terminal; without one the answer is no, and it is said why.
 */
bool coffer_confirm(const char *question);

/* SIGINT and SIGTERM ask the run to stop at its next commit. */
void coffer_signals_install(void);
bool coffer_signals_stop(void *unused);
/* From now on say so at once on the terminal when such a wish comes. */
void coffer_signals_announce(void);
/* read(2) that such a wish ends, with EINTR; other signals do not. */
ssize_t coffer_signals_read(int fd, void *buf, size_t n);

/* Progress and the end of one run. */
struct coffer_report {
	const struct coffer_args *args;
	const char *verb;
	double started;	      /* seconds */
	double converting;    /* when the first step began; 0: not yet */
	bool terminal;	      /* stderr is one */
	bool bar_shown;	      /* a bar stands on the current line */
	unsigned int percent; /* of the last line that was printed */
	double last_shown;
	struct coffer_progress last;
	bool have_last;
};
void coffer_report_begin(struct coffer_report *r, const struct coffer_args *a, const char *verb);
void coffer_report_progress(struct coffer_report *r, const struct coffer_progress *p);
/* Take the bar off the terminal, for other text. */
void coffer_report_clear(struct coffer_report *r);
/* Print the command that goes on, the one that was given, and the line's end. */
void coffer_report_command(const struct coffer_args *a, const char *verb);
/* Print the closing summary, or the error; returns the exit code. */
int coffer_report_end(struct coffer_report *r, int status,
	const struct coffer_encrypt_result *result, const struct coffer_err *e);
