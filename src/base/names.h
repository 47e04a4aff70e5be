/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.h - the names of an enum's values */
#pragma once
#include <assert.h>

#include "base/cleanup.h"

/* Define @function, which returns the name of each of the @n values; "unknown" for others. */
#define DEFINE_NAMES(function, type, n, ...)                                                       \
	const char *function(type value)                                                           \
	{                                                                                          \
		static const char *const names[] = {__VA_ARGS__};                                  \
		static_assert(ARRAY_SIZE(names) == (n), "every value has a name");                 \
		return (unsigned int)value < (n) ? names[value] : "unknown";                       \
	}
