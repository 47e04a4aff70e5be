/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nomem.h - memory that runs out at a chosen request
 *
 * Only what coffer itself asks for is counted and fails: the program is linked with "--wrap", so a
 * shared library's own requests are not touched. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on the request number @at (from 1; 0: none) fails, and with @all each one after it, in
 * this process and in its children. */
void nomem_begin(uint64_t at, bool all);
/* Requests are served again. How many there were. */
uint64_t nomem_end(void);
/* How many there were before the first write to the disk; 0: it was not written to. */
uint64_t nomem_before_writing(void);
/* The function whose request failed; "unknown" without sanitizers. */
void nomem_where(char *ret, size_t size);
