/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fsck.c - run a filesystem's own checker, such that it changes nothing */
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
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "io/programs.h"

enum {
	POLL_MS = 50,
	PATIENCE_MS = 3000, /* between asking a checker to end and killing it */
	MAX_OUTPUT = 64 << 10
};

struct checker {
	const char *type; /* what libblkid's name for it begins with */
	const char *command;
	const char *argv[6];
	int errors; /* bits of the exit status that say: there are errors, and I have left them */
	/* A line before @begins, behind which names of files are printed, that begins so: then
	 * those errors count for nothing. */
	const char *unable[3];
	const char *begins;
	const char *routine[8];
};

static const struct checker checkers[] = {
	{"ext", "e2fsck -f -n", {"e2fsck", "-f", "-n"}, 4, {"Warning: skipping journal recovery"},
		"Pass 1", {"e2fsck", "Pass "}},
	/* one allocation group leaves nothing to compare the superblock with */
	{"xfs", "xfs_repair -n", {"xfs_repair", "-n", "-o", "force_geometry"}, 1,
		{"ALERT: The filesystem has valuable metadata changes in a log",
			"ERROR: The filesystem has valuable metadata changes in a log"},
		"Phase 3",
		{"Phase ", " ", "\t", "No modify flag", "Cannot get host", "Repair may fail",
			"the image and"}},
	/* it does not open what somebody has for himself, and that may be coffer */
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

static bool is_routine(const char *line, const char *const *routine)
{
	for (; *routine; routine++)
		if (strncmp(line, *routine, strlen(*routine)) == 0)
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
		if (!is_routine(line, routine))
			return;
	}
}

/* The line that says why the errors count for nothing. */
static bool is_unable(const struct checker *c, const char *output, char *ret, size_t size)
{
	const char *end = strstr(output, c->begins);
	size_t n;

	for (const char *line = output; *line && (!end || line < end);
		line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		for (size_t i = 0; i < ARRAY_SIZE(c->unable) && c->unable[i]; i++)
			if (strncmp(line, c->unable[i], strlen(c->unable[i])) == 0) {
				(void)snprintf(ret, size, "%.*s", (int)n, line);
				return true;
			}
	}
	return false;
}

/* What exec needs, made before the fork: afterwards nothing may ask for memory. */
struct command {
	char program[4096];
	char operand[4096];
	const char *argv[8];
	const char *env[3];
	int out, null;
	pid_t parent;
};

static int prepare(
	const struct checker *c, const char *path, struct command *ret, struct coffer_err *e)
{
	size_t n = 0;

	if (!coffer_program_find(c->argv[0], ret->program, sizeof(ret->program)))
		return coffer_err_set(e, ENOENT, "%s is not installed", c->argv[0]);
	/* Some end with the same status when they find errors and when they find no device. */
	if (access(path, R_OK) < 0)
		return coffer_err_errno(e, errno == ENOENT ? ENODEV : errno, "open %s", path);
	/* An operand that looks like an option is one to btrfs, whatever stands before it. */
	if (snprintf(ret->operand, sizeof(ret->operand), "%s%s", path[0] == '-' ? "./" : "",
		    path) >= (int)sizeof(ret->operand))
		return coffer_err_set(e, ENAMETOOLONG, "the name is too long for a checker");
	for (; c->argv[n]; n++)
		ret->argv[n] = c->argv[n];
	ret->argv[n] = ret->operand;
	ret->env[0] = "LC_ALL=C";
	ret->env[1] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	ret->parent = getpid();
	return 0;
}

/* In the child: say what is found to a file, read nothing, end with the parent. */
__attribute__((noreturn)) static void become(const struct command *c)
{
	struct rlimit limit;
	sigset_t none;

	/* The caller's handlers are not the checker's. */
	for (int s = SIGHUP; s <= SIGTERM; s++)
		(void)signal(s, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* What it prints lies in memory, and a filesystem can make it print more than there is. The
	 * rest is lost to it, as on a full disk, and it does not mind. Only xfs_repair takes such a
	 * limit away, and calls it an error if it may not. */
	(void)signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur > MAX_OUTPUT) {
		limit.rlim_cur = MAX_OUTPUT;
		(void)setrlimit(RLIMIT_FSIZE, &limit);
	}
	if (getppid() == c->parent && dup2(c->null, STDIN_FILENO) >= 0 &&
		dup2(c->out, STDOUT_FILENO) >= 0 && dup2(c->out, STDERR_FILENO) >= 0)
		(void)execve(c->program, (char *const *)c->argv, (char *const *)c->env);
	_exit(126);
}

/* Wait for the checker; -EINTR when it was ended because of @stop. */
static int wait_for(pid_t pid, const struct coffer_stop *stop, int *ret_status)
{
	const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
	int asked = -1; /* ms ago */
	pid_t done;

	while ((done = waitpid(pid, ret_status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
		if (asked < 0 && stop && stop->wanted && stop->wanted(stop->userdata)) {
			(void)kill(pid, SIGTERM);
			asked = 0;
		} else if (asked >= 0 && (asked += POLL_MS) > PATIENCE_MS) {
			(void)kill(pid, SIGKILL);
		}
		(void)nanosleep(&nap, NULL);
	}
	if (asked >= 0)
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
	if (text && is_unable(c, text, line, sizeof(line)))
		return coffer_err_set(e, EIO, "%s: %s", c->argv[0], line);
	if (code > 0 && code < 126 && (code & c->errors))
		return coffer_err_set(e, EBADMSG, "%s: %s", c->argv[0],
			line[0] ? line : "it found errors, and does not say which");
	if (code < 0)
		return coffer_err_set(e, EIO, "%s was ended by signal %d", c->argv[0],
			WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return coffer_err_set(
		e, EIO, "%s could not do its work (status %d): %s", c->argv[0], code, line);
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
		return coffer_err_set(e, EOPNOTSUPP, "coffer knows no checker for '%s'", type);
	if (out < 0 || null < 0)
		return coffer_err_errno(e, errno, "run %s", c->argv[0]);
	r = prepare(c, path, &command, e);
	if (r < 0)
		return r;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become(&command);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return coffer_err_errno(e, errno, "run %s", c->argv[0]);
	r = wait_for(pid, stop, &status);
	if (r == -ECHILD)
		return coffer_err_set(
			e, EIO, "the result of %s was taken by somebody else", c->argv[0]);
	return r < 0 ? r : judge(c, status, out, e);
}
