/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup.c - back up a LUKS2 header and compare the backup with the disk, or restore it
 *
 *	cc -o backup backup.c $(pkg-config --cflags --libs libcoffer)
 *	./backup /dev/vda2 /mnt/usb/vda2.header		# make and compare a backup
 *	./backup --restore /dev/vda2 /mnt/usb/vda2.header
 */
#include <stdio.h>
#include <string.h>

#include <coffer/backup.h>

static void print(const struct coffer_findings *checks)
{
	for (size_t i = 0; i < checks->n; i++) {
		const struct coffer_finding *c = &checks->items[i];

		(void)printf("%-9s %-12s %s\n", coffer_verdict_name(c->verdict),
			coffer_finding_name(c->id), c->text);
		if (c->advice[0])
			(void)printf("\t%s\n", c->advice);
	}
}

static int make(const char *device, const char *file, struct coffer_err *e)
{
	const struct coffer_header_backup_options o = {.device = device, .file = file};
	struct coffer_header_backup_result *r = NULL;
	int status;

	status = coffer_header_backup(&o, &r, e);
	if (status < 0)
		return status;
	(void)printf("%s: the header of the volume %s\n", file, r->info.uuid);
	print(&r->notes);
	coffer_header_backup_free(r);
	return 0;
}

static int restore(const char *device, const char *file, bool dry_run, struct coffer_err *e)
{
	/* Without a confirm callback, the call does not ask: ask before it. */
	const struct coffer_header_restore_options o = {
		.device = device, .file = file, .dry_run = dry_run};
	struct coffer_header_restore_result *r = NULL;
	const int status = coffer_header_restore(&o, &r, e);

	/* The checks are set even if the restore is refused. */
	if (r)
		print(&r->checks);
	coffer_header_restore_free(r);
	return status;
}

int main(int argc, char **argv)
{
	const bool restoring = argc == 4 && strcmp(argv[1], "--restore") == 0;
	struct coffer_err e = {0};
	int r;

	if (argc != 3 && !restoring) {
		(void)fprintf(stderr, "usage: %s [--restore] DEVICE FILE\n", argv[0]);
		return COFFER_USAGE;
	}
	if (restoring) {
		r = restore(argv[2], argv[3], false, &e);
	} else {
		r = make(argv[1], argv[2], &e);
		if (r == 0)
			r = restore(argv[1], argv[2], true, &e);
	}
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return (int)e.outcome;
	}
	return COFFER_DONE;
}
