/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* traces.c - recorded runs, and runs that recover what these leave */
#include "traces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void trails_add(struct traces *t, const struct row *row, const uint8_t *base, struct crash_log *log,
	const char *from)
{
	struct trail *new;

	t->items = realloc(t->items, (t->n + 1) * sizeof(*t->items));
	if (!t->items)
		abort();
	new = &t->items[t->n++];
	*new = (struct trail){.base = malloc(disk_size(row)), .log = *log};
	if (!new->base)
		abort();
	memcpy(new->base, base, disk_size(row));
	free(new->log.mem);
	new->log.mem = NULL;
	(void)snprintf(new->from, sizeof(new->from), "%s", from);
	*log = (struct crash_log){0};
}

int trails_record(struct traces *t, const struct row *row, const uint8_t *base, verb run,
	const char *from, struct coffer_err *e)
{
	struct crashdev *d = crashdev_new(base, disk_size(row));
	struct crash_log log = {0};
	int r;

	d->recording = true;
	crashdev_keep(d, &log);
	r = run(row, &d->dev, e);
	if (r < 0)
		crash_log_free(&log);
	else
		trails_add(t, row, base, &log, from);
	return r;
}

void trails_free(struct traces *t)
{
	for (size_t i = 0; i < t->n; i++) {
		crash_log_free(&t->items[i].log);
		free(t->items[i].base);
	}
	free(t->items);
	*t = (struct traces){0};
}

void trail_cut(const struct trail *t, struct lab *l, const struct crash_cut *cut, size_t *at)
{
	struct crash_epoch e;

	if (!crash_epoch(&t->log, cut->epoch, &e))
		abort();
	for (; *at < e.first; ++*at)
		lab_advance(l, &t->log.ops[*at]);
	lab_cut(l, &t->log, cut);
}

void trails_cut_again(
	struct traces *ret, struct lab *l, const struct trail *t, verb recover, size_t count)
{
	const struct crash_depth d = {.seeds = 1, .seed = 7};
	size_t n, at = 0;
	struct crash_cut *cuts = crash_cuts(&t->log, &d, &n);

	lab_begin(l, t->base);
	for (size_t i = 0; i < count && i < n; i++) {
		const struct crash_cut *cut = &cuts[n <= count ? i : i * n / count];
		struct coffer_err e = {0};
		char from[160];

		trail_cut(t, l, cut, &at);
		(void)snprintf(
			from, sizeof(from), "%.120s, cut after %u flushes", t->from, cut->epoch);
		if (trails_record(ret, l->row, l->state.mem, recover, from, &e) < 0 &&
			e.outcome != COFFER_NO && e.outcome != COFFER_REFUSED) {
			crash_cut_name(&t->log, cut, l->cut);
			lab_fail(l, "the recovery to be cut again", e.msg);
			l->tally->lost++;
		}
	}
	free(cuts);
}
