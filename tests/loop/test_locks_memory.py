#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""--serialize-memory-hard-pbkdf: a key is derived under cryptsetup's lock for that, and while no other
lock is held; a run waits for whoever has it."""
import contextlib
import os
import subprocess
import time

import beside
import coffer
from coffer import COFFER
from disk import HANG, MiB, run, tempdir
from tap import Tap

tap = Tap()
tap.need_root()  # for cryptsetup's locks
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
box = coffer.Box(folder, 12 * MiB)
LOCK = os.path.join(beside.LOCKS, "LN_memory-hard-access")
SERIAL = "--serialize-memory-hard-pbkdf"


def locks_in_order(cmd, status=(0,)):
    """Names of the locks as they were taken and given back: ["+LN_...", "-LN_..."]."""
    log = os.path.join(folder, "trace")
    run("strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=flock,unlinkat", *cmd, status=status)
    found = []
    with open(log, encoding="utf-8") as f:
        for line in f:
            if "flock(" not in line or not line.rstrip().endswith("= 0"):
                continue
            name = line.split("<", 1)[1].split(">", 1)[0].split(" ")[0]
            if "memfd:" in name:
                continue  # libcryptsetup's, of its own copy of the header
            name = os.path.basename(name) if name.startswith(beside.LOCKS) else "image"
            found.append(("-" if "LOCK_UN" in line else "+") + name.split("-")[0])
    return found


def alone(found):
    """The memory-hard lock was taken, and at that moment nothing else was held."""
    held = []
    taken = 0
    for what in found:
        name = what[1:]
        if what[0] == "-":
            if name in held:
                held.remove(name)
        else:
            if name == "LN_memory":
                taken += 1
                assert not held, f"taken while {held} are held: {found}"
            else:
                assert "LN_memory" not in held, f"{name} was taken under it: {found}"
            if name not in held:
                held.append(name)
    return taken


def checker():
    """It finds out what it is there for."""
    assert alone(["+image", "-image", "+LN_memory", "-LN_memory"]) == 1
    for bad in (["+image", "+LN_memory"], ["+LN_memory", "+LN_LUKS2"]):
        with contextlib.suppress(AssertionError):
            alone(bad)
            raise SystemExit(f"{bad} was not found out")


def encrypt():
    img = box.copy()
    assert alone(locks_in_order(coffer.command("encrypt", img, box.key, SERIAL))) == 1
    box.check(img)


def resume():
    img = box.copy()
    coffer.inject("fdatasync", "signal=KILL:when=15", coffer.one_thread(img, box.key))
    assert coffer.pointer(img) > 0
    assert alone(locks_in_order(coffer.command("encrypt", img, box.key, SERIAL))) == 1
    box.check(img)


def without():
    img = box.copy()
    assert alone(locks_in_order(coffer.command("encrypt", img, box.key))) == 0


def verify():
    img = box.copy()
    coffer.encrypt(img, box.key)
    assert alone(locks_in_order([COFFER, "verify", SERIAL, "--key-file", box.key, img])) == 1


def waits():
    """And is told of nobody else's derivation: it just waits."""
    img = box.copy()
    with beside.locked(LOCK, beside.fcntl.LOCK_EX):
        p = subprocess.Popen([str(a) for a in coffer.command("encrypt", img, box.key, SERIAL)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        assert p.poll() is None, "it did not wait"
        with open(img, "rb") as f:
            assert f.read(6) != b"LUKS\xba\xbe", "it has begun"
    assert p.wait(HANG) == 0
    box.check(img)


with stack:
    tap.run([("the checker", checker), ("encrypt", encrypt), ("resume", resume),
             ("without the option", without), ("verify", verify), ("it waits", waits)])
tap.done()
