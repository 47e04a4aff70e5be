/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* repair.c - list what is wrong on a disk, ask for confirmation, and repair it
 *
 *	cc -o repair repair.c $(pkg-config --cflags --libs libcoffer)
 *	./repair /dev/vda2
 *
 * Without a passphrase callback, an interrupted conversion is not resumed: encrypt.c does that. */
#include <stdio.h>

#include <coffer/repair.h>

static bool confirm(void *userdata, const struct coffer_repair_result *r)
{
	char answer[16];

	(void)userdata;
	for (size_t i = 0; i < r->findings.n; i++)
		(void)printf("%s: %s\n", coffer_verdict_name(r->findings.items[i].verdict),
			r->findings.items[i].text);
	for (size_t i = 0; i < r->n_actions; i++)
		(void)printf("%s: %s\n", coffer_repair_kind_name(r->actions[i].kind),
			r->actions[i].text);
	(void)printf("Do it? (yes/no) ");
	(void)fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && answer[0] == 'y';
}

int main(int argc, char **argv)
{
	struct coffer_repair_options o = {.confirm = confirm};
	struct coffer_repair_result *result = NULL;
	struct coffer_err e = {0};
	int r;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s DEVICE\n", argv[0]);
		return COFFER_USAGE;
	}
	o.device = argv[1];
	r = coffer_repair(&o, &result, &e);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", e.msg);
	else if (result->n_actions == 0)
		(void)printf("nothing to repair\n");
	else
		(void)printf("%zu of %zu done, now: %s\n", result->n_done, result->n_actions,
			coffer_stage_name(result->stage_after));
	coffer_repair_free(result);
	return r < 0 ? (int)e.outcome : COFFER_DONE;
}
