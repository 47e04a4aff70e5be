/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_tools.c - the tools beside coffer: which there are, and which versions are known to harm */
#include "report/judge_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"

static const struct coffer_tool tools[] = {
	{"cryptsetup", "--version", "to open volumes and to change their keys"},
	{"systemd-cryptenroll", "--version", "to bind a volume to a TPM, and for recovery keys"},
	{"e2fsck", "-V", "for 'coffer verify --check-filesystem' of an ext4"},
	{"xfs_repair", "-V", "for 'coffer verify --check-filesystem' of an xfs"},
	{"btrfs", "--version",
		"for 'coffer verify --check-filesystem' of a btrfs, and to make one "
		"smaller"},
	{"resize2fs", NULL, "to make an ext4 smaller, so that there is room for the reserve"},
};

const struct coffer_tool *coffer_tools(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(tools);
	return tools;
}

/* --- versions --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool coffer_version_parse(const char *text, struct coffer_version *ret)
{
	struct coffer_version v = {{0}};
	const char *p = text;

	for (bool begins = true; *p; begins = strchr(" \t\n(", *p++) != NULL)
		if (begins && is_digit(p[*p == 'v']))
			break;
	if (!*p)
		return false;
	p += *p == 'v';
	for (size_t i = 0; i < ARRAY_SIZE(v.part); i++) {
		while (is_digit(*p) && v.part[i] < 100000000)
			v.part[i] = 10 * v.part[i] + (unsigned int)(*p++ - '0');
		if (*p != '.' || !is_digit(p[1]))
			break;
		p++;
	}
	*ret = v;
	return true;
}

int coffer_version_compare(const struct coffer_version *a, const struct coffer_version *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->part); i++)
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	return 0;
}

/* Versions of cryptsetup that are known to harm. BAD is what can harm whoever opens a volume; a
 * NOTE is about one operation that coffer does not use. Each row has the release notes that say
 * so. */
static const struct {
	struct coffer_version from, fixed;
	enum coffer_verdict verdict;
	const char *text, *remedy;
} known[] = {
	/* Release notes of 2.4.3 and 2.3.7: in all releases since 2.2.0, fixed in these two. */
	{{{2, 2, 0}}, {{2, 3, 7}}, COFFER_VERDICT_BAD,
		"CVE-2021-4122: a header that somebody has changed makes it decrypt a part of the "
		"disk when that is opened",
		"install 2.3.7, 2.4.3 or later"},
	{{{2, 4, 0}}, {{2, 4, 3}}, COFFER_VERDICT_BAD,
		"CVE-2021-4122: a header that somebody has changed makes it decrypt a part of the "
		"disk when that is opened",
		"install 2.4.3 or later"},
	/* Release notes of 2.6.1. The earlier ones above have worse. */
	{{{2, 4, 3}}, {{2, 6, 1}}, COFFER_VERDICT_NOTE,
		"its 'reencrypt --encrypt' without --reduce-device-size or --header writes the "
		"header over the data",
		"install 2.6.1 or later, or encrypt with coffer"},
	/* Release notes of 2.7.5: only in 2.7.x. */
	{{{2, 7, 0}}, {{2, 7, 5}}, COFFER_VERDICT_NOTE,
		"its 'reencrypt' of a volume that is open can destroy data",
		"install 2.7.5 or later, or reencrypt only what is closed"},
	/* Release notes of 2.8.6: 2.8.x must be upgraded; the UUID was not compared. */
	{{{2, 8, 0}}, {{2, 8, 6}}, COFFER_VERDICT_NOTE,
		"its luksResume does not compare the volume's UUID, so a suspended mapping may go "
		"on with another volume's key",
		"install 2.8.6 or later"},
};

static int judge_version(const struct coffer_tool *t, const struct coffer_tool_facts *f,
	const struct coffer_version *v, struct coffer_findings *l)
{
	char number[64];
	int r;

	(void)snprintf(number, sizeof(number), v->part[1] || v->part[2] ? "%u.%u.%u" : "%u",
		v->part[0], v->part[1], v->part[2]);
	for (size_t i = 0; i < ARRAY_SIZE(known) && strcmp(t->name, "cryptsetup") == 0; i++) {
		if (coffer_version_compare(v, &known[i].from) < 0 ||
			coffer_version_compare(v, &known[i].fixed) >= 0)
			continue;
		r = coffer_findings_add(l, COFFER_FINDING_TOOL, known[i].verdict,
			"%s is version %s, of which is known: %s (unless your distribution has put "
			"the fix into it)",
			f->path, number, known[i].text);
		coffer_findings_remedy(l, "%s", known[i].remedy);
		return r;
	}
	return coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_OK, "%s %s is there: %s",
		t->name, number, f->path);
}

int coffer_judge_tool(
	const struct coffer_tool *t, const struct coffer_tool_facts *f, struct coffer_findings *l)
{
	struct coffer_version v;
	int line, r;

	if (!f->path)
		return coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_NOTE,
			"%s is not installed; it is needed %s", t->name, t->use);
	if (!t->option)
		return coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_OK,
			"%s is there: %s", t->name, f->path);
	if (f->error)
		return coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_UNCHECKED,
			"%s was asked for its version, and %s", f->path, strerror(f->error));
	if (f->status == 0 && coffer_version_parse(f->output, &v))
		return judge_version(t, f, &v, l);
	if (f->status == 0)
		return coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_UNCHECKED,
			"%s does not say which version it is", f->path);
	line = (int)strcspn(f->output, "\n");
	r = coffer_findings_add(l, COFFER_FINDING_TOOL, COFFER_VERDICT_BAD,
		"%s does not work: asked for its version it ends with status %d%s%.*s", f->path,
		f->status, line > 0 ? ": " : "", line > 200 ? 200 : line, f->output);
	coffer_findings_remedy(l, "install it anew; it is needed %s", t->use);
	return r;
}

int coffer_judge_library(const char *built_with, const char *file, struct coffer_findings *l)
{
	if (!*file)
		return coffer_findings_add(l, COFFER_FINDING_LIBRARY, COFFER_VERDICT_OK,
			"coffer was built with libcryptsetup %s, which is a part of the program",
			built_with);
	return coffer_findings_add(l, COFFER_FINDING_LIBRARY, COFFER_VERDICT_OK,
		"coffer works with %s and was built with libcryptsetup %s", file, built_with);
}
