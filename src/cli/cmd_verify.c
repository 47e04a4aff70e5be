/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd_verify.c - coffer verify */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings.h"
#include "cli/cli.h"
#include "coffer/verify.h"

struct options {
	struct coffer_call call;
	struct coffer_key_options key;
	struct coffer_verify_options verify;
};

static const struct coffer_option rows[] = {
	{"ask", 0, NULL, COFFER_FLAG(struct options, key.ask), "ask for a passphrase to try"},
	{"serialize-memory-hard-pbkdf", 0, NULL,
		COFFER_FLAG(struct options, verify.serialize_memory_hard_pbkdf),
		"one key derivation at a time on this machine"},
	{"tokens", 0, NULL, COFFER_FLAG(struct options, verify.use_tokens),
		"let each token unlock its keyslot"},
	{"check-filesystem", 0, NULL, COFFER_FLAG(struct options, verify.check_filesystem),
		"run the filesystem's checker, read-only"},
	{0},
};

DEFINE_CLEANUP(struct coffer_verification *, verification, coffer_verification_free);

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	const struct options *o = userdata;
	const int n = coffer_read_key(&o->key, o->call.device, why, buf, size, e);

	/* A key is in memory now, and soon a volume key in a cipher context of libcrypto. */
	coffer_memory_lock();
	return n;
}

static int end_json(const struct coffer_call *call, int code, const struct coffer_verification *v,
	const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_report(call);

	if (v) {
		COFFER_PUT(o, "status", coffer_json_status(v->status));
		COFFER_PUT(o, "checks", coffer_json_findings(&v->checks));
	}
	return coffer_json_finish(o, code, e);
}

static int end_text(const struct options *o, int code, const struct coffer_verification *v,
	const struct coffer_err *e)
{
	if (v && (!o->call.quiet || code != COFFER_DONE ||
			 coffer_findings_count(&v->checks, COFFER_VERDICT_UNCHECKED) > 0))
		coffer_show_checks(v->status->device, coffer_stage_name(v->status->stage),
			&v->checks, !o->call.quiet);
	if (v && v->status->luks_version == 2 && !coffer_key_given(&o->key) && !o->call.quiet)
		coffer_show_field(stdout, "note", "to check more, use --key-file FILE or --ask");
	if (code != COFFER_DONE)
		coffer_show_error(e->msg);
	return coffer_show_end(code);
}

static int run_verify(void *options)
{
	struct options *o = options;
	_cleanup_(cleanup_verification) struct coffer_verification *v = NULL;
	struct coffer_err e = {0};
	int code;

	coffer_signals_install();
	o->verify.device = o->call.device;
	o->verify.callbacks = (struct coffer_encrypt_callbacks){
		.passphrase = coffer_key_given(&o->key) ? ask : NULL,
		.stop = coffer_signals_stop,
		.userdata = o};
	code = coffer_err_exit_code(&e, coffer_verify(&o->verify, &v, &e));
	return o->call.json ? end_json(&o->call, code, v, &e) : end_text(o, code, v, &e);
}

const struct coffer_cmd coffer_cmd_verify = {
	.name = "verify",
	.args = "DEVICE|IMAGE",
	.summary = "Verify headers, keyslots and data without writing",
	.options =
		COFFER_GROUPS({coffer_key_options, offsetof(struct options, key), coffer_key_check},
			{rows}, {coffer_quiet_options}, {coffer_common_options}),
	.size = sizeof(struct options),
	.run = run_verify,
};
