/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* findings_table.h - the sentences of all findings; findings_text.h and .c include the rows
 *
 * SAYS(text, id, verdict, sentence, advice): no run fails because of it.
 * REFUSES(text, id, errno, ...): BAD; a run fails with this errno, and nothing was changed.
 * FORBIDS(text, id, sentence): BAD; a restore is refused unless --allow {allow} is given.
 * DAMAGED(text, id, ...): BAD; the disk needs repair.
 *
 * {name} is the argument of that name, {remedy} the command. A part in brackets is left out if one
 * of its arguments is not given. No full stop at the end. Without advice: NULL. */
/* clang-format off */

SAYS(DEPENDS, NONE, UNCHECKED, "depends on: {check}", NULL) /* with the id of its check */
SAYS(EXCLUSIVE, EXCLUSIVE, OK, "no holders found", NULL)
SAYS(EXCLUSIVE_NOT_ALL, EXCLUSIVE, NOTE,
	"no holders found (not all processes are visible[ without {missing}])", NULL)
SAYS(EXCLUSIVE_WRITER, EXCLUSIVE, NOTE,
	"process {pid} ({program}) has it open for writing",
	"make sure that it does not write during the run")
REFUSES(EXCLUSIVE_CONVERTING, EXCLUSIVE, EBUSY,
	"process {pid} ({program}) is converting it",
	"wait until it ends")
SAYS(WRITABLE, WRITABLE, OK, "this user may write to it", NULL)
SAYS(LOCKS, LOCKS, OK, "this user may use cryptsetup's locks", NULL)
SAYS(LOCKS_IMAGE, LOCKS, NOTE,
	"no access to {directory}: cryptsetup is not locked out during the run", NULL)
REFUSES(LOCKS_BLOCK, LOCKS, EACCES,
	"no access to {directory}, whose locks a run on a block device needs",
	"run coffer as root")
SAYS(CONTENT, CONTENT, OK, "no LUKS header, hibernated system or partition table", NULL)
REFUSES(CONTENT_BEGUN, CONTENT, EBUSY,
	"another program has just begun a conversion",
	"run the same command again")
DAMAGED(CONTENT_FIRST_COPY_LOST, CONTENT,
	"the first LUKS2 header copy is lost; the second one is intact",
	"run {remedy}")
DAMAGED(CONTENT_NO_HEADER, CONTENT,
	"LUKS2 magic found, but neither header copy is usable",
	"copy the disk first; then restore a backup of the header ('coffer header restore'), or, if the "
	"disk never held a LUKS2 volume, erase the magic ('wipefs')")
REFUSES(CONTENT_SUSPENDED, CONTENT, EBUSY,
	"holds a hibernated system",
	"resume that system and shut it down, or discard it: {remedy}")
REFUSES(CONTENT_PARTITIONS, CONTENT, EINVAL,
	"holds a partition table ({table})",
	"name one of its partitions[: {remedy} makes a loop device with them]")
SAYS(FILESYSTEM, FILESYSTEM, OK, "{filesystem}, {filesystem_size}", NULL)
REFUSES(FILESYSTEM_TOO_SMALL, FILESYSTEM, ENOSPC,
	"{device_size} is too small for a filesystem", NULL)
REFUSES(FILESYSTEM_TWO, FILESYSTEM, EUCLEAN,
	"signatures of both {signature} and {filesystem}",
	"remove the wrong one: {remedy}")
REFUSES(FILESYSTEM_UNKNOWN, FILESYSTEM, EMEDIUMTYPE,
	"unrecognized content[ ({signature})]",
	"give its size with --device-size")
REFUSES(FILESYSTEM_LOST, FILESYSTEM, EMEDIUMTYPE,
	"unrecognized content: " COFFER_LOST_HEADER,
	"restore a backup: {remedy}; otherwise give its size with --device-size")
SAYS(FILESYSTEM_GIVEN, FILESYSTEM, NOTE,
	"unrecognized content[ ({signature})], {given_size} by --device-size", NULL)
SAYS(FILESYSTEM_GIVEN_LOST, FILESYSTEM, NOTE,
	"unrecognized content, {given_size} by --device-size: " COFFER_LOST_HEADER,
	"restore a backup: {remedy}")
SAYS(SINGLE_DEVICE, SINGLE_DEVICE, OK, "the filesystem is on this device only", NULL)
SAYS(SINGLE_DEVICE_UNKNOWN, SINGLE_DEVICE, UNCHECKED,
	"unrecognized content may have parts on other devices", NULL)
REFUSES(SINGLE_DEVICE_PARTS, SINGLE_DEVICE, EXDEV,
	"{filesystem}, but {part}",
	"the filesystem must be on one device only")
SAYS(RESERVE, RESERVE, OK, "{reserve} needed after the content, {available} available", NULL)
REFUSES(RESERVE_ODD, RESERVE, EINVAL,
	"its size, {device_bytes} bytes, is not a multiple of 512",
	"truncate it: {remedy}")
REFUSES(RESERVE_GIVEN_LESS, RESERVE, EINVAL,
	"--device-size {given_bytes} is too small: the filesystem ends at byte {filesystem_end}",
	NULL)
REFUSES(RESERVE_GIVEN_MORE, RESERVE, ENOSPC,
	"--device-size {given_bytes} is too large: the device has {device_bytes} bytes", NULL)
REFUSES(RESERVE_NONE, RESERVE, ENOSPC,
	"{reserve} needed after the content, {available} available",
	"make the filesystem smaller or the device larger[, or use --reduce-device-size "
	"{fitting_reserve}]")
REFUSES(RESERVE_NONE_SHRINK, RESERVE, ENOSPC,
	"{reserve} needed after the filesystem, {available} available",
	"make the filesystem smaller[: {remedy}][, or use --reduce-device-size {fitting_reserve}]")
REFUSES(RESERVE_NONE_XFS, RESERVE, ENOSPC,
	"{reserve} needed after the filesystem, {available} available",
	"make the device larger (xfs cannot shrink)[, or use --reduce-device-size "
	"{fitting_reserve}]")
REFUSES(RESERVE_TOO_LARGE, RESERVE, ENOSPC,
	"{data_size} of data is less than half the reserve of {reserve}",
	"[use --reduce-device-size {fitting_reserve}]")
SAYS(SECTOR_SIZE, SECTOR_SIZE, OK, "{sector_size}-byte sectors", NULL)
REFUSES(SECTOR_SIZE_UNALIGNED, SECTOR_SIZE, EINVAL,
	"--sector-size 4096 needs multiples of 4096, but the device has {device_bytes} bytes and "
	"the data {data_bytes}",
	"use --sector-size 512")
REFUSES(SECTOR_SIZE_FILESYSTEM, SECTOR_SIZE, EINVAL,
	"{filesystem} with {block_size}-byte blocks cannot be mounted with --sector-size 4096",
	"use --sector-size 512")
REFUSES(SECTOR_SIZE_DEVICE, SECTOR_SIZE, EINVAL,
	"{filesystem} cannot be encrypted on a device with {device_sector}-byte sectors", NULL)
SAYS(HEADER, HEADER, OK, "the header fits before byte {data_offset}", NULL)
SAYS(HIBERNATION, HIBERNATION, OK, "no swap area of this machine holds a hibernated system", NULL)
/* clang-format on */
#include "base/findings_header_table.h"
#include "base/findings_report_table.h"
