/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* udev.h - is there a udev that answers? Its socket alone proves nothing: in a container it may be
 * stale, and a program that waits for udev there never ends. */
#pragma once

enum coffer_udev {
	COFFER_UDEV_NONE, /* it was never here */
	COFFER_UDEV_ANSWERS,
	COFFER_UDEV_SILENT, /* its socket is there, and no process listens */
	COFFER_UDEV_HIDDEN, /* this user may not ask */
};

/* Asked by connecting to its socket; nothing is sent. */
enum coffer_udev coffer_udev_probe(void);
