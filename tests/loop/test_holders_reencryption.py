#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who reencrypts a device or image file: cryptsetup, coffer, and what holds the lock of one; and no
process that does not."""
import contextlib
import fcntl
import os
import subprocess
import sys
import uuid

import coffer
from beside import wait_for
from coffer import Box
from disk import run
from holders import assert_holders, find_holders, image, on, opener, process
from scratch import folder, stack
from tap import Tap

tap = Tap()
tap.need_root()
box = Box(folder)
LOCKS = "/run/cryptsetup"


def uuid_of(img):
    return run("cryptsetup", "luksUUID", img).stdout.strip()


def stock_at_work(block):
    img = box.copy("stock")
    coffer.stock_init(img, box.key)
    volume = uuid_of(img)
    with on(block, img) as target:
        with coffer.paused("fdatasync", 3, coffer.stock_resume(target, box.key)) as pid:
            assert_holders(target, ("reencryption", "cryptsetup", "", pid, True), volume=volume)
            assert_holders(target, ("process", "cryptsetup", "", pid, True))
            assert_holders(target, ("process", "cryptsetup", "", pid, True),
                           volume=str(uuid.uuid4()))
            assert_holders(box.plain, ("reencryption", "cryptsetup", "", pid, False), volume=volume)
        assert_holders(target, volume=volume)
    box.check(img)


def coffer_at_work():
    img = box.copy("coffer")
    coffer.stock_init(img, box.key)
    volume = uuid_of(img)
    cmd = coffer.one_thread(img, box.key)
    with coffer.paused("fdatasync", 12, cmd) as pid:
        assert_holders(img, ("reencryption", "coffer", "", pid, True), volume=volume)
        p = coffer.encrypt(img, box.key, status=(4,))
        assert str(pid) in p.stderr and img in p.stderr, p.stderr
    box.check(img)


def lock_path(volume):
    os.makedirs(LOCKS, mode=0o700, exist_ok=True)
    return os.path.join(LOCKS, "LN_LUKS2-reencryption-" + volume)


def killed(n, cmd):
    img = box.copy("killed")
    coffer.stock_init(img, box.key)
    volume = uuid_of(img)
    coffer.kill_at("fdatasync", n, cmd(img))
    assert os.path.exists(lock_path(volume)), "it left no lock file: nothing was tested"
    assert_holders(img, volume=volume)
    os.unlink(lock_path(volume))


@contextlib.contextmanager
def locked(code):
    """A lock file for a volume of its own, used by code (sh) as "$1"; yields (volume, pid)."""
    volume = str(uuid.uuid4())
    path = lock_path(volume)
    try:
        with process("sh", "-c", code, "sh", path) as pid:
            yield volume, pid
    finally:
        os.unlink(path)


def lock_inherited():
    """flock(1) has taken it and ended: the table names a process that is dead. Its parent has the
    lock through the open file."""
    img = image()
    with locked('exec 9>"$1"; flock -n 9; echo ready; exec sleep 600') as (volume, pid):
        with open("/proc/locks") as f:
            ino = os.stat(lock_path(volume)).st_ino
            taker = [line.split()[4] for line in f if line.split()[5].endswith(f":{ino}")]
        assert len(taker) == 1 and not os.path.exists("/proc/" + taker[0]), taker
        assert_holders(img, ("reencryption", "sleep", "", pid, False), volume=volume)


def lock_not_taken():
    """Somebody has the file open, and somebody waits for the lock that a third one has."""
    img = image()
    with locked('exec 9>"$1"; echo ready; exec sleep 600') as (volume, _):
        assert_holders(img, volume=volume)
        with open(lock_path(volume), "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            with subprocess.Popen(["flock", lock_path(volume), "true"]) as waiter:
                try:
                    wait_for(lambda: any("->" in line and f" {waiter.pid} " in line
                                         for line in open("/proc/locks")))
                    assert_holders(img, ("reencryption", "python3", "", os.getpid(), False),
                                   volume=volume)
                finally:
                    waiter.kill()


def lock_in_flight():
    """The open file that has the lock is on its way through a socket: no process has it."""
    code = """if True:
        import fcntl, os, socket, sys, time
        fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_EX)
        a, b = socket.socketpair()
        socket.send_fds(a, [b"x"], [fd])
        os.close(fd)
        print("ready", flush=True)
        time.sleep(86400)"""
    img = image()
    volume = str(uuid.uuid4())
    path = lock_path(volume)
    try:
        with process(sys.executable, "-c", code, path):
            assert_holders(img, ("reencryption", ""), volume=volume)
        assert_holders(img, volume=volume)
    finally:
        os.unlink(path)


def lock_of_a_stranger():
    """Where nobody lets us look, the kernel's table still tells who took it."""
    img = image()
    with process("flock", "--no-fork", lock_path(volume := str(uuid.uuid4())), "sh", "-c",
                 "echo ready && exec sleep 600") as pid:
        blind = ["setpriv", "--bounding-set=-sys_ptrace"]
        with opener((img, "O_RDWR")):
            assert_holders(img, ("reencryption", "sleep", "", pid, False), volume=volume,
                           prefix=blind)
        assert find_holders(img, prefix=blind)[1] is False
    os.unlink(lock_path(volume))


def strange_uuid():
    img = image()
    for volume in "../../etc/passwd", "x" * 5000, "no such volume":
        assert_holders(img, volume=volume)


with stack:
    tap.run([
        ("cryptsetup reencrypts, image", stock_at_work, False),
        ("cryptsetup reencrypts, block device", stock_at_work, True),
        ("coffer at work", coffer_at_work),
        ("cryptsetup killed", killed, 3, lambda img: coffer.stock_resume(img, box.key)),
        ("coffer killed", killed, 12, lambda img: coffer.one_thread(img, box.key)),
        ("lock held by a child", lock_inherited),
        ("lock file open, lock waited for", lock_not_taken),
        ("lock held by nobody that can be told", lock_in_flight),
        ("lock held by one that may not be looked at", lock_of_a_stranger),
        ("UUIDs that are none", strange_uuid),
    ])
tap.done()
