/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_restore.c - may a header go back: each reason against it alone, allowed and not */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "header/restore_judge.h"
#include "luks2/copy.h"
#include "finding_named.h"
#include "tap.h"

#define UUID "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01"

enum {
	GIB = 1 << 30,
	SEQID = 5, /* of the backup */
	ALL = COFFER_ALLOW_UUID | COFFER_ALLOW_GEOMETRY | COFFER_ALLOW_KEYSLOTS |
	      COFFER_ALLOW_VOLUME_KEY
};

/* What of a header's metadata the rows change. */
struct header {
	const char *offset; /* of the data */
	const char *digest; /* of the volume key */
	const char *salt;   /* of keyslot 0 */
	const char *second; /* keyslot 1 with its comma, or "" */
	const char *tokens;
	const char *require; /* config.requirements with its comma */
	const char *area;    /* bytes of the keyslots area */
	const char *place;   /* of keyslot 0 */
};

#define SECOND                                                                                     \
	",\"1\":{\"type\":\"luks2\",\"key_size\":64,\"area\":{\"type\":\"raw\",\"offset\":"        \
	"\"294912\",\"size\":\"258048\",\"encryption\":\"aes-xts-plain64\",\"key_size\":64},"      \
	"\"kdf\":{\"type\":\"pbkdf2\",\"salt\":\"second\"},\"af\":{\"type\":\"luks1\"}}"

static const struct header usual = {"16777216", "key", "first", "", "", "", "1048576", "32768"};

static struct json_object *make(const struct header *h)
{
	struct json_object *json = NULL;
	char text[4096];

	(void)snprintf(text, sizeof(text),
		"{\"keyslots\":{\"0\":{\"type\":\"luks2\",\"key_size\":64,\"area\":{\"type\":"
		"\"raw\",\"offset\":\"%s\",\"size\":\"258048\",\"encryption\":"
		"\"aes-xts-plain64\",\"key_size\":64},\"kdf\":{\"type\":\"pbkdf2\",\"salt\":"
		"\"%s\"},\"af\":{\"type\":\"luks1\"}}%s},\"tokens\":{%s},\"segments\":{\"0\":{"
		"\"type\":\"crypt\",\"offset\":\"%s\",\"size\":\"dynamic\",\"iv_tweak\":\"0\","
		"\"encryption\":\"aes-xts-plain64\",\"sector_size\":512}},\"digests\":{\"0\":{"
		"\"type\":\"pbkdf2\",\"keyslots\":[\"0\",\"1\"],\"segments\":[\"0\"],\"hash\":"
		"\"sha256\",\"iterations\":1000,\"salt\":\"salt\",\"digest\":\"%s\"}},\"config\":"
		"{\"json_size\":\"12288\",\"keyslots_size\":\"%s\"%s}}",
		h->place, h->salt, h->second, h->tokens, h->offset, h->digest, h->area, h->require);
	if (coffer_json_parse(text, strlen(text), &json) < 0)
		abort();
	return json;
}

struct row {
	const char *name;
	const char *bad;    /* ids of the BAD checks, with blanks between */
	const char *note;   /* id of a check that must be a NOTE; NULL: none need be */
	unsigned int word;  /* allows what is BAD; 0: nothing does */
	struct header disk; /* where offset is NULL: no header is usable */
	const char *uuid;   /* of the disk; NULL: the backup's */
	uint64_t copy_size; /* 0: the backup's */
	uint64_t device;    /* bytes; 0: as then */
	const char *content;
	bool beside, stock, active, active_same, converting;
	uint32_t damaged_slots;
	uint64_t data_offset; /* of the backup; 0: the usual */
	const char *torn;     /* where no header is usable: the volume that a torn one names */
	uint64_t torn_seqid;
};

#define HERE()                                                                                     \
	{                                                                                          \
		"16777216", "key", "first", "", "", "", "1048576", "32768"                         \
	}

static const struct row rows[] = {
	{"all the same", "", NULL, 0, HERE()},
	{"a stock file", "", "backup", 0, HERE(), .stock = true},
	{"keyslot 0 lies elsewhere", "", NULL, 0,
		{"16777216", "key", "first", "", "", "", "1048576", "552960"}},
	{"another volume", "uuid", NULL, COFFER_ALLOW_UUID, HERE(), .uuid = "other"},
	{"the data elsewhere", "geometry", NULL, COFFER_ALLOW_GEOMETRY,
		{"33554432", "key", "first", "", "", "", "1048576", "32768"}},
	{"larger header copies", "geometry", NULL, COFFER_ALLOW_GEOMETRY, HERE(),
		.copy_size = 65536},
	{"a larger keyslots area", "geometry", NULL, COFFER_ALLOW_GEOMETRY,
		{"16777216", "key", "first", "", "", "", "2097152", "32768"}},
	{"a smaller device", "geometry", NULL, COFFER_ALLOW_GEOMETRY, HERE(), .device = GIB - 512},
	{"a larger device", "", "geometry", 0, HERE(), .device = GIB + 512},
	{"a smaller device, a stock file", "", NULL, 0, HERE(), .device = GIB - 512, .stock = true},
	{"a device without space for data", "geometry", NULL, COFFER_ALLOW_GEOMETRY, HERE(),
		.device = 16777216, .stock = true},
	{"a device without space for a header", "space", NULL, 0, HERE(), .device = 65536},
	{"another volume key", "volume-key keyslots", NULL,
		COFFER_ALLOW_VOLUME_KEY | COFFER_ALLOW_KEYSLOTS,
		{"16777216", "other", "first", "", "", "", "1048576", "32768"}},
	{"a changed keyslot", "keyslots", NULL, COFFER_ALLOW_KEYSLOTS,
		{"16777216", "key", "later", "", "", "", "1048576", "32768"}},
	{"an added keyslot", "keyslots", NULL, COFFER_ALLOW_KEYSLOTS,
		{"16777216", "key", "first", SECOND, "", "", "1048576", "32768"}},
	{"a damaged keyslot", "", "keyslot", 0, HERE(), .damaged_slots = 1},
	{"a damaged keyslot, a stock file", "keyslot", NULL, COFFER_ALLOW_KEYSLOTS, HERE(),
		.damaged_slots = 1, .stock = true},
	{"a token", "", "config", 0,
		{"16777216", "key", "first", "", "\"0\":{\"type\":\"x\",\"keyslots\":[]}", "",
			"1048576", "32768"}},
	{"no header, all fits", "", NULL, 0, {0}},
	{"no header, a stock file", "", NULL, 0, {0}, .stock = true},
	{"no header, a smaller device", "geometry", NULL, COFFER_ALLOW_GEOMETRY, {0},
		.device = GIB - 512},
	{"no header, a larger device", "", "geometry", 0, {0}, .device = GIB + 512},
	{"no header, a detached one", "geometry", NULL, COFFER_ALLOW_GEOMETRY, {0},
		.data_offset = 4096},
	{"a torn header of another volume", "uuid", NULL, COFFER_ALLOW_UUID, {0}, .torn = "other",
		.torn_seqid = SEQID + 1},
	{"a torn header of then", "", NULL, 0, {0}, .torn = UUID, .torn_seqid = SEQID},
	{"a torn header of before", "", NULL, 0, {0}, .torn = UUID, .torn_seqid = SEQID - 1},
	{"a torn header of later", "keyslots", NULL, COFFER_ALLOW_KEYSLOTS, {0}, .torn = UUID,
		.torn_seqid = SEQID + 1},
	{"no header, a filesystem", "content", NULL, 0, {0}, .content = "an ext4"},
	{"second copy only, a filesystem", "content", NULL, 0, HERE(), .content = "an ext4"},
	{"no header, a backup of a conversion", "conversion", NULL, COFFER_ALLOW_GEOMETRY, {0},
		.converting = true},
	{"a backup of a conversion", "conversion", NULL, 0, HERE(), .converting = true},
	{"a usable first copy, a RAID", "content", NULL, 0, HERE(), .content = "a RAID",
		.beside = true},
	{"in use, all the same", "", "in-use", 0, HERE(), .active = true, .active_same = true},
	{"in use by somebody else, all the same", "in-use", NULL, 0, HERE(), .active = true},
	{"in use, a changed keyslot", "keyslots", "in-use", COFFER_ALLOW_KEYSLOTS,
		{"16777216", "key", "later", "", "", "", "1048576", "32768"}, .active = true,
		.active_same = true},
	{"in use, another volume key", "volume-key keyslots in-use", NULL, 0,
		{"16777216", "other", "first", "", "", "", "1048576", "32768"}, .active = true,
		.active_same = true},
	{"in use, another volume", "uuid in-use", NULL, 0, HERE(), .uuid = "other", .active = true,
		.active_same = true},
	{"in use, the data elsewhere", "geometry in-use", NULL, 0,
		{"33554432", "key", "first", "", "", "", "1048576", "32768"}, .active = true,
		.active_same = true},
	{"in use, larger header copies", "geometry in-use", NULL, 0, HERE(), .copy_size = 65536,
		.active = true, .active_same = true},
	{"in use, no header", "in-use", NULL, 0, {0}, .active = true},
	{"in use by the backup's volume, no header", "", "in-use", 0, {0}, .active = true,
		.active_same = true},
	{"in use by the backup's volume, no header, a conversion", "conversion in-use", NULL, 0,
		{0}, .active = true, .active_same = true, .converting = true},
};

/* The ids of all checks with verdict @v, with blanks between. */
static void ids(const struct coffer_findings *l, enum coffer_verdict v, char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		const size_t used = strlen(ret);

		if (l->items[i].verdict == v)
			(void)snprintf(ret + used, size - used, "%s%s", used ? " " : "",
				coffer_finding_name(l->items[i].id));
	}
}

/* All words of @text in @list, in whatever order? */
static bool same_words(const char *list, const char *text)
{
	char copy[128], *rest = copy;
	const char *word;

	if (strlen(list) != strlen(text))
		return false;
	(void)snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " ")))
		if (!strstr(list, word))
			return false;
	return true;
}

static void judge(const struct row *row, unsigned int allow, struct coffer_findings *l)
{
	static const char require[] = ",\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]}";
	static uint8_t block[COFFER_LUKS2_BIN];
	struct header then = usual;
	_cleanup_json_ struct json_object *now = row->disk.offset ? make(&row->disk) : NULL;
	struct coffer_header h = {
		.copy_size = row->copy_size ? row->copy_size : 16384, .copy = {block}, .json = now};
	struct coffer_backup b = {.image = block, .copy_size = 16384};
	struct coffer_copy_facts torn = {.magic = true, .seqid = row->torn_seqid};
	struct coffer_restore_facts f = {.backup = &b,
		.device = "disk",
		.device_size = row->device ? row->device : GIB,
		.header = now ? &h : NULL,
		.torn = row->torn ? &torn : NULL,
		.damaged_slots = row->damaged_slots,
		.beside = row->beside,
		.active = row->active,
		.active_same = row->active_same,
		.allow = allow};

	(void)snprintf(f.content, sizeof(f.content), "%s", row->content ? row->content : "");
	if (row->converting)
		then.require = require;
	(void)snprintf(h.uuid, sizeof(h.uuid), "%s", row->uuid ? row->uuid : UUID);
	(void)snprintf(torn.uuid, sizeof(torn.uuid), "%s", row->torn ? row->torn : "");
	b.json = make(&then);
	b.info = (struct coffer_backup_info){.sealed = !row->stock,
		.conversion = row->converting ? COFFER_BACKUP_OTHER : COFFER_BACKUP_NONE,
		.image_size = 32768 + 1048576,
		.seqid = SEQID,
		.device_size = row->stock ? 0 : GIB,
		.data_offset = row->data_offset ? row->data_offset : 16777216,
		.uuid = UUID};
	if (coffer_restore_judge(&f, l) < 0)
		abort();
	coffer_json_free(b.json);
}

/* The error names the words that allow all of it, or none. */
static void test_refusal(const struct row *row, struct coffer_findings *l)
{
	struct coffer_err e = {0};
	const int r = coffer_restore_refuse(l, "disk", 0, &e);

	ok(r == (row->bad[0] ? -EPERM : 0) && (e.outcome == COFFER_REFUSED) == (r < 0) &&
			(strstr(e.msg, "--allow") != NULL) == (row->word != 0),
		"%s: %s", row->name, e.msg);
	for (size_t i = 0; i < l->n && !row->word; i++)
		if (strstr(l->items[i].advice, "--allow"))
			ok(false, "%s: a way out that leads nowhere", row->name);
}

static void test_row(const struct row *row)
{
	_cleanup_(coffer_findings_free) struct coffer_findings plain = {0}, allowed = {0},
							       half = {0};
	static const char *const unknown[] = {"keyslots", "volume-key"};
	const struct coffer_finding *c;
	char bad[128], left[128];

	judge(row, 0, &plain);
	ids(&plain, COFFER_VERDICT_BAD, bad, sizeof(bad));
	ok(same_words(bad, row->bad), "%s: refused for '%s'", row->name, bad);
	if (row->note) {
		c = finding_named(&plain, row->note);
		ok(c && c->verdict == COFFER_VERDICT_NOTE, "%s: a note about %s", row->name,
			row->note);
	}
	/* What cannot be known is said. */
	for (size_t i = 0; i < ARRAY_SIZE(unknown) && !row->disk.offset; i++) {
		c = finding_named(&plain, unknown[i]);
		ok(c && (c->verdict == COFFER_VERDICT_UNCHECKED || strstr(row->bad, unknown[i])),
			"%s: %s cannot be compared", row->name, unknown[i]);
	}
	test_refusal(row, &plain);
	judge(row, row->word, &allowed);
	ids(&allowed, COFFER_VERDICT_BAD, left, sizeof(left));
	if (row->word)
		ok(!left[0], "%s: allowed (%s)", row->name, left);
	judge(row, ALL & ~row->word, &half);
	ids(&half, COFFER_VERDICT_BAD, left, sizeof(left));
	if (row->bad[0])
		ok(left[0] != '\0', "%s: other words do not allow it", row->name);
	coffer_findings_free(&half);
	judge(row, ALL, &half);
	if (row->bad[0] && !row->word)
		ok(coffer_findings_count(&half, COFFER_VERDICT_BAD) > 0, "%s: nothing allows it",
			row->name);
}

/* Which of two copies that are torn speaks for the disk. */
static void test_torn(void)
{
	static const struct {
		const char *name, *uuid[2]; /* NULL: no binary block */
		uint64_t seqid[2];
		bool usable;
		int want; /* -1: none */
	} torn[] = {
		{"none", {NULL, NULL}, {0, 0}, false, -1},
		{"the first only", {"a", NULL}, {3, 0}, false, 0},
		{"the second only", {NULL, "a"}, {0, 3}, false, 1},
		{"both alike", {"a", "a"}, {3, 3}, false, 0},
		{"the first is newer", {"a", "a"}, {4, 3}, false, 0},
		{"the second is newer", {"a", "a"}, {3, 4}, false, 1},
		{"the second is of another volume", {"a", "b"}, {3, 4}, false, 0},
		{"one is usable", {"a", "a"}, {3, 4}, true, -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(torn); i++) {
		struct coffer_facts f = {.header.newest = torn[i].usable ? 0 : -1};
		const struct coffer_copy_facts *c;

		for (int k = 0; k < 2; k++) {
			f.header.copy[k].magic = torn[i].uuid[k] != NULL;
			f.header.copy[k].seqid = torn[i].seqid[k];
			(void)snprintf(f.header.copy[k].uuid, sizeof(f.header.copy[k].uuid), "%s",
				torn[i].uuid[k] ? torn[i].uuid[k] : "");
		}
		c = coffer_restore_torn(&f);
		ok(c == (torn[i].want < 0 ? NULL : &f.header.copy[torn[i].want]), "torn copies: %s",
			torn[i].name);
	}
}

int main(void)
{
	test_torn();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		test_row(&rows[i]);
	return done_testing();
}
