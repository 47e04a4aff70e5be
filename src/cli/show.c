/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show.c - print reports: lines for people, JSON for programs */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "base/quote.h"

enum {
	SCHEMA_VERSION = 2, /* of docs/report.schema.json */
	LONGEST = 8192,	    /* a line with a path in it */
};

/* --- for people --- */

/* Bytes of the UTF-8 character at @s; 0 when it is none. */
static size_t utf8_length(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	const size_t n = p[0] < 0x80	? 1
			 : p[0] < 0xc2	? 0
			 : p[0] < 0xe0	? 2
			 : p[0] < 0xf0	? 3
			 : p[0] <= 0xf4 ? 4
					: 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, and everything above U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* U+0080 to U+009F are control characters, too, and some terminals take the bytes for them. */
void coffer_show_text(FILE *f, const char *text)
{
	while (*text) {
		const unsigned char *p = (const unsigned char *)text;
		const size_t n = utf8_length(text);

		if (n == 0 || p[0] < ' ' || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
			(void)fputc('?', f);
		else
			(void)fwrite(text, 1, n, f);
		text += n > 0 ? n : 1;
	}
}

__attribute__((format(printf, 2, 0))) static void show_line(FILE *f, const char *fmt, va_list ap)
{
	char text[LONGEST];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	coffer_show_text(f, text);
	(void)fputc('\n', f);
}

void coffer_show_line(FILE *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	show_line(f, fmt, ap);
	va_end(ap);
}

void coffer_show_error(const char *text)
{
	coffer_show_line(stderr, "coffer: %s", text);
}

void coffer_show_field(FILE *f, const char *name, const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(f, "  %-9s ", name);
	va_start(ap, fmt);
	show_line(f, fmt, ap);
	va_end(ap);
}

void coffer_show_unlocked(FILE *f)
{
	coffer_show_field(f, "note", "cryptsetup was not locked out: no access to /run/cryptsetup");
}

void coffer_show_findings(FILE *f, const struct coffer_findings *l, bool all)
{
	static const char *const marks[] = {
		[COFFER_VERDICT_OK] = "ok",
		[COFFER_VERDICT_NOTE] = "note",
		[COFFER_VERDICT_UNCHECKED] = "skip",
		[COFFER_VERDICT_BAD] = "FAIL",
	};
	_Static_assert(ARRAY_SIZE(marks) == COFFER_N_VERDICTS, "every verdict has a mark");
	int width = 0;

	for (size_t i = 0; i < l->n; i++) {
		const int n = (int)strlen(coffer_finding_name(l->items[i].id));

		width = n > width ? n : width;
	}
	for (size_t i = 0; i < l->n; i++) {
		const struct coffer_finding *k = &l->items[i];

		if (k->verdict == COFFER_VERDICT_OK && !all)
			continue;
		coffer_show_line(f, "  %-4s  %-*s  %s", marks[k->verdict], width,
			coffer_finding_name(k->id), k->text);
		if (k->advice[0])
			coffer_show_line(f, "%*sfix: %s", width + 10, "", k->advice);
	}
}

void coffer_show_checks(
	const char *subject, const char *stage, const struct coffer_findings *l, bool all)
{
	coffer_show_line(stdout, "%s: %s%s%zu %s, %zu failed, %zu skipped", subject, stage,
		*stage ? "; " : "", l->n, l->n == 1 ? "check" : "checks",
		coffer_findings_count(l, COFFER_VERDICT_BAD),
		coffer_findings_count(l, COFFER_VERDICT_UNCHECKED));
	coffer_show_findings(stdout, l, all);
}

void coffer_show_word(FILE *f, const char *text)
{
	char word[4 * 1024];

	(void)coffer_quote(text, word, sizeof(word));
	(void)fprintf(f, " %s", word);
}

int coffer_show_end(int exit_code)
{
	return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : exit_code;
}

/* --- for programs --- */

/* @text with U+FFFD for what is not UTF-8. NULL: no memory. */
static char *clean_text(const char *text)
{
	char *clean = malloc(3 * strlen(text) + 1), *p = clean;

	if (!clean)
		return NULL;
	while (*text) {
		const size_t n = utf8_length(text);

		memcpy(p, n > 0 ? text : "\xef\xbf\xbd", n > 0 ? n : 3);
		p += n > 0 ? n : 3;
		text += n > 0 ? n : 1;
	}
	*p = '\0';
	return clean;
}

int coffer_json_put_text(struct json_object *o, const char *name, const char *value)
{
	_cleanup_free_ char *clean = clean_text(value);

	return clean ? coffer_json_put_string(o, name, clean) : -ENOMEM;
}

void coffer_json_put_known(struct json_object *o, const char *name, const char *value)
{
	if (*value)
		COFFER_PUT(o, name, value);
}

static void put_nonzero(struct json_object *o, const char *name, uint64_t value)
{
	if (value)
		COFFER_PUT(o, name, value);
}

static struct json_object *arguments_json(const struct coffer_finding *f)
{
	struct json_object *o = coffer_json_object_new();

	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *a = &f->arguments[i];

		if (a->type == COFFER_ARGUMENT_TEXT)
			coffer_json_put_known(o, a->name, a->text);
		else
			COFFER_PUT(o, a->name, a->number);
	}
	return o;
}

static struct json_object *command_json(char *const *words)
{
	struct json_object *array = coffer_json_array_new();

	for (; *words; words++) {
		_cleanup_free_ char *clean = clean_text(*words);

		if (clean)
			(void)coffer_json_append_string(array, clean);
	}
	return array;
}

struct json_object *coffer_json_findings(const struct coffer_findings *l)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < l->n; i++) {
		const struct coffer_finding *f = &l->items[i];
		struct json_object *o = coffer_json_object_new();

		COFFER_PUT(o, "id", coffer_finding_name(f->id));
		COFFER_PUT(o, "verdict", coffer_verdict_name(f->verdict));
		COFFER_PUT(o, "text", f->text);
		coffer_json_put_known(o, "advice", f->advice);
		if (f->n_arguments > 0)
			COFFER_PUT(o, "arguments", arguments_json(f));
		if (f->remedy)
			COFFER_PUT(o, "remedy", command_json(f->remedy));
		(void)coffer_json_append(array, o);
	}
	return array;
}

struct json_object *coffer_json_backup(const struct coffer_backup_info *b)
{
	static const char *const conversions[] = {
		[COFFER_BACKUP_NONE] = "none",
		[COFFER_BACKUP_CONVERTING] = "converting",
		[COFFER_BACKUP_OTHER] = "other",
	};
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "sealed", b->sealed);
	COFFER_PUT(o, "uuid", b->uuid);
	COFFER_PUT(o, "seqid", b->seqid);
	COFFER_PUT(o, "image_size", b->image_size);
	COFFER_PUT(o, "data_offset", b->data_offset);
	COFFER_PUT(o, "conversion", conversions[b->conversion]);
	if (b->conversion == COFFER_BACKUP_CONVERTING)
		COFFER_PUT(o, "pointer", b->pointer);
	if (b->sealed) {
		COFFER_PUT(o, "device_size", b->device_size);
		COFFER_PUT(o, "date", b->date);
		COFFER_PUT(o, "device", b->device);
		COFFER_PUT(o, "version", b->version);
	}
	coffer_json_put_known(o, "partuuid", b->partuuid);
	coffer_json_put_known(o, "id", b->id);
	return o;
}

static struct json_object *holders_json(const struct coffer_status *s)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < s->n_holders; i++) {
		const struct coffer_holder *h = &s->holders[i];
		struct json_object *o = coffer_json_object_new();

		COFFER_PUT(o, "kind", coffer_holder_kind_name(h->kind));
		COFFER_PUT(o, "name", h->name);
		coffer_json_put_known(o, "device", h->on);
		put_nonzero(o, "pid", (uint64_t)h->pid);
		if (h->kind == COFFER_HOLDER_PROCESS || h->kind == COFFER_HOLDER_REENCRYPTION)
			COFFER_PUT(o, "writes", h->writes);
		(void)coffer_json_append(array, o);
	}
	return array;
}

struct json_object *coffer_json_status(const struct coffer_status *s)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "device", s->device);
	COFFER_PUT(o, "size", s->size);
	COFFER_PUT(o, "block_device", s->is_block);
	COFFER_PUT(o, "stage", coffer_stage_name(s->stage));
	COFFER_PUT(o, "operation", coffer_operation_name(s->operation));
	coffer_json_put_known(o, "filesystem", s->filesystem);
	put_nonzero(o, "luks_version", (uint64_t)s->luks_version);
	coffer_json_put_known(o, "uuid", s->uuid);
	coffer_json_put_known(o, "cipher", s->cipher);
	put_nonzero(o, "sector_size", s->sector_size);
	put_nonzero(o, "device_size", s->device_size);
	put_nonzero(o, "data_offset", s->data_offset);
	put_nonzero(o, "data_size", s->data_size);
	if (s->total) {
		COFFER_PUT(o, "bytes_converted", s->converted);
		COFFER_PUT(o, "bytes_total", s->total);
	}
	COFFER_PUT(o, "can_abort", s->can_abort);
	COFFER_PUT(o, "holders", holders_json(s));
	COFFER_PUT(o, "holders_complete", s->holders_complete);
	COFFER_PUT(o, "locked", s->locked);
	coffer_json_put_known(o, "why", s->why);
	coffer_json_put_known(o, "next", s->next);
	return o;
}

void coffer_json_put_error(struct json_object *o, const struct coffer_err *e)
{
	const char *name = e->code != 0 ? strerrorname_np(e->code) : NULL;

	if (e->id != COFFER_FINDING_NONE)
		COFFER_PUT(o, "id", coffer_finding_name(e->id));
	if (name)
		COFFER_PUT(o, "errno", name);
	COFFER_PUT(o, "message", e->msg);
	coffer_json_put_known(o, "advice", e->advice);
}

void coffer_json_put_outcome(struct json_object *o, int exit_code, const struct coffer_err *e)
{
	static const char *const names[] = {
		[COFFER_DONE] = "done",
		[COFFER_FAILED] = "failed",
		[COFFER_USAGE] = "usage",
		[COFFER_NO] = "no",
		[COFFER_REFUSED] = "refused",
		[COFFER_INTERRUPTED] = "interrupted",
		[COFFER_NEEDS_REPAIR] = "needs-repair",
	};

	COFFER_PUT(o, "outcome", names[exit_code]);
	COFFER_PUT(o, "exit_code", (uint64_t)exit_code);
	if (exit_code != COFFER_DONE)
		coffer_json_put_error(o, e);
}

struct json_object *coffer_json_report(const struct coffer_call *call)
{
	struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "report", call->verb);
	if (call->device)
		COFFER_PUT(o, "device", call->device);
	return o;
}

int coffer_json_finish(struct json_object *o, int exit_code, const struct coffer_err *e)
{
	coffer_json_put_outcome(o, exit_code, e);
	return coffer_json_print(o) < 0 ? COFFER_FAILED : exit_code;
}

int coffer_json_print(struct json_object *o)
{
	const char *text;

	COFFER_PUT(o, "schema_version", (uint64_t)SCHEMA_VERSION);
	text = coffer_json_text(o);
	(void)printf("%s\n", text ? text : "{}");
	return text && fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}
