/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step.c - what a step has to do, piece by piece */
#include "convert/step.h"

#include "base/bytes.h"

/* The stretch of equal kind that begins at @x: used or not, and where it ends (@to at most). */
static bool is_used(const struct coffer_used_map *m, uint64_t x, uint64_t to, uint64_t *ret_end)
{
	struct coffer_range u;

	*ret_end = to;
	if (!m)
		return true;
	if (!coffer_used_map_next(m, x, &u) || u.start >= to)
		return false;
	if (u.start > x) {
		*ret_end = u.start;
		return false;
	}
	*ret_end = min_u64(u.end, to);
	return true;
}

/* Was there something at x + S that was moved before? Asked of the free byte @x. */
static bool needs_scrub(const struct coffer_jobs *j, uint64_t x, uint64_t end, uint64_t *ret_end)
{
	const uint64_t s = j->g->shift, length = j->g->length;
	bool used;

	/* Below the pointer lies nothing used, or the step would not be legal. */
	if (x + s < j->to) {
		*ret_end = min_u64(end, j->to - s);
		return false;
	}
	if (x + s >= length) {
		*ret_end = end;
		return false;
	}
	used = is_used(j->map, x + s, min_u64(end + s, length), ret_end);
	*ret_end -= s;
	return used;
}

bool coffer_jobs_next(struct coffer_jobs *j, uint64_t max, struct coffer_job *ret)
{
	while (j->at < j->to) {
		const uint64_t x = j->at;
		const uint64_t limit = x < j->g->shift ? min_u64(j->g->shift, j->to) : j->to;
		uint64_t end;
		bool wanted = true;

		if (is_used(j->map, x, limit, &end)) {
			ret->kind = COFFER_JOB_MOVE;
		} else if (j->map->fill) {
			ret->kind = COFFER_JOB_FILL;
		} else {
			ret->kind = COFFER_JOB_SCRUB;
			wanted = needs_scrub(j, x, end, &end);
		}
		if (wanted)
			end = min_u64(end, x + max);
		j->at = end;
		if (!wanted)
			continue;
		ret->x = x;
		ret->n = end - x;
		return true;
	}
	return false;
}

bool coffer_jobs_next_free(struct coffer_jobs *j, struct coffer_range *ret)
{
	while (j->at < j->to) {
		const uint64_t x = j->at;
		const bool used = is_used(j->map, x, j->to, &j->at);

		if (used)
			continue;
		*ret = (struct coffer_range){x, j->at};
		return true;
	}
	return false;
}
