/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* on_device.h - coffer_encrypt and coffer_abort over any device; it is closed in any case */
#pragma once
#include "convert/operations.h"

static inline int coffer_encrypt_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e)
{
	return coffer_session_run(dev, o, coffer_encrypt_run, ret, e);
}

static inline int coffer_abort_dev(struct coffer_dev *dev, const struct coffer_encrypt_options *o,
	struct coffer_encrypt_result *ret, struct coffer_err *e)
{
	return coffer_session_run(dev, o, coffer_abort_run, ret, e);
}
