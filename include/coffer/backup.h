/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/backup.h - back up a LUKS2 header to a file, and restore it
 *
 * The file begins with what 'cryptsetup luksHeaderBackup' writes, so stock tools can read and
 * restore it, and ends with a block of coffer: a checksum over all of it, and where it came from.
 * A backup opens the volume with every passphrase of its time, also with those removed later. */
#ifndef COFFER_BACKUP_H
#define COFFER_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "coffer/err.h"
#include "coffer/finding.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Was a conversion under way when the backup was made? */
enum coffer_backup_conversion {
	COFFER_BACKUP_NONE,
	COFFER_BACKUP_CONVERTING, /* an encryption in place that coffer can resume */
	COFFER_BACKUP_OTHER,	  /* another reencryption */
};

/* What a backup says. Most of it is 0 or "" for a file of cryptsetup. */
struct coffer_backup_info {
	bool sealed; /* made by coffer, and its checksum is right */
	enum coffer_backup_conversion conversion;
	uint64_t pointer;    /* CONVERTING: everything from here on was converted */
	uint64_t image_size; /* bytes of the header: both copies and the keyslots area */
	uint64_t seqid;
	uint64_t device_size;
	uint64_t data_offset;
	uint64_t date; /* seconds since 1970, UTC */
	char uuid[41];
	char version[32];  /* of coffer */
	char device[256];  /* its name at that time */
	char partuuid[64]; /* of the partition */
	char id[256];	   /* its name in /dev/disk/by-id, which has the serial number */
};

struct coffer_header_backup_options {
	const char *device;
	const char *file;	      /* must not exist; never on the device itself */
	bool (*stop)(void *userdata); /* as in coffer_encrypt; may be NULL */
	void *userdata;
};

struct coffer_header_backup_result {
	struct coffer_backup_info info;
	struct coffer_findings notes;
};

/* Write a backup of @o->device's header to @o->file, which appears whole and durable, or not at
 * all. Only reads the device, which may be in use or under conversion. *ret is for
 * coffer_header_backup_free, and is set on success only.
 * REFUSED with -EEXIST: the file exists; with -EXDEV: it would be on the device itself. NO with
 * -ENODATA: there is no LUKS2 header. NEEDS_REPAIR: the header is damaged. INTERRUPTED: @o->stop
 * returned true. */
COFFER_API int coffer_header_backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_backup_free(struct coffer_header_backup_result *r);

/* What to allow although a restore refuses it by default; bits. */
enum coffer_restore_allow {
	COFFER_ALLOW_UUID = 1,	     /* another volume's header */
	COFFER_ALLOW_GEOMETRY = 2,   /* other data offset or size of the device */
	COFFER_ALLOW_KEYSLOTS = 4,   /* removed keys return, present ones are lost */
	COFFER_ALLOW_VOLUME_KEY = 8, /* it cannot decrypt the present data */
};

struct coffer_header_restore_result {
	struct coffer_backup_info info;
	struct coffer_findings checks; /* a BAD one refuses the restore */
	bool header_whole;	       /* there was a whole header on the disk */
	bool same;		       /* it was the backup's: nothing to do */
	bool changed;
	uint64_t seqid; /* of the header that was written */
};

struct coffer_header_restore_options {
	const char *device;
	const char *file;   /* of coffer or cryptsetup */
	bool dry_run;	    /* checks only; needs read access only */
	unsigned int allow; /* of enum coffer_restore_allow */
	/* May it be restored? NULL: yes. Called once, after all checks, unless there is nothing to
	 * do. */
	bool (*confirm)(void *userdata, const struct coffer_header_restore_result *r);
	bool (*stop)(void *userdata); /* called before the first write; may be NULL */
	void *userdata;
};

/* Restore the header in @o->file to @o->device. If the disk has a whole header with the same sizes,
 * the volume opens at every instant, with the present keys or with the backup's; otherwise the last
 * write makes it open. *ret is set once backup and disk are compared, on failure too.
 * REFUSED: the file is damaged, or a finding is BAD; nothing was written. NO with -ECANCELED:
 * confirm returned false. INTERRUPTED: the same call resumes. */
COFFER_API int coffer_header_restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_restore_free(struct coffer_header_restore_result *r);

#ifdef __cplusplus
}
#endif
#endif
