/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - a clock that never jumps */
#pragma once

/* Seconds since some moment in the past. */
double coffer_clock(void);

/* Sleep that long, or until a signal comes. */
void coffer_sleep(double seconds);
