/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cleanup.h - resources that free themselves at the end of their scope */
#pragma once
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Define cleanup_<name>() for a pointer type whose destructor accepts NULL. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define DEFINE_CLEANUP(type, name, destructor)                                                     \
	static inline void cleanup_##name(type *p)                                                 \
	{                                                                                          \
		destructor(*p);                                                                    \
	}                                                                                          \
	struct cleanup_##name##_needs_a_semicolon
/* NOLINTEND(bugprone-macro-parentheses) */

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	/* Only where an error of close is irrelevant: read-only, memfd, error paths. The owner of a
	 * descriptor that was written to flushes it first and checks that. */
	if (*fd >= 0)
		(void)close(*fd);
}

#define _cleanup_(f)	__attribute__((cleanup(f)))
#define _cleanup_free_	_cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

/* Hand over ownership: the value is returned, and -1 or NULL stays. */
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int take_fd_ = (fd);                                                               \
		(fd) = -1;                                                                         \
		take_fd_;                                                                          \
	})
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) take_ptr_ = (p);                                                     \
		(p) = NULL;                                                                        \
		take_ptr_;                                                                         \
	})
