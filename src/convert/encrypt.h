/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* encrypt.h - the public verbs over any device, for tests that bring their own */
#pragma once
#include "coffer/encrypt.h"
#include "convert/session.h"
#include "io/dev.h"

/* All operations until nothing is left to do, in a session that may have done other work before. */
int coffer_encrypt_run(struct coffer_session *s, struct coffer_err *e);

/* As coffer_encrypt and coffer_abort; @dev is closed in any case, @o->device does not count. */
int coffer_encrypt_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);
int coffer_abort_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e);
