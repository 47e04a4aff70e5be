/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_text.c - the sentences of findings: one table, and how a finding is made from it */
#include "base/findings_text.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/quote.h"
#include "base/size.h"

#define SAYS(what, v)	 .id = COFFER_FINDING_##what, .verdict = COFFER_VERDICT_##v
#define REFUSES(what, c) SAYS(what, BAD), .code = (c), .outcome = COFFER_REFUSED
#define DAMAGED(what)	 SAYS(what, BAD), .code = EUCLEAN, .outcome = COFFER_NEEDS_REPAIR

/* {name} is the argument of that name, {command} the command. What stands in brackets is left out
 * where one of its arguments is not given. */
static const struct sentence {
	enum coffer_finding_id id;
	enum coffer_verdict verdict;
	int code;
	enum coffer_outcome outcome;
	const char *text, *remedy;
} sentences[] = {
	/* clang-format off */
[COFFER_TEXT_EXCLUSIVE] = {SAYS(EXCLUSIVE, OK),
	.text = "no holders found"},
[COFFER_TEXT_EXCLUSIVE_NOT_ALL] = {SAYS(EXCLUSIVE, NOTE),
	.text = "no holders found (not all processes are visible without root)"},
[COFFER_TEXT_EXCLUSIVE_WRITER] = {SAYS(EXCLUSIVE, NOTE),
	.text = "process {pid} ({program}) has it open for writing",
	.remedy = "it must not write during the run"},
[COFFER_TEXT_EXCLUSIVE_CONVERTING] = {REFUSES(EXCLUSIVE, EBUSY),
	.text = "process {pid} ({program}) is converting it", .remedy = "wait until it ends"},
[COFFER_TEXT_WRITABLE] = {SAYS(WRITABLE, OK),
	.text = "this user may write to it"},
[COFFER_TEXT_LOCKS] = {SAYS(LOCKS, OK),
	.text = "this user may use cryptsetup's locks"},
[COFFER_TEXT_LOCKS_IMAGE] = {SAYS(LOCKS, NOTE),
	.text = "no access to {directory}: cryptsetup is not kept from resuming at the same time"},
[COFFER_TEXT_LOCKS_BLOCK] = {REFUSES(LOCKS, EACCES),
	.text = "no access to {directory}, whose locks a run on a block device needs",
	.remedy = "run coffer as root"},
[COFFER_TEXT_CONTENT] = {SAYS(CONTENT, OK),
	.text = "no LUKS header, hibernated system or partition table"},
[COFFER_TEXT_CONTENT_BEGUN] = {REFUSES(CONTENT, EBUSY),
	.text = "another program has just begun a conversion",
	.remedy = "run the same command again"},
[COFFER_TEXT_CONTENT_FIRST_COPY_LOST] = {DAMAGED(CONTENT),
	.text = "the first LUKS2 header copy is lost, the second one is whole",
	.remedy = "see {command}"},
[COFFER_TEXT_CONTENT_NO_HEADER] = {DAMAGED(CONTENT),
	.text = "a LUKS2 magic is there, but neither header copy is whole",
	.remedy = "copy the disk first; restore a backup of the header ('coffer header restore'); "
		  "if the magic is not a header's, remove it ('wipefs')"},
[COFFER_TEXT_CONTENT_SUSPENDED] = {REFUSES(CONTENT, EBUSY),
	.text = "holds the memory of a hibernated system",
	.remedy = "resume that system and shut it down, or discard its memory: {command}"},
[COFFER_TEXT_CONTENT_PARTITIONS] = {REFUSES(CONTENT, EINVAL),
	.text = "holds a partition table ({table})", .remedy = "name one of its partitions"},
[COFFER_TEXT_FILESYSTEM] = {SAYS(FILESYSTEM, OK),
	.text = "{filesystem}, {filesystem_size}"},
[COFFER_TEXT_FILESYSTEM_TOO_SMALL] = {REFUSES(FILESYSTEM, ENOSPC),
	.text = "{device_size} is too small for a filesystem"},
[COFFER_TEXT_FILESYSTEM_TWO] = {REFUSES(FILESYSTEM, EUCLEAN),
	.text = "signatures of {signature} and of {filesystem}",
	.remedy = "remove the wrong one: {command}"},
[COFFER_TEXT_FILESYSTEM_UNKNOWN] = {REFUSES(FILESYSTEM, EMEDIUMTYPE),
	.text = "unrecognized content[ ({signature})]", .remedy = "give its size with --device-size"},
[COFFER_TEXT_FILESYSTEM_LOST] = {REFUSES(FILESYSTEM, EMEDIUMTYPE),
	.text = "unrecognized content: " COFFER_LOST_HEADER,
	.remedy = "otherwise give its size with --device-size"},
[COFFER_TEXT_FILESYSTEM_GIVEN] = {SAYS(FILESYSTEM, NOTE),
	.text = "unrecognized content[ ({signature})], {given_size} by --device-size"},
[COFFER_TEXT_FILESYSTEM_GIVEN_LOST] = {SAYS(FILESYSTEM, NOTE),
	.text = "unrecognized content, {given_size} by --device-size: " COFFER_LOST_HEADER},
[COFFER_TEXT_SINGLE_DEVICE] = {SAYS(SINGLE_DEVICE, OK),
	.text = "the filesystem is on this device only"},
[COFFER_TEXT_SINGLE_DEVICE_UNKNOWN] = {SAYS(SINGLE_DEVICE, UNCHECKED),
	.text = "unrecognized content may have parts on other devices"},
[COFFER_TEXT_SINGLE_DEVICE_PARTS] = {REFUSES(SINGLE_DEVICE, EXDEV),
	.text = "{filesystem}, but {part}", .remedy = "what is encrypted must lie on one device"},
[COFFER_TEXT_RESERVE] = {SAYS(RESERVE, OK),
	.text = "{reserve} needed after the content, {available} available"},
[COFFER_TEXT_RESERVE_ODD] = {REFUSES(RESERVE, EINVAL),
	.text = "{device_bytes} bytes, not a multiple of 512",
	.remedy = "cut off the rest: {command}"},
[COFFER_TEXT_RESERVE_GIVEN_LESS] = {REFUSES(RESERVE, EINVAL),
	.text = "--device-size {given_bytes} is less than the filesystem, which ends at "
		"{filesystem_end}"},
[COFFER_TEXT_RESERVE_GIVEN_MORE] = {REFUSES(RESERVE, ENOSPC),
	.text = "--device-size {given_bytes} is more than the device has: {device_bytes}"},
[COFFER_TEXT_RESERVE_NONE] = {REFUSES(RESERVE, ENOSPC),
	.text = "{reserve} needed after the content, {available} available",
	.remedy = "make the filesystem smaller or the device larger"
		  "[, or use --reduce-device-size {fitting_reserve}]"},
[COFFER_TEXT_RESERVE_NONE_EXT] = {REFUSES(RESERVE, ENOSPC),
	.text = "{reserve} needed after the filesystem, {available} available",
	.remedy = "make the filesystem smaller[: {command}]"
		  "[, or use --reduce-device-size {fitting_reserve}]"},
[COFFER_TEXT_RESERVE_NONE_XFS] = {REFUSES(RESERVE, ENOSPC),
	.text = "{reserve} needed after the filesystem, {available} available",
	.remedy = "make the device larger, as xfs cannot shrink"
		  "[, or use --reduce-device-size {fitting_reserve}]"},
[COFFER_TEXT_RESERVE_TOO_LARGE] = {REFUSES(RESERVE, ENOSPC),
	.text = "{data_size} of data is less than half the reserve of {reserve}",
	.remedy = "use --reduce-device-size {fitting_reserve}"},
[COFFER_TEXT_RESERVE_TOO_LARGE_ALL] = {REFUSES(RESERVE, ENOSPC),
	.text = "{data_size} of data is less than half the reserve of {reserve}, and no smaller "
		"reserve fits"},
[COFFER_TEXT_SECTOR_SIZE] = {SAYS(SECTOR_SIZE, OK),
	.text = "{sector_size}-byte sectors"},
[COFFER_TEXT_SECTOR_SIZE_UNALIGNED] = {REFUSES(SECTOR_SIZE, EINVAL),
	.text = "--sector-size 4096 needs multiples of 4096, but the device has {device_bytes} "
		"bytes and the data {data_bytes}",
	.remedy = "use --sector-size 512"},
[COFFER_TEXT_SECTOR_SIZE_FILESYSTEM] = {REFUSES(SECTOR_SIZE, EINVAL),
	.text = "{filesystem} with {block_size}-byte blocks cannot be mounted with --sector-size "
		"4096",
	.remedy = "use --sector-size 512"},
[COFFER_TEXT_SECTOR_SIZE_DEVICE] = {REFUSES(SECTOR_SIZE, EINVAL),
	.text = "the device has {device_sector}-byte sectors, in which {filesystem} cannot be "
		"encrypted"},
[COFFER_TEXT_HEADER] = {SAYS(HEADER, OK),
	.text = "the header fits before byte {data_offset}"},
[COFFER_TEXT_HIBERNATION] = {SAYS(HIBERNATION, OK),
	.text = "no hibernated system on this machine's swaps"},
	/* clang-format on */
};
static_assert(ARRAY_SIZE(sentences) == COFFER_N_TEXTS, "every text has a sentence");

/* --- a sentence from its parts --- */

struct out {
	char *s;
	size_t size, n; /* n may be above size: then it is cut */
};

static void put(struct out *o, const char *s, size_t n)
{
	if (o->n < o->size)
		memcpy(o->s + o->n, s, n < o->size - o->n ? n : o->size - o->n);
	o->n += n;
}

static void end(struct out *o)
{
	if (o->n < o->size) {
		o->s[o->n] = '\0';
		return;
	}
	memcpy(o->s + o->size - 4, "...", 4);
}

/* "2.0 MiB needed, 2.0 MiB available" explains nothing: does another size read the same? */
static bool needs_bytes(const struct coffer_finding *f, const struct coffer_argument *a)
{
	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *b = &f->arguments[i];

		if (b->type == COFFER_ARGUMENT_SIZE && b->number != a->number &&
			strcmp(coffer_size_format(a->number).s, coffer_size_format(b->number).s) ==
				0)
			return true;
	}
	return false;
}

/* The argument {@name} of @n bytes; false: there is none. */
static bool put_value(struct out *o, const struct coffer_finding *f, const char *command,
	const char *name, size_t n)
{
	char text[sizeof(f->arguments->text)];

	if (n == strlen("command") && memcmp(name, "command", n) == 0) {
		put(o, command, strlen(command));
		return command[0] != '\0';
	}
	for (size_t i = 0; i < f->n_arguments; i++) {
		const struct coffer_argument *a = &f->arguments[i];

		if (strlen(a->name) != n || memcmp(a->name, name, n) != 0)
			continue;
		if (a->type == COFFER_ARGUMENT_TEXT)
			(void)snprintf(text, sizeof(text), "%s", a->text);
		else if (a->type == COFFER_ARGUMENT_SIZE && !needs_bytes(f, a))
			(void)snprintf(text, sizeof(text), "%s", coffer_size_format(a->number).s);
		else if (a->type == COFFER_ARGUMENT_SIZE)
			(void)snprintf(text, sizeof(text), "%" PRIu64 " bytes", a->number);
		else
			(void)snprintf(text, sizeof(text), "%" PRIu64, a->number);
		put(o, text, strlen(text));
		return text[0] != '\0';
	}
	return false;
}

/* false: an argument is missing. */
static bool fill(struct out *o, const char *p, const char *stop, const struct coffer_finding *f,
	const char *command)
{
	const char *close;
	bool all = true;

	while (p < stop) {
		close = memchr(p, *p == '[' ? ']' : '}', (size_t)(stop - p));
		if (*p == '[' && close) {
			const size_t before = o->n;

			if (!fill(o, p + 1, close, f, command))
				o->n = before;
			p = close + 1;
		} else if (*p == '{' && close) {
			all &= put_value(o, f, command, p + 1, (size_t)(close - p) - 1);
			p = close + 1;
		} else {
			put(o, p++, 1);
		}
	}
	return all;
}

static void render(char *ret, size_t size, const char *text, const struct coffer_finding *f,
	const char *command)
{
	struct out o = {.s = ret, .size = size};

	if (text)
		(void)fill(&o, text, text + strlen(text), f, command);
	end(&o);
}

/* @command for a sentence: each word as a shell takes it back. Half of one is another one, so it is
 * whole or "...". */
static void quote_command(const char *const *command, char *ret, size_t size)
{
	const char *around = "'";
	char words[512];
	struct out o = {.s = words, .size = sizeof(words)};

	for (size_t i = 0; command[i]; i++) {
		const bool joins = strcmp(command[i], "&&") == 0;
		char word[256];

		coffer_quote(command[i], word, sizeof(word));
		if (!joins && *coffer_quote_around(word) == '\0')
			around = "";
		put(&o, " ", i > 0);
		put(&o, joins ? "&&" : word, strlen(joins ? "&&" : word));
	}
	if (o.n + 2 < size && o.n < sizeof(words)) {
		words[o.n] = '\0';
		(void)snprintf(ret, size, "%s%s%s", around, words, around);
	} else {
		(void)snprintf(ret, size, "...");
	}
}

/* --- a finding --- */

struct coffer_argument coffer_argument_text(const char *name, const char *text)
{
	struct coffer_argument a = {.name = name, .type = COFFER_ARGUMENT_TEXT};

	if (snprintf(a.text, sizeof(a.text), "%s", text) >= (int)sizeof(a.text))
		memcpy(a.text + sizeof(a.text) - 4, "...", 4);
	return a;
}

/* One block: the pointers, then what they point to. */
static char **copy_words(const char *const *words)
{
	size_t n = 0, bytes = 0;
	char **copy, *at;

	for (; words[n]; n++)
		bytes += strlen(words[n]) + 1;
	copy = malloc((n + 1) * sizeof(*copy) + bytes);
	if (!copy)
		return NULL;
	at = (char *)(copy + n + 1);
	for (size_t i = 0; i < n; i++) {
		const size_t length = strlen(words[i]) + 1;

		copy[i] = at;
		memcpy(at, words[i], length);
		at += length;
	}
	copy[n] = NULL;
	return copy;
}

int coffer_finding_make(struct coffer_finding *ret, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *command)
{
	const struct sentence *s = &sentences[t];
	char words[520] = "";

	*ret = (struct coffer_finding){
		.id = s->id, .verdict = s->verdict, .code = s->code, .outcome = s->outcome};
	for (; arguments && arguments->name && ret->n_arguments < COFFER_MAX_ARGUMENTS; arguments++)
		ret->arguments[ret->n_arguments++] = *arguments;
	if (command) {
		ret->command = copy_words(command);
		if (!ret->command)
			return -ENOMEM;
		quote_command(command, words, sizeof(words));
	}
	render(ret->text, sizeof(ret->text), s->text, ret, words);
	render(ret->remedy, sizeof(ret->remedy), s->remedy, ret, words);
	return 0;
}

void coffer_finding_reset(struct coffer_finding *f)
{
	free(f->command);
	*f = (struct coffer_finding){0};
}
