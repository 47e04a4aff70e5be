/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_encrypt.c - coffer encrypt */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "cli/cli.h"

struct run {
	struct coffer_args args;
	struct coffer_report report;
	bool locked;
};

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	const struct run *run = userdata;

	return coffer_read_key(&run->args, why, buf, size, e);
}

static void progress(void *userdata, const struct coffer_progress *p)
{
	struct run *run = userdata;

	/* From here on there is a volume key in the ciphers of the engine. */
	if ((p->phase == COFFER_PHASE_CONVERT || p->phase == COFFER_PHASE_FINALIZE) &&
		!run->locked) {
		coffer_memory_lock();
		run->locked = true;
	}
	coffer_report_progress(&run->report, p);
}

/* A dry run that would pass reads the key as the run would: one that cannot be read, or is empty,
 * is in the way as well. Standard input and descriptors are left to whoever comes next. */
static int try_key(struct run *run, const struct coffer_encrypt_result *res, struct coffer_err *e)
{
	const struct coffer_args *a = &run->args;
	const bool is_new =
		res->operation == COFFER_OP_START || res->operation == COFFER_OP_FINISH_UNDO;
	_cleanup_secret_ struct coffer_secret *key = NULL;
	int r;

	if (!a->encrypt.dry_run || !a->key_file || strcmp(a->key_file, "-") == 0)
		return 0;
	r = coffer_secret_new(COFFER_MAX_KEY, &key, e);
	if (r == 0)
		r = coffer_read_key(a, is_new ? COFFER_ASK_NEW : COFFER_ASK_EXISTING, key->data,
			key->capacity, e);
	if (r == 0 && is_new)
		r = coffer_err_set(e, EINVAL, "the key file %s is empty", a->key_file);
	return r < 0 ? coffer_err_wrap(e, r, "encrypt") : 0;
}

static int run_encrypt(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	struct coffer_encrypt_result result = {0};
	struct run run = {.args = *args};
	struct coffer_err e = {0};
	int r;

	coffer_signals_install();
	coffer_report_begin(&run.report, &run.args, cmd->name);
	run.args.encrypt.callbacks = (struct coffer_encrypt_callbacks){.passphrase = ask,
		.progress = progress,
		.stop = coffer_signals_stop,
		.userdata = &run};
	r = coffer_encrypt(&run.args.encrypt, &result, &e);
	if (r == 0)
		r = try_key(&run, &result, &e);
	return coffer_report_end(&run.report, r, &result, &e);
}

static const struct coffer_option options[] = {
	{"key-file", 'd', "FILE", "passphrase or key from FILE, all of it; - is standard input"},
	{"key-fd", 0, "FD", "the same from an open descriptor"},
	{"keyfile-size", 'l', "BYTES", "read only so many bytes of the key file"},
	{"keyfile-offset", 0, "BYTES", "skip the first bytes of the key file"},
	COFFER_VOLUME_OPTIONS,
	COFFER_RUN_OPTIONS,
	{"serialize-memory-hard-pbkdf", 0, NULL, "one key derivation at a time on this machine"},
	{"resume-only", 0, NULL, "go on with what was begun, begin nothing"},
	{"dry-run", 'n', NULL, "check everything, change nothing"},
	{"json", 0, NULL, "progress and summary as JSON lines on standard output"},
	{"quiet", 'q', NULL, "say nothing unless something is wrong"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_encrypt = {
	.name = "encrypt",
	.args = "DEVICE|IMAGE",
	.summary = "Encrypt a filesystem in place, or go on where a run was interrupted",
	.options = options,
	.run = run_encrypt,
};
