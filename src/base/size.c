/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* size.c - parse and format sizes */
#include "base/size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int coffer_size_parse(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *unit;
	uint64_t v;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno != 0)
		return -errno;
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || (end[1] && strcmp(end + 1, "iB") != 0))
			return -EINVAL;
		if (!mul_u64(v, UINT64_C(1) << (10 * (unit - units + 1)), &v))
			return -ERANGE;
	}
	if (v > INT64_MAX)
		return -ERANGE;
	*ret = v;
	return 0;
}

struct coffer_size_text coffer_size_format(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	struct coffer_size_text t;
	double v = (double)bytes;
	unsigned int i = 0;

	for (; v >= 1023.5 && i < 6; i++)
		v /= 1024;
	if (i == 0)
		(void)snprintf(t.s, sizeof(t.s), "%" PRIu64 " B", bytes);
	else
		(void)snprintf(t.s, sizeof(t.s), v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
	return t;
}
