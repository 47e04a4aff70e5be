# SPDX-License-Identifier: LGPL-2.1-or-later
"""Gives the only device of a small btrfs another number, as no tool does."""
import struct

SUPER, SUPER_SIZE = 64 << 10, 4096
DEV_ITEM, DEV_EXTENT, CHUNK_ITEM, ROOT_ITEM, DEV_STATS = 216, 204, 228, 132, 249
DEV_TREE = 4


def _crc_table():
    table = []
    for c in range(256):
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
        table.append(c)
    return table


_TABLE = _crc_table()


def _seal(disk, at, size):
    """The CRC-32C of a superblock or a node, over all that follows its own field."""
    crc = 0xFFFFFFFF
    for byte in disk[at + 32:at + size]:
        crc = _TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    struct.pack_into("<I", disk, at, crc ^ 0xFFFFFFFF)


class _Disk:
    def __init__(self, disk, number):
        self.disk, self.number, self.chunks = disk, number, {}
        self.node_size = struct.unpack_from("<I", disk, SUPER + 0x94)[0]

    def u64(self, at):
        return struct.unpack_from("<Q", self.disk, at)[0]

    def put(self, at):
        struct.pack_into("<Q", self.disk, at, self.number)

    def chunk(self, logical, at):
        """A chunk item; returns its size."""
        stripes = [at + 48 + 32 * i for i in range(self.disk[at + 44])]
        for stripe in stripes:
            self.put(stripe)
        self.chunks[logical] = (self.u64(at), [self.u64(stripe + 8) for stripe in stripes])
        return 48 + 32 * len(stripes)

    def items(self, logical):
        """All copies of a leaf: (type, place of the key, place of the item); sealed afterwards."""
        start, (_, places) = next((start, c) for start, c in self.chunks.items()
                                  if start <= logical < start + c[0])
        for place in places:
            at = place + logical - start
            assert self.disk[at + 100] == 0, "not a leaf"
            for i in range(struct.unpack_from("<I", self.disk, at + 96)[0]):
                key = at + 101 + 25 * i
                yield (self.disk[key + 8], key,
                       at + 101 + struct.unpack_from("<I", self.disk, key + 17)[0])
            _seal(self.disk, at, self.node_size)


def renumber(img, number):
    with open(img, "r+b") as f:
        d = _Disk(bytearray(f.read()), number)
        at = SUPER + 0x32b
        end = at + struct.unpack_from("<I", d.disk, SUPER + 0xa0)[0]
        while at < end:
            at += 17 + d.chunk(d.u64(at + 9), at + 17)
        d.put(SUPER + 0xc9)
        _seal(d.disk, SUPER, SUPER_SIZE)
        for kind, key, item in d.items(d.u64(SUPER + 0x58)):
            if kind == DEV_ITEM:
                d.put(key + 9)
                d.put(item)
            elif kind == CHUNK_ITEM:
                d.chunk(d.u64(key + 9), item)
        roots = {d.u64(key): d.u64(item + 176)
                 for kind, key, item in d.items(d.u64(SUPER + 0x50)) if kind == ROOT_ITEM}
        for kind, key, item in d.items(roots[DEV_TREE]):
            if kind == DEV_EXTENT:
                d.put(key)
            elif kind == DEV_STATS:
                d.put(key + 9)
        f.seek(0)
        f.write(d.disk)
