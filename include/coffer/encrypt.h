/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coffer/encrypt.h - encrypt a filesystem in place, resume that, or undo it
 *
 * The filesystem must leave a reserve free at the device's end, 32 MiB by default. One call does
 * what the disk needs: it begins, resumes after any interruption, or finishes. The result is an
 * ordinary LUKS2 volume. Sizes are bytes. Strings are borrowed for the call. No global state, no
 * output, no exit; callbacks run on the caller's thread. */
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
	COFFER_PHASE_PREPARE,  /* examine, preflight, header: the device is only read */
	COFFER_PHASE_DERIVE,   /* the key derivation: takes seconds, on purpose */
	COFFER_PHASE_PLACE,    /* the header is written over the first bytes */
	COFFER_PHASE_CONVERT,  /* step by step */
	COFFER_PHASE_FINALIZE, /* wipe the moved-segment copy, final header */
	COFFER_PHASE_UNDO,     /* the moved segment comes back (abort) */
	COFFER_N_PHASES,
};
/* "prepare", "derive", ...; "unknown" for anything else. */
COFFER_API const char *coffer_phase_name(enum coffer_phase p);

struct coffer_progress {
	enum coffer_phase phase;
	uint64_t done;	/* of @total, converted by this call and by earlier ones */
	uint64_t total; /* bytes that count: used ones where a map of them is followed, else all */
	uint64_t moved; /* bytes converted by this call */
};

/* Why a passphrase is asked for. */
enum coffer_ask {
	COFFER_ASK_NEW,	     /* the first one of a new volume: ask a person twice */
	COFFER_ASK_EXISTING, /* one that opens the volume, to resume */
};

/* Each may be NULL except passphrase. */
struct coffer_encrypt_callbacks {
	/* Put a passphrase or key of at most @size bytes into @buf (locked memory, wiped by the
	 * callee) and return its length, or -errno with @e set. */
	int (*passphrase)(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size,
		struct coffer_err *e);
	/* At least once per phase and commit. */
	void (*progress)(void *userdata, const struct coffer_progress *p);
	/* True stops at the next commit with -EINTR and outcome INTERRUPTED. */
	bool (*stop)(void *userdata);
	void *userdata;
};

/* Encrypt only used blocks? */
enum coffer_used_only {
	COFFER_USED_AUTO, /* if the allocation map can be trusted; otherwise everything */
	COFFER_USED_YES,  /* refuse if it cannot */
	COFFER_USED_NO,	  /* everything */
	COFFER_N_USED_ONLY,
};
/* "auto", "yes", "no"; "unknown" for anything else. */
COFFER_API const char *coffer_used_only_name(enum coffer_used_only u);

/* How unused blocks are handled. Deleted files may still lie there. */
enum coffer_free_space {
	COFFER_FREE_DEFAULT, /* on a resume as the conversion was begun; else keep */
	COFFER_FREE_KEEP,    /* left as they are: a sparse image stays sparse */
	COFFER_FREE_DISCARD, /* given back to the device, which may or may not forget them */
	COFFER_FREE_FILL,    /* overwritten with ciphertext: nothing plain is left */
	COFFER_N_FREE_SPACE,
};
/* "default", "keep", "discard", "fill"; "unknown" for anything else. */
COFFER_API const char *coffer_free_space_name(enum coffer_free_space f);

/* Threads that read, encrypt and write. They wait for the disk most of the time, and the more of
 * them, the deeper is the disk's queue: so the default is one for each processor, but not below
 * COFFER_USUAL_THREADS and not above COFFER_MAX_THREADS, which is the most that can be asked for.
 */
enum {
	COFFER_USUAL_THREADS = 8,
	COFFER_MAX_THREADS = 16
};

/* All fields but device may be 0 or NULL: the default. They count when a conversion begins. A
 * resumed one follows its header, but used_only, free_space, verify, max_rate, threads and
 * serialize_memory_hard_pbkdf count for each run: a resume may turn to everything, but never back.
 */
struct coffer_encrypt_options {
	const char *device;	   /* block device or image file; symlinks are followed */
	uint64_t reserve;	   /* 2S, a multiple of 8192; 32 MiB */
	uint64_t device_size;	   /* bytes of content, for unknown content */
	const char *cipher;	   /* aes-xts-plain64 */
	uint32_t key_size;	   /* bits: 512 or 256; 512 */
	uint32_t sector_size;	   /* 512 or 4096; the largest that the filesystem can live on */
	const char *hash;	   /* sha256 */
	const char *pbkdf;	   /* argon2id */
	uint32_t pbkdf_memory;	   /* KiB */
	uint32_t pbkdf_parallel;   /* threads */
	uint32_t pbkdf_iterations; /* instead of a benchmark */
	uint32_t iter_time;	   /* ms */
	const char *uuid;	   /* random */
	const char *label;	   /* none */
	uint64_t metadata_size;	   /* of one header copy: 16 KiB to 4 MiB, a power of two */
	uint64_t keyslots_size;	   /* multiple of 4096 */
	uint32_t threads;	   /* as many as processors, within the limits above */
	enum coffer_used_only used_only;
	enum coffer_free_space free_space;
	uint64_t max_rate;		  /* bytes per second that are moved at most; no limit */
	bool serialize_memory_hard_pbkdf; /* one key derivation at a time on this machine */
	bool verify;	  /* read each step back and compare it before it is committed */
	bool dry_run;	  /* examine and check, then stop before the first write */
	bool resume_only; /* resume an interrupted run; never start one */
	struct coffer_encrypt_callbacks callbacks;
};

struct coffer_encrypt_result {
	char uuid[41];
	char cipher[64];
	char filesystem[16]; /* "ext4", "xfs", "btrfs", "none"; "" on a resume */
	uint32_t sector_size;
	uint64_t device_size; /* D, when the conversion began */
	uint64_t data_offset; /* S */
	uint64_t data_size;   /* L */
	uint64_t moved;	      /* bytes converted by this call */
	uint64_t converted;   /* bytes of @used converted by now, by earlier calls too */
	uint64_t flushes;     /* of the device, by this call */
	uint64_t used;	   /* bytes of the data that count as used, the measure of progress: where a
			    * map of them is followed or lies on the disk those of the map, else all */
	uint64_t scrubbed; /* bytes overwritten by this call where used ones had been moved away */
	uint64_t filled;   /* free bytes overwritten by this call (COFFER_FREE_FILL) */
	uint64_t discarded; /* free bytes discarded by this call (COFFER_FREE_DISCARD) */
	enum coffer_free_space free_space; /* how unused blocks were handled, at least, in all of
					    * the volume; DEFAULT: nothing was left out */
	bool used_only;			   /* this call followed a used map */
	char all_because[256];		   /* why everything counts as used, if not asked for */
	enum coffer_operation operation;   /* what the disk needed at the start */
	bool changed;			   /* this call has written to the device */
	bool resumed;			   /* an earlier run had begun */
	bool finished;			   /* nothing is left to do */
	bool aborted;			   /* the plain filesystem is back */
	bool unlocked_run; /* this user has no access to cryptsetup's locks: stock tools were not
			    * kept out, other coffers were */
	bool segment_copy_kept; /* the filesystem has grown over the moved-segment copy:
				 * not wiped; plain old blocks may be left in its free space */
};

/* Encrypt, or resume. @ret is filled as far as it is known, on failure, too.
 * 0; outcome USAGE: libcryptsetup does not accept @o; REFUSED: nothing was changed;
 * INTERRUPTED: resumable by the same call; NEEDS_REPAIR; FAILED: nothing was changed by this call
 * (a wrong passphrase is -EPERM). */
COFFER_API int coffer_encrypt(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

/* The same with resume_only: resume what was begun, an interrupted abort, too. Outcome NO with
 * -ENOENT: there is nothing to resume; with ret->aborted because that abort is finished now. */
COFFER_API int coffer_resume(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

/* Undo the conversion, as long as no step is committed: every used byte of the plain filesystem
 * comes back. Its free space may hold other bytes than before: those of an interrupted first step.
 * Of @o only device, dry_run and the callbacks progress and stop count.
 * Outcome NO with -EALREADY: there is no conversion; REFUSED with -EINVAL: too late.
 * NEEDS_REPAIR with -EUCLEAN: the moved-segment copy that cryptsetup made is incomplete, and
 * nothing was changed; or the undo is done, and the filesystem's checker finds damage. */
COFFER_API int coffer_abort(const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);

#ifdef __cplusplus
}
#endif
#endif
