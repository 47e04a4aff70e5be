/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keydisk.h - LUKS2 disks in memory whose keyslots come and go, made and opened by libcryptsetup */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	KEYDISK_DATA = 3 << 20, /* where the data begin */
	KEYDISK_SIZE = 4 << 20,
	KEYDISK_COPY = 16384
};

/* A disk of KEYDISK_SIZE bytes: a new volume without a keyslot, random bytes in the keyslots area
 * of @keyslots_size bytes, and in the data. free() it. */
uint8_t *keydisk_new(uint64_t keyslots_size, const char *uuid, uint8_t key[64]);
uint8_t *keydisk_copy(const uint8_t *disk);

/* What cryptsetup luksAddKey and luksKillSlot do; cheap PBKDF2. Whatever fails aborts. */
void keydisk_add(uint8_t *disk, int slot, const char *passphrase, const uint8_t key[64]);
void keydisk_kill(uint8_t *disk, int slot);
/* A change of the metadata alone: the sequence number goes up. */
void keydisk_label(uint8_t *disk, const char *label);
/* What cryptsetup luksHeaderBackup writes; *ret_n bytes, of coffer_dev_buffer. */
uint8_t *keydisk_backup(const uint8_t *disk, uint64_t *ret_n);

/* Does each of @passphrases, @n or as many as there are before a NULL, open a copy of it, to this
 * @key? One thread at a time. */
bool keydisk_opens(
	const uint8_t *disk, const char *const *passphrases, size_t n, const uint8_t key[64]);
