/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/backup.h - back up a LUKS2 header to a file, and restore it
 *
 * The file begins with what 'cryptsetup luksHeaderBackup' writes, so cryptsetup can read and
 * restore it, and ends with a trailer: a checksum over the entire file, and where it came from.
 * With a backup, every passphrase that was valid when it was made opens the volume, even one that
 * was removed later. The caller owns all options and strings; the library uses them during the call
 * only. Sizes and offsets are in bytes. */
#ifndef COFFER_BACKUP_H
#define COFFER_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "coffer/err.h"
#include "coffer/finding.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a conversion was in progress when the backup was made. */
enum coffer_backup_conversion {
	COFFER_BACKUP_NONE,
	COFFER_BACKUP_CONVERTING, /* an encryption in place that coffer can resume */
	COFFER_BACKUP_OTHER,	  /* another reencryption */
};

/* What a backup contains. device_size, date, version, device, partuuid and id are 0 or "" if the
 * file is not sealed, or if they are unknown. */
struct coffer_backup_info {
	bool sealed; /* it has coffer's trailer, and its checksum is right */
	enum coffer_backup_conversion conversion;
	uint64_t pointer;    /* CONVERTING: all data from this offset on was converted */
	uint64_t image_size; /* size of the header: both copies and the keyslots area */
	uint64_t seqid;	     /* sequence number of the header */
	uint64_t device_size;
	uint64_t data_offset; /* of the volume; 0: not on this device */
	uint64_t date;	      /* seconds since 1970, UTC */
	char uuid[41];	      /* of the volume */
	char version[32];     /* of coffer */
	char device[256];     /* as the caller named it */
	char partuuid[64];    /* UUID of the partition */
	char id[256];	      /* name in /dev/disk/by-id, which has the serial number */
};

struct coffer_header_backup_options {
	const char *device;	      /* block device or image file; required */
	const char *file;	      /* must not exist, nor be on the device itself; required */
	bool (*stop)(void *userdata); /* return true to stop; may be NULL */
	void *userdata;		      /* passed to stop */
};

struct coffer_header_backup_result {
	struct coffer_backup_info info;
	struct coffer_findings notes; /* none is BAD */
};

/* Write a backup of the header of @o->device to @o->file. The file, mode 0600, appears complete and
 * durable, or not at all. The device is only read, and may be in use or be converted. *ret is set
 * on success only; free it with coffer_header_backup_free.
 * Returns 0, or a negative errno. Outcome REFUSED with -EEXIST: the file exists; with -EXDEV: it
 * would be on the device itself; NO with -ENODATA: no LUKS2 header found; NEEDS_REPAIR: the
 * header is damaged; INTERRUPTED: @o->stop returned true. */
COFFER_API int coffer_header_backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_backup_free(struct coffer_header_backup_result *r); /* NULL is fine */

/* Bits: what to allow although a restore refuses it by default. */
enum coffer_restore_allow {
	COFFER_ALLOW_UUID = 1,	   /* the disk has the header of another volume */
	COFFER_ALLOW_GEOMETRY = 2, /* other segments, header sizes or device size; or a backup from
				    * a conversion, on a disk without a usable header */
	COFFER_ALLOW_KEYSLOTS = 4, /* removed keys return, present ones are lost */
	COFFER_ALLOW_VOLUME_KEY = 8, /* another volume key: the present data is lost */
};

struct coffer_header_restore_result {
	struct coffer_backup_info info;
	struct coffer_findings checks; /* a BAD one is a reason to refuse */
	bool header_usable;	       /* the disk had a usable header */
	bool same;		       /* it was that of the backup: nothing to do */
	bool changed;		       /* this call has written to the device */
	uint64_t seqid;		       /* sequence number of the header that was written */
};

struct coffer_header_restore_options {
	const char *device; /* block device or image file; required */
	const char *file;   /* made by coffer or cryptsetup; required */
	bool dry_run;	    /* only compare; read access is enough */
	unsigned int allow; /* bits of enum coffer_restore_allow */
	/* Return true to restore; NULL: always. Called once, after all checks; not in a dry run,
	 * nor if the restore is refused or nothing needs to be done. */
	bool (*confirm)(void *userdata, const struct coffer_header_restore_result *r);
	bool (*stop)(void *userdata); /* return true to stop; asked before the first write only;
				       * may be NULL */
	void *userdata;		      /* passed to confirm and stop */
};

/* Restore the header in @o->file to @o->device. If the disk has a usable header with the same
 * sizes, the volume opens at every instant, with the present keys or with those of the backup;
 * otherwise no key opens it until the header copies are written, which comes last. *ret is set once
 * backup and disk are compared, on failure, too; free it with coffer_header_restore_free.
 * Returns 0, or a negative errno. Outcome REFUSED: the file is damaged, or a finding is BAD;
 * nothing was written; NO with -ECANCELED: confirm returned false; NEEDS_REPAIR: the keyslots on
 * the disk are at impossible offsets; INTERRUPTED: the same call resumes; FAILED: nothing was
 * written. */
COFFER_API int coffer_header_restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_restore_free(
	struct coffer_header_restore_result *r); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
