/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_keyslot_placement.c - every way in which the keyslots of two headers can lie in a small area
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "header/keyslot_placement.h"
#include "tap.h"

enum {
	FROM = 8 * 4096
};

static unsigned int places; /* of 4096 bytes each */

static uint64_t to(void)
{
	return FROM + (uint64_t)places * 4096;
}

/* Each of two keyslots lies at one of the places, or nowhere; @wide ones take two places. False:
 * they overlap, or leave the area. */
static bool put(unsigned int code, bool wide, struct coffer_areas *ret)
{
	*ret = (struct coffer_areas){0};
	for (unsigned int slot = 0; slot < 2; slot++, code /= places + 1) {
		const unsigned int place = code % (places + 1);
		const struct coffer_area a = {.slot = slot,
			.offset = FROM + (uint64_t)place * 4096,
			.size = wide && slot == 1 ? 8192 : 4096};

		if (place == places)
			continue;
		if (a.offset + a.size > to() || coffer_areas_touch(ret, a.offset, a.size))
			return false;
		ret->a[ret->n++] = a;
	}
	return true;
}

static const struct coffer_area *find(const struct coffer_areas *l, unsigned int slot)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->a[i].slot == slot)
			return &l->a[i];
	return NULL;
}

static uint64_t free_places(const struct coffer_areas *a, const struct coffer_areas *b)
{
	uint64_t n = 0;

	for (uint64_t at = FROM; at < to(); at += 4096)
		n += !coffer_areas_touch(a, at, 4096) && !coffer_areas_touch(b, at, 4096);
	return n;
}

/* Is it an order in which nothing that counts is overwritten? "": yes. */
static const char *judge(const struct coffer_areas *now, const struct coffer_areas *then,
	uint32_t differ, const struct coffer_keyslot_placement *o)
{
	struct coffer_areas placed = {0};

	for (unsigned int slot = 0; slot < 2; slot++) {
		const struct coffer_area *a = find(then, slot);
		const bool direct = o->direct >> slot & 1, moved = o->moved >> slot & 1;
		struct coffer_area at;

		if (direct && moved)
			return "both at once";
		if ((direct || moved) != (a && (differ >> slot & 1)))
			return "the wrong keyslots are written";
		if (direct && coffer_areas_touch(now, a->offset, a->size))
			return "one in use is overwritten";
		if (!moved)
			continue;
		if (!coffer_areas_touch(now, a->offset, a->size))
			return "moved without need";
		at = *a;
		at.offset = o->interim[slot];
		if (at.offset < FROM || at.offset + at.size > to() || at.offset % 4096)
			return "the interim place is outside";
		if (coffer_areas_touch(now, at.offset, at.size) ||
			coffer_areas_touch(then, at.offset, at.size) ||
			coffer_areas_touch(&placed, at.offset, at.size))
			return "the interim place is taken";
		placed.a[placed.n++] = at;
	}
	return "";
}

/* Places that those which must move need; all of one size. */
static uint64_t needed(
	const struct coffer_areas *now, const struct coffer_areas *then, uint32_t differ)
{
	uint64_t n = 0;

	for (size_t i = 0; i < then->n; i++)
		n += (differ >> then->a[i].slot & 1) &&
		     coffer_areas_touch(now, then->a[i].offset, then->a[i].size);
	return n;
}

static void test_all(bool wide, unsigned int n_places)
{
	const unsigned int codes = (n_places + 1) * (n_places + 1);
	unsigned int states = 0, moved = 0, full = 0, bad = 0;

	places = n_places;
	for (unsigned int c = 0; c < codes * codes * 4; c++) {
		const uint32_t differ = c % 4;
		struct coffer_keyslot_placement o;
		struct coffer_areas now, then;
		const char *why;
		int r;

		if (!put(c / 4 % codes, wide, &now) || !put(c / 4 / codes, wide, &then))
			continue;
		states++;
		r = coffer_keyslot_placement_find(&now, &then, differ, FROM, to(), &o);
		why = r == 0 ? judge(&now, &then, differ, &o) : "";
		if (r == -ENOSPC)
			full++;
		else if (r < 0)
			why = "an error of another kind";
		if (!wide && (r == 0) != (needed(&now, &then, differ) <= free_places(&now, &then)))
			why = "space was not found, or found where there is none";
		moved += r == 0 && o.moved;
		if (why[0] && bad++ < 5)
			note("state %u: %s", c, why);
	}
	note("%u places, %u states, %u move a keyslot, %u have no space", places, states, moved,
		full);
	ok(bad == 0 && states > 200 && moved > 10,
		"%s keyslots, %u places: every state has a safe order",
		wide ? "wide and narrow" : "equal", places);
}

/* With five of six places taken there is no space for two. */
static void test_full(void)
{
	struct coffer_areas now = {0}, then;
	struct coffer_keyslot_placement o;

	for (unsigned int i = 0; i < 5; i++)
		now.a[now.n++] = (struct coffer_area){
			.slot = i, .offset = FROM + (uint64_t)i * 4096, .size = 4096};
	then = now;
	ok(coffer_keyslot_placement_find(&now, &then, 1, FROM, to(), &o) == 0 && o.moved == 1 &&
			o.interim[0] == FROM + 5 * 4096,
		"one free place: one keyslot moves there");
	ok(coffer_keyslot_placement_find(&now, &then, 3, FROM, to(), &o) == -ENOSPC,
		"one free place: two have no space");
	ok(coffer_keyslot_placement_find(&now, &then, 0, FROM, to(), &o) == 0 && !o.moved &&
			!o.direct,
		"nothing differs: nothing is written");
}

static void test_move(void)
{
	static const char text[] = "{\"keyslots\":{\"0\":{\"area\":{\"offset\":\"4096\"}},"
				   "\"1\":{\"area\":{\"offset\":\"8192\",\"size\":\"4096\"}}}}";
	struct coffer_keyslot_placement o = {.moved = 2, .interim = {0, 12288}};
	_cleanup_json_ struct json_object *json = NULL;

	if (coffer_json_parse(text, strlen(text), &json) < 0)
		return;
	ok(coffer_keyslot_move(json, &o) == 0 &&
			strcmp(coffer_json_text(json),
				"{\"keyslots\":{\"0\":{\"area\":{\"offset\":\"4096\"}},"
				"\"1\":{\"area\":{\"offset\":\"12288\",\"size\":\"4096\"}}}}") == 0,
		"only the moved keyslot gets another place");
	o.moved = 4;
	ok(coffer_keyslot_move(json, &o) == -EBADMSG, "a keyslot that is not there");
}

int main(void)
{
	for (unsigned int n = 3; n <= 6; n++) {
		test_all(false, n);
		test_all(true, n);
	}
	test_full();
	test_move();
	return done_testing();
}
