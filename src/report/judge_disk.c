/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_disk.c - what an operator should know of one disk, from facts that need no key */
#include "report/judge_disk.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/findings.h"
#include "base/size.h"
#include "luks2/keyslots.h"

enum {
	/* cryptsetup takes a benchmark of two seconds, which gives a million or more; a thousand is
	 * the least that it allows. Below this a passphrase is tried 10 times faster. */
	FEW_ITERATIONS = 100000,
	STRIPES = 4000
};

/* --- where it stands --- */

static int judge_unfinished(
	const struct coffer_disk_state *s, const char *what, struct coffer_findings *l)
{
	int r;

	if (s->at_work && s->worker == 0)
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"%s, and a process that cannot be seen from here is at work on it", what);
	if (s->at_work)
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE,
			"%s, and process %" PRId32 " (%s) is at work on it", what, s->worker,
			s->command);
	r = coffer_findings_print(l, COFFER_FINDING_CONVERSION,
		s->everybody ? COFFER_VERDICT_BAD : COFFER_VERDICT_UNCHECKED, "%s, and %s%s%s",
		what,
		s->everybody ? "nobody is seen to be at work on it"
			     : "whether somebody is at work on it this user cannot see",
		s->why[0] ? ": " : "", s->why);
	if (s->next[0])
		coffer_findings_advise(l, "%s", s->next);
	return r;
}

static int judge_broken(enum coffer_finding_id id, const char *what, const char *remedy,
	const struct coffer_disk_state *s, struct coffer_findings *l)
{
	const int r = coffer_findings_print(
		l, id, COFFER_VERDICT_BAD, "%s%s%s", what, s->why[0] ? ": " : "", s->why);

	if (remedy[0])
		coffer_findings_advise(l, "%s", remedy);
	return r;
}

int coffer_judge_state(const struct coffer_disk_state *s, struct coffer_findings *l)
{
	switch (s->stage) {
	case COFFER_STAGE_PLAIN:
	case COFFER_STAGE_RESERVED:
		return coffer_findings_print(
			l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_NOTE, "it is not encrypted");
	case COFFER_STAGE_PLACING:
		return judge_unfinished(s,
			"the LUKS2 header is half placed: nothing can mount it, and nothing is "
			"encrypted yet",
			l);
	case COFFER_STAGE_PLACED:
		return judge_unfinished(
			s, "the LUKS2 header is there, but nothing is encrypted yet", l);
	case COFFER_STAGE_CONVERTING:
		return judge_unfinished(s, "the conversion is not finished", l);
	case COFFER_STAGE_WIPE_PENDING:
		return judge_unfinished(s,
			"all is encrypted, but the plain copy of the first bytes is not wiped", l);
	case COFFER_STAGE_UNDOING:
		return judge_unfinished(s, "an abort is half done: nothing can mount it", l);
	case COFFER_STAGE_OTHER:
		return judge_unfinished(s, "a reencryption of cryptsetup's is not finished", l);
	case COFFER_STAGE_ENCRYPTED:
		if (s->luks_version == 1)
			return coffer_findings_print(l, COFFER_FINDING_CONVERSION,
				COFFER_VERDICT_NOTE,
				"it is a LUKS1 volume, whose header coffer does not look at");
		return coffer_findings_print(l, COFFER_FINDING_CONVERSION, COFFER_VERDICT_OK,
			"no conversion is under way");
	case COFFER_STAGE_SHRUNK:
		return judge_broken(COFFER_FINDING_SIZE,
			"the device is smaller than the conversion that it holds",
			"give it its size back", s, l);
	case COFFER_STAGE_DAMAGED:
	case COFFER_N_STAGES:
		break;
	}
	return judge_broken(COFFER_FINDING_DAMAGE, "it is damaged", s->next, s, l);
}

/* --- requirements --- */

/* What libcryptsetup must know to touch the volume. An empty sentence: told of elsewhere. */
static const struct {
	const char *name, *text;
} requirements[] = {
	{"offline-reencrypt",
		"an offline reencryption is under way that only cryptsetup can finish"},
	{"online-reencrypt", ""},
	{"online-reencrypt-v2", ""},
	{"online-reencrypt-v3", ""},
	{"opal", "the drive encrypts too (OPAL): opening it takes cryptsetup 2.7 or later"},
	{"opal-v2", "the drive encrypts too (OPAL): opening it takes a cryptsetup that knows that"},
	{"inline-hw-tags",
		"it keeps tags in the sectors' metadata: opening it takes cryptsetup 2.8 or later"},
};

static int judge_requirement(const char *name, struct coffer_findings *l)
{
	int r;

	for (size_t i = 0; i < sizeof(requirements) / sizeof(requirements[0]); i++) {
		if (strcmp(name, requirements[i].name) != 0)
			continue;
		if (!requirements[i].text[0])
			return 0;
		return coffer_findings_print(l, COFFER_FINDING_REQUIREMENT, COFFER_VERDICT_NOTE,
			"%s", requirements[i].text);
	}
	r = coffer_findings_print(l, COFFER_FINDING_REQUIREMENT, COFFER_VERDICT_BAD,
		"the header demands '%.64s', which neither coffer nor cryptsetup 2.8 knows: they "
		"do "
		"not open it",
		name);
	coffer_findings_advise(l, "use the version of cryptsetup that has made this header, or a "
				  "later one");
	return r;
}

static int judge_requirements(struct json_object *json, struct coffer_findings *l)
{
	struct json_object *list = coffer_json_array(
		coffer_json_object(coffer_json_object(json, "config"), "requirements"),
		"mandatory");
	int r = 0;

	for (size_t i = 0; i < coffer_json_length(list) && r == 0; i++) {
		const char *name = coffer_json_item_string(list, i);

		if (name)
			r = judge_requirement(name, l);
	}
	return r;
}

/* --- keyslots --- */

static bool opens(const struct coffer_keyslot *s)
{
	return s->bound && strcmp(s->type, "luks2") == 0;
}

static bool has_token(const struct coffer_keys *k, const struct coffer_keyslot *s)
{
	for (size_t i = 0; i < k->n_tokens; i++)
		if (k->tokens[i].keyslots >> s->number & 1)
			return true;
	return false;
}

static int judge_count(
	const struct coffer_keys *k, const struct coffer_volume_state *s, struct coffer_findings *l)
{
	size_t n = 0;
	int r;

	for (size_t i = 0; i < k->n_slots; i++)
		n += opens(&k->slots[i]);
	if (n == 0) {
		r = coffer_findings_print(l, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_BAD,
			"no keyslot holds the volume key: once it is closed, nobody can open it "
			"again without a copy of the header or of the key");
		coffer_findings_advise(
			l, s->open ? "while it is open: save the data, or add a keyslot with the "
				     "volume key (cryptsetup luksAddKey --volume-key-file)"
				   : "cryptsetup luksHeaderRestore, with a copy of the header that "
				     "has keyslots");
		return r;
	}
	if (n > 1)
		return coffer_findings_print(l, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_OK,
			"%zu keyslots hold the volume key", n);
	r = coffer_findings_print(l, COFFER_FINDING_KEYSLOT, COFFER_VERDICT_NOTE,
		"one keyslot alone holds the volume key: without its passphrase all is lost");
	coffer_findings_advise(
		l, "add a second one: cryptsetup luksAddKey, systemd-cryptenroll --recovery-key");
	return r;
}

/* A keyslot that a token opens has a long random passphrase, for which a thousand is enough. */
static int judge_pbkdf2(
	const struct coffer_keys *k, const struct coffer_volume_state *s, struct coffer_findings *l)
{
	int r = 0;

	for (size_t i = 0; i < k->n_slots && r == 0; i++) {
		const struct coffer_keyslot *slot = &k->slots[i];

		if (!opens(slot) || strcmp(slot->kdf, "pbkdf2") != 0 ||
			slot->iterations >= FEW_ITERATIONS || has_token(k, slot))
			continue;
		r = coffer_findings_print(l, COFFER_FINDING_PBKDF, COFFER_VERDICT_NOTE,
			"keyslot %u has pbkdf2 with %" PRIu32
			" iterations only: a passphrase that a person can remember is soon found "
			"by trying",
			slot->number, slot->iterations);
		if (!s->converting)
			coffer_findings_advise(l,
				"unless it is a random key file: cryptsetup luksConvertKey "
				"--key-slot %u --pbkdf argon2id %s",
				slot->number, s->device);
	}
	return r;
}

static int judge_room(struct json_object *json, const struct coffer_keys *k,
	const struct coffer_volume_state *s, struct coffer_findings *l)
{
	uint64_t size, used = 0, one = 0;

	if (s->converting ||
		coffer_json_u64s(coffer_json_object(json, "config"), "keyslots_size", &size) < 0)
		return 0;
	for (size_t i = 0; i < k->n_slots; i++) {
		if (!add_u64(used, round_up_u64(k->slots[i].material, 4096), &used))
			return 0;
		if (opens(&k->slots[i]))
			one = round_up_u64((uint64_t)k->slots[i].key_size * STRIPES, 4096);
	}
	if (one == 0 || (k->n_slots < COFFER_MAX_KEYSLOTS && used <= size && size - used >= one))
		return 0;
	return coffer_findings_print(l, COFFER_FINDING_KEYSLOT_ROOM, COFFER_VERDICT_NOTE,
		"there is no room for another keyslot: a key can be changed only after one was "
		"removed");
}

static int judge_memory(
	const struct coffer_keys *k, const struct coffer_volume_state *s, struct coffer_findings *l)
{
	const struct coffer_keyslot *most = NULL, *least = NULL;
	const char *needs, *has;
	struct coffer_size_text wanted, there;
	bool all;
	int r;

	for (size_t i = 0; i < k->n_slots; i++) {
		if (!opens(&k->slots[i]))
			continue;
		if (!most || k->slots[i].memory > most->memory)
			most = &k->slots[i];
		if (!least || k->slots[i].memory < least->memory)
			least = &k->slots[i];
	}
	if (!most || s->available_kib == 0 || most->memory == 0)
		return 0;
	wanted = coffer_size_format((uint64_t)most->memory << 10);
	there = coffer_size_format(min_u64(s->available_kib, UINT64_MAX >> 10) << 10);
	needs = wanted.s;
	has = there.s;
	if (most->memory <= s->available_kib)
		return coffer_findings_print(l, COFFER_FINDING_KEY_MEMORY, COFFER_VERDICT_OK,
			"opening it takes %s of memory at most, and %s are available", needs, has);
	all = least->memory > s->available_kib && !s->open;
	r = coffer_findings_print(l, COFFER_FINDING_KEY_MEMORY,
		all ? COFFER_VERDICT_BAD : COFFER_VERDICT_NOTE,
		"keyslot %u takes %s of memory to open, and %s are available on this machine%s",
		most->number, needs, has,
		all ? ", which is too little for every keyslot: the kernel may kill what opens it"
		    : "");
	coffer_findings_advise(l,
		"end what takes the memory, or add swap; for a machine that never has more: "
		"cryptsetup luksConvertKey --key-slot %u --pbkdf-memory KIB %s, on one that has",
		most->number, s->device);
	return r;
}

/* --- segments --- */

struct segments {
	const struct coffer_volume_state *s;
	struct coffer_findings *l;
};

/* One that a conversion keeps for later is no part of the volume now. */
static int judge_segment(const char *name, struct json_object *value, void *arg)
{
	const struct segments *t = arg;
	const char *text = coffer_json_string(value, "size");
	uint64_t offset, size = 0, end;
	int r;

	if (coffer_json_length(coffer_json_array(value, "flags")) > 0 || !text ||
		coffer_json_u64s(value, "offset", &offset) < 0 || offset == 0)
		return 0; /* 0: the header of a volume that lies elsewhere */
	if (strcmp(text, "dynamic") != 0 && coffer_json_u64s(value, "size", &size) < 0)
		return 0;
	if (!add_u64(offset, size, &end))
		end = UINT64_MAX;
	if (end < t->s->device_size || (end == t->s->device_size && size > 0))
		return 0;
	if (!t->s->is_block && offset >= t->s->device_size)
		return coffer_findings_print(t->l, COFFER_FINDING_SEGMENT, COFFER_VERDICT_NOTE,
			"the file ends before the volume's data begin: it is a header without "
			"them, or a part of an image");
	r = coffer_findings_print(t->l, COFFER_FINDING_SEGMENT, COFFER_VERDICT_BAD,
		"segment %.8s of the volume reaches to byte %" PRIu64
		", but the device has %" PRIu64 " bytes: its end is missing",
		name, end, t->s->device_size);
	coffer_findings_advise(t->l, "give the device its size back");
	return r;
}

int coffer_judge_volume(
	struct json_object *json, const struct coffer_volume_state *s, struct coffer_findings *l)
{
	struct segments t = {.s = s, .l = l};
	struct coffer_keys k;
	int r;

	coffer_keys_read(json, &k);
	r = judge_requirements(json, l);
	if (r == 0)
		r = judge_count(&k, s, l);
	if (r == 0)
		r = judge_pbkdf2(&k, s, l);
	if (r == 0)
		r = judge_room(json, &k, s, l);
	if (r == 0)
		r = judge_memory(&k, s, l);
	if (r == 0 && !s->converting)
		r = coffer_json_foreach(coffer_json_object(json, "segments"), judge_segment, &t);
	return r;
}
