/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_volume.c - verdicts on header copies, filesystem and remains of a conversion */
#include "header/judge_copies.h"
#include "report/judge.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/findings.h"
#include "finding_named.h"
#include "tap.h"

#define MIB (UINT64_C(1) << 20)

/* "ok bad": all verdicts of one id, in their order; "" for none. */
static const char *verdicts(const struct coffer_findings *l, const char *id)
{
	static char text[256];

	text[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(coffer_finding_name(l->items[i].id), id) == 0)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				text[0] ? " " : "", coffer_verdict_name(l->items[i].verdict));
	return text;
}

static bool are(const struct coffer_findings *l, const char *id, const char *wanted)
{
	const char *got = verdicts(l, id);

	if (strcmp(got, wanted) != 0)
		note("%s: %s, wanted %s", id, got, wanted);
	return strcmp(got, wanted) == 0;
}

static const char *remedy(const struct coffer_findings *l, const char *id)
{
	const struct coffer_finding *c = finding_named(l, id);

	return c ? c->advice : "there is no such check";
}

/* --- header copies --- */

#define LOOK "run coffer repair --dry-run 'a b'"

static const struct {
	const char *name;
	struct coffer_copy_facts copy[2];
	int newest;
	bool agree;
	const char *first, *second;
	const char *way_out;
	bool empty;
	bool two_volumes;
} copy_rows[] = {
	{"both usable", {{true, true, false, 7}, {true, true, false, 7}}, 0, true, "ok", "ok", ""},
	{"second torn", {{true, true, false, 7}, {true, false, false, 7}}, 0, false, "ok", "bad",
		LOOK},
	{"second gone", {{true, true, false, 7}, {false, false, false, 0}}, 0, false, "ok", "bad",
		LOOK},
	{"second out of date", {{true, true, false, 7}, {true, true, false, 6}}, 0, false, "ok",
		"bad", LOOK},
	{"second differs", {{true, true, false, 7}, {true, true, false, 7}}, 0, false, "ok", "bad",
		LOOK},
	{"two volumes", {{true, true, false, 7}, {true, true, false, 99}}, 1, false, "bad", "bad",
		"", false, true},
	{"two volumes, one sequence number", {{true, true, false, 7}, {true, true, false, 7}}, 0,
		false, "bad", "bad", "copy the disk before another program opens it", false, true},
	{"first torn", {{true, false, false, 9}, {true, true, false, 7}}, 1, false, "bad", "ok",
		LOOK},
	{"first gone", {{false, false, false, 0}, {true, true, false, 7}}, 1, false, "bad", "ok",
		"unless the disk is now used for something else, " LOOK},
	{"first zeroed", {{false, false, false, 0}, {true, true, false, 7}}, 1, false, "bad", "ok",
		LOOK, true},
	{"first out of date", {{true, true, false, 6}, {true, true, false, 7}}, 1, false, "bad",
		"ok", LOOK},
	{"both torn", {{true, false, false, 7}, {true, false, false, 7}}, -1, false, "bad", "bad",
		""},
	{"first torn, second gone", {{true, false, false, 7}, {false, false, false, 0}}, -1, false,
		"bad", "bad", ""},
};

static void test_copies(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(copy_rows); i++) {
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
		struct coffer_facts f = {.header.newest = copy_rows[i].newest,
			.header.agree = copy_rows[i].agree,
			.block_0_is_empty = copy_rows[i].empty,
			.header.two_volumes = copy_rows[i].two_volumes};
		const char *bad;

		memcpy(f.header.copy, copy_rows[i].copy, sizeof(f.header.copy));
		bad = strcmp(copy_rows[i].first, "bad") == 0 ? "header-primary"
							     : "header-secondary";
		ok(coffer_judge_copies(&f, "a b", &l) == 0 && l.n == 2 &&
				are(&l, "header-primary", copy_rows[i].first) &&
				are(&l, "header-secondary", copy_rows[i].second) &&
				strcmp(remedy(&l, bad), copy_rows[i].way_out) == 0,
			"copies: %s", copy_rows[i].name);
	}
}

/* --- the filesystem --- */

static const struct {
	const char *name;
	struct coffer_filesystem_facts seen;
	const char *filesystem, *end;
} fs_rows[] = {
	{"fits", {"ext4", "u", "l", {COFFER_FS_EXT, 4096}, NULL, 8192, false}, "ok", "ok"},
	{"fits to the byte", {"ext4", "u", "", {COFFER_FS_EXT, 8192}, NULL, 8192, false}, "ok",
		"ok"},
	{"one byte too long", {"ext4", "u", "", {COFFER_FS_EXT, 8193}, NULL, 8192, false}, "ok",
		"bad"},
	{"too long, in use", {"ext4", "u", "", {COFFER_FS_EXT, 8193}, NULL, 8192, true}, "ok",
		"note"},
	{"invalid", {"xfs", "", "", {COFFER_FS_NONE, 0}, "invalid", 8192, false}, "ok", "bad"},
	{"invalid, in use", {"xfs", "", "", {COFFER_FS_NONE, 0}, "invalid", 8192, true}, "ok",
		"note"},
	{"of a kind without a known end", {"f2fs", "u", "", {COFFER_FS_NONE, 0}, NULL, 8192, false},
		"ok", "unchecked"},
	{"none", {"", "", "", {COFFER_FS_NONE, 0}, NULL, 8192, false}, "note", "unchecked"},
};

static void test_filesystem(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fs_rows); i++) {
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};

		ok(coffer_judge_filesystem(&fs_rows[i].seen, &l) == 0 &&
				are(&l, "filesystem", fs_rows[i].filesystem) &&
				are(&l, "filesystem-end", fs_rows[i].end),
			"filesystem: %s", fs_rows[i].name);
	}
}

/* --- remains --- */

static const struct {
	const char *name;
	const char *place, *undo; /* UUIDs of the records; NULL: none */
	bool image;
	const char *copy, *fs; /* UUIDs of the filesystems; NULL: none, unknown */
	const char *record, *image_verdict, *copy_verdict;
} remnant_rows[] = {
	{"none", NULL, NULL, false, NULL, "f", "ok", "", "ok"},
	{"own record and image", "u", NULL, true, NULL, "f", "bad", "bad", "ok"},
	{"own record, no image", "u", NULL, false, NULL, "f", "bad", "ok", "ok"},
	{"record and image of another", "x", NULL, true, NULL, "f", "note", "note", "ok"},
	{"record of an abort", NULL, "u", false, NULL, "f", "bad", "", "ok"},
	{"both records", "u", "x", false, NULL, NULL, "bad note", "ok", "ok"},
	{"own copy", NULL, NULL, false, "f", "f", "ok", "", "bad"},
	{"copy of another", NULL, NULL, false, "g", "f", "ok", "", "note"},
	{"a copy, no key", NULL, NULL, false, "g", NULL, "ok", "", "note"},
	{"copies without UUIDs", NULL, NULL, false, "", "", "ok", "", "note"},
};

static void put_record(struct coffer_remnants *s, int kind, const char *uuid)
{
	s->has_record[kind] = uuid != NULL;
	if (uuid)
		(void)snprintf(s->record[kind].uuid, sizeof(s->record[kind].uuid), "%s", uuid);
}

static void test_remnants(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(remnant_rows); i++) {
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
		struct coffer_remnants s = {.geometry = {6 * MIB, MIB, 4 * MIB, 512},
			.uuid = "u",
			.image_intact = remnant_rows[i].image,
			.fs_uuid = remnant_rows[i].fs};

		put_record(&s, COFFER_RECORD_PLACE, remnant_rows[i].place);
		put_record(&s, COFFER_RECORD_UNDO, remnant_rows[i].undo);
		if (remnant_rows[i].copy) {
			(void)snprintf(s.copy_type, sizeof(s.copy_type), "ext4");
			(void)snprintf(
				s.copy_uuid, sizeof(s.copy_uuid), "%s", remnant_rows[i].copy);
		}
		ok(coffer_judge_remnants(&s, &l) == 0 &&
				are(&l, "record", remnant_rows[i].record) &&
				are(&l, "image", remnant_rows[i].image_verdict) &&
				are(&l, "moved-segment-copy", remnant_rows[i].copy_verdict),
			"remains: %s", remnant_rows[i].name);
	}
}

int main(void)
{
	test_copies();
	test_filesystem();
	test_remnants();
	return done_testing();
}
