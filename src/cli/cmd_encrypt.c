/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_encrypt.c - coffer encrypt */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "cli/cli.h"

struct options {
	struct coffer_call call;
	struct coffer_key_options key;
	struct coffer_encrypt_options encrypt;
};

static const struct coffer_option rows[] = {
	{"serialize-memory-hard-pbkdf", 0, NULL,
		COFFER_FLAG(struct options, encrypt.serialize_memory_hard_pbkdf),
		"one key derivation at a time on this machine"},
	{"resume-only", 0, NULL, COFFER_FLAG(struct options, encrypt.resume_only),
		"resume an interrupted run; never start a new one"},
	{0},
};

/* A dry run reads the key file, too: an unreadable or empty one would fail the run. Standard input
 * and descriptors are left to the next reader. */
static int try_key(
	const struct options *o, const struct coffer_encrypt_result *res, struct coffer_err *e)
{
	const bool is_new =
		res->operation == COFFER_OP_START || res->operation == COFFER_OP_FINISH_UNDO;
	_cleanup_secret_ struct coffer_secret *key = NULL;
	int r;

	if (!o->call.dry_run || !o->key.file || strcmp(o->key.file, "-") == 0)
		return 0;
	r = coffer_secret_new(COFFER_MAX_KEY, &key, e);
	if (r < 0)
		return r;
	r = coffer_read_key(&o->key, o->call.device, is_new ? COFFER_ASK_NEW : COFFER_ASK_EXISTING,
		key->data, key->capacity, e);
	return r < 0 ? r : 0;
}

static int run_encrypt(void *options)
{
	struct options *o = options;
	struct coffer_encrypt_result result = {0};
	struct coffer_report report;
	struct coffer_err e = {0};
	int r;

	o->encrypt.device = o->call.device;
	o->encrypt.dry_run = o->call.dry_run;
	o->encrypt.callbacks = coffer_report_begin(&report, &o->call, &o->key);
	r = coffer_encrypt(&o->encrypt, &result, &e);
	if (r == 0)
		r = try_key(o, &result, &e);
	return coffer_report_end(&report, r, &result, &e);
}

const struct coffer_cmd coffer_cmd_encrypt = {
	.name = "encrypt",
	.args = "DEVICE|IMAGE",
	.summary = "Encrypt a filesystem in place, or resume an interrupted run",
	.options =
		COFFER_GROUPS({coffer_key_options, offsetof(struct options, key), coffer_key_check},
			{coffer_volume_options, offsetof(struct options, encrypt)},
			{coffer_run_options, offsetof(struct options, encrypt)}, {rows},
			{coffer_dry_run_options}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_encrypt,
};
