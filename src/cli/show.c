/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show.c - what the reporting verbs print: sentences for people, objects for programs */
#include "cli/show.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "base/quote.h"

enum {
	SCHEMA_VERSION = 2 /* of docs/report.schema.json */
};

static const char *const outcome_names[] = {
	[COFFER_DONE] = "done",
	[COFFER_FAILED] = "failed",
	[COFFER_USAGE] = "usage",
	[COFFER_NO] = "no",
	[COFFER_REFUSED] = "refused",
	[COFFER_INTERRUPTED] = "interrupted",
	[COFFER_NEEDS_REPAIR] = "needs-repair",
};

const char *coffer_outcome_name(int exit_code)
{
	if (exit_code < 0 || (size_t)exit_code >= ARRAY_SIZE(outcome_names))
		return "failed";
	return outcome_names[exit_code];
}

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

/* A terminal takes U+0080 to U+009F for control characters as well, and some do so for the bytes.
 */
static void show_bytes(FILE *f, const char *text, size_t size)
{
	for (const char *end = text + size; text < end;) {
		const unsigned char *p = (const unsigned char *)text;
		const size_t n = utf8_length(text);

		if (n == 0 || p[0] < ' ' || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
			(void)fputc('?', f);
		else
			(void)fwrite(text, 1, n, f);
		text += n > 0 ? n : 1;
	}
}

void coffer_show_text(FILE *f, const char *text)
{
	show_bytes(f, text, strlen(text));
}

/* Columns of the terminal at @f, limited for readability; 0: no terminal,
 * and lines stay whole for grep. */
static size_t columns(FILE *f)
{
	enum {
		NARROWEST = 60,
		WIDEST = 100
	};
	struct winsize size;

	if (!isatty(fileno(f)))
		return 0;
	if (ioctl(fileno(f), TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col < NARROWEST ? 0 : size.ws_col > WIDEST ? WIDEST : size.ws_col;
}

/* Bytes of the word that begins at @text. Text in single quotes is a command to be copied,
 * so it stays in one piece; an apostrophe within a word quotes nothing. */
static size_t word_length(const char *text)
{
	const char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;

	if (!end)
		end = text;
	return (size_t)(end - text) + strcspn(end, " ");
}

void coffer_show_wrapped(FILE *f, size_t indent, const char *text)
{
	const size_t width = columns(f);
	size_t at = indent;

	while (width > 0 && *text) {
		const size_t n = word_length(text);

		if (at > indent && at + 1 + n > width) {
			(void)fprintf(f, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			(void)fputc(' ', f);
			at++;
		}
		show_bytes(f, text, n);
		at += n;
		text += n;
		text += strspn(text, " ");
	}
	coffer_show_text(f, text); /* all of it, where nothing is wrapped */
	(void)fputc('\n', f);
}

void coffer_show_error(const char *text)
{
	(void)fputs("coffer: ", stderr);
	coffer_show_text(stderr, text);
	(void)fputc('\n', stderr);
}

int coffer_show_end(int exit_code)
{
	return fflush(stdout) != 0 || ferror(stdout) ? COFFER_FAILED : exit_code;
}

void coffer_show_field(FILE *f, const char *name, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fprintf(f, "  %-12s ", name);
	coffer_show_wrapped(f, 15, text);
}

void coffer_show_unlocked(FILE *f)
{
	coffer_show_field(f, "note",
		"this user has no access to /run/cryptsetup: stock tools were not kept out");
}

void coffer_show_findings(FILE *f, const struct coffer_findings *c, bool all)
{
	static const char *const marks[] = {
		[COFFER_VERDICT_OK] = "ok",
		[COFFER_VERDICT_NOTE] = "note",
		[COFFER_VERDICT_UNCHECKED] = "unchecked",
		[COFFER_VERDICT_BAD] = "BAD",
	};
	_Static_assert(ARRAY_SIZE(marks) == COFFER_N_VERDICTS, "every verdict has a mark");

	for (size_t i = 0; i < c->n; i++) {
		const struct coffer_finding *k = &c->items[i];

		if (k->verdict == COFFER_VERDICT_OK && !all)
			continue;
		(void)fprintf(f, "  %-10s %-18s ", marks[k->verdict], coffer_finding_name(k->id));
		coffer_show_wrapped(f, 32, k->text);
		if (!k->advice[0])
			continue;
		(void)fprintf(f, "  %-10s %-18s -> ", "", "");
		coffer_show_wrapped(f, 35, k->advice);
	}
}

void coffer_show_report(
	const char *subject, const char *stage, const struct coffer_findings *c, bool all)
{
	coffer_show_text(stdout, subject);
	(void)printf("%s%s%c %zu checks, %zu bad, %zu not possible\n", *stage ? ": " : "", stage,
		*stage ? ';' : ':', c->n, coffer_findings_count(c, COFFER_VERDICT_BAD),
		coffer_findings_count(c, COFFER_VERDICT_UNCHECKED));
	coffer_show_findings(stdout, c, all);
}

void coffer_show_word(FILE *f, const char *text)
{
	char word[4 * 1024];

	coffer_quote(text, word, sizeof(word));
	(void)fprintf(f, " %s", word);
}

/* @text with what is not UTF-8 replaced; NULL: no memory. */
static char *clean_text(const char *text)
{
	char *clean = malloc(3 * strlen(text) + 1);
	char *p = clean;

	if (!clean)
		return NULL;
	while (*text) {
		const size_t k = utf8_length(text);

		if (k > 0) {
			memcpy(p, text, k);
			p += k;
			text += k;
		} else {
			memcpy(p, "\xef\xbf\xbd", 3);
			p += 3;
			text++;
		}
	}
	*p = '\0';
	return clean;
}

void coffer_json_put_text(struct json_object *o, const char *key, const char *text)
{
	_cleanup_free_ char *clean = clean_text(text);

	if (clean)
		(void)coffer_json_put_string(o, key, clean);
}

/* What the sentence is made of. */
static void put_arguments(struct json_object *o, const struct coffer_finding *f)
{
	struct json_object *arguments;

	if (f->n_arguments == 0)
		return;
	arguments = coffer_json_object_new();
	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *a = &f->arguments[i];

		if (a->type != COFFER_ARGUMENT_TEXT)
			(void)coffer_json_put_u64(arguments, a->name, a->number);
		else if (a->text[0])
			coffer_json_put_text(arguments, a->name, a->text);
	}
	(void)coffer_json_put(o, "arguments", arguments);
}

static void put_remedy(struct json_object *o, const struct coffer_finding *f)
{
	struct json_object *remedy;

	if (!f->remedy)
		return;
	remedy = coffer_json_array_new();
	for (char **word = f->remedy; *word; word++) {
		_cleanup_free_ char *clean = clean_text(*word);

		if (clean)
			(void)coffer_json_append_string(remedy, clean);
	}
	(void)coffer_json_put(o, "remedy", remedy);
}

void coffer_json_put_known(struct json_object *o, const char *key, const char *text)
{
	if (*text)
		coffer_json_put_text(o, key, text);
}

void coffer_json_put_findings(
	struct json_object *o, const char *key, const struct coffer_findings *c)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < c->n; i++) {
		struct json_object *check = coffer_json_object_new();

		(void)coffer_json_put_string(check, "id", coffer_finding_name(c->items[i].id));
		(void)coffer_json_put_string(
			check, "verdict", coffer_verdict_name(c->items[i].verdict));
		coffer_json_put_text(check, "text", c->items[i].text);
		if (c->items[i].advice[0])
			coffer_json_put_text(check, "advice", c->items[i].advice);
		put_arguments(check, &c->items[i]);
		put_remedy(check, &c->items[i]);
		(void)coffer_json_append(array, check);
	}
	(void)coffer_json_put(o, key, array);
}

void coffer_json_put_backup(
	struct json_object *o, const char *key, const struct coffer_backup_info *b)
{
	static const char *const conversions[] = {
		[COFFER_BACKUP_NONE] = "none",
		[COFFER_BACKUP_CONVERTING] = "converting",
		[COFFER_BACKUP_OTHER] = "other",
	};
	struct json_object *info = coffer_json_object_new();

	(void)coffer_json_put_bool(info, "sealed", b->sealed);
	coffer_json_put_text(info, "uuid", b->uuid);
	(void)coffer_json_put_u64(info, "seqid", b->seqid);
	(void)coffer_json_put_u64(info, "image_size", b->image_size);
	(void)coffer_json_put_u64(info, "data_offset", b->data_offset);
	(void)coffer_json_put_string(info, "conversion", conversions[b->conversion]);
	if (b->conversion == COFFER_BACKUP_CONVERTING)
		(void)coffer_json_put_u64(info, "pointer", b->pointer);
	if (b->sealed) {
		(void)coffer_json_put_u64(info, "device_size", b->device_size);
		(void)coffer_json_put_u64(info, "date", b->date);
		coffer_json_put_text(info, "device", b->device);
		coffer_json_put_text(info, "version", b->version);
	}
	coffer_json_put_known(info, "partuuid", b->partuuid);
	coffer_json_put_known(info, "id", b->id);
	(void)coffer_json_put(o, key, info);
}

static struct json_object *holders_json(const struct coffer_status *s)
{
	struct json_object *array = coffer_json_array_new();

	for (size_t i = 0; i < s->n_holders; i++) {
		const struct coffer_holder *u = &s->holders[i];
		struct json_object *o = coffer_json_object_new();

		(void)coffer_json_put_string(o, "kind", coffer_holder_kind_name(u->kind));
		coffer_json_put_text(o, "name", u->name);
		coffer_json_put_known(o, "device", u->on);
		if (u->pid > 0)
			(void)coffer_json_put_int(o, "pid", (int)u->pid);
		if (u->kind == COFFER_HOLDER_PROCESS || u->kind == COFFER_HOLDER_REENCRYPTION)
			(void)coffer_json_put_bool(o, "writes", u->writes);
		(void)coffer_json_append(array, o);
	}
	return array;
}

struct json_object *coffer_json_status(const struct coffer_status *s)
{
	struct json_object *o = coffer_json_object_new();

	coffer_json_put_text(o, "device", s->device);
	(void)coffer_json_put_u64(o, "size", s->size);
	(void)coffer_json_put_bool(o, "block_device", s->is_block);
	(void)coffer_json_put_string(o, "stage", coffer_stage_name(s->stage));
	(void)coffer_json_put_string(o, "operation", coffer_operation_name(s->operation));
	coffer_json_put_known(o, "filesystem", s->filesystem);
	if (s->luks_version)
		(void)coffer_json_put_int(o, "luks_version", s->luks_version);
	coffer_json_put_known(o, "uuid", s->uuid);
	coffer_json_put_known(o, "cipher", s->cipher);
	if (s->sector_size)
		(void)coffer_json_put_u64(o, "sector_size", s->sector_size);
	if (s->device_size)
		(void)coffer_json_put_u64(o, "device_size", s->device_size);
	if (s->data_offset)
		(void)coffer_json_put_u64(o, "data_offset", s->data_offset);
	if (s->data_size)
		(void)coffer_json_put_u64(o, "data_size", s->data_size);
	if (s->total) {
		(void)coffer_json_put_u64(o, "bytes_converted", s->converted);
		(void)coffer_json_put_u64(o, "bytes_total", s->total);
	}
	(void)coffer_json_put_bool(o, "can_abort", s->can_abort);
	(void)coffer_json_put(o, "holders", holders_json(s));
	(void)coffer_json_put_bool(o, "holders_complete", s->holders_complete);
	(void)coffer_json_put_bool(o, "locked", s->locked);
	coffer_json_put_known(o, "why", s->why);
	coffer_json_put_known(o, "next", s->next);
	return o;
}

struct json_object *coffer_json_report(const char *verb)
{
	struct json_object *o = coffer_json_object_new();

	(void)coffer_json_put_string(o, "report", verb);
	return o;
}

int coffer_json_print(struct json_object *o)
{
	const char *text;

	(void)coffer_json_put_int(o, "schema_version", SCHEMA_VERSION);
	text = coffer_json_text(o);
	(void)printf("%s\n", text ? text : "{}");
	return text && fflush(stdout) == 0 && !ferror(stdout) ? 0 : -1;
}

void coffer_json_put_error(struct json_object *o, const struct coffer_err *e)
{
	const char *name = e->code != 0 ? strerrorname_np(e->code) : NULL;

	if (e->id != COFFER_FINDING_NONE)
		(void)coffer_json_put_string(o, "id", coffer_finding_name(e->id));
	if (name)
		(void)coffer_json_put_string(o, "errno", name);
	coffer_json_put_text(o, "message", e->msg);
	coffer_json_put_known(o, "advice", e->advice);
}

int coffer_json_finish(struct json_object *o, int exit_code, const struct coffer_err *e)
{
	(void)coffer_json_put_string(o, "outcome", coffer_outcome_name(exit_code));
	(void)coffer_json_put_int(o, "exit_code", exit_code);
	if (exit_code != COFFER_DONE)
		coffer_json_put_error(o, e);
	return coffer_json_print(o) < 0 ? COFFER_FAILED : exit_code;
}
