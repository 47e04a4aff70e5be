/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings.c - build a list of findings */
#include "base/findings.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/findings_text.h"

static const char *const names[] = {
	[COFFER_VERDICT_OK] = "ok",
	[COFFER_VERDICT_NOTE] = "note",
	[COFFER_VERDICT_UNCHECKED] = "unchecked",
	[COFFER_VERDICT_BAD] = "bad",
};
static_assert(ARRAY_SIZE(names) == COFFER_N_VERDICTS, "every verdict has a name");

const char *coffer_verdict_name(enum coffer_verdict v)
{
	return (unsigned int)v < COFFER_N_VERDICTS ? names[v] : "unknown";
}

static const char *const finding_names[] = {
	[COFFER_FINDING_NONE] = "none",
	[COFFER_FINDING_EXCLUSIVE] = "exclusive",
	[COFFER_FINDING_WRITABLE] = "writable",
	[COFFER_FINDING_LOCKS] = "locks",
	[COFFER_FINDING_STATE] = "state",
	[COFFER_FINDING_CONTENT] = "content",
	[COFFER_FINDING_FILESYSTEM] = "filesystem",
	[COFFER_FINDING_SINGLE_DEVICE] = "single-device",
	[COFFER_FINDING_RESERVE] = "reserve",
	[COFFER_FINDING_SECTOR_SIZE] = "sector-size",
	[COFFER_FINDING_HEADER] = "header",
	[COFFER_FINDING_NEW_HEADER] = "new-header",
	[COFFER_FINDING_USED_ONLY] = "used-only",
	[COFFER_FINDING_HIBERNATION] = "hibernation",
	[COFFER_FINDING_HEADER_PRIMARY] = "header-primary",
	[COFFER_FINDING_HEADER_SECONDARY] = "header-secondary",
	[COFFER_FINDING_HEADER_COPIES] = "header-copies",
	[COFFER_FINDING_COPIES] = "copies",
	[COFFER_FINDING_METADATA] = "metadata",
	[COFFER_FINDING_JSON] = "json",
	[COFFER_FINDING_CONFIG] = "config",
	[COFFER_FINDING_REQUIREMENT] = "requirement",
	[COFFER_FINDING_KEYSLOT] = "keyslot",
	[COFFER_FINDING_AREA] = "area",
	[COFFER_FINDING_TOKEN] = "token",
	[COFFER_FINDING_DIGEST] = "digest",
	[COFFER_FINDING_SEGMENT] = "segment",
	[COFFER_FINDING_REENCRYPTION] = "reencryption",
	[COFFER_FINDING_SIGNATURE] = "signature",
	[COFFER_FINDING_VOLUME_KEY] = "volume-key",
	[COFFER_FINDING_PBKDF] = "pbkdf",
	[COFFER_FINDING_KEYSLOT_ROOM] = "keyslot-room",
	[COFFER_FINDING_KEY_MEMORY] = "key-memory",
	[COFFER_FINDING_CONVERSION] = "conversion",
	[COFFER_FINDING_WIPE_PENDING] = "wipe-pending",
	[COFFER_FINDING_PLACEMENT] = "placement",
	[COFFER_FINDING_UNDO] = "undo",
	[COFFER_FINDING_DAMAGE] = "damage",
	[COFFER_FINDING_SIZE] = "size",
	[COFFER_FINDING_RECORD] = "record",
	[COFFER_FINDING_STALE_RECORD] = "stale-record",
	[COFFER_FINDING_IMAGE] = "image",
	[COFFER_FINDING_MOVED_SEGMENT_COPY] = "moved-segment-copy",
	[COFFER_FINDING_MOVED_SEGMENT_LOST] = "moved-segment-lost",
	[COFFER_FINDING_MOVED_SEGMENT_AMBIGUOUS] = "moved-segment-ambiguous",
	[COFFER_FINDING_MOVED_SEGMENT_TORN] = "moved-segment-torn",
	[COFFER_FINDING_FILESYSTEM_END] = "filesystem-end",
	[COFFER_FINDING_CHECK_FILESYSTEM] = "check-filesystem",
	[COFFER_FINDING_BACKUP] = "backup",
	[COFFER_FINDING_UUID] = "uuid",
	[COFFER_FINDING_GEOMETRY] = "geometry",
	[COFFER_FINDING_KEYSLOTS] = "keyslots",
	[COFFER_FINDING_IN_USE] = "in-use",
	[COFFER_FINDING_SPACE] = "space",
	[COFFER_FINDING_LOCK_DIRECTORY] = "lock-directory",
	[COFFER_FINDING_LOCK] = "lock",
	[COFFER_FINDING_DM_CRYPT] = "dm-crypt",
	[COFFER_FINDING_UDEV] = "udev",
	[COFFER_FINDING_SWAP] = "swap",
	[COFFER_FINDING_MEMORY_LOCK] = "memory-lock",
	[COFFER_FINDING_DISKS] = "disks",
	[COFFER_FINDING_DISK] = "disk",
	[COFFER_FINDING_STOPPED] = "stopped",
	[COFFER_FINDING_PASSPHRASE] = "passphrase",
	[COFFER_FINDING_SEQUENCE_NUMBER] = "sequence-number",
	[COFFER_FINDING_CHANGED] = "changed",
	[COFFER_FINDING_COMMITTED] = "committed",
	[COFFER_FINDING_NO_CONVERSION] = "no-conversion",
	[COFFER_FINDING_NO_PROGRESS] = "no-progress",
};
static_assert(ARRAY_SIZE(finding_names) == COFFER_N_FINDING_IDS, "every id has a name");

const char *coffer_finding_name(enum coffer_finding_id id)
{
	return (unsigned int)id < COFFER_N_FINDING_IDS ? finding_names[id] : "unknown";
}

__attribute__((format(printf, 3, 0))) static void print(
	char *text, size_t size, const char *fmt, va_list ap)
{
	if (vsnprintf(text, size, fmt, ap) >= (int)size)
		memcpy(text + size - 4, "...", 4);
}

int coffer_findings_print(struct coffer_findings *l, enum coffer_finding_id id,
	enum coffer_verdict v, const char *fmt, ...)
{
	struct coffer_finding *items = reallocarray(l->items, l->n + 1, sizeof(*items));
	struct coffer_finding *c;
	va_list ap;

	if (!items)
		return -ENOMEM;
	l->items = items;
	c = &items[l->n++];
	*c = (struct coffer_finding){.id = id, .verdict = v};
	va_start(ap, fmt);
	print(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return 0;
}

void coffer_findings_advise(struct coffer_findings *l, const char *fmt, ...)
{
	va_list ap;

	if (l->n == 0)
		return;
	va_start(ap, fmt);
	print(l->items[l->n - 1].advice, sizeof(l->items->advice), fmt, ap);
	va_end(ap);
}

int coffer_findings_put(struct coffer_findings *l, struct coffer_finding *f)
{
	struct coffer_finding *items = reallocarray(l->items, l->n + 1, sizeof(*items));

	if (!items) {
		coffer_finding_reset(f);
		return -ENOMEM;
	}
	l->items = items;
	items[l->n++] = *f;
	*f = (struct coffer_finding){0};
	return 0;
}

int coffer_findings_add(struct coffer_findings *l, enum coffer_text t,
	const struct coffer_argument *arguments, const char *const *remedy)
{
	struct coffer_finding f;
	int r;

	r = coffer_finding_make(&f, t, arguments, remedy);
	return r < 0 ? r : coffer_findings_put(l, &f);
}

/* Without the full stop that libraries like to put. */
static void copy_sentence(char *ret, size_t size, const char *text, size_t n)
{
	n -= n > 0 && text[n - 1] == '.';
	if (snprintf(ret, size, "%.*s", (int)n, text) >= (int)size)
		memcpy(ret + size - 4, "...", 4);
}

int coffer_findings_add_err(struct coffer_findings *l, enum coffer_finding_id id, const char *name,
	const struct coffer_err *why)
{
	struct coffer_finding f = {.id = id,
		.verdict = COFFER_VERDICT_BAD,
		.code = why->code,
		.outcome = why->outcome};
	const size_t skip = strlen(name), advice = strlen(why->advice);
	const char *text = why->msg;
	size_t n;

	if (strncmp(text, name, skip) == 0 && strncmp(text + skip, ": ", 2) == 0)
		text += skip + 2;
	n = strlen(text);
	if (advice > 0 && n > advice + 2)
		n -= advice + 2; /* "; " */
	copy_sentence(f.text, sizeof(f.text), text, n);
	copy_sentence(f.advice, sizeof(f.advice), why->advice, advice);
	return coffer_findings_put(l, &f);
}

int coffer_err_from_finding(struct coffer_err *e, const char *name, const struct coffer_finding *f)
{
	(void)coffer_err_set(e, f->code, "%s: %s", name, f->text);
	if (f->advice[0])
		(void)coffer_err_advise(e, -f->code, "%s", f->advice);
	coffer_err_outcome(e, f->outcome);
	return coffer_err_id(e, -f->code, f->id);
}

size_t coffer_findings_count(const struct coffer_findings *l, enum coffer_verdict v)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->items[i].verdict == v;
	return n;
}

const struct coffer_finding *coffer_findings_find(
	const struct coffer_findings *l, enum coffer_finding_id id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].id == id)
			return &l->items[i];
	return NULL;
}

void coffer_findings_free(struct coffer_findings *l)
{
	for (size_t i = 0; i < l->n; i++)
		coffer_finding_reset(&l->items[i]);
	free(l->items);
	*l = (struct coffer_findings){0};
}
