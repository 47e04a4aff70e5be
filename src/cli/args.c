/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* args.c - parse a verb's options by its rows, and show them as help */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"

enum {
	MAX_OPTIONS = 40,
	FIRST_LONG = 256, /* getopt's number of the first row; above all letters */
	HELP_COLUMN = 29,
};

struct text {
	char s[160];
};

/* --- values --- */

static int refuse(const struct coffer_option *o, const char *value, const char *expected,
	struct coffer_err *e)
{
	return coffer_err_usage(e, "--%s: expected %s, got '%s'", o->name, expected, value);
}

/* "a, b or c" */
static struct text join_words(const char *const *words)
{
	struct text t = {""};
	size_t n = 0;

	for (size_t i = 0; words[i] && n < sizeof(t.s); i++)
		n += (size_t)snprintf(t.s + n, sizeof(t.s) - n, "%s%s",
			i == 0	       ? ""
			: words[i + 1] ? ", "
				       : " or ",
			words[i]);
	return t;
}

/* The number of the word of @n bytes at @value; -1: it is none of @words. */
static int find_word(const char *const *words, const char *value, size_t n)
{
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == n && strncmp(words[i], value, n) == 0)
			return i;
	return -1;
}

static int set_list(
	const struct coffer_option *o, const char *value, unsigned int *ret, struct coffer_err *e)
{
	for (const char *word = value;; word++) {
		const size_t n = strcspn(word, ",");
		const int i = find_word(o->words, word, n);

		if (i < 0)
			return refuse(o, value, join_words(o->words).s, e);
		*ret |= 1U << i;
		word += n;
		if (!*word)
			return 0;
	}
}

/* "2.0 MiB to 512 MiB, a multiple of 8192" */
static struct text limits(const struct coffer_option *o, uint64_t most)
{
	struct text t;
	int n;

	if (most == UINT64_MAX)
		n = snprintf(t.s, sizeof(t.s), "at least %" PRIu64, o->min);
	else if (o->type == COFFER_OPTION_SIZE)
		n = snprintf(t.s, sizeof(t.s), "%s to %s", coffer_size_format(o->min).s,
			coffer_size_format(most).s);
	else
		n = snprintf(t.s, sizeof(t.s), "%" PRIu64 " to %" PRIu64, o->min, most);
	if (o->multiple)
		(void)snprintf(
			t.s + n, sizeof(t.s) - (size_t)n, ", a multiple of %" PRIu64, o->multiple);
	else if (o->power_of_two)
		(void)snprintf(t.s + n, sizeof(t.s) - (size_t)n, ", a power of two");
	return t;
}

static int set_number(
	const struct coffer_option *o, const char *value, uint64_t *ret, struct coffer_err *e)
{
	const bool is_size = o->type == COFFER_OPTION_SIZE;
	const uint64_t most = o->max ? o->max : is_size ? UINT64_MAX : UINT32_MAX;
	uint64_t v;

	if (coffer_size_parse(value, &v) < 0 || (!is_size && value[strspn(value, "0123456789")]))
		return coffer_err_usage(
			e, "--%s: invalid %s '%s'", o->name, is_size ? "size" : "number", value);
	if (v < o->min || v > most || (o->multiple && v % o->multiple) ||
		(o->power_of_two && (v & (v - 1))))
		return refuse(o, value, limits(o, most).s, e);
	*ret = v;
	return 0;
}

static int set_string(
	const struct coffer_option *o, const char *value, const char **ret, struct coffer_err *e)
{
	const char *expected = o->expect ? o->expect(value) : NULL;

	if (expected)
		return refuse(o, value, expected, e);
	if (o->max && strlen(value) > o->max)
		return coffer_err_usage(e, "--%s: expected at most %" PRIu64 " bytes, got %zu",
			o->name, o->max, strlen(value));
	*ret = value;
	return 0;
}

static int set_option(
	const struct coffer_option *o, const char *value, void *target, struct coffer_err *e)
{
	uint64_t v = 0;
	int word = 0, r;

	if (o->words && o->type != COFFER_OPTION_LIST) {
		word = find_word(o->words, value, strlen(value));
		if (word < 0)
			return refuse(o, value, join_words(o->words).s, e);
	}
	switch (o->type) {
	case COFFER_OPTION_FLAG:
		*(bool *)target = true;
		return 0;
	case COFFER_OPTION_STRING:
		return set_string(o, value, target, e);
	case COFFER_OPTION_CHOICE:
		*(unsigned int *)target = (unsigned int)o->min + (unsigned int)word;
		return 0;
	case COFFER_OPTION_LIST:
		return set_list(o, value, target, e);
	case COFFER_OPTION_SIZE:
		return set_number(o, value, target, e);
	case COFFER_OPTION_NUMBER:
	case COFFER_OPTION_FD:
		break;
	}
	r = set_number(o, value, &v, e);
	if (r < 0)
		return r;
	if (o->type == COFFER_OPTION_FD)
		*(int *)target = (int)v;
	else
		*(uint32_t *)target = (uint32_t)v;
	return 0;
}

/* --- the command line --- */

/* What getopt needs, and for each row where its value goes. */
struct parser {
	const struct coffer_option *rows[MAX_OPTIONS];
	void *targets[MAX_OPTIONS];
	struct option longs[MAX_OPTIONS];
	char shorts[2 * MAX_OPTIONS];
};

static void prepare(struct parser *p, const struct coffer_cmd *cmd, char *options)
{
	char *s = p->shorts;
	int i = 0;

	*s++ = ':'; /* ":" is for a missing value, "?" for an unknown option */
	for (const struct coffer_option_group *g = cmd->options; g->rows; g++)
		for (const struct coffer_option *o = g->rows; o->name && i < MAX_OPTIONS - 1; o++) {
			p->rows[i] = o;
			p->targets[i] = options + g->base + o->target;
			if (o->type == COFFER_OPTION_FD)
				*(int *)p->targets[i] = -1;
			p->longs[i] = (struct option){o->name,
				o->value ? required_argument : no_argument, NULL, FIRST_LONG + i};
			i++;
			if (!o->letter)
				continue;
			*s++ = o->letter;
			if (o->value)
				*s++ = ':';
		}
}

/* Why getopt has returned @c. */
static int wrong_option(
	const struct parser *p, const char *verb, int c, const char *word, struct coffer_err *e)
{
	const char letter[] = {'-', (char)optopt, '\0'};

	if (c == ':')
		return coffer_err_usage(e, "option '%s' requires a value%s", word,
			optopt == 'h' ? " (-h is --hash; --help shows the help)" : "");
	if (optopt >= FIRST_LONG)
		return coffer_err_usage(
			e, "option '--%s' takes no value", p->rows[optopt - FIRST_LONG]->name);
	return coffer_err_usage(e, "unknown or ambiguous option '%s'; see 'coffer %s --help'",
		optopt ? letter : word, verb);
}

static int parse_options(
	const struct coffer_cmd *cmd, int argc, char **argv, char *options, struct coffer_err *e)
{
	const struct coffer_call *call = (const void *)options;
	struct parser p = {0};
	int c, i, r;

	prepare(&p, cmd, options);
	opterr = 0;
	while ((c = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
		if (c == ':' || c == '?')
			return wrong_option(&p, cmd->name, c, argv[optind - 1], e);
		for (i = 0; c < FIRST_LONG && p.rows[i]->letter != c;)
			i++;
		i = c < FIRST_LONG ? i : c - FIRST_LONG;
		r = set_option(p.rows[i], optarg, p.targets[i], e);
		if (r < 0)
			return r;
	}
	for (i = 0; p.rows[i] && !call->help; i++)
		if (p.rows[i]->required && !*(const char **)p.targets[i])
			return coffer_err_usage(
				e, "--%s %s is required", p.rows[i]->name, p.rows[i]->value);
	return 0;
}

int coffer_args_parse(
	const struct coffer_cmd *cmd, int argc, char **argv, void *ret, struct coffer_err *e)
{
	struct coffer_call *call = ret;
	int r;

	r = parse_options(cmd, argc, argv, ret, e);
	if (r < 0 || call->help)
		return r;
	if (argc - optind != 1 && !cmd->any_number)
		return coffer_err_usage(e, "expected one DEVICE, got %d", argc - optind);
	for (const struct coffer_option_group *g = cmd->options; g->rows; g++) {
		r = g->check ? g->check((const char *)ret + g->base, e) : 0;
		if (r < 0)
			return r;
	}
	call->verb = cmd->name;
	call->words = argv + 1; /* getopt has moved the operands to the end */
	call->operands = argv + optind;
	call->device = cmd->any_number ? NULL : argv[optind];
	return 0;
}

static void print_option(const struct coffer_option *o)
{
	const char letter[] = {'-', o->letter, ',', '\0'};
	char left[64];
	const int n = snprintf(left, sizeof(left), "  %-3s --%s%s%s", o->letter ? letter : "",
		o->name, o->value ? " " : "", o->value ? o->value : "");

	if (n < HELP_COLUMN)
		(void)printf("%-*s%s\n", HELP_COLUMN, left, o->help);
	else
		(void)printf("%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
}

void coffer_print_help(const struct coffer_cmd *cmd)
{
	const size_t first = strcspn(cmd->name, " ");
	const char *second = cmd->name[first] ? cmd->name + first + 1 : "";

	(void)printf(
		"Usage: coffer %s [OPTION...] %s\n\n%s.\n\n", cmd->name, cmd->args, cmd->summary);
	for (const struct coffer_option_group *g = cmd->options; g->rows; g++)
		for (const struct coffer_option *o = g->rows; o->name; o++)
			print_option(o);
	(void)printf(
		"\nSee coffer-%.*s%s%s(8).\n", (int)first, cmd->name, *second ? "-" : "", second);
}
