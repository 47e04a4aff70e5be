/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* free_map.c - what is free in a filesystem, and which bytes any use of it changes */
#include "fs/free_map.h"

#include <stdlib.h>

#include "base/bytes.h"

void coffer_fsmap_reset(struct coffer_fsmap *m)
{
	free(m->free);
	free(m->fixed);
	free(m->prints);
	*m = (struct coffer_fsmap){0};
}

int coffer_fsmap_add_print(
	struct coffer_fsmap *m, uint64_t start, uint64_t end, struct coffer_err *e)
{
	start = round_down_u64(start, 512);
	end = round_up_u64(end, 512);
	if (m->n_prints == COFFER_FSMAP_MAX_PRINTS && m->prints[m->n_prints - 1].end != start)
		return 0;
	return coffer_ranges_add(&m->prints, &m->n_prints, start, end, e);
}
