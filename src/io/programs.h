/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* programs.h - find a program */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Where @name is installed: in $PATH, then in sbin, where an ordinary user does not look. */
bool coffer_program_find(const char *name, char *ret, size_t size);
