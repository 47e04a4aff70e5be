/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_verify.c - coffer verify */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "coffer/verify.h"

DEFINE_CLEANUP(struct coffer_verification *, verification, coffer_verification_free);

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	const int n = coffer_read_key(userdata, why, buf, size, e);

	/* From here on there is a key, and soon a volume key in a cipher of libcrypto's. */
	coffer_memory_lock();
	return n;
}

static int end_json(const struct coffer_verification *v, int code, const char *device,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report("verify");

	coffer_json_put_text(o, "device", device);
	if (v) {
		coffer_json_put_status(o, "status", v->status);
		coffer_json_put_findings(o, "checks", &v->checks);
	}
	return coffer_json_finish(o, code, e);
}

static int end_text(const struct coffer_verification *v, int code, const struct coffer_args *args,
	const struct coffer_err *e)
{
	if (v && !(args->quiet && code == COFFER_DONE)) {
		coffer_show_text(stdout, v->status->device);
		(void)printf(": %s; %zu checks, %zu bad, %zu not possible\n",
			coffer_stage_name(v->status->stage), v->checks.n,
			coffer_findings_count(&v->checks, COFFER_VERDICT_BAD),
			coffer_findings_count(&v->checks, COFFER_VERDICT_UNCHECKED));
		coffer_show_findings(stdout, &v->checks, !args->quiet);
	}
	if (v && v->status->luks_version == 2 && !args->key_file && args->key_fd < 0 &&
		!args->ask && !args->quiet)
		(void)fputs("  no key was given: --key-file FILE or --ask proves more\n", stdout);
	if (code != COFFER_DONE)
		coffer_show_error(e->msg);
	return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : code;
}

static int run_verify(const struct coffer_cmd *cmd, const struct coffer_args *args)
{
	_cleanup_(cleanup_verification) struct coffer_verification *v = NULL;
	const bool key = args->key_file || args->key_fd >= 0 || args->ask;
	const struct coffer_verify_options o = {.device = args->encrypt.device,
		.check_filesystem = args->check_filesystem,
		.use_tokens = args->tokens,
		.serialize_memory_hard_pbkdf = args->encrypt.serialize_memory_hard_pbkdf,
		.callbacks = {.passphrase = key ? ask : NULL,
			.stop = coffer_signals_stop,
			.userdata = (void *)args}};
	struct coffer_err e = {0};
	int r, code;

	(void)cmd;
	coffer_signals_install();
	r = coffer_verify(&o, &v, &e);
	code = coffer_err_exit_code(&e, r);
	return args->json ? end_json(v, code, args->encrypt.device, &e)
			  : end_text(v, code, args, &e);
}

static const struct coffer_option options[] = {
	{"key-file", 'd', "FILE", "try the passphrase or key from FILE; - is standard input"},
	{"key-fd", 0, "FD", "the same from an open descriptor"},
	{"keyfile-size", 'l', "BYTES", "read only so many bytes of the key file"},
	{"keyfile-offset", 0, "BYTES", "skip the first bytes of the key file"},
	{"ask", 0, NULL, "ask for a passphrase to try"},
	{"serialize-memory-hard-pbkdf", 0, NULL, "one key derivation at a time on this machine"},
	{"tokens", 0, NULL, "let each token (TPM, keyring, ...) prove itself"},
	{"check-filesystem", 0, NULL, "run the filesystem's own checker, read-only"},
	{"json", 0, NULL, "the report as one JSON object on standard output"},
	{"quiet", 'q', NULL, "say nothing unless something is wrong"},
	{"help", 0, NULL, "show this help"},
	{0},
};

const struct coffer_cmd coffer_cmd_verify = {
	.name = "verify",
	.args = "DEVICE|IMAGE",
	.summary = "Prove that a disk is what it seems to be, and change nothing",
	.options = options,
	.run = run_verify,
};
