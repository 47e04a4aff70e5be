/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_judge_volume.c - the verdict on two header copies */
#include "header/judge_copies.h"
#include "report/judge_volume.h"

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

#define LOOK "see what coffer repair --dry-run 'a b' would do"

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
	{"both whole", {{true, true, 7}, {true, true, 7}}, 0, true, "ok", "ok", ""},
	{"second torn", {{true, true, 7}, {true, false, 7}}, 0, false, "ok", "bad", LOOK},
	{"second gone", {{true, true, 7}, {false, false, 0}}, 0, false, "ok", "bad", LOOK},
	{"second behind", {{true, true, 7}, {true, true, 6}}, 0, false, "ok", "bad", LOOK},
	{"second differs", {{true, true, 7}, {true, true, 7}}, 0, false, "ok", "bad", LOOK},
	{"two volumes", {{true, true, 7}, {true, true, 99}}, 1, false, "bad", "bad", "", false,
		true},
	{"first torn", {{true, false, 9}, {true, true, 7}}, 1, false, "bad", "ok", LOOK},
	{"first gone", {{false, false, 0}, {true, true, 7}}, 1, false, "bad", "ok",
		LOOK "; something else lies where the first copy was, and may be what the disk is "
		     "for now"},
	{"first zeroed", {{false, false, 0}, {true, true, 7}}, 1, false, "bad", "ok", LOOK, true},
	{"first behind", {{true, true, 6}, {true, true, 7}}, 1, false, "bad", "ok", LOOK},
	{"both torn", {{true, false, 7}, {true, false, 7}}, -1, false, "bad", "bad", ""},
	{"first torn, second gone", {{true, false, 7}, {false, false, 0}}, -1, false, "bad", "bad",
		""},
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
		ok(coffer_judge_copies(&f, "'a b'", &l) == 0 && l.n == 2 &&
				are(&l, "header-primary", copy_rows[i].first) &&
				are(&l, "header-secondary", copy_rows[i].second) &&
				strcmp(remedy(&l, bad), copy_rows[i].way_out) == 0,
			"copies: %s", copy_rows[i].name);
	}
}

/* --- how far it is --- */

static const struct {
	const char *name;
	enum coffer_operation operation;
	uint64_t pointer;
	const char *conversion, *wipe, *remedy;
} progress_rows[] = {
	{"plain", COFFER_OP_START, 0, "ok", "", ""},
	{"encrypted", COFFER_OP_ENCRYPTED, 0, "ok", "", ""},
	{"final header in one copy", COFFER_OP_SYNC_FINAL, 0, "ok", "", ""},
	{"half way", COFFER_OP_CONVERT, 3 * MIB, "note", "", "coffer encrypt d"},
	{"at its end", COFFER_OP_FINALIZE, 0, "note", "note", "coffer encrypt d"},
	{"half placed", COFFER_OP_REDO_PLACEMENT, 0, "note", "", "coffer encrypt d"},
	{"placed", COFFER_OP_FINISH_PLACEMENT, 4 * MIB, "note", "", "coffer encrypt d"},
	{"half aborted", COFFER_OP_FINISH_UNDO, 0, "note", "", "coffer abort d"},
	{"another one", COFFER_OP_OTHER, 0, "note", "", "cryptsetup reencrypt --resume-only d"},
	{"shrunk", COFFER_OP_SHRUNK, 3 * MIB, "bad", "", "give it its size back"},
	{"damaged", COFFER_OP_DAMAGED, 0, "", "", "there is no such check"},
};
_Static_assert(ARRAY_SIZE(progress_rows) == COFFER_N_OPERATIONS - 1, "a row for each action");

static void test_progress(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(progress_rows); i++) {
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
		const struct coffer_facts f = {.conversion = {{6 * MIB, MIB, 4 * MIB, 512},
						       .pointer = progress_rows[i].pointer}};

		ok(coffer_judge_progress(progress_rows[i].operation, &f, "d", &l) == 0 &&
				are(&l, "conversion", progress_rows[i].conversion) &&
				are(&l, "wipe-pending", progress_rows[i].wipe) &&
				strcmp(remedy(&l, "conversion"), progress_rows[i].remedy) == 0,
			"progress: %s", progress_rows[i].name);
	}
}

/* --- the filesystem --- */

static const struct {
	const char *name;
	struct coffer_seen_fs seen;
	const char *filesystem, *end;
} fs_rows[] = {
	{"fits", {"ext4", "u", "l", {COFFER_FS_EXT, 4096}, NULL, 8192, false}, "ok", "ok"},
	{"fits to the byte", {"ext4", "u", "", {COFFER_FS_EXT, 8192}, NULL, 8192, false}, "ok",
		"ok"},
	{"one byte too long", {"ext4", "u", "", {COFFER_FS_EXT, 8193}, NULL, 8192, false}, "ok",
		"bad"},
	{"too long, in use", {"ext4", "u", "", {COFFER_FS_EXT, 8193}, NULL, 8192, true}, "ok",
		"note"},
	{"absurd", {"xfs", "", "", {COFFER_FS_NONE, 0}, "absurd", 8192, false}, "ok", "bad"},
	{"absurd, in use", {"xfs", "", "", {COFFER_FS_NONE, 0}, "absurd", 8192, true}, "ok",
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

/* --- leftovers --- */

static const struct {
	const char *name;
	const char *place, *restore; /* UUIDs of the records; NULL: none */
	bool image;
	const char *head, *fs; /* UUIDs of the filesystems; NULL: none, not known */
	uint64_t end;
	const char *record, *image_verdict, *head_copy;
	bool way_out;
} left_rows[] = {
	{"nothing", NULL, NULL, false, NULL, "f", MIB, "ok", "", "ok", false},
	{"own record and image", "u", NULL, true, NULL, "f", MIB, "bad", "bad", "ok", false},
	{"own record, no image", "u", NULL, false, NULL, "f", MIB, "bad", "ok", "ok", false},
	{"record and image of another", "x", NULL, true, NULL, "f", MIB, "note", "note", "ok",
		false},
	{"record of an abort", NULL, "u", false, NULL, "f", MIB, "bad", "", "ok", false},
	{"both records", "u", "x", false, NULL, NULL, 0, "bad note", "ok", "ok", false},
	{"own head", NULL, NULL, false, "f", "f", MIB, "ok", "", "bad", true},
	{"own head, filesystem reaches it", NULL, NULL, false, "f", "f", 5 * MIB, "ok", "", "bad",
		false},
	{"own head, end not known", NULL, NULL, false, "f", "f", 0, "ok", "", "bad", false},
	{"another head", NULL, NULL, false, "g", "f", MIB, "ok", "", "note", false},
	{"a head, no key", NULL, NULL, false, "g", NULL, 0, "ok", "", "note", false},
	{"heads without UUIDs", NULL, NULL, false, "", "", MIB, "ok", "", "note", false},
};

static void put_record(struct coffer_remnants *s, int kind, const char *uuid)
{
	s->has_record[kind] = uuid != NULL;
	if (uuid)
		(void)snprintf(s->record[kind].uuid, sizeof(s->record[kind].uuid), "%s", uuid);
}

static void test_leftovers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_rows); i++) {
		_cleanup_(coffer_findings_free) struct coffer_findings l = {0};
		struct coffer_remnants s = {.geometry = {6 * MIB, MIB, 4 * MIB, 512},
			.uuid = "u",
			.device = "d",
			.image_intact = left_rows[i].image,
			.fs_uuid = left_rows[i].fs,
			.fs_end = left_rows[i].end};

		put_record(&s, COFFER_RECORD_PLACE, left_rows[i].place);
		put_record(&s, COFFER_RECORD_UNDO, left_rows[i].restore);
		if (left_rows[i].head) {
			(void)snprintf(s.head_type, sizeof(s.head_type), "ext4");
			(void)snprintf(s.head_uuid, sizeof(s.head_uuid), "%s", left_rows[i].head);
		}
		ok(coffer_judge_remnants(&s, &l) == 0 && are(&l, "record", left_rows[i].record) &&
				are(&l, "image", left_rows[i].image_verdict) &&
				are(&l, "moved-segment-copy", left_rows[i].head_copy) &&
				(strstr(remedy(&l, "moved-segment-copy"), "seek=5242880 ") !=
					NULL) == left_rows[i].way_out,
			"leftovers: %s", left_rows[i].name);
	}
}

int main(void)
{
	test_copies();
	test_progress();
	test_filesystem();
	test_leftovers();
	return done_testing();
}
