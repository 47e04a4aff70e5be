#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What coffer calls free in btrfs: against its own dump of the trees, and with garbage over it.
COFFER_DEEP=1 takes more kinds."""
import contextlib
import os
import re
import sys
from errno import EOPNOTSUPP, EUCLEAN

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from disk import KiB, MiB, loop, mounted, run, tempdir, write_at  # noqa: E402
from fsmap import ask, ask_unharmed, check_order, free, garbage, merge, minus, populate, prove, total  # noqa: E402,E501
from tap import DEEP, Tap  # noqa: E402

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


@contextlib.contextmanager
def image(size):
    path = os.path.join(folder, "image")
    with open(path, "wb") as f:
        f.truncate(size)
    garbage(path, [(0, min(size, 300 * MiB))], seed=3)
    try:
        yield path
    finally:
        os.unlink(path)


def dump(path, tree):
    return run("btrfs", "inspect-internal", "dump-tree", "-t", tree, path).stdout


def field(path, name):
    text = run("btrfs", "inspect-internal", "dump-super", path).stdout
    return int(re.search(rf"^{name}\s+(\d+)", text, re.M)[1])


def by_tool(path):
    """Free ranges: the device without all copies of all extents, and without what is fixed."""
    end, node = field(path, "dev_item.total_bytes"), field(path, "nodesize")
    chunks = []
    for start, body in re.findall(r"key \(FIRST_CHUNK_TREE CHUNK_ITEM (\d+)\)(.*?)(?=item \d+ key|\Z)",
                                  dump(path, "chunk"), re.S):
        length = int(re.search(r"length (\d+)", body)[1])
        chunks.append((int(start), length,
                       [int(o) for o in re.findall(r"stripe \d+ devid 1 offset (\d+)", body)]))
    used, pieces = [(0, MiB), (64 * MiB, 64 * MiB + 64 * KiB)], 0
    for at, kind, size in re.findall(r"key \((\d+) (EXTENT_ITEM|METADATA_ITEM) (\d+)\)",
                                     dump(path, "extent")):
        at, size = int(at), node if kind == "METADATA_ITEM" else int(size)
        start, length, copies = next(c for c in chunks if c[0] <= at < c[0] + c[1])
        used += [(at - start + c, at - start + c + size) for c in copies]
        pieces += 1
    assert chunks and pieces
    return minus([(0, end)], used)


def check(path):
    answer = ask_unharmed(path)
    assert answer.get("source") == "kernel", answer
    wanted = by_tool(path)
    assert merge(free(answer)) == wanted, \
        f"{minus(free(answer), wanted)} too many, {minus(wanted, free(answer))} missing"
    assert answer["prints"] == [(64 * KiB, 68 * KiB), (64 * MiB, 64 * MiB + 4 * KiB)]
    # nothing is remembered of the loop device
    assert path not in run("btrfs", "filesystem", "show", status=None).stdout
    return answer


def fill(path, options, snapshots):
    with loop(path) as dev, mounted(dev, "btrfs", options) as where:
        if not snapshots:
            populate(where)
            return
        sub = os.path.join(where, "sub")
        run("btrfs", "subvolume", "create", sub)
        for i in range(4):
            populate(sub, seed=i, files=60)
            run("btrfs", "subvolume", "snapshot", sub, os.path.join(where, f"snap{i}"))
        run("btrfs", "subvolume", "delete", "--commit-after", os.path.join(where, "snap1"))


def row(mkfs, options="defaults", size=200 * MiB, snapshots=False):
    with image(size) as path:
        run("mkfs.btrfs", "-q", "-f", "-K", *mkfs, path)
        fill(path, options, snapshots)
        prove(path, "btrfs", check(path), options)


rows = [
    ("btrfs", []),
    ("btrfs, mixed groups, two copies", ["--mixed", "-d", "dup", "-m", "dup"]),
    ("btrfs, two copies of all", ["-d", "dup", "-m", "dup"], "defaults", 300 * MiB),
    ("btrfs, tree blocks of 64 KiB", ["-n", "65536"]),
    ("btrfs, snapshots", [], "defaults", 200 * MiB, True),
    ("btrfs, zstd", [], "compress-force=zstd"),
    ("btrfs, no free space tree", ["-R", "^free-space-tree"], "nospace_cache"),
    ("btrfs, old space cache", ["-R", "^free-space-tree"], "space_cache=v1"),
]
# Of the deep set.
more_rows = [
    ("btrfs, mixed groups", ["--mixed"]),
    ("btrfs, one copy of all", ["-d", "single", "-m", "single"]),
    ("btrfs, tree blocks of 4 KiB", ["-n", "4096"]),
    ("btrfs, lzo", [], "compress-force=lzo"),
    ("btrfs, no copy on write", [], "nodatacow"),
    ("btrfs, file extents for holes", ["-O", "^no-holes"]),
    ("btrfs, large metadata items", ["-O", "^skinny-metadata"]),
    ("btrfs, xxhash", ["--csum", "xxhash"]),
    ("btrfs, discard", [], "discard=sync"),
]


def huge():
    """1 TiB that nobody has written to; all mirrors are there."""
    with image(1 << 40) as path:
        run("mkfs.btrfs", "-q", "-f", "-K", path)
        answer = ask(path)
        check_order(answer)
        assert (1 << 40) - total(free(answer)) < 16 * MiB
        for at in (64 * KiB, 64 * MiB, 256 << 30):
            assert (at, at + 4096) in answer["prints"], at
            assert not minus([(at, at + 4096)], answer["fixed"]), at


def refused(answer, code):
    assert answer.get("code") == code, answer


def patched(offset, value, code):
    """One field of the superblock; it is looked at before the sum."""
    with image(128 * MiB) as path:
        run("mkfs.btrfs", "-q", "-f", path)
        write_at(path, 64 * KiB + offset, value.to_bytes(8, "little"))
        refused(ask_unharmed(path), code)


def log_to_replay():
    """The image as a power cut would leave it after an fsync."""
    with image(128 * MiB) as path:
        run("mkfs.btrfs", "-q", "-f", path)
        with loop(path) as dev, mounted(dev, "btrfs") as where:
            with open(os.path.join(where, "synced"), "wb") as f:
                f.write(b"x" * 100000)
                f.flush()
                os.fsync(f.fileno())
            run("cp", path, path + ".cut")
        try:
            refused(ask_unharmed(path + ".cut"), EUCLEAN)
        finally:
            os.unlink(path + ".cut")


def second_mounted():
    """A copy is mounted: the kernel might show that one."""
    with image(128 * MiB) as path:
        run("mkfs.btrfs", "-q", "-f", path)
        fill(path, "defaults", False)
        right = ask_unharmed(path)
        run("cp", path, path + ".twin")
        try:
            with loop(path + ".twin") as dev, mounted(dev, "btrfs") as where:
                populate(where, seed=5)
                fd = os.open(where, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
                answer = ask_unharmed(path)
                assert "error" in answer or answer == right, answer
        finally:
            os.unlink(path + ".twin")


def two_devices():
    with image(200 * MiB) as path, loop(path) as one:
        with open(path + ".two", "wb") as f:
            f.truncate(200 * MiB)
        try:
            with loop(path + ".two") as two:
                run("mkfs.btrfs", "-q", "-f", one, two)
                refused(ask(one), EOPNOTSUPP)
                run("btrfs", "device", "scan", "--forget", one, two, status=None)
        finally:
            os.unlink(path + ".two")


ambiguous = [
    ("a log to replay", log_to_replay),
    ("an unknown feature", patched, 188, 1 << 40, EOPNOTSUPP),
    ("zones", patched, 188, 0x1341, EOPNOTSUPP),
    ("an unknown read-only feature", patched, 180, 1 << 40, EOPNOTSUPP),
    ("a seed", patched, 56, 1 | 1 << 32, EUCLEAN),
    ("two devices", two_devices),
    ("a twin is mounted", second_mounted),
]


def chosen(items):
    """A word on the command line chooses rows."""
    return [r for r in items if len(sys.argv) < 2 or sys.argv[1] in r[0]]


with stack:
    tap.run([(r[0], row, *r[1:]) for r in chosen(rows + more_rows * DEEP)])
    tap.run(chosen([("btrfs: 1 TiB, empty", huge)]))
    tap.run(chosen(ambiguous))
tap.done()
