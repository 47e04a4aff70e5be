/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - a clock that never jumps */
#pragma once

/* Seconds since an arbitrary moment. */
double coffer_clock(void);

/* Returns early at a signal. */
void coffer_sleep(double seconds);
