/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/encrypt.h - encrypt a filesystem in place, resume an interrupted run, or undo it
 *
 * The filesystem must leave a reserve free at the end of the device, 32 MiB by default. One call
 * does what the disk requires: it starts, resumes after any interruption, or finishes. The result
 * is an ordinary LUKS2 volume. Sizes are in bytes. The caller owns all structures and strings; the
 * library uses them during the call only. The library prints nothing and never exits. Callbacks run
 * on the caller's thread. */
#ifndef COFFER_ENCRYPT_H
#define COFFER_ENCRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coffer/err.h"
#include "coffer/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_phase {
	COFFER_PHASE_PREPARE,  /* examine the disk; nothing is written */
	COFFER_PHASE_DERIVE,   /* derive the key: takes a few seconds, on purpose */
	COFFER_PHASE_PLACE,    /* save the first bytes, write the header over them */
	COFFER_PHASE_CONVERT,  /* move and encrypt the data, step by step */
	COFFER_PHASE_FINALIZE, /* wipe the moved-segment copy, write the final header */
	COFFER_PHASE_UNDO,     /* restore the plain filesystem (abort) */
	COFFER_N_PHASES,
};
/* "prepare", "derive", ...; "unknown" for anything else. */
COFFER_API const char *coffer_phase_name(enum coffer_phase p);

struct coffer_progress {
	enum coffer_phase phase;
	uint64_t done;	/* bytes of @total that are converted, including those of earlier calls */
	uint64_t total; /* bytes to convert: used ones if a map is followed, otherwise all; UNDO:
			 * size of the moved segment, or 0 */
	uint64_t moved; /* bytes converted by this call */
};

/* What a passphrase is needed for. */
enum coffer_ask {
	COFFER_ASK_NEW,	     /* to make a volume: ask a person twice */
	COFFER_ASK_EXISTING, /* to open the volume, in order to resume */
};

/* Each may be NULL. Without passphrase, coffer_encrypt and coffer_resume fail with -EINVAL, except
 * with dry_run. */
struct coffer_encrypt_callbacks {
	/* Write a passphrase or key of at most @size bytes (32 KiB) to @buf, and return its length,
	 * or -errno with @e set. @buf is locked memory, which the library wipes. */
	int (*passphrase)(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size,
		struct coffer_err *e);
	/* Called at least once for each phase and each commit. */
	void (*progress)(void *userdata, const struct coffer_progress *p);
	/* Return true to stop: the call ends after the next commit, with -EINTR and outcome
	 * INTERRUPTED. */
	bool (*stop)(void *userdata);
	void *userdata; /* passed to each callback */
};

/* Whether to encrypt only the blocks that the filesystem uses. */
enum coffer_used_only {
	COFFER_USED_AUTO, /* if the allocation map can be trusted; otherwise everything */
	COFFER_USED_YES,  /* refuse if it cannot be trusted */
	COFFER_USED_NO,	  /* everything */
	COFFER_N_USED_ONLY,
};
/* "auto", "yes", "no"; "unknown" for anything else. */
COFFER_API const char *coffer_used_only_name(enum coffer_used_only u);

/* How unused blocks are handled. Deleted files may still lie there. */
enum coffer_free_space {
	COFFER_FREE_DEFAULT, /* keep; on a resume, the value of the earlier calls */
	COFFER_FREE_KEEP,    /* left as they are; a sparse image file stays sparse */
	COFFER_FREE_DISCARD, /* discarded on the device, which may keep the data readable */
	COFFER_FREE_FILL,    /* overwritten with ciphertext: no plain data remains */
	COFFER_N_FREE_SPACE,
};
/* "default", "keep", "discard", "fill"; "unknown" for anything else. */
COFFER_API const char *coffer_free_space_name(enum coffer_free_space f);

/* Limits of the number of threads that read, encrypt and write. The default is the number of
 * processors, but at least COFFER_USUAL_THREADS, because threads mostly wait for the disk. */
enum {
	COFFER_USUAL_THREADS = 8,
	COFFER_MAX_THREADS = 16
};

/* Zero the structure, then set device and what differs from the default: 0 or NULL is the default
 * of each other field. The defaults are given in brackets. A resumed conversion uses the header on
 * the disk: of the fields only used_only, free_space, verify, max_rate, threads,
 * serialize_memory_hard_pbkdf, dry_run, resume_only and the callbacks apply to it. A value that
 * cannot be used is refused, with outcome REFUSED or USAGE, before anything is written. */
struct coffer_encrypt_options {
	const char *device;	 /* block device or image file; symlinks are followed; required */
	uint64_t reserve;	 /* 2S: a multiple of 8192, 2 MiB to 2 GiB [32 MiB] */
	uint64_t device_size;	 /* size of the content; required if it is not recognized [up to the
				  * reserve at the end of the device] */
	const char *cipher;	 /* [aes-xts-plain64], the only one */
	uint32_t key_size;	 /* of the volume key, in bits: 256 or 512 [512] */
	uint32_t sector_size;	 /* 512 or 4096 [4096 if device, data and filesystem allow it] */
	const char *hash;	 /* for keyslots and digests [sha256] */
	const char *pbkdf;	 /* argon2id, argon2i or pbkdf2 [argon2id] */
	uint32_t pbkdf_memory;	 /* of argon2, in KiB [libcryptsetup's choice] */
	uint32_t pbkdf_parallel; /* threads of argon2 [libcryptsetup's choice] */
	uint32_t pbkdf_iterations; /* [chosen by a benchmark for iter_time] */
	uint32_t iter_time;	   /* to unlock a keyslot, in ms [2000, libcryptsetup's choice] */
	const char *uuid;	   /* of the volume [random] */
	const char *label;	   /* of the volume, at most 47 bytes [none] */
	uint64_t metadata_size; /* of one header copy: a power of two, 16 KiB to 4 MiB [64 KiB, or
				 * 16 KiB if reserve is below 8 MiB] */
	uint64_t keyslots_size; /* a multiple of 4096, at most 128 MiB [8 MiB, but at most a quarter
				 * of reserve] */
	uint32_t threads;	/* at most COFFER_MAX_THREADS are used [see COFFER_USUAL_THREADS] */
	enum coffer_used_only used_only;
	enum coffer_free_space free_space;
	uint64_t max_rate;		  /* bytes moved per second, at most [no limit] */
	bool serialize_memory_hard_pbkdf; /* one key derivation at a time on this machine: wait up
					   * to two minutes for cryptsetup's lock */
	bool verify;	  /* read each step back and compare it before committing it */
	bool dry_run;	  /* check everything, ask for no passphrase, write nothing */
	bool resume_only; /* resume an interrupted run; never start a new one */
	struct coffer_encrypt_callbacks callbacks;
};

/* What a call found and did. Zeroed at its start; 0 or "" is unknown. */
struct coffer_encrypt_result {
	char uuid[41]; /* of the volume */
	char cipher[64];
	char filesystem[16]; /* "ext4" (also for ext2 and ext3), "xfs", "btrfs", "none"; "" on a
			      * resume */
	uint32_t sector_size;
	uint64_t device_size; /* D, when the conversion began */
	uint64_t data_offset; /* S */
	uint64_t data_size;   /* L */
	uint64_t moved;	      /* bytes converted by this call */
	uint64_t converted;   /* bytes of @used, converted by this call and earlier ones */
	uint64_t flushes;     /* of the device, by this call */
	uint64_t used; /* bytes that count as used, the measure of progress: those of the used map
			* if there is one, otherwise all */
	uint64_t scrubbed;  /* bytes overwritten by this call where used ones had been moved away */
	uint64_t filled;    /* free bytes overwritten by this call (COFFER_FREE_FILL) */
	uint64_t discarded; /* free bytes discarded by this call (COFFER_FREE_DISCARD) */
	enum coffer_free_space free_space; /* how unused blocks were handled in the entire volume:
					    * the weakest of all calls; DEFAULT: none was skipped */
	bool used_only;			   /* this call followed a used map */
	char all_because[256];		   /* why everything counts as used, if not asked for */
	enum coffer_operation operation;   /* what the disk required when the call began */
	bool changed;			   /* this call has written to the device */
	bool resumed;			   /* an earlier run had begun */
	bool finished;			   /* the volume is completely encrypted */
	bool aborted;			   /* the plain filesystem is restored */
	bool unlocked_run;	/* this user has no access to cryptsetup's locks: cryptsetup was not
				 * locked out, other runs of coffer were */
	bool segment_copy_kept; /* the filesystem may have grown over the moved-segment copy: only
				 * sectors that still equaled the plain data were wiped */
};

/* Encrypt @o->device, or resume an interrupted run. @ret may be NULL; it is filled as far as known,
 * on failure, too.
 * Returns 0, or a negative errno with an outcome in @e:
 *   USAGE         libcryptsetup does not accept a value in @o; nothing was changed
 *   REFUSED       unsafe, e.g. in use or no reserve; nothing was changed
 *   NO            with resume_only: nothing to resume, see coffer_resume
 *   FAILED        this call has not written to the device, e.g. -EPERM for a wrong passphrase
 *   INTERRUPTED   the same call resumes
 *   NEEDS_REPAIR  a person must decide, or the device shrank during the call */
COFFER_API int coffer_encrypt(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

/* The same with resume_only: resume an interrupted run, never start a new one. An interrupted abort
 * is finished, too. Outcome NO with -ENOENT: nothing to resume; ret->aborted is true if
 * this call has finished an abort. */
COFFER_API int coffer_resume(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

/* Undo the conversion as long as no step is committed: restore every byte that the plain filesystem
 * uses. Free space may hold different bytes than before, those of an interrupted first step. Of @o
 * only device, dry_run and the callbacks progress and stop apply. @ret as in coffer_encrypt.
 * Returns 0, or a negative errno. Outcome NO with -EALREADY: no conversion found; REFUSED with
 * -EINVAL: a step is committed; NEEDS_REPAIR with -EUCLEAN: the moved-segment copy that cryptsetup
 * made is incomplete, and nothing was changed; or the undo is done, and the filesystem's checker
 * finds damage. Other outcomes as in coffer_encrypt. */
COFFER_API int coffer_abort(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

#ifdef __cplusplus
}
#endif
#endif
