/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* holders.c - who holds a device, one JSON object in each line
 *
 * users DEVICE [UUID] - who is at work on it: one JSON object in each line, then {"complete": ...}
 * users --devices [ROOT] - the block devices, a name in each line
 *
 * Shows tests what src/block/holders.c and src/block/devices.c find, with nothing around it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "block/devices.h"
#include "block/holders.h"
#include "coffer/status.h"
#include "luks2/lock_name.h"

static int fail(const struct coffer_err *e)
{
	fprintf(stderr, "users: %s\n", e->msg);
	return 1;
}

static void print(struct json_object *o)
{
	puts(coffer_json_text(o));
	coffer_json_free(o);
}

static int list_users(const char *path, const char *uuid)
{
	_cleanup_holders_ struct coffer_holders u = {0};
	struct coffer_err e = {0};
	char lock_path[COFFER_LOCK_PATH];
	struct json_object *o;
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	coffer_lock_path_reencryption(uuid, lock_path);
	if (coffer_holders_find(&st, lock_path, &u, &e) < 0)
		return fail(&e);
	for (size_t i = 0; i < u.n; i++) {
		o = coffer_json_object_new();
		(void)coffer_json_put_string(o, "kind", coffer_holder_kind_name(u.items[i].kind));
		(void)coffer_json_put_u64(o, "pid", (uint64_t)u.items[i].pid);
		(void)coffer_json_put_bool(o, "writes", u.items[i].writes);
		(void)coffer_json_put_string(o, "name", u.items[i].name);
		(void)coffer_json_put_string(o, "device", u.items[i].on);
		print(o);
	}
	o = coffer_json_object_new();
	(void)coffer_json_put_bool(o, "complete", u.complete);
	print(o);
	return 0;
}

static int list_devices(void)
{
	struct coffer_err e = {0};
	char **list;

	if (coffer_device_list(&list, &e) < 0)
		return fail(&e);
	for (char **p = list; *p; p++)
		puts(*p);
	coffer_device_list_free(list);
	return 0;
}

static int list_devices_below(const char *root)
{
	_cleanup_devices_ struct coffer_devices b = {0};
	struct coffer_err e = {0};

	if (coffer_devices_read(root, &b, &e) < 0)
		return fail(&e);
	for (size_t i = 0; i < b.n; i++)
		puts(b.items[i]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "--devices") == 0)
		return argc > 2 ? list_devices_below(argv[2]) : list_devices();
	if (argc == 2 || argc == 3)
		return list_users(argv[1], argc > 2 ? argv[2] : NULL);
	fprintf(stderr, "usage: users DEVICE [UUID] | users --devices [ROOT]\n");
	return 2;
}
