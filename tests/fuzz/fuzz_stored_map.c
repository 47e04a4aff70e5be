/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_stored_map.c - fuzz target: a used map as it lies on the disk
 *
 * Input: a map of what is used, as it is and with the right sums put in: else nothing would get
 * past them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/step.h"
#include "convert/stored_map.h"
#include "lib/checksum.h"

enum {
	AT_SUM = 128,
	MAX = 64 << 10
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was taken can be worked with: it is written back as it was, and nothing leads out of L. */
static void use(const struct coffer_stored_map *m, const uint8_t *bytes)
{
	const uint64_t size = coffer_stored_map_size(m->n_prints, m->map->n);
	uint8_t *again = malloc(size);
	uint64_t p = m->geometry.length;

	if (!again)
		return;
	if (coffer_geometry_check(&m->geometry, NULL) < 0 || !coffer_used_map_ok(m->map) ||
		coffer_used_map_bytes(m->map, 0, p) > p)
		abort();
	for (size_t i = 0; i < m->n_prints; i++)
		if (m->prints[i].start >= m->prints[i].end || m->prints[i].end > m->geometry.length)
			abort();
	/* Its fields and ranges; what lies between them is not kept. */
	if (coffer_stored_map_encode(m, again) < 0 ||
		memcmp(again + COFFER_BLOCK, bytes + COFFER_BLOCK,
			16 * (m->n_prints + m->map->n)) != 0)
		abort();
	for (unsigned int i = 0; i < 50 && p > 0; i++) {
		const uint64_t q = coffer_next_step(&m->geometry, m->map, p);
		struct coffer_jobs jobs = coffer_jobs_of(&m->geometry, m->map, q, p);
		struct coffer_job job;

		if (q >= p || !coffer_pointer_ok(&m->geometry, q))
			abort();
		for (unsigned int k = 0; k < 50 && coffer_jobs_next(&jobs, 1 << 20, &job); k++)
			if (job.n == 0 || job.x < q || job.x + job.n > p)
				abort();
		p = q;
	}
	free(again);
}

static void check(const uint8_t *p, size_t n)
{
	struct coffer_stored_map m = {0};
	const int r = coffer_stored_map_decode(p, n, &m);
	uint64_t size;

	if (r == 0 && !m.void_)
		use(&m, p);
	else if (r != 0 && r != -ENODATA && r != -EBADMSG && r != -ENOMEM)
		abort();
	coffer_stored_map_reset(&m);
	if (n >= COFFER_BLOCK && coffer_stored_map_peek(p, &size) == 0 &&
		(size == 0 || size % COFFER_BLOCK))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t p[MAX];
	const size_t blocks = round_up_u64(n < MAX ? n : MAX, COFFER_BLOCK);

	memset(p, 0, sizeof(p));
	memcpy(p, data, n < MAX ? n : MAX);
	check(p, n < MAX ? n : MAX);
	if (blocks == 0)
		return 0;
	put_checksum(p, COFFER_SECTOR, AT_SUM);
	check(p, blocks);
	put_checksum(p, blocks, AT_SUM);
	check(p, blocks);
	return 0;
}
