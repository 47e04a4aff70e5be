/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status.c - show the stage of disks and the next command; without operands, of all disks
 *
 *	cc -o status status.c $(pkg-config --cflags --libs libcoffer)
 *	./status disk.img /dev/vda2
 */
#include <stdio.h>

#include <coffer/status.h>

static int show(const char *device)
{
	struct coffer_status *s;
	struct coffer_err e = {0};

	if (coffer_status(device, &s, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	(void)printf("%s: %s", device, coffer_stage_name(s->stage));
	if (s->stage == COFFER_STAGE_CONVERTING && s->data_size)
		(void)printf(", %.0f %%", 100.0 * (double)s->converted / (double)s->total);
	(void)printf("\n");
	if (s->why[0])
		(void)printf("\twhy: %s\n", s->why);
	for (size_t i = 0; i < s->n_holders; i++)
		(void)printf("\tin use: %s %s\n", coffer_holder_kind_name(s->holders[i].kind),
			s->holders[i].name);
	if (s->next[0])
		(void)printf("\tnext: %s\n", s->next);
	coffer_status_free(s);
	return COFFER_DONE;
}

/* The worst of two answers. */
static int worse(int a, int b)
{
	return a > b ? a : b;
}

int main(int argc, char **argv)
{
	struct coffer_err e = {0};
	char **list = NULL;
	int code = COFFER_DONE;

	for (int i = 1; i < argc; i++)
		code = worse(code, show(argv[i]));
	if (argc > 1)
		return code;

	if (coffer_device_list(&list, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	for (char **device = list; *device; device++)
		code = worse(code, show(*device));
	coffer_device_list_free(list);
	return code;
}
