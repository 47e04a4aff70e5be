/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* udev.c - is there a udev that answers */
#include "io/udev.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"

enum coffer_udev coffer_udev_probe(void)
{
	const struct sockaddr_un control = {.sun_family = AF_UNIX, .sun_path = "/run/udev/control"};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return COFFER_UDEV_HIDDEN;
	if (connect(fd, (const struct sockaddr *)&control, sizeof(control)) == 0 || errno == EAGAIN)
		return COFFER_UDEV_ANSWERS; /* EAGAIN: its queue is full */
	if (errno == ENOENT || errno == ENOTDIR)
		return COFFER_UDEV_NONE;
	return errno == EACCES || errno == EPERM ? COFFER_UDEV_HIDDEN : COFFER_UDEV_SILENT;
}
