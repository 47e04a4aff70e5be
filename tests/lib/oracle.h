/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle.h - judge a disk without coffer's code: libcryptsetup for the key, OpenSSL for the data */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is [data_offset..) of the finished volume in @disk, decrypted, equal to @plain for @n bytes?
 * @why gets a sentence when not. */
bool oracle_volume_equals(const uint8_t *disk, uint64_t size, const char *passphrase,
	const uint8_t *plain, uint64_t n, char why[256]);

/* The first @n bytes of the finished volume, a multiple of its sector size, into @ret. */
bool oracle_volume_read(const uint8_t *disk, uint64_t size, const char *passphrase, uint8_t *ret,
	uint64_t n, char why[256]);

/* Run stock cryptsetup on the state: resume, and open --test-passphrase. The result replaces
 * @disk. Returns true when it finished. */
bool oracle_stock_resume(
	uint8_t *disk, uint64_t size, const char *passphrase, bool repair_first, char why[256]);
