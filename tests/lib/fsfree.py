# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a filesystem's own tools call free, and the comparison of everything else. An oracle for the
used map: none of coffer's code, and other sources than coffer asks (dumpe2fs, xfs_db, btrfs's
dump-tree instead of the kernel and libext2fs)."""
import mmap
import os
import re

from disk import KiB, MiB, run


def free_ranges(path, kind, end):
    """[(start, end)] in bytes, ascending and merged; what lies after the filesystem's end is free,
    too. end is the end of the filesystem as mkfs was told."""
    found = {"ext4": _ext4, "xfs": _xfs, "btrfs": _btrfs}[kind](path)
    merged = []
    for start, stop in sorted(found):
        stop = min(stop, end)
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(stop, merged[-1][1])
        else:
            merged.append([start, stop])
    return [tuple(m) for m in merged]


def used_ranges(path, kind, end):
    at, used = 0, []
    for start, stop in free_ranges(path, kind, end):
        if start > at:
            used.append((at, start))
        at = stop
    return used + ([(at, end)] if at < end else [])


def differing(plain, other, ranges):
    """The first few blocks of 512 bytes within the ranges that are not equal."""
    found = []
    with open(plain, "rb") as a, open(other, "rb") as b:
        with mmap.mmap(a.fileno(), 0, prot=mmap.PROT_READ) as x, \
                mmap.mmap(b.fileno(), 0, prot=mmap.PROT_READ) as y:
            for start, stop in ranges:
                for at in range(start, stop, MiB):
                    n = min(MiB, stop - at)
                    if x[at:at + n] != y[at:at + n]:
                        found += [at + k for k in range(0, n, 512)
                                  if x[at + k:at + min(k + 512, n)] != y[at + k:at + min(k + 512, n)]]
                        if len(found) > 20:
                            return found
    return found


# --- ext4 --------------------------------------------------------------------------------------

def _ext4(path):
    text = run("dumpe2fs", path).stdout

    def number(name):
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1])
    block = number("Block size")
    cluster = re.search(r"^Cluster size:\s+(\d+)", text, re.MULTILINE)
    unit = int(cluster[1]) if cluster else block
    inode = number("Inode size")
    # only a group with a checksum tells in earnest which of its inodes were never used
    sums = "metadata_csum" in text or "uninit_bg" in text
    found = []
    for group in re.split(r"^Group \d+: ", text, flags=re.MULTILINE)[1:]:
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", _line(group, "Free blocks")):
            # dumpe2fs gives the first block of the first and of the last free cluster
            found.append((int(first) * block, int(last or first) * block + unit))
        table = re.search(r"Inode table at (\d+)-(\d+)", group)
        unused = re.search(r"(\d+) unused inodes", group)
        if sums and unused and "ITABLE_ZEROED" not in group.split("\n")[0]:
            stop = (int(table[2]) + 1) * block
            found.append((stop - int(unused[1]) * inode // block * block, stop))
    return found


def _line(text, name):
    m = re.search(rf"^  {name}: (.*)$", text, re.MULTILINE)
    return m[1] if m else ""


# --- xfs ---------------------------------------------------------------------------------------

def _xfs(path):
    out = run("xfs_db", "-r", "-c", "sb 0", "-c", "p agblocks blocksize", "-c", "freesp -d",
              path).stdout
    blocks, size = (int(re.search(rf"{n} = (\d+)", out)[1]) for n in ("agblocks", "blocksize"))
    table = out.split("agno")[1].split("from")[0].split("\n")[1:]
    rows = (list(map(int, line.split())) for line in table if line.strip())
    return [((ag * blocks + at) * size, (ag * blocks + at + n) * size) for ag, at, n in rows]


# --- btrfs -------------------------------------------------------------------------------------

def _btrfs(path):
    """What lies in a chunk and in no extent, and what lies in no chunk; without the first MiB, which
    is not btrfs's to give, and without the superblocks."""
    trees = {n: run("btrfs", "inspect-internal", "dump-tree", "-t", str(n), path).stdout
             for n in (2, 3)}
    node = int(re.search(r"nodesize\s+(\d+)", run("btrfs", "inspect-internal", "dump-super",
                                                 path).stdout)[1])
    extents = [(int(at), int(n)) for at, n in
               re.findall(r"key \((\d+) EXTENT_ITEM (\d+)\)", trees[2])]
    extents += [(int(at), node) for at in re.findall(r"key \((\d+) METADATA_ITEM \d+\)", trees[2])]
    extents.sort()
    size = int(re.search(r"devid 1 total_bytes (\d+)", trees[3])[1])
    used = [(0, MiB), (64 * MiB, 64 * MiB + 4 * KiB)]
    free, taken = [], []
    for chunk in trees[3].split("CHUNK_ITEM ")[1:]:
        start = int(chunk.split(")")[0])
        length = int(re.search(r"length (\d+)", chunk)[1])
        stripes = [int(s) for s in re.findall(r"stripe \d+ devid 1 offset (\d+)", chunk)]
        at = start
        inside = [(a, n) for a, n in extents if start <= a < start + length]
        for a, n in [*inside, (start + length, 0)]:
            if a > at:
                free += [(s + at - start, s + a - start) for s in stripes]
            at = max(at, a + n)
        taken += [(s, s + length) for s in stripes]
    at = 0
    for start, stop in sorted(taken) + [(size, size)]:
        if start > at:
            free.append((at, start))
        at = max(at, stop)
    return _without(free, used)


def _without(ranges, others):
    for low, high in others:
        ranges = [piece for a, b in ranges
                  for piece in ((a, min(b, low)), (max(a, high), b)) if piece[0] < piece[1]]
    return ranges


def allocated(path):
    """Bytes that a sparse file takes."""
    return os.stat(path).st_blocks * 512
