/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_name.c - cryptsetup's locks: their kinds, their order and the names of their files */
#include "luks2/lock_name.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const names[] = {
	[COFFER_LOCK_REENCRYPTION] = "reencryption",
	[COFFER_LOCK_DISK] = "disk",
	[COFFER_LOCK_OPAL] = "OPAL",
	[COFFER_LOCK_METADATA] = "metadata",
	[COFFER_LOCK_MEMORY_HARD] = "memory-hard",
};
static_assert(ARRAY_SIZE(names) == COFFER_N_LOCKS, "every lock has a name");

const char *coffer_lock_kind_name(enum coffer_lock_kind k)
{
	return (unsigned int)k < COFFER_N_LOCKS ? names[k] : "unknown";
}

int coffer_lock_order(unsigned int held, enum coffer_lock_kind wanted)
{
	if ((unsigned int)wanted >= COFFER_N_LOCKS)
		return -EDEADLK;
	if (wanted == COFFER_LOCK_MEMORY_HARD)
		return held == 0 ? 0 : -EDEADLK;
	return held >> wanted == 0 ? 0 : -EDEADLK; /* this one, or a later one */
}

/* Only as cryptsetup prints device numbers. */
static bool read_device(const char *text, struct coffer_lock_name *n)
{
	char again[32];

	if (sscanf(text, "%" SCNu32 ":%" SCNu32, &n->major, &n->minor) != 2)
		return false;
	(void)snprintf(again, sizeof(again), "%" PRIu32 ":%" PRIu32, n->major, n->minor);
	return strcmp(again, text) == 0;
}

static bool read_uuid(const char *text, struct coffer_lock_name *n)
{
	const size_t len = strspn(text, "0123456789abcdefABCDEF-");

	if (len == 0 || len >= sizeof(n->uuid) || text[len])
		return false;
	memcpy(n->uuid, text, len);
	return true;
}

void coffer_lock_name_parse(const char *name, struct coffer_lock_name *ret)
{
	static const struct {
		enum coffer_lock_entry_kind kind;
		const char *prefix;
		bool (*read)(const char *rest, struct coffer_lock_name *n);
	} kinds[] = {
		{COFFER_LOCK_ENTRY_DEVICE, "L_", read_device},
		{COFFER_LOCK_ENTRY_REENCRYPTION, COFFER_REENCRYPTION_LOCK, read_uuid},
		{COFFER_LOCK_ENTRY_MEMORY, "LN_memory-hard-access", NULL},
		{COFFER_LOCK_ENTRY_OPAL, "LN_OPAL_", read_device},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const size_t n = strlen(kinds[i].prefix);

		*ret = (struct coffer_lock_name){.kind = kinds[i].kind};
		if (strncmp(name, kinds[i].prefix, n) == 0 &&
			(kinds[i].read ? kinds[i].read(name + n, ret) : !name[n]))
			return;
	}
	*ret = (struct coffer_lock_name){.kind = COFFER_LOCK_ENTRY_UNKNOWN};
}

void coffer_lock_path_reencryption(const char *uuid, char ret[COFFER_LOCK_PATH])
{
	static const char prefix[] = COFFER_LOCK_DIR "/" COFFER_REENCRYPTION_LOCK;

	ret[0] = '\0';
	if (uuid && uuid[0] && !strchr(uuid, '/') &&
		strlen(prefix) + strlen(uuid) < COFFER_LOCK_PATH)
		(void)snprintf(ret, COFFER_LOCK_PATH, "%s%s", prefix, uuid);
}
