#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What coffer calls free in ext2, ext3, ext4 and xfs: against the filesystems' own tools, and with
garbage over all of it. COFFER_DEEP=1 takes more kinds of each."""
import contextlib
import hashlib
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from disk import KiB, MiB, loop, mounted, run, tempdir  # noqa: E402
from fsmap import (ask, ask_unharmed, both, check_order, free, garbage, fsck, merge, minus,  # noqa: E402
                   populate, prove, total, tree)
from tap import DEEP, Skip, Tap  # noqa: E402

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


@contextlib.contextmanager
def image(size, noise=False):
    """noise: a disk that was in use before, so that nothing is zero by chance."""
    path = os.path.join(folder, "image")
    with open(path, "wb") as f:
        f.truncate(size)
    if noise:
        garbage(path, [(0, size)], seed=3)
    try:
        yield path
    finally:
        os.unlink(path)


def fill(path, fs, options="defaults", **how):
    with loop(path) as dev, mounted(dev, fs, options) as where:
        populate(where, **how)


# --- ext ---------------------------------------------------------------------------------------

def dumpe2fs(path):
    """Free ranges, and those of inode tables in groups that may have an unwritten tail."""
    text = run("dumpe2fs", path).stdout
    size = int(re.search(r"^Block size: +(\d+)", text, re.M)[1])
    inode_size = int(re.search(r"^Inode size:\s+(\d+)", text, re.M)[1])
    blocks = int(re.search(r"^Block count: +(\d+)", text, re.M)[1])
    per_group = int(re.search(r"^Inodes per group: +(\d+)", text, re.M)[1])
    cluster = re.search(r"^Cluster size: +(\d+)", text, re.M)
    cluster = int(cluster[1]) // size if cluster else 1
    sums = re.search(r"^Filesystem features:.*(uninit_bg|metadata_csum)", text, re.M)
    found, tails = [], []
    for group in re.split(r"^Group \d+: ", text, flags=re.M)[1:]:
        for first, last in re.findall(r"(\d+)(?:-(\d+))?",
                                      re.search(r"^  Free blocks: (.*)$", group, re.M)[1]):
            # of a cluster it tells the first block
            last = int(last or first) + cluster
            found.append((int(first) * size, min(last, blocks) * size))
        unused = re.search(r", (\d+) unused inodes", group)
        if not sums or "ITABLE_ZEROED" in group.split("\n")[0] or not unused:
            continue
        start, end = map(int, re.search(r"Inode table at (\d+)-(\d+)", group).groups())
        used = -(-(per_group - int(unused[1])) * inode_size // size)
        tails.append(((start + used) * size, (end + 1) * size))
    return merge(found), merge(tails)


def check_ext(path):
    """All three agree; returns the kernel's answer."""
    library, kernel = ask_unharmed(path, "--no-mount"), ask_unharmed(path)
    assert library.get("source") == "libext2fs", library
    assert kernel.get("source") == "kernel", kernel
    found, tails = dumpe2fs(path)
    wanted = merge(found + tails)
    assert merge(library["free"]) == wanted, f"libext2fs: {minus(library['free'], wanted)} " \
        f"too many, {minus(wanted, library['free'])} missing"
    assert merge(kernel["free"]) == wanted, f"kernel: {minus(wanted, kernel['free'])}"
    # fixed takes away what lies before group 0, nothing else of what is free
    assert total(both(wanted, kernel["fixed"])) <= 68 * KiB + 4096, both(wanted, kernel["fixed"])
    backups = [int(b) for b in re.findall(r"Backup superblock at (\d+)",
                                          run("dumpe2fs", path).stdout)]
    size = int(re.search(r"^Block size: +(\d+)", run("dumpe2fs", "-h", path).stdout, re.M)[1])
    assert kernel["prints"][0] == (1024, 2048), kernel["prints"][0]
    for b in backups:
        copy = [(b * size, b * size + 1024)]
        assert not minus(copy, kernel["prints"]), f"no print of {copy}"
        assert not minus(copy, kernel["fixed"]), f"not fixed: {copy}"
    check_journal(path, size, kernel)
    return kernel


def check_journal(path, size, answer):
    if "has_journal" not in run("dumpe2fs", "-h", path).stdout:
        return
    blocks = run("debugfs", "-R", "blocks <8>", path).stdout.split()
    assert len(blocks) >= 1000, len(blocks)
    # The first 512 KiB are enough: its superblock, which changes before anything else is written.
    # Among them may be blocks of the tree that finds the others: 4 bytes or more for each.
    head = [(int(b) * size, (int(b) + 1) * size) for b in blocks[:512 * KiB // size]]
    lying = minus(head, answer["prints"])
    assert total(lying) <= len(blocks) * 4 + 3 * size, lying


def ext(mkfs, size=64 * MiB, noise=False, options="noinit_itable", use=True):
    with image(size, noise) as path:
        run("mke2fs", "-q", "-F", *mkfs, path)
        if use:
            fill(path, "ext4", options)
        answer = check_ext(path)
        prove(path, "ext4", answer, options)


LAZY = ["-E", "nodiscard,lazy_itable_init=1"]
ext_rows = [
    ("ext4", ["-t", "ext4"]),
    ("ext4, never mounted", ["-t", "ext4"], 64 * MiB, False, "defaults", False),
    ("ext4, blocks of 1 KiB", ["-t", "ext4", "-b", "1024"]),
    ("ext4, bigalloc, large clusters",
     ["-t", "ext4", "-O", "bigalloc", "-C", "131072"], 200 * MiB + 64 * KiB),
    ("ext4, unwritten inode tables", ["-t", "ext4", "-b", "1024", *LAZY], 64 * MiB, True),
    ("ext4, unwritten inode tables, uninit_bg",
     ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg", *LAZY], 64 * MiB, True),
    ("ext4, meta_bg, no flex_bg",
     ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg", *LAZY], 64 * MiB, True),
    ("ext4, no journal", ["-t", "ext4", "-O", "^has_journal"]),
    ("ext4, no sums at all", ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg"]),
    ("ext4, sparse_super2", ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode"]),
    ("ext4, orphan file", ["-t", "ext4", "-O", "orphan_file"]),
    ("ext4, multiple mount protection", ["-t", "ext4", "-O", "mmp"]),
    ("ext4, odd size", ["-t", "ext4", "-b", "1024"], 70 * MiB + 5 * KiB),
    ("ext3, blocks of 1 KiB", ["-t", "ext3", "-b", "1024"]),
    ("ext2, revision 0", ["-t", "ext2", "-r", "0", "-b", "1024"]),
]
# Of the deep set.
more_ext_rows = [
    ("ext4, blocks of 2 KiB", ["-t", "ext4", "-b", "2048"]),
    ("ext4, bigalloc", ["-t", "ext4", "-O", "bigalloc"], 200 * MiB),
    ("ext4, bigalloc, blocks of 1 KiB", ["-t", "ext4", "-O", "bigalloc", "-b", "1024"]),
    ("ext4, no flex_bg", ["-t", "ext4", "-O", "^flex_bg", "-b", "1024"]),
    ("ext4, unwritten inode tables, no flex_bg",
     ["-t", "ext4", "-b", "1024", "-O", "^flex_bg", *LAZY], 64 * MiB, True),
    ("ext4, unwritten inode tables, never mounted",
     ["-t", "ext4", *LAZY], 200 * MiB, True, "defaults", False),
    ("ext4, meta_bg", ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"]),
    ("ext4, no 64bit", ["-t", "ext4", "-O", "^64bit"]),
    ("ext4, inline data", ["-t", "ext4", "-O", "inline_data"]),
    ("ext4, inodes of 128", ["-t", "ext4", "-I", "128"]),
    ("ext4, few inodes", ["-t", "ext4", "-N", "400"]),
    ("ext4, many inodes", ["-t", "ext4", "-i", "1024", *LAZY], 64 * MiB, True),
    ("ext4, a backup in each group", ["-t", "ext4", "-b", "1024", "-O", "^sparse_super,^resize_inode"]),
    ("ext4, small groups", ["-t", "ext4", "-g", "1024"]),
    ("ext4, fast commit", ["-t", "ext4", "-O", "fast_commit"]),
    ("ext3", ["-t", "ext3"]),
    ("ext2", ["-t", "ext2"]),
]


def lazy_init():
    """With garbage in the unwritten tails the kernel zeroes them, and then they count as used."""
    with image(200 * MiB, noise=True) as path:
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", *LAZY, path)
        fill(path, "ext4", "noinit_itable")
        answer = check_ext(path)
        tails = dumpe2fs(path)[1]
        assert total(tails) > 5 * MiB, total(tails)
        garbage(path, free(answer), seed=11)
        fsck(path, "ext4")
        with loop(path) as dev, mounted(dev, "ext4", "init_itable=0") as where:
            for i in range(600):
                if dumpe2fs(dev)[1] == []:
                    break
                with open(os.path.join(where, f"new{i}"), "wb"):
                    pass
                time.sleep(0.1)
            else:
                raise AssertionError("the kernel does not zero the inode tables")
        fsck(path, "ext4")
        assert not both(free(check_ext(path)), tails), "what the kernel has zeroed counts as free"


def many_inodes():
    """New inodes in tails full of garbage, without the kernel's background work."""
    with image(64 * MiB, noise=True) as path:
        run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-i", "2048", *LAZY, path)
        fill(path, "ext4", "noinit_itable")
        garbage(path, free(check_ext(path)), seed=12)
        with loop(path) as dev:
            with mounted(dev, "ext4", "noinit_itable") as where:
                for i in range(9000):
                    os.makedirs(os.path.join(where, f"n{i % 50}"), exist_ok=True)
                    with open(os.path.join(where, f"n{i % 50}", f"{i}"), "wb"):
                        pass
                made = tree(where)
            with mounted(dev, "ext4", "noinit_itable") as where:
                assert tree(where) == made
        fsck(path, "ext4")


def huge_ext():
    """1 TiB that nobody has written to: next to nothing is used."""
    with image(1 << 40) as path:
        run("mke2fs", "-q", "-F", "-t", "ext4", *LAZY, path)
        for options in ([], ["--no-mount"]):
            answer = ask(path, *options)
            check_order(answer)
            used = (1 << 40) - total(free(answer))
            assert used < 2 << 30, f"{options}: {used} bytes are used"


# --- xfs ---------------------------------------------------------------------------------------

SMALL = dict(os.environ, TEST_DIR="1", TEST_DEV="1", QA_CHECK_FS="1")  # less than 300 MB


def check_xfs(path):
    """xfs_db counts blocks of its reserve among the free ones; the kernel does not."""
    answer = ask_unharmed(path)
    assert answer.get("source") == "kernel", answer

    def db(*commands):
        return run("xfs_db", "-r", *[x for c in commands for x in ("-c", c)], path).stdout

    def field(name, *commands):
        return int(re.search(rf"^{name} = (\d+)", db(*commands, f"print {name}"), re.M)[1])

    block, groups = field("blocksize", "sb 0"), field("agcount", "sb 0")
    group, log_bits = field("agblocks", "sb 0") * block, field("agblklog", "sb 0")
    found = [tuple(map(int, line.split())) for line in db("freesp -d").splitlines()
             if re.fullmatch(r"[ \d]+", line)]
    found = [(g * group + at * block, g * group + (at + n) * block) for g, at, n in found]
    reserve = sum(field("flcount", f"agf {g}") for g in range(groups)) * block
    assert not minus(answer["free"], found), minus(answer["free"], found)
    missing = minus(found, answer["free"])
    assert total(missing) == reserve, f"{missing}, and the reserve is {reserve}"
    start = field("logstart", "sb 0")
    log = (start >> log_bits) * group + (start & ((1 << log_bits) - 1)) * block
    log = log, log + field("logblocks", "sb 0") * block
    assert answer["prints"][0][0] == 0 and log in answer["prints"], (log, answer["prints"])
    sector = field("sectsize", "sb 0")
    for g in range(groups):
        head = [(g * group, g * group + 4 * sector)]
        assert not minus(head, answer["fixed"]), f"group {g}"
        if len(answer["prints"]) < 1024:
            assert not minus(head, answer["prints"]), f"group {g}"
    return answer


def xfs(mkfs, size=128 * MiB, options="defaults"):
    with image(size, noise=True) as path:
        p = run("mkfs.xfs", "-q", "-f", "-K", *mkfs, path, env=SMALL, status=None)
        assert p.returncode == 0, p.stderr
        try:
            fill(path, "xfs", options)
        except AssertionError as e:
            if "V4" in run("dmesg").stdout[-3000:] or "crc=0" in mkfs:
                raise Skip("this kernel has no xfs of version 4") from e
            raise
        answer = check_xfs(path)
        prove(path, "xfs", answer, options)


xfs_rows = [
    ("xfs", []),
    ("xfs, rmapbt, no reflink", ["-m", "rmapbt=1,reflink=0", "-l", "size=8m"]),
    ("xfs, blocks of 1 KiB, rmapbt", ["-b", "size=1024", "-m", "rmapbt=1"]),
    ("xfs, sectors of 4 KiB", ["-s", "size=4096"]),
    ("xfs, one group", ["-d", "agcount=1"]),
    ("xfs, log in the last group", ["-l", "agnum=3"]),
]
# Of the deep set.
more_xfs_rows = [
    ("xfs, rmapbt", ["-m", "rmapbt=1"]),
    ("xfs, no reflink", ["-m", "reflink=0"]),
    ("xfs, bigtime and inobtcount", ["-m", "bigtime=1,inobtcount=1"]),
    ("xfs, no bigtime, no finobt", ["-m", "bigtime=0,inobtcount=0,finobt=0"]),
    ("xfs, blocks of 1 KiB", ["-b", "size=1024"]),
    ("xfs, folder blocks of 64 KiB", ["-n", "size=65536"]),
    ("xfs, inodes of 2 KiB", ["-i", "size=2048"]),
    ("xfs, 7 groups", ["-d", "agcount=7"]),
]


def repaired_xfs():
    """xfs_repair gives the trees of free space other blocks. It leaves superblock and log as they
    are, and yet the prints have to tell."""
    def print_of(path, answer):
        h = hashlib.sha256()
        with open(path, "rb") as f:
            for start, end in answer["prints"]:
                f.seek(start)
                h.update(f.read(end - start))
        return h.hexdigest()

    with image(128 * MiB) as path:
        run("mkfs.xfs", "-q", "-f", path, env=SMALL)
        fill(path, "xfs")
        before = ask_unharmed(path)
        was = print_of(path, before)
        run("xfs_repair", "-o", "force_geometry", path)
        now = ask_unharmed(path)
        assert minus(before["free"], now["free"]), "the repair has put nothing where was free space"
        assert print_of(path, before) != was, "the fingerprint does not tell of the repair"


def chosen(rows):
    """A word on the command line chooses rows."""
    return [r for r in rows if len(sys.argv) < 2 or sys.argv[1] in r[0]]


special_rows = [
    ("ext4: the kernel zeroes unwritten tables that are full of garbage", lazy_init),
    ("ext4: new inodes in unwritten tables that are full of garbage", many_inodes),
    ("ext4: 1 TiB, empty", huge_ext),
    # Bug: a map was used after xfs_repair had used free blocks
    ("xfs: xfs_repair uses what was free", repaired_xfs),
]

with stack:
    tap.run([(row[0], ext, *row[1:]) for row in chosen(ext_rows + more_ext_rows * DEEP)])
    tap.run([(row[0], xfs, *row[1:]) for row in chosen(xfs_rows + more_xfs_rows * DEEP)])
    tap.run(chosen(special_rows))
tap.done()
