/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* devices.c - the list of block devices, for callers of the library */
#include <errno.h>

#include "base/array.h"
#include "base/err.h"
#include "block/devices.h"
#include "coffer/status.h"

int coffer_device_list(char ***ret, struct coffer_err *e)
{
	_cleanup_devices_ struct coffer_devices b = {0};
	const int r = coffer_devices_read("", &b, e);

	if (r < 0)
		return r;
	if (!ARRAY_ROOM(b.items, b.n))
		return coffer_err_errno(e, ENOMEM, "list the block devices");
	b.items[b.n] = NULL;
	*ret = TAKE_PTR(b.items);
	b.n = 0;
	return 0;
}

void coffer_device_list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}
