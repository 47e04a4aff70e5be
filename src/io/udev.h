/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* udev.h - is there a udev that answers? Its socket alone says nothing: in a container it may be a
 * leftover, and who waits for udev there waits for ever. */
#pragma once
#include "report/judge_kernel.h"

/* Asked by connecting to its socket; nothing is sent. */
enum coffer_udev coffer_udev_look(void);
