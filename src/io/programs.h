/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* programs.h - find a program, and ask one what it has to say about itself */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Where @name is installed: in $PATH, then in sbin, where an ordinary user does not look. */
bool coffer_program_find(const char *name, char *ret, size_t size);

/* Run @path with the one argument @option, and nothing to read, for 5 seconds at most. What it
 * writes to standard output and standard error goes to @ret, ended by a NUL and cut to @size;
 * *ret_status is what it ended with, -1 for a signal. 0; -errno when it cannot be started; -ETIME:
 * it was killed then; -ECHILD: another thread has waited for it. */
int coffer_program_ask(
	const char *path, const char *option, char *ret, size_t size, int *ret_status);
