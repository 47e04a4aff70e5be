/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* header.c - check the LUKS2 header of a disk, an image file or a backup
 *
 *	cc -o header header.c $(pkg-config --cflags --libs libcoffer)
 *	./header /dev/vda2
 *	./header header-backup
 */
#include <inttypes.h>
#include <stdio.h>

#include <coffer/header.h>

int main(int argc, char **argv)
{
	struct coffer_header_check_options o = {0};
	struct coffer_header_report *report = NULL;
	struct coffer_err e = {0};
	int r;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s DEVICE|FILE\n", argv[0]);
		return COFFER_USAGE;
	}
	o.device = argv[1];
	r = coffer_header_check(&o, &report, &e);
	/* The report is set even if a check is BAD. */
	for (size_t i = 0; report && i < report->checks.n; i++) {
		const struct coffer_finding *c = &report->checks.items[i];

		if (c->verdict == COFFER_VERDICT_OK)
			continue;
		(void)printf("%-9s %-16s %s\n", coffer_verdict_name(c->verdict),
			coffer_finding_name(c->id), c->text);
		if (c->advice[0])
			(void)printf("\t%s\n", c->advice);
	}
	if (report && report->counts >= 0) {
		const struct coffer_header_copy *c = &report->copies[report->counts];

		(void)printf("%s, sequence number %" PRIu64 ", copy at byte %" PRIu64 "\n", c->uuid,
			c->sequence, c->offset);
	}
	coffer_header_report_free(report);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	return COFFER_DONE;
}
