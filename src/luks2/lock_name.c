/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lock_name.c - names in cryptsetup's lock folder: which lock a file stands for */
#include "luks2/lock_name.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits only, as cryptsetup prints a device's number. */
static bool read_number(const char **at, uint32_t *ret)
{
	const char *p = *at;
	uint64_t v = 0;

	while (*p >= '0' && *p <= '9' && v <= UINT32_MAX)
		v = 10 * v + (uint64_t)(*p++ - '0');
	if (p == *at || v > UINT32_MAX || (**at == '0' && p - *at > 1))
		return false;
	*at = p;
	*ret = (uint32_t)v;
	return true;
}

static bool read_device(const char *text, struct coffer_lock_name *n)
{
	return read_number(&text, &n->major) && *text++ == ':' && read_number(&text, &n->minor) &&
	       !*text;
}

static const char *behind(const char *text, const char *prefix)
{
	const size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

void coffer_lock_name_parse(const char *name, struct coffer_lock_name *ret)
{
	struct coffer_lock_name n = {.kind = COFFER_LOCK_ENTRY_UNKNOWN};
	const char *rest;

	if ((rest = behind(name, "LN_LUKS2-reencryption-"))) {
		const size_t len = strspn(rest, "0123456789abcdefABCDEF-");

		if (len > 0 && len < sizeof(n.uuid) && !rest[len]) {
			memcpy(n.uuid, rest, len);
			n.kind = COFFER_LOCK_ENTRY_REENCRYPTION;
		}
	} else if (strcmp(name, "LN_memory-hard-access") == 0) {
		n.kind = COFFER_LOCK_ENTRY_MEMORY;
	} else if ((rest = behind(name, "LN_OPAL_")) && read_device(rest, &n)) {
		n.kind = COFFER_LOCK_ENTRY_OPAL;
	} else if ((rest = behind(name, "L_")) && read_device(rest, &n)) {
		n.kind = COFFER_LOCK_ENTRY_DEVICE;
	}
	if (n.kind == COFFER_LOCK_ENTRY_UNKNOWN)
		n = (struct coffer_lock_name){.kind = COFFER_LOCK_ENTRY_UNKNOWN};
	*ret = n;
}

void coffer_lock_path_reencryption(const char *uuid, char ret[COFFER_LOCK_PATH])
{
	static const char prefix[] = COFFER_LOCK_DIR "/" COFFER_REENCRYPTION_LOCK;

	ret[0] = '\0';
	if (uuid && uuid[0] && !strchr(uuid, '/') &&
		strlen(prefix) + strlen(uuid) < COFFER_LOCK_PATH)
		(void)snprintf(ret, COFFER_LOCK_PATH, "%s%s", prefix, uuid);
}
