/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* proc.c - parse text from /proc: locks, descriptors, processes, memory, modules */
#include "block/proc.h"

#include <errno.h>
#include <string.h>

struct text {
	const char *p;
	size_t n;
};

bool coffer_next_line(const char **text, size_t *left, const char **ret, size_t *ret_n)
{
	const char *end;

	if (*left == 0)
		return false;
	end = memchr(*text, '\n', *left);
	*ret = *text;
	*ret_n = end ? (size_t)(end - *text) : *left;
	*text += *ret_n + (end != NULL);
	*left -= *ret_n + (end != NULL);
	return true;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word; empty at the end of the line. */
static struct text word(struct text *t)
{
	struct text w;

	while (t->n > 0 && blank(*t->p)) {
		t->p++;
		t->n--;
	}
	w = (struct text){.p = t->p};
	while (t->n > 0 && !blank(*t->p)) {
		t->p++;
		t->n--;
		w.n++;
	}
	return w;
}

static bool is(struct text w, const char *s)
{
	return w.n == strlen(s) && memcmp(w.p, s, w.n) == 0;
}

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned int)(c - 'a') + 10;
	return 16;
}

/* Digits and nothing else, as the kernel prints them: no sign, small letters. */
static bool number(struct text w, unsigned int base, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (w.n == 0)
		return false;
	for (size_t i = 0; i < w.n; i++) {
		const unsigned int d = digit(w.p[i]);

		if (d >= base || v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	*ret = v;
	return true;
}

/* Split @w at its first ':'; false when it has none. */
static bool split(struct text w, struct text *front, struct text *back)
{
	const char *colon = w.n ? memchr(w.p, ':', w.n) : NULL;

	if (!colon)
		return false;
	*front = (struct text){.p = w.p, .n = (size_t)(colon - w.p)};
	*back = (struct text){.p = colon + 1, .n = w.n - front->n - 1};
	return true;
}

static bool read_pid(struct text w, int32_t *ret)
{
	uint64_t v;

	if (is(w, "-1")) { /* of open file description locks */
		*ret = -1;
		return true;
	}
	if (!number(w, 10, INT32_MAX, &v))
		return false;
	*ret = (int32_t)v;
	return true;
}

/* MAJOR:MINOR:INODE */
static bool read_file(struct text w, struct coffer_lock_line *l)
{
	struct text maj, min, ino, rest;
	uint64_t a, b;

	if (!split(w, &maj, &rest) || !split(rest, &min, &ino) ||
		!number(maj, 16, UINT32_MAX, &a) || !number(min, 16, UINT32_MAX, &b) ||
		!number(ino, 10, UINT64_MAX, &l->ino))
		return false;
	l->major = (uint32_t)a;
	l->minor = (uint32_t)b;
	return true;
}

/* "1: FLOCK  ADVISORY  WRITE 812 00:19:1234 0 EOF", and "1: -> FLOCK ..." for one that waits. */
int coffer_lock_parse(const char *line, size_t n, struct coffer_lock_line *ret)
{
	struct text t = {.p = line, .n = n}, w, id, nothing;
	struct coffer_lock_line l = {0};
	uint64_t v;

	if (!split(word(&t), &id, &nothing) || nothing.n > 0 || !number(id, 10, UINT64_MAX, &v))
		return -EBADMSG;
	w = word(&t);
	if (is(w, "->")) {
		l.waits = true;
		w = word(&t);
	}
	l.flock = is(w, "FLOCK");
	(void)word(&t); /* ADVISORY and the like */
	(void)word(&t); /* READ, WRITE */
	if (!read_pid(word(&t), &l.pid) || !read_file(word(&t), &l))
		return -EBADMSG;
	/* Without the range the line is incomplete, perhaps within the inode. */
	if (word(&t).n == 0 || word(&t).n == 0)
		return -EBADMSG;
	*ret = l;
	return 0;
}

int coffer_fdinfo_parse(const char *text, size_t n, struct coffer_fdinfo *ret)
{
	struct coffer_fdinfo info = {0};
	struct coffer_lock_line lock;
	bool has_flags = false;
	struct text line;

	while (coffer_next_line(&text, &n, &line.p, &line.n)) {
		const struct text name = word(&line);
		uint64_t v;

		if (is(name, "flags:") && !has_flags) {
			if (!number(word(&line), 8, UINT32_MAX, &v))
				return -EBADMSG;
			info.flags = (uint32_t)v;
			has_flags = true;
		} else if (is(name, "lock:") && coffer_lock_parse(line.p, line.n, &lock) == 0) {
			info.flocked |= lock.flock && !lock.waits;
		}
	}
	if (!has_flags)
		return -EBADMSG;
	*ret = info;
	return 0;
}

char coffer_proc_state_parse(const char *text, size_t n)
{
	const char *end = n ? memrchr(text, ')', n) : NULL;
	struct text t, w;

	if (!end)
		return 0;
	t = (struct text){.p = end + 1, .n = n - (size_t)(end + 1 - text)};
	w = word(&t);
	return w.n == 1 ? *w.p : 0;
}

int coffer_proc_number(const char *text, size_t n, const char *name, uint64_t *ret)
{
	struct text line;

	while (coffer_next_line(&text, &n, &line.p, &line.n))
		if (is(word(&line), name) && number(word(&line), 10, UINT64_MAX, ret))
			return 0;
	return -ENODATA;
}

bool coffer_module_line(const char *line, size_t n, const char *module)
{
	struct text t = {.p = line, .n = n};
	struct text path = word(&t);
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	const size_t want = strlen(module);

	if (slash) {
		path.n -= (size_t)(slash + 1 - path.p);
		path.p = slash + 1;
	}
	if (path.n < want + 3 || memcmp(path.p + want, ".ko", 3) != 0)
		return false;
	for (size_t i = 0; i < want; i++)
		if ((path.p[i] == '-' ? '_' : path.p[i]) != (module[i] == '-' ? '_' : module[i]))
			return false;
	return true;
}
