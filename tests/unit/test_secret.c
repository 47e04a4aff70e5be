/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_secret.c - memory for keys
 *
 * Built without sanitizers: theirs makes mlock() do nothing. */
#include "base/secret.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "tap.h"

/* VmFlags of the mapping that holds @p, from /proc/self/smaps; "" when there is none. */
static void vm_flags(const void *p, char ret[256])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool inside = false;
	char line[256];

	ret[0] = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)p >= from && (unsigned long)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			(void)snprintf(ret, 256, "%s", line + 8);
	}
	if (f)
		(void)fclose(f);
}

static bool has_flag(const void *p, const char *flag)
{
	char flags[256];

	vm_flags(p, flags);
	return strstr(flags, flag) != NULL;
}

static uint64_t locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	uint64_t kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %" SCNu64, &kib) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kib;
}

static void check_sizes(void)
{
	static const size_t sizes[] = {0, 1, 64, 4000, 4072, 4073, 4096, 8192, 65536};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint64_t before = locked_kib();
		struct coffer_secret *s = NULL;
		const size_t n = sizes[i];

		if (!ok(coffer_secret_new(n, &s, NULL) == 0, "%zu bytes: made", n))
			continue;
		ok(s->size == n && s->capacity == n && bytes_are_zero(s->data, n),
			"%zu bytes: zeroed", n);
		memset(s->data, 0xa5, n);
		ok(has_flag(s, " lo ") && (n == 0 || has_flag(s->data + n - 1, " lo ")),
			"%zu bytes: locked from the first to the last", n);
		ok(has_flag(s, " dd ") && (n == 0 || has_flag(s->data + n - 1, " dd ")),
			"%zu bytes: kept out of core dumps", n);
		ok(locked_kib() * 1024 >= before * 1024 + n, "%zu bytes: the kernel counts them",
			n);
		s->size = n / 2; /* the owner may lower it: all of it is wiped and given back */
		coffer_secret_free(s);
		ok(locked_kib() == before, "%zu bytes: unlocked when freed", n);
	}
	coffer_secret_free(NULL);
}

/* Runs @f in a child, whose exit status 0 is a success. */
static bool in_child(bool (*f)(struct coffer_secret *s), struct coffer_secret *s)
{
	const pid_t pid = fork();
	int status = 1;

	if (pid == 0)
		_exit(!f(s));
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool relock(struct coffer_secret *s)
{
	return !has_flag(s, " lo ") && coffer_secret_relock(s) == 0 && has_flag(s, " lo ");
}

static bool fill(struct coffer_secret *s)
{
	if (coffer_secret_relock(s) < 0)
		return false;
	memset(s->data, 0x5a, 32);
	s->size = 32;
	return true;
}

/* What a child puts into a secret is not the parent's. */
static void check_sharing(void)
{
	struct coffer_secret *own = NULL;

	if (!ok(coffer_secret_new(64, &own, NULL) == 0, "one to fill in a child"))
		return;
	ok(in_child(fill, own) && own->size == 64 && own->data[31] == 0,
		"a child's secret is its own");
	coffer_secret_free(own);
}

/* An ordinary user whose limit is used up: root would be allowed to lock anyway. */
static bool refuse_unlocked(struct coffer_secret *s)
{
	const struct rlimit none = {0, 0};
	struct coffer_err e = {0};

	if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setuid(65534) < 0))
		return false;
	return coffer_secret_new(64, &s, &e) == -ENOMEM && e.code == ENOMEM &&
	       strstr(e.msg, "ulimit -l") && coffer_secret_relock(s) < 0;
}

int main(void)
{
	struct coffer_secret *s = NULL;

	check_sizes();
	check_sharing();
	if (ok(coffer_secret_new(64, &s, NULL) == 0, "one for the children")) {
		ok(in_child(relock, s), "a child locks it again");
		ok(in_child(refuse_unlocked, s), "a key that cannot be locked is refused");
	}
	coffer_secret_free(s);
	s = NULL;
	ok(coffer_secret_new(SIZE_MAX / 2, &s, NULL) == -ENOMEM && !s, "no memory");
	return done_testing();
}
