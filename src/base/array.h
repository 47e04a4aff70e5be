/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* array.h - arrays that grow by one item at a time */
#pragma once
#include <stdbool.h>
#include <stdlib.h>

/* Make space for one more item after @n. The capacity is not stored: it is the next power of two,
 * so an array must have grown by this alone. false: no memory, and the array is unchanged. */
#define ARRAY_ROOM(items, n)                                                                       \
	({                                                                                         \
		bool room_ = true;                                                                 \
		if (((n) & ((n)-1)) == 0) {                                                        \
			void *more_ = reallocarray((items), (n) ? 2 * (n) : 1, sizeof(*(items)));  \
			room_ = more_ != NULL;                                                     \
			if (room_)                                                                 \
				(items) = more_;                                                   \
		}                                                                                  \
		room_;                                                                             \
	})
