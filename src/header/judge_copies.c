/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* judge_copies.c - what is wrong with a header copy, and the way out */
#include "header/judge_copies.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/findings.h"
#include "base/quote.h"

static const char *nth(int i)
{
	return i ? "second" : "first";
}

/* Only repair knows whether the disk has all that it takes, so nothing is promised here. @device is
 * quoted already. */
void coffer_copy_remedy(const char *device, bool foreign, char *ret, size_t size)
{
	const char *quote = coffer_quote_around(device);

	(void)snprintf(ret, size, "see what %scoffer repair --dry-run %s%s would do%s", quote,
		device, quote,
		foreign ? "; something else lies where the first copy was, and may be what the "
			  "disk is for now"
			: "");
}

static int judge_copy(
	const struct coffer_facts *f, int i, const char *device, struct coffer_findings *l)
{
	static const enum coffer_finding_id ids[] = {
		COFFER_FINDING_HEADER_PRIMARY, COFFER_FINDING_HEADER_SECONDARY};
	const struct coffer_copy_facts *c = &f->header.copy[i], *other = &f->header.copy[!i];
	const bool whole = f->header.newest >= 0 && !f->header.two_volumes;
	const bool foreign = i == 0 && !c->magic && !f->block_0_is_ours && !f->block_0_is_empty;
	char remedy[sizeof(l->items->advice)];
	int r;

	if (f->header.two_volumes)
		return coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"the %s header copy is whole, with sequence number %" PRIu64
			", and of another volume than the other one",
			nth(i), c->seqid);
	if (c->whole && (f->header.agree || !other->whole || f->header.newest == i))
		return coffer_findings_print(l, ids[i], COFFER_VERDICT_OK,
			"the %s header copy is whole, with sequence number %" PRIu64, nth(i),
			c->seqid);
	if (c->whole && c->seqid < other->seqid)
		r = coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"the %s header copy is out of date: it has sequence number %" PRIu64
			", the other one %" PRIu64,
			nth(i), c->seqid, other->seqid);
	else if (c->whole)
		r = coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"the %s header copy is whole, but says something else than the other one",
			nth(i));
	else if (c->refused)
		r = coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"the %s header copy has a right checksum, but libcryptsetup refuses what "
			"it says: 'coffer header check' tells why",
			nth(i));
	else if (c->magic)
		r = coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"the %s header copy is torn: its checksum or its form is wrong", nth(i));
	else
		r = coffer_findings_print(l, ids[i], COFFER_VERDICT_BAD,
			"there is no %s header copy where it must be", nth(i));
	if (!whole)
		return r;
	coffer_copy_remedy(device, foreign, remedy, sizeof(remedy));
	coffer_findings_advise(l, "%s", remedy);
	return r;
}

int coffer_judge_copies(const struct coffer_facts *f, const char *device, struct coffer_findings *l)
{
	const int r = judge_copy(f, 0, device, l);

	return r < 0 ? r : judge_copy(f, 1, device, l);
}
