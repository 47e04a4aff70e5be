/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backup.h - backup and restore on a device that is already open */
#pragma once
#include "coffer/backup.h"
#include "header/backup_file.h"
#include "io/child.h"
#include "io/dev.h"
#include "io/new_file.h"

/* Close @dev in any case. */
int coffer_header_backup_dev(struct coffer_dev *dev, const struct coffer_new_file *file,
	const struct coffer_header_backup_options *o, struct coffer_header_backup_result **ret,
	struct coffer_err *e);
/* @file of @n bytes, from coffer_dev_buffer, is freed. @active: the device is in use. */
int coffer_header_restore_dev(struct coffer_dev *dev, uint8_t *file, uint64_t n, bool active,
	const struct coffer_header_restore_options *o, struct coffer_header_restore_result **ret,
	struct coffer_err *e);

/* Does libcryptsetup accept the header of @size bytes at @image? -EBADMSG: no, and @e has its
 * reason; INTERRUPTED with -EINTR: @stop wanted it; others: it could not be asked. */
int coffer_image_accepted(
	const uint8_t *image, uint64_t size, const struct coffer_stop *stop, struct coffer_err *e);
