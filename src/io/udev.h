/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* udev.h - does a udev answer? Its socket alone proves nothing: in a container it may be stale, and
 * a program that waits for udev there never ends. */
#pragma once

enum coffer_udev {
	COFFER_UDEV_NONE, /* no socket */
	COFFER_UDEV_ANSWERS,
	COFFER_UDEV_SILENT, /* a socket, but no process listens */
	COFFER_UDEV_HIDDEN, /* no access to the socket */
};

/* Connects to its socket and sends nothing. */
enum coffer_udev coffer_udev_probe(void);
