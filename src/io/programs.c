/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* programs.c - find a program */
#include "io/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

bool coffer_program_find(const char *name, char *ret, size_t size)
{
	static const char system_path[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
	const char *own = getenv("PATH");
	const char *const paths[] = {own ? own : "", system_path};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (const char *p = paths[i]; *p; p += strspn(p, ":")) {
			const size_t n = strcspn(p, ":");

			if (*p == '/' &&
				snprintf(ret, size, "%.*s/%s", (int)n, p, name) < (int)size &&
				access(ret, X_OK) == 0)
				return true;
			p += n;
		}
	return false;
}
