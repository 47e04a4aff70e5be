/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_findings.c - lists of findings */
#include "base/findings.h"
#include "base/findings_text.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "tap.h"

static void check_names(void)
{
	static const struct {
		enum coffer_verdict v;
		const char *name;
	} rows[] = {
		{COFFER_VERDICT_OK, "ok"},
		{COFFER_VERDICT_NOTE, "note"},
		{COFFER_VERDICT_UNCHECKED, "unchecked"},
		{COFFER_VERDICT_BAD, "bad"},
		{COFFER_N_VERDICTS, "unknown"},
		{(enum coffer_verdict) - 1, "unknown"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ok(strcmp(coffer_verdict_name(rows[i].v), rows[i].name) == 0, "verdict %d is '%s'",
			(int)rows[i].v, rows[i].name);
}

static int add(struct coffer_findings *l, enum coffer_text t, const char *reason)
{
	return coffer_findings_add(l, t, COFFER_WITH(COFFER_ARG_TEXT("reason", reason)), NULL);
}

static void check_list(void)
{
	struct coffer_findings l = {0};
	const struct coffer_finding *c;
	int r = 0;

	ok(!coffer_findings_find(&l, COFFER_FINDING_VOLUME_KEY), "an empty list");
	for (int i = 0; i < 20 && r == 0; i++)
		r = add(&l,
			i == 7	? COFFER_TEXT_VOLUME_KEY_INVALID
			: i % 2 ? COFFER_TEXT_VOLUME_INVALID
				: COFFER_TEXT_WRITABLE,
			"why");
	ok(r == 0 && l.n == 20 && strcmp(l.items[19].text, "why") == 0, "the last one's sentence");
	ok(coffer_findings_count(&l, COFFER_VERDICT_BAD) == 10 &&
			coffer_findings_count(&l, COFFER_VERDICT_NOTE) == 0,
		"how many of a verdict");
	c = coffer_findings_find(&l, COFFER_FINDING_VOLUME_KEY);
	ok(c == &l.items[7] && c->verdict == COFFER_VERDICT_BAD, "found by its id");
	coffer_findings_free(&l);
	ok(l.n == 0 && !l.items, "freed: an empty list again");
	coffer_findings_free(&l);
}

static void check_long_texts(void)
{
	struct coffer_findings l = {0};
	const size_t most = sizeof(l.items->text) - 1;
	char reason[sizeof(l.items->text)];
	int r;

	(void)snprintf(reason, sizeof(reason), "%*d", (int)most, 1);
	r = add(&l, COFFER_TEXT_VOLUME_INVALID, reason);
	ok(r == 0 && strcmp(l.items[0].text, reason) == 0, "the longest that fits is not cut");
	r = add(&l, COFFER_TEXT_VOLUME_KEY_INVALID, reason);
	ok(r == 0 && strlen(l.items[1].text) == most &&
			strcmp(l.items[1].text + most - 3, "...") == 0,
		"a longer one is cut with three dots");
	coffer_findings_free(&l);
}

/* What is said, as a list of words and as a shell takes it back. */
static void check_sentences(void)
{
	struct coffer_findings l = {0};
	struct coffer_finding f;
	struct coffer_err e = {0};
	int r;

	r = coffer_finding_make(&f, COFFER_TEXT_RESERVE_NONE_SHRINK,
		COFFER_WITH(COFFER_ARG_SIZE("reserve", 2 << 20), COFFER_ARG_SIZE("available", 512),
			COFFER_ARG_TEXT("fitting_reserve", "")),
		COFFER_RUN("e2fsck", "-f", "x", "&&", "resize2fs", "x"));
	ok(r == 0 && f.id == COFFER_FINDING_RESERVE && f.verdict == COFFER_VERDICT_BAD &&
			strcmp(f.text, "2.0 MiB needed after the filesystem, 512 B available") == 0,
		"arguments stand in the sentence: %s", f.text);
	ok(strcmp(f.advice, "make the filesystem smaller: 'e2fsck -f x && resize2fs x'") == 0,
		"a part without its argument is left out: %s", f.advice);
	ok(f.remedy && strcmp(f.remedy[4], "resize2fs") == 0 && !f.remedy[6], "its words");
	r = coffer_err_from_finding(&e, "disk", &f);
	ok(r == -ENOSPC && e.id == f.id && e.outcome == COFFER_REFUSED &&
			strncmp(e.msg, "disk: 2.0 MiB", 13) == 0 && strstr(e.msg, f.advice),
		"the same as an error");
	ok(coffer_findings_put(&l, &f) == 0 && l.n == 1 && l.items[0].remedy && !f.remedy,
		"the list owns it");
	r = coffer_finding_make(&f, COFFER_TEXT_RESERVE_NONE,
		COFFER_WITH(COFFER_ARG_TEXT("fitting_reserve", "4M")), NULL);
	ok(r == 0 && strstr(f.advice, ", or use --reduce-device-size 4M"),
		"a part with its argument: %s", f.advice);
	r = coffer_finding_make(&f, COFFER_TEXT_RESERVE_NONE,
		COFFER_WITH(COFFER_ARG_SIZE("reserve", 2 << 20),
			COFFER_ARG_SIZE("available", (2 << 20) - 512)),
		NULL);
	ok(r == 0 && strncmp(f.text, "2097152 bytes needed", 20) == 0 &&
			strstr(f.text, ", 2096640 bytes available"),
		"two sizes that read the same: %s", f.text);
	coffer_findings_free(&l);
}

/* Half of a command is another command. */
static void check_long_command(void)
{
	char name[2000] = "";
	struct coffer_finding f;
	int r;

	memset(name, 'n', sizeof(name) - 1);
	r = coffer_finding_make(
		&f, COFFER_TEXT_CONTENT_SUSPENDED, NULL, COFFER_RUN("mkswap", name));
	ok(r == 0 && strcmp(f.remedy[1], name) == 0 && strstr(f.advice, "'mkswap ...'"),
		"a name that does not fit: %s", f.advice);
	coffer_finding_reset(&f);
	name[300] = '\0';
	r = coffer_finding_make(&f, COFFER_TEXT_CONTENT_SUSPENDED, NULL,
		COFFER_RUN("resize2fs", name, "1M", "&&", "truncate", "-s", "1M", name));
	ok(r == 0 && strstr(f.advice, ": ...") && !strstr(f.advice, "resize2fs"),
		"Bug: several commands that do not fit: %s", f.advice);
	coffer_finding_reset(&f);
	r = coffer_finding_make(
		&f, COFFER_TEXT_CONTENT_SUSPENDED, NULL, COFFER_RUN("mkswap", "a b"));
	ok(r == 0 && strstr(f.advice, ": mkswap 'a b'"), "a name with a blank: %s", f.advice);
	coffer_finding_reset(&f);
}

int main(void)
{
	check_sentences();
	check_long_command();
	check_names();
	check_list();
	check_long_texts();
	return done_testing();
}
