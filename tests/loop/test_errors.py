#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device that fails: coffer stops, says where and how to go on, and a later run finishes with
every byte in place. COFFER_DEEP=1 lets each call of a run fail once, and each read end early as
well; the quick set takes some of each phase: unit/test_faults has all of them."""
import contextlib
import os
import re
import subprocess

import coffer
from coffer import ASAN, Box, one_thread
from disk import HANG, MiB, check_fs, run, sha256, tempdir
from tap import DEEP, Tap, few

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


def judge(img, p, allowed=(1, 5)):
    """Status 1: nothing was changed; 5: the line that says how to go on."""
    assert p.returncode in allowed, (p.returncode, p.stderr)
    if p.returncode == 1:
        assert sha256(img) == box_digest, f"status 1, but the device was changed: {p.stderr}"
    if p.returncode == 5:
        assert re.search(f"resume with: coffer encrypt .*{img}\n", p.stderr), p.stderr
    if p.returncode:
        assert "coffer: " in p.stderr, p.stderr


def failing(call, how, n, words=None, allowed=(1, 5)):
    img = box.copy()
    p = coffer.inject(call, f"{how}:when={n}", one_thread(img, box.key))
    judge(img, p, allowed)
    if words and p.returncode:
        assert words in p.stderr, p.stderr
    coffer.finish(img, box.key)
    box.check(img)


def reads(some):
    """Reads of libblkid and libcryptsetup are among them; those may be tolerated."""
    for n in some:
        for how in ("error=EIO", "retval=0") if DEEP or n % 5 == 0 else ("error=EIO",):
            try:
                failing("pread64", how, n, allowed=(0, 1, 5))
            except AssertionError as e:
                raise AssertionError(f"pread64 {n} {how}: {e}") from e


def unchanged_or_resumable(img, before, p):
    """A first look flushes what an earlier run may have left: when that fails, nothing was done."""
    assert p.returncode in (1, 5), (p.returncode, p.stderr)
    if p.returncode == 1:
        assert "examine" in p.stderr, p.stderr
        run("cmp", before, img)


def failing_abort(call, n):
    img = os.path.join(folder, "work")
    run("cp", placed, img)
    p = coffer.inject(call, f"error=EIO:when={n}", coffer.command("abort", img))
    unchanged_or_resumable(img, placed, p)
    if p.returncode == 5:
        assert f"resume with: coffer abort {img}\n" in p.stderr, p.stderr
    coffer.abort(img, status=(0, 3))
    assert sha256(img, 0, box.end) == plain_digest
    check_fs(img, "ext4")


def dead(call, n):
    """Everything fails from the n-th call on, as when a cable is pulled."""
    img = box.copy()
    p = coffer.inject(call, f"error=EIO:when={n}+", one_thread(img, box.key))
    judge(img, p)
    coffer.finish(img, box.key)
    box.check(img)


def dead_twice(n, m):
    img = box.copy()
    judge(img, coffer.inject("pwrite64", f"error=EIO:when={n}+", one_thread(img, box.key)))
    before = os.path.join(folder, "before")
    run("cp", img, before)
    p = coffer.inject("fdatasync", f"error=EIO:when={m}+", one_thread(img, box.key))
    unchanged_or_resumable(img, before, p)
    coffer.finish(img, box.key, program=ASAN)
    box.check(img)


def lying(n):
    """A write that reports success and does nothing: seen wherever coffer reads back."""
    img = box.copy()
    p = coffer.inject("pwrite64", f"retval=4096:when={n}", one_thread(img, box.key))
    # Any failure here is EIO with status 5: only the sentence tells that it was read back.
    assert p.returncode == 5 and "read-back mismatch" in p.stderr, p.stderr
    coffer.finish(img, box.key)
    box.check(img)


def limited(moment, at, ignored=True):
    """A limit on the size of files cuts the write that crosses it short and fails the next one;
    its signal is ignored by a caller like this one, but not by a shell."""
    img = box.copy()
    cmd = one_thread(img, box.key)
    coffer.kill_at(*moment, cmd)
    with subprocess.Popen(["prlimit", f"--fsize={at}", *cmd], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          restore_signals=not ignored) as p:
        try:
            out, err = p.communicate(timeout=HANG)
        finally:
            p.kill()
    # the rest of a direct write that was cut within a block is no direct write
    words = "File too large" if at % 4096 == 0 else "Invalid argument"
    assert p.returncode == 5 and words in err, (p.returncode, out, err)
    coffer.finish(img, box.key)
    box.check(img)


def full_disk():
    """A sparse image on a filesystem that is full."""
    img = box.copy()
    p = coffer.inject("pwrite64", "error=ENOSPC:when=14+", one_thread(img, box.key))
    judge(img, p, (5,))
    assert "No space left" in p.stderr, p.stderr
    coffer.finish(img, box.key)
    box.check(img)


def reader_gone():
    """Nobody reads the progress any more: that is no reason to stop."""
    img = box.copy()
    r, w = os.pipe()
    os.close(r)
    with os.fdopen(w, "w") as f:
        p = subprocess.run(coffer.command("encrypt", img, box.key, "--json"), stdout=f,
                           stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=HANG,
                           check=False)
    assert p.returncode == 0, p.returncode
    box.check(img)


with stack:
    box = Box(folder, 5 * MiB, end=3 * MiB)
    box_digest = sha256(box.plain)
    plain_digest = sha256(box.plain, 0, box.end)
    moments = coffer.phases(box)
    img = box.copy()
    traced = [c[0] for c in coffer.trace(one_thread(img, box.key), "pread64,fcntl")]
    first_read = traced[:traced.index("fcntl")].count("pread64") + 1  # the loader's come before
    n_reads = traced.count("pread64")
    placed = box.copy("placed")
    coffer.kill_at(*moments["commit"][0][:2], one_thread(placed, box.key))
    run("cp", placed, img)
    undo = [c[0] for c in coffer.trace(coffer.command("abort", img))]

    rows = []
    for phase in coffer.PHASES:
        for call, n, what in few(moments[phase], 8):
            # the first flush of all comes before the first look at the device
            allowed = (1,) if (call, n) == ("fdatasync", 1) else (5,)
            rows.append((f"EIO: {what}", failing, call, "error=EIO", n, "Input/output error",
                         allowed))
            if call == "pwrite64" and phase in ("placement", "end"):
                rows.append((f"no byte accepted: {what}", failing, call, "retval=0", n, "no byte accepted",
                             (5,)))
    failing_reads = few(range(first_read, n_reads + 1), 18)
    rows += [(f"EIO and end of file: pread64 {n[0]} to {n[-1]}", reads, n)
             for n in (failing_reads[i:i + 10] for i in range(0, len(failing_reads), 10))]
    rows += [(f"abort, EIO: {call} {k}", failing_abort, call, k)
             for call in ("pwrite64", "fdatasync") for k in few(range(1, undo.count(call) + 1), 5)]
    rows += [(f"device gone from {call} {n} on", dead, call, n)
             for call in ("pwrite64", "fdatasync") for n in few((1, 4, 7, 10, 13, 16), 3)]
    rows += [(f"device gone at {n}, then at {m}", dead_twice, n, m)
             for n, m in ((12, 1), (12, 2), (15, 3), (18, 4))]
    # moved-segment copy, image and record: what the placement relies on
    rows += [(f"write that did nothing: {n}", lying, n) for n in (2, 3, 4)]
    commit, end = moments["commit"][0][:2], moments["end"][0][:2]
    rows += [
        ("write cut short: data", limited, commit, 3 * MiB + 300 * 1024),
        ("write cut short: data, no whole block", limited, commit, 3 * MiB + 5000),
        ("write cut short: wipe of the moved-segment copy", limited, end, 4 * MiB + 300 * 1024),
        ("write cut short, and a signal comes with it", limited, commit, 3 * MiB + 300 * 1024,
         False),
        ("no space on the image's filesystem", full_disk),
        ("nobody reads the report", reader_gone),
    ]
    tap.run(rows)
tap.done()
