/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* diagnose.h - what is wrong with a disk, and what may be done about it: pure, as decide.h is
 *
 * The actions are in the order in which they are to be done, and each one's text tells why nothing
 * is lost by it. After the first one, the diagnosis of the disk as it is then has the rest. */
#pragma once
#include "coffer/finding.h"
#include "coffer/repair_action.h"
#include "convert/decide.h"
#include "convert/moved_segment.h"

struct coffer_diagnosis {
	struct coffer_repair_action actions[COFFER_MAX_REPAIRS];
	size_t n_actions;
	bool no_safe_repair; /* a finding is BAD and there is no safe action for it */
	bool foreign; /* it is another program's to mend, or the owner's: no damage of ours */
};

/* What lies where the first header copy should be, while the second one is whole. */
struct coffer_lost_copy {
	bool checked;  /* there is such a second copy */
	bool empty;    /* zeros */
	bool foreign;  /* the disk has a signature of something else than LUKS */
	uint64_t same; /* sectors of the first copy's metadata that are left */
};
/* Remains of the first copy, or zeros, and of nobody else. */
bool coffer_lost_copy_is_ours(const struct coffer_lost_copy *l);

/* The facts that diagnose judges. @plain_luks2: libblkid sees LUKS2 where no header counts.
 * @riddle: something is there, and nobody knows what. @reason: why the action is DAMAGED. */
struct coffer_symptoms {
	const char *device;
	enum coffer_operation operation;
	const struct coffer_facts *facts;
	const struct coffer_moved_segment *segment;
	bool plain_luks2;
	bool unknown_content;
	struct coffer_lost_copy lost;
	const char *reason;
	bool can_resume; /* there is a key to be had */
};

/* Findings are added to @l. -ENOMEM, -EOVERFLOW. */
int coffer_diagnose(
	const struct coffer_symptoms *s, struct coffer_findings *l, struct coffer_diagnosis *ret);
