/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/backup.h - a backup of a LUKS2 header in a file, and back onto the disk
 *
 * The file begins with what 'cryptsetup luksHeaderBackup' would write, so stock tools read and
 * restore it, and ends with a block of coffer's own: a checksum over all of it, and where it came
 * from. A backup opens the volume with every passphrase of its day, also with one that is taken
 * away later. */
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

/* What a backup says of itself. What stock's files do not tell is 0 or "". */
struct coffer_backup_info {
	bool sealed; /* made by coffer: with a checksum over all of it */
	enum coffer_backup_conversion conversion;
	uint64_t pointer;    /* of one that is CONVERTING: all from here on was converted */
	uint64_t image_size; /* bytes of the header: both copies and the keyslots area */
	uint64_t seqid;
	uint64_t device_size;
	uint64_t data_offset;
	uint64_t date; /* seconds since 1970, UTC */
	char uuid[41];
	char version[32];  /* of the coffer that made it */
	char device[256];  /* as it was named then */
	char partuuid[64]; /* of the partition */
	char id[256];	   /* a name of the device in /dev/disk/by-id, with its serial number */
};

struct coffer_header_backup_options {
	const char *device;
	const char *file;	      /* must not exist; never on the device itself */
	bool (*stop)(void *userdata); /* as in coffer_encrypt; may be NULL */
	void *userdata;
};

struct coffer_header_backup_result {
	struct coffer_backup_info info;
	struct coffer_findings notes; /* what is worth knowing of this backup */
};

/* Write a backup of @o->device's header to @o->file, which appears whole and durable, or not at
 * all. Reads the device only, also while it is in use or being converted. *ret is for
 * coffer_header_backup_free, on success only.
 * Outcome REFUSED with -EEXIST: the file is there; with -EXDEV: it would lie on the device itself.
 * NO with -ENODATA: there is no LUKS2 header. NEEDS_REPAIR: there is one, and it is damaged. */
COFFER_API int coffer_header_backup(const struct coffer_header_backup_options *o,
	struct coffer_header_backup_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_backup_free(struct coffer_header_backup_result *r);

/* What may be restored although it is refused otherwise; bits. */
enum coffer_restore_allow {
	COFFER_ALLOW_UUID = 1,	     /* another volume's header */
	COFFER_ALLOW_GEOMETRY = 2,   /* the data lie elsewhere, or the device has another size */
	COFFER_ALLOW_KEYSLOTS = 4,   /* keys that were removed come back, today's go */
	COFFER_ALLOW_VOLUME_KEY = 8, /* today's data cannot be read with it */
};

struct coffer_header_restore_result {
	struct coffer_backup_info info;
	struct coffer_findings checks; /* what speaks for and against; BAD ones are refused */
	bool header_whole;	       /* there was a whole header on the disk before */
	bool same;		       /* nothing was to be done: it is there already */
	bool changed;
	uint64_t seqid; /* of the header that is there now, once it was changed */
};

struct coffer_header_restore_options {
	const char *device;
	const char *file;   /* coffer's or stock's */
	bool dry_run;	    /* checks only; needs read access only */
	unsigned int allow; /* of enum coffer_restore_allow */
	/* May it be restored? NULL: yes. Called once, after all checks, and not where nothing is to
	 * be done. */
	bool (*confirm)(void *userdata, const struct coffer_header_restore_result *r);
	bool (*stop)(void *userdata); /* asked before the first write; may be NULL */
	void *userdata;
};

/* Put the header in @o->file back onto @o->device. Where the disk has a whole header of the same
 * layout, the volume opens at every instant with the keys of before or with those of the backup;
 * else the last write is the one that makes it open. *ret is set as soon as the two were compared,
 * on failure too.
 * Outcome REFUSED: the file is damaged, or there is a BAD check; the device was not changed.
 * NO with -ECANCELED: confirm said no. INTERRUPTED: the same call resumes. */
COFFER_API int coffer_header_restore(const struct coffer_header_restore_options *o,
	struct coffer_header_restore_result **ret, struct coffer_err *e);
COFFER_API void coffer_header_restore_free(struct coffer_header_restore_result *r);

#ifdef __cplusplus
}
#endif
#endif
