/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.c - are these LUKS2 metadata what the format says they must be? */
#include "luks2/metadata.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/findings.h"
#include "luks2/copy.h"
#include "luks2/metadata_parts.h"

static void check_text(struct coffer_meta_run *run)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_JSON};
	const struct coffer_meta *m = run->m;
	const uint64_t area = m->copy_size - COFFER_LUKS2_BIN;
	const char *written = coffer_json_text(m->json);
	char name[64];
	int r = 0;

	if (m->text)
		r = coffer_json_duplicate(m->text, m->text_size, name, sizeof(name));
	if (r < 0 || !written) {
		run->r = -ENOMEM;
		return;
	}
	if (r > 0) {
		coffer_meta_say(&at, COFFER_META_WRONG,
			"an object has two members '%s': cryptsetup goes by the last of them, "
			"others may go by the first",
			name);
		coffer_meta_remedy(&at,
			"any change that cryptsetup makes writes the last of them alone: "
			"cryptsetup "
			"config %s --label LABEL",
			m->device);
	}
	if (strlen(written) > area)
		coffer_meta_say(&at, COFFER_META_REFUSED,
			"written anew it has %zu bytes, and there is room for %" PRIu64,
			strlen(written), area);
}

static struct json_object *top_object(struct coffer_meta_run *run, const char *key)
{
	const struct coffer_meta_at at = {.run = run, .section = COFFER_META_JSON};

	return coffer_meta_object(&at, run->m->json, key);
}

/* One line for each section in which nothing was found, and the rest of those with too much. */
static void sum_up(struct coffer_meta_run *run)
{
	static const char *const well[] = {
		[COFFER_META_JSON] = "the metadata are one JSON object with all its parts",
		[COFFER_META_CONFIG] = "the sizes of the header's areas are possible ones",
		[COFFER_META_REQUIREMENT] = "nothing is required of a reader that is not known",
		[COFFER_META_KEYSLOT] = "every keyslot has what it must have",
		[COFFER_META_AREA] = "the keyslots' areas lie where they may, and do not overlap",
		[COFFER_META_TOKEN] = "every token has what it must have",
		[COFFER_META_DIGEST] = "every digest has what it must have",
		[COFFER_META_SEGMENT] = "the segments are possible ones and fit together",
		[COFFER_META_REENCRYPTION] = "no reencryption is under way",
	};
	char text[64];

	static_assert(ARRAY_SIZE(well) == COFFER_META_N_SECTIONS, "every section has a sentence");
	for (int i = 0; i < COFFER_META_N_SECTIONS; i++) {
		if (run->said[i] > COFFER_META_MOST) {
			(void)snprintf(text, sizeof(text), "%zu more of this kind",
				run->said[i] - COFFER_META_MOST);
			coffer_meta_add(
				run, (enum coffer_meta_section)i, COFFER_VERDICT_BAD, "", text);
		} else if (run->said[i] == 0 && !run->only_bad) {
			coffer_meta_add(
				run, (enum coffer_meta_section)i, COFFER_VERDICT_OK, "", well[i]);
		}
	}
}

int coffer_meta_check(const struct coffer_meta *m, struct coffer_findings *l, bool *ret_accepted)
{
	struct coffer_meta_run run = {.m = m, .copy = m->copy, .only_bad = m->only_bad, .l = l};

	check_text(&run);
	run.config = top_object(&run, "config");
	run.keyslots = top_object(&run, "keyslots");
	run.tokens = top_object(&run, "tokens");
	run.digests = top_object(&run, "digests");
	run.segments = top_object(&run, "segments");
	coffer_meta_check_requirements(&run);
	coffer_meta_check_tokens(&run);
	coffer_meta_check_digests(&run);
	if (run.segments)
		coffer_meta_check_segments(&run);
	coffer_meta_check_keyslots(&run);
	if (run.config)
		coffer_meta_check_config(&run);
	coffer_meta_check_areas(&run);
	sum_up(&run);
	*ret_accepted = !run.refused;
	return run.r;
}

int coffer_meta_accepted(
	struct json_object *json, const char *text, size_t text_size, uint64_t copy_size, bool *ret)
{
	const struct coffer_meta m = {.json = json,
		.text = text,
		.text_size = text_size,
		.copy_size = copy_size,
		.device = "",
		.copy = "",
		.only_bad = true};
	struct coffer_findings scratch = {0};
	const int r = coffer_meta_check(&m, &scratch, ret);

	coffer_findings_free(&scratch);
	return r;
}

uint64_t coffer_meta_header_size(struct json_object *json, uint64_t copy_size)
{
	struct json_object *config = coffer_json_object(json, "config");
	uint64_t size;

	if (coffer_json_u64s(config, "keyslots_size", &size) < 0 ||
		!add_u64(size, 2 * copy_size, &size))
		return 0;
	return size;
}
