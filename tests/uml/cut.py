# SPDX-License-Identifier: LGPL-2.1-or-later
"""cut - moments of a conversion, found in the disk file alone.

Each function makes a predicate for guest.when(). They know LUKS2's public format and
nothing of coffer's own records, so they hold for any tool that converts a disk. A path may also
be a block device within a guest (inside/await.py)."""

import json
import mmap
import os
import stat

LUKS_MAGIC = b"LUKS\xba\xbe"
EXT4_MAGIC_AT = 1080
EXT4_MAGIC = b"\x53\xef"


BLOCK = 4096


def _pread(path, size, offset):
    """From the disk itself: what a block device's cache holds may be older than what was written
    through device-mapper."""
    is_block = stat.S_ISBLK(os.stat(path).st_mode)
    fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if is_block else 0))
    try:
        if not is_block:
            return os.pread(fd, size, offset)
        start = offset // BLOCK * BLOCK
        with mmap.mmap(-1, -(-(offset + size - start) // BLOCK) * BLOCK) as buffer:
            got = os.preadv(fd, [buffer], start)
            return buffer[offset - start:min(got, offset - start + size)]
    finally:
        os.close(fd)


def _size(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def luks_metadata(path):
    """The JSON of the primary LUKS2 header, or None (no header, or one being written)."""
    header = _pread(path, 4096, 0)
    if header[:6] != LUKS_MAGIC:
        return None
    size = int.from_bytes(header[8:16], "big")
    try:
        return json.loads(_pread(path, size - 4096, 4096).rstrip(b"\0"))
    except ValueError:
        return None


def is_converting(path):
    meta = luks_metadata(path)
    return bool(meta and meta["config"].get("requirements"))


def share_done(path):
    """How much is encrypted, 0.0 to 1.0, or None while there is no header."""
    meta = luks_metadata(path)
    if meta is None:
        return None
    size = {"linear": 0, "crypt": 0}
    for segment in meta["segments"].values():
        if any(flag.startswith("backup-") for flag in segment.get("flags", [])):
            continue            # describes the time before or after, maps nothing now
        if segment["size"] == "dynamic":
            length = _size(path) - int(segment["offset"])
        else:
            length = int(segment["size"])
        size[segment["type"]] += length
    return size["crypt"] / (size["crypt"] + size["linear"])


def tail_written(path, size):
    """The last @size bytes, zeros in a fresh disk file, have been written to."""
    at = _size(path) - size
    return lambda: any(_pread(path, size, at))


def ext4_hidden(path):
    """The ext4 magic is gone: from here on the disk is no plain filesystem."""
    return lambda: _pread(path, 2, EXT4_MAGIC_AT) != EXT4_MAGIC


def header_placed(path):
    return lambda: luks_metadata(path) is not None


def done(path, share):
    """At least @share of the disk is encrypted."""
    return lambda: (share_done(path) or 0.0) >= share


def finished(path):
    """The header no longer asks for the conversion to go on."""
    return lambda: luks_metadata(path) is not None and not is_converting(path)
