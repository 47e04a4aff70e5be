#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A header's restore beside others: what it asks, who may, which locks it holds, and a device that is
in use."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess

from backups import (SIZE, assert_opens, backup, change, copy, kill, refused, restore, trailer,
                     unchanged, volume, write)
from coffer import COFFER, NOBODY, header
from disk import HANG, block_devices, loop, mounted, read_at, run, sha256, tempdir
from scratch import path_of, stack
from tap import Tap

tap = Tap()
tap.need_root()


def asks():
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")

    def on_terminal(answer):
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer)
            return subprocess.run([COFFER, "header", "restore", img, "--header-backup-file", path,
                                   "--allow", "keyslots"], stdin=theirs, capture_output=True,
                                  check=False, text=True, timeout=HANG)
        finally:
            os.close(ours)
            os.close(theirs)

    before = sha256(img)
    for answer in b"n\n", b"\n", b"x\n", b"\x04":
        p = on_terminal(answer)
        assert p.returncode == 3 and "Write this header" in p.stderr, p
        assert sha256(img) == before
    assert on_terminal(b"y\n").returncode == 0
    assert_opens(img, ["one"], ["two"])


def json_never_asks():
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    p = unchanged(img, restore, img, path, "--json", "--allow", "keyslots", "no-yes", status=(3,))
    assert json.loads(p.stdout)["changed"] is False and not p.stderr, p
    p = restore(img, path, "--json", "--allow", "keyslots")
    last = json.loads(p.stdout)
    assert last["changed"] and last["seqid_after"] == header(img)["seqids"][0], last


def quiet():
    img = volume("one")
    path = path_of("quiet")
    p = backup(img, "-q", status=(0, 9), path=path)
    assert p.stdout == p.stderr == "", p
    change(img, "one", "two")
    p = restore(img, path, "-q", "--allow", "keyslots")
    assert p.stdout == p.stderr == "", p


def ordinary_user():
    with tempdir() as d:
        os.chmod(d, 0o777)
        img = volume("one", "two")
        mine, path = os.path.join(d, "mine"), os.path.join(d, "file")
        run("cp", img, mine)
        run("chown", "65534:65534", mine)
        backup(mine, path=path, prefix=NOBODY)
        os.chmod(path, 0o444)
        kill(mine, 1)
        restore(mine, path, "--allow", "keyslots", prefix=NOBODY)
        assert_opens(mine, ["one", "two"])
        os.chmod(mine, 0o400)
        run("chown", "0:0", mine)
        p = unchanged(mine, restore, mine, path, status=(1, 4), prefix=NOBODY)
        assert "Permission denied" in p.stderr, p.stderr
        os.chmod(path, 0o000)
        run("chown", "0:0", path)
        p = restore(mine, path, status=(1,), prefix=NOBODY)
        assert "Permission denied" in p.stderr, p.stderr


def locks():
    """It waits for nobody who is at work, and holds what stock asks for."""
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    with block_devices(), loop(img) as dev:
        log = path_of("log")
        run("strace", "-f", "-y", "-o", log, "-e", "trace=flock,pwrite64", COFFER, "header",
            "restore", dev, "--header-backup-file", path, "--yes", "--allow", "keyslots")
        text = read_at(log).decode(errors="replace")
        held, seen = {}, False
        for name, how, _ in re.findall(r"flock\(\d+<([^>]*)>, (LOCK_EX|LOCK_SH|LOCK_UN)"
                                       r"|pwrite64\(\d+<(/dev/loop[^>]*)>", text):
            if not name:
                assert [n for n in held if "reencryption" in n], "written without the lock"
                assert "LOCK_EX" in [h for n, h in held.items() if "/L_" in n], held
                seen = True
            elif how == "LOCK_UN":
                held.pop(name, None)
            else:
                held[name] = how
        assert seen, text[-2000:]
    assert_opens(img, ["one"])


def another_coffer():
    img = volume("one")
    path = backup(img)
    with open(img, "r+b") as f:
        fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
        p = unchanged(img, restore, img, path, status=(4,))
        assert "locked by" in p.stderr, p.stderr
        backup(img)


def block_device():
    img = volume("one")
    with block_devices(), loop(img) as dev:
        path = backup(dev)
        t = trailer(path)
        assert t["device"] == dev and t["device_size"] == SIZE, t
        change(dev, "one", "two")
        restore(dev, path, "--allow", "keyslots")
        assert_opens(dev, ["one"], ["two"])
        # through a loop device somebody else works on the image
        p = restore(img, path, status=(4,))
        assert "attached" in p.stderr, p.stderr


def held_by_others():
    """Nobody but a mapping of the volume lets its header be exchanged below itself."""
    img = volume("one")
    path = backup(img)
    write(img, 16384 + 5000, b"\xaa" * 64)
    with block_devices(), loop(img) as dev:
        held = os.open(dev, os.O_RDONLY | os.O_EXCL)  # as a RAID has its disks
        try:
            p = unchanged(img, restore, dev, path, "--allow",
                          "uuid,geometry,keyslots,volume-key", status=(4,))
            assert "in use" in p.stderr, p.stderr
        finally:
            os.close(held)
        restore(dev, path)
    assert header(img)["equal"]


def part_of_a_raid():
    """Of metadata at the end of the disk the header at its front knows nothing."""
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    raid = struct.pack("<9I", 0xa92b4efc, 0, 90, 0, 0, 0x12345678, 1, 1, SIZE // 1024 - 64)
    at = SIZE - 65536
    before = read_at(img, at, 4096)
    for torn in False, True:
        disk = copy(img)
        write(disk, at, raid + bytes(4096 - len(raid)))
        if torn:
            write(disk, 5000, b"\xaa" * 64)
        refused(disk, path, "linux_raid_member",
                args=("--allow", "uuid,geometry,keyslots,volume-key"))
        write(disk, at, before)
        restore(disk, path, "--allow", "keyslots")


def mounted_filesystem():
    """In use, and not by a volume of ours."""
    img = volume("one")
    path = backup(img)
    disk = path_of("fs")
    with open(disk, "wb") as f:
        f.truncate(SIZE)
    run("mkfs.ext4", "-q", "-F", disk)
    with block_devices(), loop(disk) as dev, mounted(dev):
        p = restore(dev, path, "--allow", "uuid,geometry,keyslots,volume-key", status=(4,))
        assert "ext4" in p.stderr and "in-use" in p.stderr, p.stderr


tap.run([
    ("it asks", asks),
    ("--json asks nothing", json_never_asks),
    ("--quiet", quiet),
    ("an ordinary user", ordinary_user),
    ("locks are held", locks),
    ("another coffer at work", another_coffer),
    ("a block device", block_device),
    ("refused: in use by somebody else", held_by_others),
    ("refused: a part of a RAID", part_of_a_raid),
    ("a mounted filesystem", mounted_filesystem),
])
stack.close()
tap.done()
