#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that is stopped while it changes a header: who reads it waits, and gets the right answer
afterwards. Stopped between two commits it keeps no reader waiting, and nobody else converts. Both
ways, coffer beside stock cryptsetup; and a holder that is killed keeps nobody."""
import contextlib
import fcntl
import json
import os
import re
import time

import coffer
from beside import (has_open, metadata_lock_path, open_lock, programs, run_lock_path, stopped, target,
                    wait_for)
from coffer import ASAN, COFFER, Box
from disk import MiB, luks_metadata, run, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
log = os.path.join(folder, "log")
KINDS = "image", "block"


def dump(where):
    return ["cryptsetup", "luksDump", where]


def test_key(where):
    return ["cryptsetup", "open", "--test-passphrase", "--key-file", small.key, where]


def add_key(where):
    return ["cryptsetup", "luksAddKey", "--batch-mode", *coffer.FAST, "--key-file", small.key, where,
            small.key]


def resume(where):
    """Slow enough for what waits to find a conversion under way."""
    return coffer.one_thread(where, small.key, "--resume-only", "--max-rate", "4M")


def half():
    img = small.copy()
    coffer.kill_at(*middle, coffer.one_thread(img, small.key))
    return img


def refused_by(pid, cmd):
    """This process is converting the disk."""
    last = coffer.summary(run(*cmd, "--json", status=(4,)))
    assert last["errno"] == "EBUSY" and re.search(rf"\b{pid}\b", last["message"]), last


# --- coffer is stopped ----------------------------------------------------------------------------

def calls_of(kind):
    """The calls of a resume: [(name, n, offset)] inside its second commit, and the data write
    after that."""
    img = half()
    with target(kind, img) as where:
        calls = coffer.trace(resume(where))
    count, told = {}, []
    for name, at, size, text in calls:
        count[name] = count.get(name, 0) + 1
        told.append((name, count[name], at, size, text))
    # not the copy in memory, which is not flushed
    first = [i for i, c in enumerate(told) if c[2] == 0 and "LUKS" in c[4]
             and told[i + 1][0] == "fdatasync"][1]
    data = next(c for c in told[first + 4:] if c[0] == "pwrite64" and c[3] == MiB)
    assert [c[0] for c in told[first:first + 4]] == ["pwrite64", "fdatasync"] * 2, told[first:]
    return {"first copy": told[first][:2], "flush of the first copy": told[first + 1][:2],
            "second copy": told[first + 2][:2], "flush of the second copy": told[first + 3][:2],
            "data": data[:2]}


def inside(kind, moment):
    """Readers sleep in flock; each gets its answer when the commit is done."""
    img = half()
    with target(kind, img) as where, programs() as start, \
            stopped(*moments[kind][moment], resume(where), log) as converting:
        waiting = {"dump": start(*dump(where)), "key": start(*test_key(where)),
                   "add": start(*add_key(where))}
        wait_for(lambda: all(p.is_in_flock() for p in waiting.values()))
        time.sleep(0.5)
        for name, p in waiting.items():
            assert p.is_alive() and p.is_in_flock(), f"{name} does not wait: {p.said()}"
        status, said = converting.go_on()
        assert status == 0, said
        status, said = waiting["dump"].wait()
        assert status == 0 and "online-reencrypt" in said, (status, said)
        status, said = waiting["key"].wait()
        assert status == 0, (status, said)
        status, said = waiting["add"].wait()
        assert status != 0 and "reencryption" in said.lower(), (status, said)
    assert len(luks_metadata(img)["keyslots"]) == 1
    small.check(img)


def looks_wait(kind):
    """coffer's own looks wait, too, and tell of the disk as it is after the commit."""
    img = half()
    before = coffer.header(img)["seqids"]
    with target(kind, img) as where, programs() as start, \
            stopped(*moments[kind]["flush of the first copy"], resume(where), log) as converting:
        torn = coffer.header(img)["seqids"]
        assert torn[0] == torn[1] + 1 and torn[1] == before[1] + 1, (before, torn)
        looks = [start(COFFER, "status", "--json", where),
                 start(COFFER, "verify", "--json", "--key-file", small.key, where)]
        time.sleep(1)
        assert all(p.is_alive() for p in looks), [p.said() for p in looks]
        status, said = converting.go_on()
        assert status == 0, said
        for p, want in zip(looks, (0, 3)):
            status, said = p.wait()
            report = json.loads(said)
            report = report["devices"][0] if "devices" in report else report["status"]
            # verify reads everything, and the conversion may have come to its end meanwhile
            assert status in (want, 0) and report["stage"] in ("converting", "encrypted"), said
            assert "torn" not in report.get("why", ""), said
    small.check(img)


def between(kind):
    """Between two commits nobody who only looks is kept waiting, and nobody else converts. What ends
    while the converting program is stopped has not waited for it."""
    img = half()
    with target(kind, img) as where, \
            stopped(*moments[kind]["data"], resume(where), log) as converting:
        for cmd in dump(where), test_key(where), [COFFER, "status", where]:
            run(*cmd)
        p = run(*coffer.stock_resume(where, small.key), status=None)
        assert p.returncode == RUNNING_STATUS and RUNNING in p.stderr, (p.returncode, p.stderr)
        before = coffer.header(img)["seqids"]
        # It looks, and between two commits there is nothing to repair.
        run("cryptsetup", "repair", "--batch-mode", "--key-file", small.key, where)
        for cmd in (coffer.command("encrypt", where, small.key, program=ASAN),
                    coffer.command("encrypt", where, small.key, "--resume-only"),
                    coffer.command("abort", where),
                    coffer.command("repair", where, small.key, "--yes")):
            refused_by(converting.pid, cmd)
        assert coffer.header(img)["seqids"] == before
        status, said = converting.go_on()
        assert status == 0, said
    small.check(img)


def killed_inside(kind, moment):
    """Readers that wait go on at once; and then anybody converts the rest."""
    img = half()
    with target(kind, img) as where, programs() as start, \
            stopped(*moments[kind][moment], resume(where), log) as converting:
        waiting = start(*dump(where)), start(*test_key(where))
        wait_for(lambda: all(p.is_in_flock() for p in waiting))
        converting.kill()
        for p in waiting:
            status, said = p.wait()
            assert status == 0, (status, said)
        run(*coffer.stock_resume(where, small.key))
    small.check(img)


def killed_between(kind, go_on):
    """The file of the reencryption lock is left, and keeps nobody."""
    img = half()
    volume = coffer.header(img)["uuid"]
    with target(kind, img) as where, \
            stopped(*moments[kind]["data"], resume(where), log) as converting:
        run(*coffer.stock_resume(where, small.key), status=(RUNNING_STATUS,))
        converting.kill()
        assert os.path.exists(run_lock_path(volume)), "no lock file is left: nothing was tested"
        run(*go_on(where))
    assert not os.path.exists(run_lock_path(volume)), "the next one has not tidied up"
    small.check(img)


# --- stock is stopped --------------------------------------------------------------------------------

def begun_by_stock():
    img = small.copy("stock")
    run("cp", started, img)
    return img


def stock_inside(kind):
    """Stock holds the metadata lock: coffer waits, and then tells what is there."""
    img = begun_by_stock()
    with target(kind, img) as where, programs() as start, \
            stopped("fsync", 3, coffer.stock_resume(where, small.key), log) as converting:
        looks = start(COFFER, "status", "--json", where)
        own = start(*coffer.command("encrypt", where, small.key))
        time.sleep(1)
        # stock has a block device for itself, so coffer need not wait to be refused
        if kind != "image":
            own.wait()
        assert looks.is_alive() and own.is_alive() == (kind == "image"), (looks.said(), own.said())
        status, said = converting.go_on()
        assert status == 0, said
        status, said = looks.wait()
        assert status == 0, said
        assert json.loads(said)["devices"][0]["stage"] in ("converting", "wipe-pending", "encrypted"), said
        # It comes to its turn while stock still converts, or when that is done: a refusal both.
        status, said = own.wait()
        assert status == 4, (status, said)
    small.check(img)


def deadline():
    """Nobody waits for ever: coffer gives up, says who has the lock and changes nothing. The disks
    are waited for at the same time."""
    with contextlib.ExitStack() as opened:
        start = opened.enter_context(programs())
        waiting, holders = [], []
        for kind in KINDS:
            img = small.copy("waited-for-" + kind)
            coffer.stock_init(img, small.key)
            where = opened.enter_context(target(kind, img))
            holder = opened.enter_context(stopped(
                "fsync", 3, coffer.stock_resume(where, small.key), log + kind))
            before = open(img, "rb").read()
            waiting += [(img, before, holder, start(*cmd)) for cmd in (
                [COFFER, "status", "--json", where], [COFFER, "verify", "--json", where],
                [COFFER, "repair", "--dry-run", "--json", where])]
            if kind == "image":  # stock has a block device for itself
                waiting.append((img, before, holder,
                                start(*coffer.command("encrypt", where, small.key, "--json"))))
            holders.append((img, holder))
        for img, before, holder, p in waiting:
            status, said = p.wait()
            last = json.loads(said.splitlines()[-1])
            assert status == 4 and coffer.why(last) == "lock EBUSY", (p.cmd, status, said)
            assert re.search(rf"\b{holder.pid}\b", last["message"]), (p.cmd, said)
            assert p.seconds > 2, f"{p.cmd} has not waited"
            assert open(img, "rb").read() == before, f"{p.cmd} changed the disk"
        for img, holder in holders:
            status, said = holder.go_on()
            assert status == 0, said
            small.check(img)


def stock_between(kind):
    """Stock holds the reencryption lock alone."""
    img = begun_by_stock()
    with target(kind, img) as where, \
            stopped("fdatasync", 2, coffer.stock_resume(where, small.key), log) as converting:
        said = json.loads(run(COFFER, "status", "--json", where).stdout)["devices"][0]
        users = [u for u in said["holders"] if u["kind"] == "reencryption"]
        lock = os.stat(run_lock_path(coffer.header(img)["uuid"])).st_ino
        assert [(u["name"], u["pid"]) for u in users] == [("cryptsetup", converting.pid)], said
        before = coffer.header(img)["seqids"]
        for verb, args in ("encrypt", ()), ("encrypt", ("--resume-only",)), ("repair", ("--yes",)):
            refused_by(converting.pid, coffer.command(verb, where, small.key, *args))
            # with another file under the name the next one would believe itself alone
            assert os.stat(run_lock_path(coffer.header(img)["uuid"])).st_ino == lock
        assert coffer.header(img)["seqids"] == before
        status, said = converting.go_on()
        assert status == 0, said
    small.check(img)


def stock_killed(kind, call, n):
    """coffer resumes at once where stock was killed with the lock in its hand."""
    img = begun_by_stock()
    with target(kind, img) as where, programs() as start, \
            stopped(call, n, coffer.stock_resume(where, small.key), log) as converting:
        looks = start(COFFER, "status", "--json", where) if call == "fsync" else None
        if looks:
            time.sleep(1)
            assert looks.is_alive(), looks.said()
        converting.kill()
        if looks:
            status, said = looks.wait()
            assert status == 0, said
        run(*coffer.command("encrypt", where, small.key, program=ASAN))
    small.check(img)


# --- the file under the name changes while somebody waits ------------------------------

def replaced(cmd_of, polls):
    """Whoever waits gets the lock of a file that has no name any more, must see that, and wait for
    the one that has it now."""
    img = half()
    with target("block", img) as where, programs() as start:
        path = metadata_lock_path(where)
        old = open_lock(path)
        fcntl.flock(old, fcntl.LOCK_EX)
        p = start(*cmd_of(where))
        wait_for(lambda: os.fstat(old).st_ino in has_open(p.pid, path))
        if not polls:
            wait_for(p.is_in_flock)
        os.unlink(path)
        new = open_lock(path)
        fcntl.flock(new, fcntl.LOCK_EX)
        os.close(old)
        wait_for(lambda: has_open(p.pid, path) == {os.fstat(new).st_ino})
        time.sleep(0.5)
        assert p.is_alive(), f"it took the lock of a file that is gone: {p.said()}"
        os.close(new)
        status, said = p.wait()
        assert status == 0, (status, said)
    assert not os.path.exists(path), "the last one has not removed the file"


with stack:
    small = Box(folder, 8 * MiB, end=6 * MiB)
    phases = coffer.phases(small)
    middle = phases["steps"][len(phases["steps"]) // 3][:2]
    moments = {kind: calls_of(kind) for kind in KINDS}
    started = small.copy("started")
    coffer.stock_init(started, small.key)
    RUNNING, RUNNING_STATUS = "already running", 5

    rows = []
    for kind in KINDS:
        rows += [(f"readers wait, {moment}, {kind}", inside, kind, moment)
                 for moment in moments[kind] if moment != "data"]
        rows += [
            (f"coffer's looks wait, {kind}", looks_wait, kind),
            (f"between two commits, {kind}", between, kind),
            (f"killed in the first copy, readers wait, {kind}", killed_inside, kind, "first copy"),
            (f"killed in the last flush, readers wait, {kind}", killed_inside, kind,
             "flush of the second copy"),
            (f"killed between two commits, stock resumes, {kind}", killed_between, kind,
             lambda where: coffer.stock_resume(where, small.key)),
            (f"killed between two commits, coffer resumes, {kind}", killed_between, kind,
             lambda where: coffer.command("encrypt", where, small.key)),
            (f"stock stopped inside a commit, {kind}", stock_inside, kind),
            (f"stock stopped between two commits, {kind}", stock_between, kind),
            (f"stock killed inside a commit, {kind}", stock_killed, kind, "fsync", 3),
            (f"stock killed between two commits, {kind}", stock_killed, kind, "fdatasync", 2),
        ]
    rows += [
        ("the wait has an end", deadline),
        ("lock file replaced, coffer status", replaced,
         lambda where: [COFFER, "status", where], True),
        ("lock file replaced, coffer encrypt", replaced,
         lambda where: coffer.command("encrypt", where, small.key), True),
        ("lock file replaced, stock", replaced, dump, False),
    ]
    tap.run(rows)
tap.done()
