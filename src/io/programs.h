/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* programs.h - find a program */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Find @name in $PATH, then in the system's folders: sbin is not in the path of ordinary users. */
bool coffer_program_find(const char *name, char *ret, size_t size);
