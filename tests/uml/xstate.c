/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* xstate.c - lets user-mode Linux 6.1 run where the processor has more registers than it knows
 *
 * Its area for the registers of a process ends with PKRU (2,696 bytes). Where the host has AMX, the
 * host's kernel returns what fits, but takes back nothing less than the whole area (about 11 KiB):
 * PTRACE_SETREGSET fails, and no process of the guest starts. Preloaded, this adds the rest of the
 * area, with those registers in their initial state. A guest that used AMX would lose them; none
 * does.
 */
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define XSTATE_BV    512U     /* where the area lists the register groups in use */
#define GROUPS_KNOWN 0x2ffULL /* x87 to AVX-512, and PKRU */
#define AREA_MAX     65536U

/* The kernel of user-mode Linux has small stacks and one thread, so the area is no local variable.
 */
static uint8_t area[AREA_MAX];

static long area_set(pid_t pid, void *kind, const struct iovec *known)
{
	struct iovec whole = {.iov_base = area, .iov_len = sizeof(area)};
	uint64_t groups;

	/* How large the area is, only the host's kernel knows. */
	if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, kind, &whole))
		return -1;
	if (whole.iov_len <= known->iov_len || known->iov_len < XSTATE_BV + sizeof(groups))
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, known);

	memset(area, 0, whole.iov_len);
	memcpy(area, known->iov_base, known->iov_len);
	memcpy(&groups, area + XSTATE_BV, sizeof(groups));
	groups &= GROUPS_KNOWN;
	memcpy(area + XSTATE_BV, &groups, sizeof(groups));
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, &whole);
}

/* As in the C library, the requests that read a word return it. */
__attribute__((visibility("default"))) long ptrace(enum __ptrace_request request, ...)
{
	pid_t pid;
	void *addr, *data;
	long word = 0, r;
	va_list ap;

	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	addr = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);

	if (request == PTRACE_SETREGSET && (uintptr_t)addr == NT_X86_XSTATE)
		return area_set(pid, addr, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, request, pid, addr, data);
	r = syscall(SYS_ptrace, request, pid, addr, &word);
	return r ? r : word;
}
