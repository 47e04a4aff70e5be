/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata_config.c - sizes, flags, and what a header requires of its reader */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "luks2/copy.h"
#include "luks2/metadata.h"
#include "luks2/metadata_parts.h"

#define MAX_KEYSLOTS_SIZE (UINT64_C(128) << 20)

static const char online[] = "online-reencrypt";

/* Has it the form of a reencryption's requirement, of this or of a later version? */
static bool is_candidate(const char *name)
{
	const char *rest = name + strlen(online);

	if (strncmp(name, online, strlen(online)) != 0)
		return false;
	if (!*rest)
		return true;
	return strncmp(rest, "-v", 2) == 0 && rest[2] && !rest[2 + strspn(rest + 2, "0123456789")];
}

/* 1 to 3 for the versions that exist; 0 for anything else. */
static unsigned int version_of(const char *name)
{
	static const char *const names[] = {
		"online-reencrypt", "online-reencrypt-v2", "online-reencrypt-v3"};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return i + 1;
	return 0;
}

static void say_reencryption(const struct coffer_meta_at *config, unsigned int version)
{
	const struct coffer_meta_at at = {.run = config->run, .section = COFFER_META_REENCRYPTION};
	const char *device = at.run->m->device;

	if (version > 1) {
		coffer_meta_say(&at, COFFER_META_NOTE, "a reencryption is under way");
		coffer_meta_remedy(&at, "coffer status %s tells how it goes on", device);
		return;
	}
	coffer_meta_say(&at, COFFER_META_NOTE,
		"a reencryption is under way that was begun by cryptsetup 2.4.2 or older: its "
		"metadata have no digest, and no newer version resumes it like that");
	coffer_meta_remedy(&at, "cryptsetup repair %s", device);
}

static void check_requirement(const struct coffer_meta_at *at, const char *name)
{
	struct coffer_meta_requirements *r = &at->run->requirements;
	static const struct {
		const char *name, *what;
	} newer[] = {
		{"opal", "the drive encrypts by itself; that takes cryptsetup 2.7 or newer"},
		{"opal-v2", "the drive encrypts by itself; that takes cryptsetup 2.7 or newer"},
		{"inline-hw-tags", "tags lie in the drive's own sectors; that takes cryptsetup 2.8 "
				   "or newer"},
		{"offline-reencrypt",
			"a reencryption was begun with cryptsetup-reencrypt, and only "
			"that goes on with it"},
	};

	if (is_candidate(name))
		r->candidates++;
	if (version_of(name) > 0) {
		if (r->version == 0)
			say_reencryption(at, version_of(name));
		r->version = version_of(name);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++)
		if (strcmp(name, newer[i].name) == 0) {
			coffer_meta_say(at, COFFER_META_NOTE, "'%s': %s", name, newer[i].what);
			return;
		}
	coffer_meta_say(at, COFFER_META_WRONG,
		"the header requires '%.64s' of whoever opens it, and nothing here knows it", name);
	coffer_meta_remedy(at, "use a newer cryptsetup with this volume");
}

void coffer_meta_check_requirements(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_REQUIREMENT};
	struct json_object *o, *mandatory;

	if (!coffer_json_has(run->config, "requirements"))
		return;
	o = coffer_meta_object(&at, run->config, "requirements");
	if (!coffer_json_has(o, "mandatory"))
		return;
	mandatory = coffer_meta_array(&at, o, "requirements.mandatory");
	if (!coffer_meta_texts(&at, mandatory, "requirements.mandatory"))
		return;
	for (size_t i = 0; i < coffer_json_length(mandatory); i++)
		check_requirement(&at, coffer_json_item_string(mandatory, i));
	if (run->requirements.candidates > 1)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"there are %u requirements of a reencryption, and one is the most",
			run->requirements.candidates);
}

static void check_flags(const struct coffer_meta_at *at)
{
	static const char *const known[] = {"allow-discards", "same-cpu-crypt",
		"submit-from-crypt-cpus", "no-journal", "no-read-workqueue", "no-write-workqueue",
		"high_priority"};
	struct json_object *flags;

	if (!coffer_json_has(at->run->config, "flags"))
		return;
	flags = coffer_meta_array(at, at->run->config, "flags");
	if (!coffer_meta_texts(at, flags, "flags"))
		return;
	for (size_t i = 0; i < coffer_json_length(flags); i++) {
		const char *flag = coffer_json_item_string(flags, i);
		bool found = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			found = found || strcmp(flag, known[k]) == 0;
		if (!found)
			coffer_meta_say(at, COFFER_META_NOTE,
				"flag '%.32s' is not known, and means nothing to cryptsetup", flag);
	}
}

void coffer_meta_check_config(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_CONFIG};
	const uint64_t copy = run->m->copy_size, data = coffer_meta_data_offset(run->m->json);
	uint64_t json_size, keyslots_size;

	if (coffer_meta_u64(&at, run->config, "json_size", &json_size) &&
		json_size != copy - COFFER_LUKS2_BIN)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"json_size is %" PRIu64 ", but the JSON area has %" PRIu64 " bytes",
			json_size, copy - COFFER_LUKS2_BIN);
	check_flags(&at);
	if (!coffer_meta_u64(&at, run->config, "keyslots_size", &keyslots_size))
		return;
	if (keyslots_size % 4096 || keyslots_size > MAX_KEYSLOTS_SIZE) {
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"keyslots_size is %" PRIu64 ", which is no multiple of 4096 up to %" PRIu64,
			keyslots_size, MAX_KEYSLOTS_SIZE);
		return;
	}
	run->sizes_known = true;
	run->keyslots_size = keyslots_size;
	if (data && data < 2 * copy + keyslots_size)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"the header's areas end at byte %" PRIu64
			", but data begin at byte %" PRIu64 " already",
			2 * copy + keyslots_size, data);
}
