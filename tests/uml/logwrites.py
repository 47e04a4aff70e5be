# SPDX-License-Identifier: LGPL-2.1-or-later
"""logwrites - a log of dm-log-writes, and the disks that its prefixes are.

The log (kernel: Documentation/admin-guide/device-mapper/log-writes.rst) holds the writes in the
order in which they reached the disk; an entry with FLUSH ends what one flush made durable. Every
prefix of it is a disk that a power cut could have left."""

import struct

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512


def entries(log):
    """Yield (sector, sectors, flags, data) of every entry of an open file."""
    magic, version, count, unit = struct.unpack("<QQQI", log.read(28))
    assert (magic, version) == (MAGIC, 1), "not a log of dm-log-writes"
    at = unit
    for _ in range(count):
        log.seek(at)
        sector, sectors, flags, data_len = struct.unpack("<QQQQ", log.read(32))
        at += unit
        data = b""
        if not flags & DISCARD:
            size = data_len if flags & MARK else sectors * SECTOR
            log.seek(at)
            data = log.read(size)
            at += -(-size // unit) * unit
        yield sector, sectors, flags, data


def flushes(steps):
    """The prefixes that end with a flush, by number of entries."""
    return [n for n, (_, _, flags, _) in enumerate(steps, 1) if flags & FLUSH]


def chosen(steps, first, spread):
    """Which prefixes to try: the @first flushes and the middle of what lies between them, then
    @spread of the rest and the middle of that, the last flush of all included."""
    all_flushes = flushes(steps)
    early, late = all_flushes[:first], all_flushes[first:]
    some = set(early) | {(a + b) // 2 for a, b in zip([0] + early, early)}
    if late:
        some |= {late[i * (len(late) - 1) // (spread - 1)] for i in range(spread)}
        some |= {(late[0] + late[-1]) // 2}
    return sorted(some)


def apply(disk, steps):
    """Write these entries to @disk, a bytearray or a map of a file."""
    for sector, sectors, flags, data in steps:
        if flags & DISCARD:     # the recorder's disk may answer anything: zeros are one answer
            data = bytes(sectors * SECTOR)
        if not flags & MARK:
            disk[sector * SECTOR:sector * SECTOR + len(data)] = data
