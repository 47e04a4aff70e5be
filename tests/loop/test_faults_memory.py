#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Too little memory, from too little to begin with up to enough: coffer ends with an exit code of its
own, and leaves a disk as it was, or one that another run finishes. tests/unit/test_nomem.c fails
each request by itself; here are those of libcryptsetup and of all other libraries as well."""
import contextlib
import os
import re

import coffer
from coffer import COFFER, Box
from disk import KiB, MiB, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
CODES = 0, 1, 4, 5, 6
deep = bool(os.environ.get("COFFER_DEEP"))


def limited(room, cmd):
    return run("prlimit", f"--as={room}", *cmd, status=None)


def started(p):
    """Without space for its libraries the loader ends a program before it begins."""
    return not (p.returncode == 127 and "shared" in p.stderr)


def enough(cmd, prepare):
    """(the most with which it does not start, the least with which it ends well), in steps."""
    low, high = 0, 1 << 30
    prepare()
    assert limited(high, cmd()).returncode == 0
    while high - low > MiB:
        middle = (low + high) // 2
        prepare()
        low, high = (low, middle) if limited(middle, cmd()).returncode == 0 else (middle, high)
    return high


def starts(cmd):
    low, high = 0, 1 << 30
    while high - low > MiB:
        middle = (low + high) // 2
        low, high = (low, middle) if limited(middle, cmd).returncode == 0 else (middle, high)
    return high


def steps(first, last, n):
    return [first + (last - first) * i // n // (4 * KiB) * (4 * KiB) for i in range(n + 1)]


def changes(verb, args, source, finished):
    """Every amount of memory from a start to success, for a verb that writes."""
    img = os.path.join(folder, "work")
    seen = {}

    def prepare():
        run("cp", "--sparse=always", source, img)

    def cmd():
        return coffer.command(verb, img, box.key if verb != "abort" else None, *args)
    before = sha256(source)
    last = enough(cmd, prepare)
    # what threads take differs from run to run
    for room in [*steps(begin, last * 5 // 4, 120 if deep else 7), 1 << 30]:
        prepare()
        p = limited(room, cmd())
        if not started(p):
            continue
        assert p.returncode in CODES, (room, p.returncode, p.stderr)
        seen[p.returncode] = seen.get(p.returncode, 0) + 1
        if p.returncode:
            assert re.search(r"^coffer: ", p.stderr, re.MULTILINE), (room, p.stderr)
        if p.returncode in (1, 4):
            assert sha256(img) == before, (room, p.returncode, p.stderr)
        # nothing is wrong with this disk, and nobody is to be told that there is
        assert p.returncode not in (4, 6), (room, p.returncode, p.stderr)
        if p.returncode:
            told.append(f"{verb} with {room}: {p.returncode} {p.stderr.splitlines()[-1][:150]}")
        finished(img)
    assert seen.get(0) and (seen.get(1) or seen.get(5)), seen


def looks(verb, *args):
    """The same for a verb that only reads: it never says what is not so."""
    img = os.path.join(folder, "work")
    run("cp", "--sparse=always", placed, img)
    before = sha256(img)
    usual = run(COFFER, *verb.split(), *args, img, status=None).returncode

    def cmd():
        return [COFFER, *verb.split(), *args, img]
    low, high = 0, 1 << 30
    while high - low > MiB:
        middle = (low + high) // 2
        low, high = (low, middle) if limited(middle, cmd()).returncode == usual else (middle, high)
    failed = 0
    for room in steps(begin, high, 120 if deep else 7):
        p = limited(room, cmd())
        assert p.returncode in (1, usual) or not started(p), (room, p.returncode, p.stderr)
        failed += p.returncode == 1
    assert sha256(img) == before
    assert failed or usual == 1 or high - begin < MiB, (failed, high - begin)


def finish_encrypt(img):
    coffer.finish(img, box.key)
    box.check(img)


def finish_abort(img):
    coffer.abort(img, status=(0, 3))
    assert sha256(img, 0, box.end) == plain_digest


with stack:
    box = Box(folder, 5 * MiB, end=3 * MiB)
    plain_digest = sha256(box.plain, 0, box.end)
    moments = coffer.phases(box)
    placed, half = box.copy("placed"), box.copy("half")
    coffer.kill_at(*moments["commit"][0][:2], coffer.one_thread(placed, box.key))
    coffer.kill_at(*moments["steps"][-1][:2], coffer.one_thread(half, box.key))
    begin = starts([COFFER, "--version"])
    told = []
    rows = [
        ("encrypt", changes, "encrypt", (), box.plain, finish_encrypt),
        ("encrypt on one thread", changes, "encrypt", ("--threads", "1"), box.plain,
         finish_encrypt),
        ("encrypt what is used", changes, "encrypt", ("--used-only=yes", "--free-space=fill"),
         box.plain, lambda img: (coffer.finish(img, box.key), box.check_used(img))),
        ("go on", changes, "encrypt", (), half, finish_encrypt),
        ("go on, and read back", changes, "encrypt", ("--verify",), half, finish_encrypt),
        ("repair", changes, "repair", ("--yes",), half, finish_encrypt),
        ("abort", changes, "abort", (), placed, finish_abort),
        ("status", looks, "status"),
        ("header check", looks, "header check"),
        ("plan", looks, "plan"),
        ("verify", looks, "verify", "--key-file", box.key),
    ]
    if not deep:
        rows = [r for r in rows if r[0] not in (
            "encrypt on one thread", "go on, and read back", "repair")]
    tap.run(rows)
    for line in told[::1 if deep else 9]:
        print(f"# {line}")
tap.done()
