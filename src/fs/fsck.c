/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsck.c - run the checker of a filesystem, read-only */
#include "fs/fsck.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "io/clock.h"

enum {
	TERM_SECONDS = 3, /* between SIGTERM and SIGKILL */
	MAX_OUTPUT = 64 << 10
};

#define POLL 0.05 /* seconds */

struct checker {
	const char *type; /* a prefix of libblkid's name for the filesystem */
	const char *command;
	const char *argv[6];
	int errors; /* bits of the exit status: errors are left */
	/* A line that begins so means that the check is not valid. It comes before the line
	 * @begins, after which the checker prints names of files. */
	const char *unable[3];
	const char *begins;
	const char *routine[8]; /* prefixes of routine lines */
};

static const struct checker checkers[] = {
	{"ext", "e2fsck -f -n", {"e2fsck", "-f", "-n"}, 4, {"Warning: skipping journal recovery"},
		"Pass 1", {"e2fsck", "Pass "}},
	/* force_geometry: with one allocation group there is no superblock copy to compare */
	{"xfs", "xfs_repair -n", {"xfs_repair", "-n", "-o", "force_geometry"}, 1,
		{"ALERT: The filesystem has valuable metadata changes in a log",
			"ERROR: The filesystem has valuable metadata changes in a log"},
		"Phase 3",
		{"Phase ", " ", "\t", "No modify flag", "Cannot get host", "Repair may fail",
			"the image and"}},
	/* --force: the device may be open exclusively, by coffer itself */
	{"btrfs", "btrfs check --readonly", {"btrfs", "check", "--readonly", "--force"}, 1,
		{"ERROR: cannot open device", "ERROR: could not check mount status"},
		"Checking filesystem",
		{"Opening filesystem", "Checking filesystem", "UUID:", "[", "found ", "total ",
			"WARNING: "}},
};

static const struct checker *find(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(checkers); i++)
		if (strncmp(type, checkers[i].type, strlen(checkers[i].type)) == 0)
			return &checkers[i];
	return NULL;
}

const char *coffer_fsck_command(const char *type)
{
	const struct checker *c = find(type);

	return c ? c->command : NULL;
}

/* Does @line begin with one of the @prefixes, which end with NULL? */
static bool begins_with(const char *line, const char *const *prefixes)
{
	for (; *prefixes; prefixes++)
		if (strncmp(line, *prefixes, strlen(*prefixes)) == 0)
			return true;
	return false;
}

void coffer_fsck_complaint(const char *output, const char *const *routine, char *ret, size_t size)
{
	size_t n;

	ret[0] = '\0';
	for (const char *line = output; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		if (n == 0)
			continue;
		(void)snprintf(ret, size, "%.*s", n > 1000 ? 1000 : (int)n, line);
		if (!begins_with(line, routine))
			return;
	}
}

/* Find the line that makes the check invalid. */
static bool find_unable(const struct checker *c, const char *output, char *ret, size_t size)
{
	const char *end = strstr(output, c->begins);
	size_t n;

	for (const char *line = output; *line && (!end || line < end);
		line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		if (!begins_with(line, c->unable))
			continue;
		(void)snprintf(ret, size, "%.*s", (int)n, line);
		return true;
	}
	return false;
}

/* What exec needs, prepared before the fork: the child must not allocate memory. */
struct command {
	char program[4096];
	char operand[4096];
	const char *argv[8];
	int out, null;
	pid_t parent;
};

/* Find @name in $PATH, then in the system's folders: sbin is not in the path of ordinary users. */
static bool find_program(const char *name, char *ret, size_t size)
{
	const char *own = secure_getenv("PATH");
	const char *const paths[] = {
		own ? own : "", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		for (const char *p = paths[i]; *p; p += strspn(p, ":")) {
			const int n = (int)strcspn(p, ":");

			if (*p == '/' && snprintf(ret, size, "%.*s/%s", n, p, name) < (int)size &&
				access(ret, X_OK) == 0)
				return true;
			p += n;
		}
	return false;
}

static int prepare(
	const struct checker *c, const char *path, struct command *ret, struct coffer_err *e)
{
	size_t n = 0;

	if (!find_program(c->argv[0], ret->program, sizeof(ret->program)))
		return coffer_err_set(e, ENOENT, "%s is not installed", c->argv[0]);
	/* Some checkers have one status for errors and for a missing device. */
	if (access(path, R_OK) < 0)
		return coffer_err_errno(e, errno == ENOENT ? ENODEV : errno, "open %s", path);
	/* btrfs takes an operand that begins with '-' for an option, even after "--". */
	if (snprintf(ret->operand, sizeof(ret->operand), "%s%s", path[0] == '-' ? "./" : "",
		    path) >= (int)sizeof(ret->operand))
		return coffer_err_set(e, ENAMETOOLONG, "the name is too long for a checker");
	for (; c->argv[n]; n++)
		ret->argv[n] = c->argv[n];
	ret->argv[n] = ret->operand;
	ret->parent = getpid();
	return 0;
}

/* In the child: output to a file, no input, end with the parent. */
__attribute__((noreturn)) static void exec_checker(const struct command *c)
{
	static const char *const env[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	struct rlimit limit;
	sigset_t none;

	for (int s = SIGHUP; s <= SIGTERM; s++)
		(void)signal(s, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* The output is in memory, and a damaged filesystem can make it very long. The checkers
	 * ignore a failed write, as on a full disk. Only the soft limit is set: xfs_repair removes
	 * it, and fails if it cannot. */
	(void)signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur > MAX_OUTPUT) {
		limit.rlim_cur = MAX_OUTPUT;
		(void)setrlimit(RLIMIT_FSIZE, &limit);
	}
	if (getppid() == c->parent && dup2(c->null, STDIN_FILENO) >= 0 &&
		dup2(c->out, STDOUT_FILENO) >= 0 && dup2(c->out, STDERR_FILENO) >= 0)
		(void)execve(c->program, (char *const *)c->argv, (char *const *)env);
	_exit(126);
}

/* Wait for the checker; -EINTR when it was ended because of @stop. */
static int wait_for(pid_t pid, const struct coffer_stop *stop, int *ret_status)
{
	double kill_at = 0; /* 0: it was not asked to end */
	pid_t done;

	while ((done = waitpid(pid, ret_status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (kill_at == 0 && coffer_stop_wanted(stop)) {
			(void)kill(pid, SIGTERM);
			kill_at = coffer_clock() + TERM_SECONDS;
		} else if (kill_at > 0 && coffer_clock() > kill_at) {
			(void)kill(pid, SIGKILL);
		}
		coffer_sleep(POLL);
	}
	if (kill_at > 0)
		return -EINTR;
	return done < 0 ? -ECHILD : 0;
}

static int judge(const struct checker *c, int status, int out, struct coffer_err *e)
{
	_cleanup_free_ char *text = calloc(1, MAX_OUTPUT + 1);
	char line[512] = "";
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		return 0;
	if (text && pread(out, text, MAX_OUTPUT, 0) > 0)
		coffer_fsck_complaint(text, c->routine, line, sizeof(line));
	if (text && find_unable(c, text, line, sizeof(line)))
		return coffer_err_set(e, EIO, "%s: %s", c->argv[0], line);
	if (code > 0 && code < 126 && (code & c->errors))
		return coffer_err_set(
			e, EBADMSG, "%s: %s", c->argv[0], line[0] ? line : "it found errors");
	if (code < 0)
		return coffer_err_set(e, EIO, "%s was ended by signal %d", c->argv[0],
			WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return coffer_err_set(e, EIO, "%s failed (status %d): %s", c->argv[0], code, line);
}

int coffer_fsck(
	const char *type, const char *path, const struct coffer_stop *stop, struct coffer_err *e)
{
	const struct checker *c = find(type);
	_cleanup_close_ int out = memfd_create("coffer-checker", MFD_CLOEXEC);
	_cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct command command = {.out = out, .null = null};
	sigset_t all, before;
	int status = 0, r;
	pid_t pid;

	if (!c)
		return coffer_err_set(e, EOPNOTSUPP, "no checker is known for '%s'", type);
	if (out < 0 || null < 0)
		return coffer_err_errno(e, errno, "run %s", c->argv[0]);
	r = prepare(c, path, &command, e);
	if (r < 0)
		return r;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		exec_checker(&command);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return coffer_err_errno(e, errno, "run %s", c->argv[0]);
	r = wait_for(pid, stop, &status);
	if (r == -ECHILD)
		return coffer_err_set(e, EIO,
			"the exit status of %s is lost: another part of this program reaped it",
			c->argv[0]);
	return r < 0 ? r : judge(c, status, out, e);
}
