/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check.h - the checks of coffer_header_check on a device that is already open */
#pragma once
#include "coffer/finding.h"
#include "io/dev.h"

/* *ret, for coffer_findings_free, is empty if there is no LUKS2 header. -errno of reads. */
int coffer_header_checks(struct coffer_dev *dev, struct coffer_findings *ret, struct coffer_err *e);
