/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diagnose.h - from the facts of a disk to findings and repair actions: pure, as decide.h is */
#pragma once
#include "coffer/finding.h"
#include "coffer/repair_action.h"
#include "convert/decide.h"
#include "convert/moved_segment.h"

/* The actions in their order; each text says why nothing is lost. After the first one the disk is
 * diagnosed again. */
struct coffer_diagnosis {
	struct coffer_repair_action actions[COFFER_MAX_REPAIRS];
	size_t n_actions;
};

/* What is in place of the first header copy, if only the second one is usable. */
struct coffer_lost_copy {
	bool empty;    /* zeros */
	bool foreign;  /* the disk has a signature other than LUKS */
	uint64_t same; /* sectors of the first copy's metadata that remain */
};
/* Are there remains of the first copy, or zeros, and nothing else? */
bool coffer_lost_copy_is_ours(const struct coffer_lost_copy *l);

/* The facts that are diagnosed. */
struct coffer_symptoms {
	const char *device;
	enum coffer_operation operation;
	const char *reason; /* for operation DAMAGED */
	const struct coffer_facts *facts;
	const struct coffer_moved_segment *segment;
	bool plain_luks2;     /* libblkid finds LUKS2, but no header counts */
	bool unknown_content; /* there is content that nothing recognizes */
	struct coffer_lost_copy lost;
	bool can_resume;	   /* the caller has a key */
	uint64_t converted, total; /* as coffer_status_progress counts */
};

/* Findings are added to @l. If the last one has a code, nothing is to be done: with outcome
 * NEEDS_REPAIR no action is safe, with REFUSED the disk is not coffer's to repair. -ENOMEM,
 * -EOVERFLOW. */
int coffer_diagnose(
	const struct coffer_symptoms *s, struct coffer_findings *l, struct coffer_diagnosis *ret);
