/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* finding_named.h - findings by the name of their id, as the rows of tests write it */
#pragma once
#include <string.h>

#include "coffer/finding.h"

/* The first finding of this name; NULL when there is none. */
static inline const struct coffer_finding *finding_named(
	const struct coffer_findings *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(coffer_finding_name(l->items[i].id), name) == 0)
			return &l->items[i];
	return NULL;
}
