/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keyslot_placement.c - the order in which keyslots are written: one set of keys always works */
#include "header/keyslot_placement.h"

#include <errno.h>
#include <stdio.h>

/* Find the first place of @size bytes that touches none of the lists. */
static int find_place(const struct coffer_areas *const lists[3], uint64_t size, uint64_t from,
	uint64_t to, uint64_t *ret)
{
	uint64_t at = from;
	bool again;

	do {
		again = false;
		for (size_t k = 0; k < 3; k++) {
			for (size_t i = 0; i < lists[k]->n; i++) {
				const struct coffer_area *a = &lists[k]->a[i];

				if (at >= a->offset + a->size || a->offset >= at + size)
					continue;
				at = a->offset + a->size;
				again = true;
			}
		}
	} while (again);
	*ret = at;
	return at <= to && size <= to - at ? 0 : -ENOSPC;
}

int coffer_keyslot_placement_find(const struct coffer_areas *now, const struct coffer_areas *then,
	uint32_t differ, uint64_t from, uint64_t to, struct coffer_keyslot_placement *ret)
{
	struct coffer_areas placed = {0};
	const struct coffer_areas *const lists[3] = {now, then, &placed};
	struct coffer_keyslot_placement o = {0};
	int r;

	for (size_t i = 0; i < then->n; i++) {
		const struct coffer_area *a = &then->a[i];
		const uint32_t bit = UINT32_C(1) << a->slot;
		struct coffer_area *p = &placed.a[placed.n];

		if (!(differ & bit))
			continue;
		if (!coffer_areas_touch(now, a->offset, a->size)) {
			o.direct |= bit;
			continue;
		}
		*p = *a;
		r = find_place(lists, a->size, from, to, &p->offset);
		if (r < 0)
			return r;
		placed.n++;
		o.moved |= bit;
		o.interim[a->slot] = p->offset;
	}
	*ret = o;
	return 0;
}

int coffer_keyslot_move(struct json_object *json, const struct coffer_keyslot_placement *o)
{
	struct json_object *slots = coffer_json_object(json, "keyslots");

	for (unsigned int i = 0; i < COFFER_MAX_KEYSLOTS; i++) {
		struct json_object *area;
		char name[12];

		if (!(o->moved >> i & 1))
			continue;
		(void)snprintf(name, sizeof(name), "%u", i);
		area = coffer_json_object(coffer_json_object(slots, name), "area");
		if (!area)
			return -EBADMSG;
		if (coffer_json_put_u64s(area, "offset", o->interim[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}
