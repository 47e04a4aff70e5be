/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsmap.c - what src/fs/fsmap.c finds, as JSON
 *
 * Opened as a run would open it: alone, and for writing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/open.h"
#include "fs/fsmap.h"
#include "io/dev.h"

static void print_ranges(const char *name, struct coffer_ranges l)
{
	printf(", \"%s\": [", name);
	for (size_t i = 0; i < l.n; i++)
		printf("%s[%llu, %llu]", i ? ", " : "", (unsigned long long)l.items[i].start,
			(unsigned long long)l.items[i].end);
	printf("]");
}

static int fail(int r, const struct coffer_err *e)
{
	/* The sentences have no quotes in them, or the test that reads this fails. */
	printf("{\"code\": %d, \"error\": \"%s\"}\n", -r, e->msg);
	return 1;
}

static int show(struct coffer_dev *d, bool mount)
{
	_cleanup_free_ uint8_t *head = coffer_dev_buffer(COFFER_SUPERBLOCK_BYTES);
	struct coffer_fsmap m = {0};
	struct coffer_err e = {0};
	struct coffer_fs fs = {0};
	int r;

	if (!head)
		return 2;
	r = coffer_dev_read(d, head, COFFER_SUPERBLOCK_BYTES, 0, &e);
	if (r == 0)
		r = coffer_superblock_read(head, COFFER_SUPERBLOCK_BYTES, &fs, &e);
	if (r == 0)
		r = coffer_fsmap_read(d, &fs, mount, &m, &e);
	if (r < 0)
		return fail(r, &e);
	printf("{\"source\": \"%s\", \"end\": %llu", m.source, (unsigned long long)fs.end);
	print_ranges("free", m.free);
	print_ranges("fixed", m.fixed);
	print_ranges("prints", m.prints);
	puts("}");
	coffer_fsmap_reset(&m);
	return 0;
}

int main(int argc, char **argv)
{
	const bool mount = argc < 2 || strcmp(argv[1], "--no-mount") != 0;
	_cleanup_dev_ struct coffer_dev *d = NULL;
	struct coffer_err e = {0};
	int r;

	if (argc != (mount ? 2 : 3)) {
		fputs("usage: fsmap [--no-mount] DEVICE\n", stderr);
		return 2;
	}
	r = coffer_dev_open(argv[argc - 1], &d, &e);
	return r < 0 ? fail(r, &e) : show(d, mount);
}
