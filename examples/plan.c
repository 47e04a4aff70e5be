/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.c - show what an encryption would do and how long it would take; writes nothing
 *
 *	cc -o plan plan.c $(pkg-config --cflags --libs libcoffer)
 *	./plan /dev/vda2
 */
#include <inttypes.h>
#include <stdio.h>

#include <coffer/plan.h>

int main(int argc, char **argv)
{
	struct coffer_encrypt_options run = {0}; /* the options of the run */
	struct coffer_plan_options o = {.encrypt = &run};
	struct coffer_plan *p;
	struct coffer_err e = {0};
	int code;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s DEVICE\n", argv[0]);
		return COFFER_USAGE;
	}
	run.device = argv[1];
	if (coffer_plan(&o, &p, &e) < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	/* Ids and verdicts are for programs, sentences for people. */
	for (size_t i = 0; i < p->preflight.n; i++) {
		const struct coffer_finding *c = &p->preflight.items[i];

		(void)printf("%-9s %-16s %s\n", coffer_verdict_name(c->verdict),
			coffer_finding_name(c->id), c->text);
		if (c->advice[0])
			(void)printf("\t%s\n", c->advice);
	}
	if (p->possible)
		(void)printf(
			"%" PRIu64 " bytes to move in %" PRIu64 " steps\n", p->to_move, p->steps);
	if (p->seconds > 0)
		(void)printf("about %.0f s, between %.0f and %.0f\n", p->seconds, p->seconds_low,
			p->seconds_high);
	for (size_t i = 0; i < p->n_phases; i++)
		(void)printf("power cut at '%s': %s\n", p->phases[i].phase, p->phases[i].worst);
	code = (int)p->outcome; /* DONE, or how the run would be refused */
	coffer_plan_free(p);
	return code;
}
