/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* doctor.c - print what needs attention, one finding per line, for a monitoring system
 *
 *	cc -o doctor doctor.c $(pkg-config --cflags --libs libcoffer)
 *	./doctor			# this machine and all of its encrypted disks
 *	./doctor /dev/vda2		# this machine and one disk
 */
#include <stdio.h>

#include <coffer/doctor.h>

static void show(const char *where, const struct coffer_findings *checks)
{
	for (size_t i = 0; i < checks->n; i++) {
		const struct coffer_finding *c = &checks->items[i];

		if (c->verdict != COFFER_VERDICT_BAD)
			continue;
		(void)printf("%s: %s: %s\n", where, coffer_finding_name(c->id), c->text);
		if (c->advice[0])
			(void)printf("\t%s\n", c->advice);
	}
}

int main(int argc, char **argv)
{
	/* argv ends with NULL, as the list of devices must; an empty list means all disks. */
	const struct coffer_doctor_options o = {.devices = (const char *const *)argv + (argc > 0)};
	struct coffer_doctor_report *d = NULL;
	struct coffer_err e = {0};
	int r;

	r = coffer_doctor(&o, &d, &e);
	if (d)
		show("machine", &d->machine);
	for (size_t i = 0; d && i < d->n_disks; i++)
		show(d->disks[i].device, &d->disks[i].checks);
	coffer_doctor_free(d);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	return COFFER_DONE;
}
