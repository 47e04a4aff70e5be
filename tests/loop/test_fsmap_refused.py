#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No free space is reported where anything is ambiguous, and nothing is left of the question."""
import contextlib
import json
import os
import re
import subprocess
import sys
from errno import EBUSY, EOPNOTSUPP, EPERM, EUCLEAN

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from disk import HANG, MiB, loop, mounted, run, sha256, tempdir, write_at  # noqa: E402
from fsmap import PLAIN, ask, ask_unharmed, free, loops_over, populate  # noqa: E402
from tap import Tap  # noqa: E402

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
SMALL = dict(os.environ, TEST_DIR="1", TEST_DEV="1", QA_CHECK_FS="1")  # xfs below 300 MB
MKFS = {
    "ext2": ["mke2fs", "-q", "-F", "-t", "ext2"],
    "ext4": ["mke2fs", "-q", "-F", "-t", "ext4"],
    "plain ext4": ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


@contextlib.contextmanager
def made(kind, *options):
    path = os.path.join(folder, "image")
    with open(path, "wb") as f:
        f.truncate({"xfs": 40, "btrfs": 128}.get(kind, 32) * MiB)
    run(*MKFS[kind], *options, path, env=SMALL)
    try:
        yield path
    finally:
        os.unlink(path)


def refused(path, code, options=((), ("--no-mount",))):
    for o in options:
        answer = ask_unharmed(path, *o)
        assert answer.get("code") == code, f"{o}: {answer}"


BY_KERNEL = ((),)  # only it can tell


def cut(kind, options):
    """As a power cut leaves it: a copy of the image while it is mounted."""
    with made(kind) as path:
        with loop(path) as dev, mounted(dev, kind) as where:
            populate(where, files=40)
            fd = os.open(where, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
            run("cp", path, path + ".cut")
        try:
            refused(path + ".cut", EUCLEAN, options)
        finally:
            os.unlink(path + ".cut")


def shut_down():
    """xfs stopped with work in its log, and unmounted."""
    with made("xfs") as path:
        with loop(path) as dev, mounted(dev, "xfs") as where:
            populate(where, files=40)
            run("xfs_io", "-x", "-c", "shutdown -f", where)
        refused(path, EUCLEAN, BY_KERNEL)


def debugfs(command):
    with made("ext4") as path:
        run("debugfs", "-w", "-R", command, path)
        refused(path, EUCLEAN)


def patched(kind, offset, value, code, options=((), ("--no-mount",))):
    with made(kind) as path:
        write_at(path, offset, value)
        refused(path, code, options)


def place(path, what):
    """Byte offset of something of group 0."""
    text = run("dumpe2fs", path).stdout
    size = int(re.search(r"^Block size: +(\d+)", text, re.M)[1])
    return int(re.search(what + r" at (\d+)", text)[1]) * size


def flipped(kind, what, byte):
    """One bit, from used to free."""
    with made(kind) as path:
        at = place(path, what) + byte
        with open(path, "r+b") as f:
            f.seek(at)
            old = f.read(1)[0]
            f.seek(at)
            f.write(bytes([old ^ 1]))
        refused(path, EUCLEAN)


def journal_in_use():
    with made("ext4") as path:
        block = int(run("debugfs", "-R", "blocks <8>", path).stdout.split()[0])
        size = int(re.search(r"^Block size: +(\d+)", run("dumpe2fs", "-h", path).stdout, re.M)[1])
        write_at(path, block * size + 28, bytes((0, 0, 0, 1)))
        refused(path, EUCLEAN)


def journal_elsewhere():
    other = os.path.join(folder, "journal")
    with made("ext4") as path, open(other, "wb") as f:
        f.truncate(64 * MiB)
        run("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", other)
        with loop(path) as dev, loop(other) as journal:
            run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", f"device={journal}", dev)
        refused(path, EOPNOTSUPP)
        os.unlink(other)


def log_elsewhere():
    other = os.path.join(folder, "log")
    with made("xfs") as path, open(other, "wb") as f:
        f.truncate(80 * MiB)
        with loop(path) as dev, loop(other) as log:
            run("mkfs.xfs", "-q", "-f", "-l", f"logdev={log},size=64m", dev, env=SMALL)
        refused(path, EOPNOTSUPP)
        os.unlink(other)


def on_device(kind, fs):
    """A block device, which the tool holds for itself meanwhile."""
    with made(kind) as path:
        image = ask_unharmed(path)
        with loop(path) as dev:
            before = sha256(dev), loops_over(path), loops_over(dev)
            device = ask(dev)
            assert (sha256(dev), loops_over(path), loops_over(dev)) == before
            assert device == image and device["source"] == "kernel", device
            with mounted(dev, fs):
                assert ask(dev)["code"] == EBUSY


def large_sectors(kind):
    with made(kind) as path:
        with loop(path, "--sector-size", "4096") as dev:
            run(*MKFS[kind], dev, env=SMALL)
            answer = ask(dev)
            assert answer.get("source") == "kernel" and free(answer), answer


def no_rights(kind, source):
    """As in a container: without the right to mount."""
    with made(kind) as path:
        p = run("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", PLAIN, path,
                status=(0, 1))
        answer = json.loads(p.stdout)
        assert answer.get("source") == source, answer
        assert answer.get("code") == (None if source else EPERM), answer
        assert run("losetup", "--noheadings", "--associated", path).stdout == ""


def at_once():
    """Several ask for a free loop device at the same time."""
    with contextlib.ExitStack() as s:
        paths = []
        for i in range(6):
            paths.append(os.path.join(folder, f"at-once-{i}"))
            s.callback(os.unlink, paths[-1])
            with open(paths[-1], "wb") as f:
                f.truncate(64 * MiB)
            run(*MKFS["ext4"], paths[-1])
        for _ in range(5):
            running = [subprocess.Popen([PLAIN, p], stdout=subprocess.PIPE, text=True)
                       for p in paths]
            for p in running:
                out = p.communicate(timeout=HANG)[0]
                assert json.loads(out)["source"] == "kernel", out


LE = {n: (1 << n).to_bytes(4, "little") for n in range(32)}
rows = [
    ("ext2 that is mounted", cut, "ext2", ((), ("--no-mount",))),
    ("ext4 after a power cut", cut, "ext4", ((), ("--no-mount",))),
    ("xfs after a power cut", cut, "xfs", BY_KERNEL),
    ("xfs that was shut down", shut_down),
    ("ext4 with errors", debugfs, "ssv state 3"),
    ("ext4 with an orphan", debugfs, "ssv last_orphan 12"),
    ("ext4 with an orphan file in use", debugfs, "feature orphan_present"),
    ("ext4, a journal in use without the flag", journal_in_use),
    ("ext4, journal on another device", journal_elsewhere),
    ("ext4, unknown feature", patched, "plain ext4", 1024 + 96, LE[30], EOPNOTSUPP),
    ("ext4, unknown compatible feature", patched, "plain ext4", 1024 + 92, LE[30], EOPNOTSUPP),
    ("ext4, unknown read-only feature", patched, "plain ext4", 1024 + 100, LE[30], EOPNOTSUPP),
    ("ext4, superblock with a wrong sum", patched, "ext4", 1024 + 120, b"x", EUCLEAN),
    ("ext4, block bitmap with a wrong sum", flipped, "ext4", "Block bitmap", 0),
    ("ext4, block bitmap of a wrong count", flipped, "plain ext4", "Block bitmap", 0),
    ("ext2, block bitmap of a wrong count", flipped, "ext2", "Block bitmap", 0),
    ("ext4, descriptor with a wrong sum", flipped, "ext4", "Group descriptors", 16),
    ("xfs, log on another device", log_elsewhere),
    ("xfs of version 4", patched, "xfs", 101, b"\xa4", EOPNOTSUPP, BY_KERNEL),
    ("xfs, unknown feature", patched, "xfs", 216, b"\x40\x00\x00\x00", EOPNOTSUPP, BY_KERNEL),
    ("xfs, unknown read-only feature", patched, "xfs", 212, b"\x40\x00\x00\x00", EOPNOTSUPP,
     BY_KERNEL),
    ("xfs that needs a repair", patched, "xfs", 219, b"\x1f", EUCLEAN, BY_KERNEL),
    ("xfs with a wrong sum", patched, "xfs", 108, b"label", EUCLEAN, BY_KERNEL),
    ("ext4 on a block device", on_device, "ext4", "ext4"),
    ("ext2 on a block device", on_device, "ext2", "ext2"),
    ("xfs on a block device", on_device, "xfs", "xfs"),
    ("btrfs on a block device", on_device, "btrfs", "btrfs"),
    ("ext4 on sectors of 4 KiB", large_sectors, "ext4"),
    ("xfs on sectors of 4 KiB", large_sectors, "xfs"),
    ("btrfs on sectors of 4 KiB", large_sectors, "btrfs"),
    ("ext4 without the right to mount", no_rights, "ext4", "libext2fs"),
    ("xfs without the right to mount", no_rights, "xfs", None),
    ("btrfs without the right to mount", no_rights, "btrfs", None),
    ("several at once", at_once),
]

with stack:
    tap.run([r for r in rows if len(sys.argv) < 2 or sys.argv[1] in r[0]])
tap.done()
