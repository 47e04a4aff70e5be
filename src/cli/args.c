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
	HELP_COLUMN = 29
};

struct text {
	char s[160];
};

/* The row number @i of all @cmd's rows; NULL: it has fewer. *ret_base: of their structure. */
static const struct coffer_option *get_row(const struct coffer_cmd *cmd, int i, size_t *ret_base)
{
	for (const struct coffer_option_group *g = cmd->options; g->rows; g++)
		for (const struct coffer_option *o = g->rows; o->name; o++)
			if (i-- == 0) {
				*ret_base = g->base;
				return o;
			}
	return NULL;
}

/* --- values --- */

static int refuse(const struct coffer_option *o, const char *value, const char *expected,
	struct coffer_err *e)
{
	return coffer_err_usage(e, "--%s: expected %s, got '%s'", o->name, expected, value);
}

/* Word number @i of those that @o takes; NULL: there is none. */
static const char *get_word(const struct coffer_option *o, unsigned int i)
{
	if (!o->name_of)
		return o->words[i];
	return o->min + i <= o->max ? o->name_of((unsigned int)o->min + i) : NULL;
}

/* "a, b or c" */
static struct text join_words(const struct coffer_option *o)
{
	struct text t = {""};
	size_t n = 0;

	for (unsigned int i = 0; get_word(o, i) && n < sizeof(t.s); i++)
		n += (size_t)snprintf(t.s + n, sizeof(t.s) - n, "%s%s",
			i == 0		     ? ""
			: get_word(o, i + 1) ? ", "
					     : " or ",
			get_word(o, i));
	return t;
}

/* Put the number of the word of @n bytes at @value into *ret. */
static bool find_word(const struct coffer_option *o, const char *value, size_t n, unsigned int *ret)
{
	for (unsigned int i = 0; get_word(o, i); i++)
		if (strlen(get_word(o, i)) == n && strncmp(get_word(o, i), value, n) == 0) {
			*ret = i;
			return true;
		}
	return false;
}

static int set_choice(
	const struct coffer_option *o, const char *value, unsigned int *ret, struct coffer_err *e)
{
	unsigned int i;

	if (!find_word(o, value, strlen(value), &i))
		return refuse(o, value, join_words(o).s, e);
	*ret = (unsigned int)o->min + i;
	return 0;
}

static int set_list(
	const struct coffer_option *o, const char *value, unsigned int *ret, struct coffer_err *e)
{
	for (const char *word = value;; word++) {
		const size_t n = strcspn(word, ",");
		unsigned int i;

		if (!find_word(o, word, n, &i))
			return coffer_err_usage(e,
				"--%s: expected %s, or several separated by commas, got '%s'",
				o->name, join_words(o).s, value);
		*ret |= 1U << i;
		word += n;
		if (!*word)
			return 0;
	}
}

/* 33554432 as "32M" */
static struct text brief(uint64_t v)
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	struct text t;
	int i = 0;

	for (; i < 4 && v > 0 && v % 1024 == 0; i++)
		v /= 1024;
	(void)snprintf(t.s, sizeof(t.s), "%" PRIu64 "%s", v, units[i]);
	return t;
}

/* "2M to 512M, a multiple of 8192" */
static struct text limits(const struct coffer_option *o, uint64_t most)
{
	const char *from = o->power_of_two ? "a power of two from " : "";
	struct text t, multiple = {""};

	if (o->multiple)
		(void)snprintf(
			multiple.s, sizeof(multiple.s), ", a multiple of %" PRIu64, o->multiple);
	if (most == UINT64_MAX)
		(void)snprintf(t.s, sizeof(t.s), "at least %" PRIu64, o->min);
	else
		(void)snprintf(t.s, sizeof(t.s), "%s%.24s to %.24s%.48s", from, brief(o->min).s,
			brief(most).s, multiple.s);
	return t;
}

static int set_number(const struct coffer_option *o, const char *value, const char *kind,
	uint64_t *ret, struct coffer_err *e)
{
	const bool is_size = o->type == COFFER_OPTION_SIZE;
	const uint64_t most = o->max ? o->max : is_size ? UINT64_MAX : UINT32_MAX;
	uint64_t v;

	if (coffer_size_parse(value, &v) < 0 || (!is_size && value[strspn(value, "0123456789")]))
		return coffer_err_usage(e, "invalid %s '%s' for --%s", kind, value, o->name);
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
	unsigned int word;
	uint64_t v = 0;
	int r = 0;

	if (o->words && o->type != COFFER_OPTION_LIST && !find_word(o, value, strlen(value), &word))
		return refuse(o, value, join_words(o).s, e);
	switch (o->type) {
	case COFFER_OPTION_FLAG:
		*(bool *)target = true;
		break;
	case COFFER_OPTION_STRING:
		return set_string(o, value, target, e);
	case COFFER_OPTION_CHOICE:
		return set_choice(o, value, target, e);
	case COFFER_OPTION_LIST:
		return set_list(o, value, target, e);
	case COFFER_OPTION_SIZE:
		return set_number(o, value, "size", target, e);
	case COFFER_OPTION_NUMBER:
		r = set_number(o, value, "number", &v, e);
		if (r == 0)
			*(uint32_t *)target = (uint32_t)v;
		break;
	case COFFER_OPTION_FD:
		r = set_number(o, value, "file descriptor", &v, e);
		if (r == 0)
			*(int *)target = (int)v;
		break;
	}
	return r;
}

/* --- the command line --- */

/* getopt's table and short string from the rows; and what no option has set. */
static void prepare(const struct coffer_cmd *cmd, struct option longs[MAX_OPTIONS],
	char shorts[2 * MAX_OPTIONS], char *options)
{
	const struct coffer_option *o;
	char *s = shorts;
	size_t base;
	int i;

	*s++ = ':'; /* a missing value is told apart from an unknown option */
	for (i = 0; i < MAX_OPTIONS - 1 && (o = get_row(cmd, i, &base)) != NULL; i++) {
		longs[i] = (struct option){
			o->name, o->value ? required_argument : no_argument, NULL, FIRST_LONG + i};
		if (o->letter) {
			*s++ = o->letter;
			if (o->value)
				*s++ = ':';
		}
		if (o->type == COFFER_OPTION_FD)
			*(int *)(void *)(options + base + o->target) = -1;
	}
	longs[i] = (struct option){0};
	*s = '\0';
}

/* Why getopt has returned @c. */
static int wrong_option(const struct coffer_cmd *cmd, int c, char **argv, struct coffer_err *e)
{
	const char letter[] = {'-', (char)optopt, '\0'};
	size_t base;

	if (c == ':')
		return coffer_err_usage(e, "option '%s' requires a value%s", argv[optind - 1],
			optopt == 'h' ? " (-h is --hash; --help shows the help)" : "");
	if (optopt >= FIRST_LONG)
		return coffer_err_usage(e, "option '--%s' takes no value",
			get_row(cmd, optopt - FIRST_LONG, &base)->name);
	return coffer_err_usage(e, "unknown or ambiguous option '%s'; see 'coffer %s --help'",
		optopt ? letter : argv[optind - 1], cmd->name);
}

static int parse_options(
	const struct coffer_cmd *cmd, int argc, char **argv, char *options, struct coffer_err *e)
{
	struct option longs[MAX_OPTIONS];
	char shorts[2 * MAX_OPTIONS];
	int c, r = 0;

	prepare(cmd, longs, shorts, options);
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct coffer_option *o;
		size_t base = 0;
		int i = c - FIRST_LONG;

		if (c == ':' || c == '?')
			return wrong_option(cmd, c, argv, e);
		for (i = c < FIRST_LONG ? 0 : i; (o = get_row(cmd, i, &base)) != NULL; i++)
			if (c >= FIRST_LONG || o->letter == c)
				break;
		r = set_option(o, optarg, options + base + o->target, e);
	}
	return r;
}

static int check_required(const struct coffer_cmd *cmd, const char *options, struct coffer_err *e)
{
	const struct coffer_option *o;
	size_t base;

	for (int i = 0; (o = get_row(cmd, i, &base)) != NULL; i++)
		if (o->required &&
			!*(const char *const *)(const void *)(options + base + o->target))
			return coffer_err_usage(e, "--%s %s is required", o->name, o->value);
	return 0;
}

int coffer_args_parse(
	const struct coffer_cmd *cmd, int argc, char **argv, void *ret, struct coffer_err *e)
{
	struct coffer_call *call = ret;
	int r = parse_options(cmd, argc, argv, ret, e);

	if (r < 0 || call->help)
		return r;
	if (argc - optind != 1 && !cmd->any_number)
		return coffer_err_usage(e, "expected one DEVICE, got %d", argc - optind);
	r = check_required(cmd, ret, e);
	if (r == 0 && cmd->check)
		r = cmd->check(ret, e);
	call->verb = cmd->name;
	call->words = argv + 1; /* getopt has put the operands behind the options */
	call->operands = argv + optind;
	call->device = argv[optind];
	return r;
}

const struct coffer_option *coffer_option_find(
	const struct coffer_cmd *cmd, const char *name, size_t n, char letter)
{
	const struct coffer_option *o;
	size_t base;

	for (int i = 0; (o = get_row(cmd, i, &base)) != NULL; i++)
		if (name ? strlen(o->name) == n && strncmp(name, o->name, n) == 0
			 : letter && letter == o->letter)
			return o;
	return NULL;
}

void coffer_print_help(const struct coffer_cmd *cmd)
{
	const struct coffer_option *o;
	size_t base;

	(void)printf(
		"Usage: coffer %s [OPTION...] %s\n\n%s.\n\n", cmd->name, cmd->args, cmd->summary);
	for (int i = 0; (o = get_row(cmd, i, &base)) != NULL; i++) {
		char left[64], letter[] = {'-', o->letter, ',', '\0'};
		int n;

		n = snprintf(left, sizeof(left), "  %-3s --%s%s%s", o->letter ? letter : "",
			o->name, o->value ? " " : "", o->value ? o->value : "");
		if (n >= HELP_COLUMN)
			(void)printf("%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
		else
			(void)printf("%-*s%s\n", HELP_COLUMN, left, o->help);
	}
	(void)fputs("\nSee coffer-", stdout);
	for (const char *c = cmd->name; *c; c++)
		(void)putchar(*c == ' ' ? '-' : *c);
	(void)fputs("(8).\n", stdout);
}
