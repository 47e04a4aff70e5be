/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crashjudge.h - recover one state in every way that there is, and hold the result to the content
 */
#pragma once
#include "crashlab.h"

/* What coffer sees in the state. */
struct coffer_facts state_facts(struct lab *l, enum coffer_operation *operation);

/* The state in @l must lead to the content: by encrypt, by abort where it says that it can, by
 * repair as its dry run says, by stock where it holds a conversion; and status must say what it is.
 * @l->lost tells when it does not. */
void judge_conversion(struct lab *l);

/* Repair must give the plain content back. */
void judge_repair(struct lab *l);

/* A state that no order of writes allows: it is recovered, or refused as one that needs repair with
 * nothing written and with a sentence that is true of this very disk. */
void judge_statement(struct lab *l);

/* Does 'coffer abort' lead to the content? */
bool abort_gives_back(struct lab *l);

/* Is what coffer says of a damaged disk so? Offsets, what lies there, and what would help are held
 * against the bytes, by the formats in docs/on-disk-format.md and not by coffer's code. @why gets
 * what is not so. */
bool truth_of(struct lab *l, const char *said, char why[256]);
