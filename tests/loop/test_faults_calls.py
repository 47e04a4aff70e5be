#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls that are interrupted, and transfers that are cut short: what can go on does, to the same
bytes; a flush that was interrupted is not known to have happened, and ends the run. COFFER_DEEP=1
interrupts each flush."""
import contextlib
import os

import coffer
from coffer import RECORDIO, Box, one_thread
from disk import KiB, MiB, run, sha256, tempdir, write_at
from tap import Tap, few

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


def short(what, img):
    return dict(os.environ, LD_PRELOAD=RECORDIO, RECORDIO_FILE=img, RECORDIO_SHORT=what)


# --- interrupted ----------------------------------------------------------------------------------

def interrupted(call, first, cmd):
    """Each request is interrupted once, and asked for again."""
    log = os.path.join(folder, "log")
    p = run("strace", "-f", "-qq", "-o", log, "-P", cmd[-1], "-e", "trace=" + call,
            "-e", f"inject={call}:error=EINTR:when={first}+2", *cmd, status=None)
    with open(log, errors="replace") as f:
        seen = f.read().count("(INJECTED)")
    assert p.returncode == 0 and seen >= 5, (p.returncode, p.stderr, seen)


def encrypt_interrupted(call, first, *args):
    img = box.copy()
    interrupted(call, first, one_thread(img, box.key, *args))
    box.check(img)


def abort_interrupted(call, first):
    img = placed_copy()
    interrupted(call, first, coffer.command("abort", img))
    assert sha256(img, 0, box.end) == plain_digest


def flush_interrupted(n):
    """Whatever made fdatasync give up: what was written before it may be on the disk or not."""
    img = box.copy()
    p = coffer.inject("fdatasync", f"error=EINTR:when={n}", one_thread(img, box.key, "--json"))
    assert p.returncode == (1 if n == 1 else 5), (p.returncode, p.stdout)
    assert coffer.summary(p)["errno"] == "EINTR", p.stdout
    coffer.finish(img, box.key)
    box.check(img)


# --- cut short ------------------------------------------------------------------------------------

def shim():
    """The tool does what the rows below rely on."""
    img = box.copy()
    code = ("import os, sys; f = os.open(sys.argv[1], os.O_RDWR);"
            "print(os.pwrite(f, bytes(65536), 0), len(os.pread(f, 65536, 0)),"
            " os.pwrite(f, bytes(4096), 0))")
    p = run("/usr/bin/python3", "-c", code, img, env=short("4096", img))
    assert p.stdout.split() == ["32768", "32768", "4096"], p.stdout


def encrypt_short(unit, *args):
    img = box.copy()
    run(*coffer.command("encrypt", img, box.key, *args), env=short(unit, img))
    box.check(img)


def used_short(unit):
    img = box.copy()
    run(*coffer.command("encrypt", img, box.key, "--used-only=yes", "--free-space=fill"),
        env=short(unit, img))
    box.check_used(img)


def abort_short(unit):
    img = placed_copy()
    run(*coffer.command("abort", img), env=short(unit, img))
    assert sha256(img, 0, box.end) == plain_digest


def repair_short(unit):
    """The second header copy is torn; then the conversion goes on."""
    img = placed_copy()
    write_at(img, 16 * KiB + 4096, bytes(512))
    run(*coffer.command("repair", img, box.key, "--yes"), env=short(unit, img))
    box.check(img)


def header_short(unit):
    """A backup that was read in pieces, and put back in pieces."""
    img, saved = box.copy(), os.path.join(folder, f"backup-{unit}")
    coffer.encrypt(img, box.key)
    run(coffer.COFFER, "header", "backup", img, "--header-backup-file", saved, env=short(unit, img))
    behind = sha256(img, MiB)
    with open(img, "r+b") as f:
        f.write(b"\xaa" * (512 * KiB))  # not zeros: most of a header is
    run(coffer.COFFER, "header", "restore", img, "--header-backup-file", saved, "--yes",
        env=short(unit, img))
    box.check(img)
    assert sha256(img, MiB) == behind, "what lies after the header was changed"


def breaks(kind, n):
    """A part of the transfer is done, then the device fails for good."""
    img = box.copy()
    p = run(*one_thread(img, box.key, "--json"), env=short(f"512 {kind} {n}", img), status=(1, 5))
    assert coffer.summary(p)["errno"] == "EIO", p.stdout
    if p.returncode == 1:
        assert sha256(img) == box_digest, p.stdout
    coffer.finish(img, box.key)
    box.check(img)


def placed_copy():
    img = os.path.join(folder, "work")
    run("cp", placed, img)
    return img


with stack:
    box = Box(folder, 5 * MiB, end=3 * MiB)
    box_digest = sha256(box.plain)
    plain_digest = sha256(box.plain, 0, box.end)
    moments = coffer.phases(box)
    n_flushes = sum(c[0] == "fdatasync" for phase in coffer.PHASES for c in moments[phase])
    placed = box.copy("placed")
    coffer.kill_at(*moments["commit"][0][:2], one_thread(placed, box.key))
    units = "512", "4096"
    rows = [
        ("interrupted: reads", encrypt_interrupted, "pread64", 1),
        ("interrupted: writes", encrypt_interrupted, "pwrite64", 1),
        ("interrupted: writes, read back", encrypt_interrupted, "pwrite64", 1, "--verify"),
        ("interrupted: reads of an abort", abort_interrupted, "pread64", 1),
        ("interrupted: writes of an abort", abort_interrupted, "pwrite64", 1),
    ]
    rows += [(f"interrupted: flush {n} of {n_flushes}", flush_interrupted, n)
             for n in few(range(1, n_flushes + 1), 4)]
    rows += [("the tool that cuts short", shim)]
    for unit in units:
        rows += [
            (f"short by {unit}: encrypt", encrypt_short, unit),
            (f"short by {unit}: encrypt on one thread", encrypt_short, unit, "--threads", "1"),
            (f"short by {unit}: encrypt what is used", used_short, unit),
            (f"short by {unit}: abort", abort_short, unit),
            (f"short by {unit}: repair", repair_short, unit),
            (f"short by {unit}: header backup and restore", header_short, unit),
        ]
    rows += [(f"a part, then an error: {kind} {n}", breaks, kind, n)
             for kind, some in (("write", (1, 3, 5, 9, 14, 20)), ("read", (4, 9, 16, 25)))
             for n in some]
    tap.run(rows)
tap.done()
