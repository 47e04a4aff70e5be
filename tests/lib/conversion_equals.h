/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conversion_equals.h - compare two conversions */
#pragma once

#include "convert/conversion.h"

static inline bool conversion_equals(
	const struct coffer_conversion *a, const struct coffer_conversion *b)
{
	return a->geometry.device == b->geometry.device && a->geometry.shift == b->geometry.shift &&
	       a->geometry.length == b->geometry.length &&
	       a->geometry.sector_size == b->geometry.sector_size && a->pointer == b->pointer &&
	       a->hot == b->hot && a->key_size == b->key_size;
}
