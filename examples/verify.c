/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* verify.c - verify that a disk is completely encrypted
 *
 *	cc -o verify verify.c $(pkg-config --cflags --libs libcoffer)
 *	./verify /dev/vda2		# without a key
 *	./verify /dev/vda2 /run/key	# also keyslots and data
 */
#include <errno.h>
#include <stdio.h>

#include <coffer/verify.h>

static int passphrase(
	void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	FILE *f = fopen(userdata, "re");
	size_t n = 0;

	(void)why; /* always COFFER_ASK_EXISTING */
	if (f) {
		(void)setvbuf(f, NULL, _IONBF, 0);
		n = fread(buf, 1, size, f);
		(void)fclose(f);
	}
	if (n > 0 && n < size)
		return (int)n;
	*e = (struct coffer_err){.code = EIO, .outcome = COFFER_FAILED};
	(void)snprintf(e->msg, sizeof(e->msg), "no key in %s", (const char *)userdata);
	return -EIO;
}

int main(int argc, char **argv)
{
	struct coffer_verify_options o = {0};
	struct coffer_verification *v = NULL;
	struct coffer_err e = {0};
	int r;

	if (argc != 2 && argc != 3) {
		(void)fprintf(stderr, "usage: %s DEVICE [KEYFILE]\n", argv[0]);
		return COFFER_USAGE;
	}
	o.device = argv[1];
	if (argc == 3) {
		o.callbacks.passphrase = passphrase;
		o.callbacks.userdata = argv[2];
	}
	r = coffer_verify(&o, &v, &e);
	/* The checks are set even if one is BAD. */
	for (size_t i = 0; v && i < v->checks.n; i++) {
		const struct coffer_finding *c = &v->checks.items[i];

		(void)printf("%-9s %-16s %s\n", coffer_verdict_name(c->verdict),
			coffer_finding_name(c->id), c->text);
		if (c->advice[0])
			(void)printf("\t%s\n", c->advice);
	}
	coffer_verification_free(v);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	return COFFER_DONE;
}
