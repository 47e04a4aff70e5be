#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Before the first step is committed, abort gives the plain filesystem back, byte by byte, whatever
was interrupted and however often; and a device that grew or shrank between two runs loses nothing.
COFFER_DEEP=1 takes every call, and both sizes at every stage."""
import contextlib
import os

import coffer
from coffer import ASAN, COFFER, Box, one_thread, pointer
from disk import MiB, check_fs, run, sha256, tempdir
from tap import DEEP, Tap, few

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


def assert_plain(img, what=""):
    assert sha256(img, 0, small.end) == plain_digest, f"{what}: the filesystem is not what it was"
    with open(img, "rb") as f:
        blob = f.read()
    for magic in b"COFFER-RECORD", b"COFFER-TRANSIT", b"LUKS\xba\xbe", b"SKUL\xba\xbe":
        assert magic not in blob or not what, f"{what}: {magic} is left"


def aborted(call, n):
    """A run killed there is taken back; the filesystem is sound and can be encrypted again."""
    img = small.copy()
    coffer.kill_at(call, n, one_thread(img, small.key))
    p = coffer.abort(img, "--json", status=(0, 3), program=ASAN)
    last = coffer.events(p)[-1]
    assert_plain(img)
    if p.returncode == 3:  # nothing of [0, L) had been touched
        assert coffer.why(last) == "no-conversion EALREADY", last
    else:
        assert last["aborted"], last
        assert_plain(img, "after the abort")
    check_fs(img, "ext4")
    coffer.abort(img, status=(3,))
    coffer.encrypt(img, small.key)
    small.check(img)


def placed(name="work"):
    img = small.copy(name)
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, small.key))
    assert pointer(img) == small.end
    return img


def abort_killed(call, n, then):
    """The abort is killed in turn; what comes next is an abort or an encryption."""
    img = os.path.join(folder, "work")
    run("cp", placed_image, img)
    coffer.kill_at(call, n, coffer.command("abort", img))
    if then == "abort":
        last = coffer.events(coffer.abort(img, "--json", status=(0, 3)))[-1]
        # Bug: the second abort's operation was missing, and it had resumed nothing
        assert last["operation"] in ("start", "convert", "finish-undo"), last
        assert last["resumed"] == (last["operation"] == "finish-undo"), last
        assert_plain(img)
        check_fs(img, "ext4")
    else:
        coffer.encrypt(img, small.key)
        small.check(img)


def stock_start():
    img = small.copy()
    coffer.stock_init(img, small.key)
    coffer.abort(img, program=ASAN)
    assert_plain(img, "after the abort")


def stock_first_step():
    """Stock's first step writes only where nothing of the filesystem lies; it is no commit yet."""
    img = small.copy()
    coffer.stock_init(img, small.key)
    coffer.inject("fdatasync", "signal=KILL:when=1", coffer.stock_resume(img, small.key))
    coffer.abort(img, program=ASAN)
    assert_plain(img, "after the abort")


def too_late(call, n):
    img = small.copy()
    coffer.kill_at(call, n, one_thread(img, small.key))
    before, left = sha256(img), pointer(img)
    p = coffer.abort(img, status=(4,), program=ASAN)
    assert f"{(small.end - left) / MiB:.1f} MiB of {small.end / MiB:.1f} MiB" in p.stderr, p.stderr
    assert f"coffer encrypt {img}" in p.stderr, p.stderr
    assert sha256(img) == before, "it has changed the device"


def abort_message():
    img = os.path.join(folder, "work")
    run("cp", placed_image, img)
    p = coffer.abort(img)


def abort_stopped():
    """SIGTERM before the first write of an abort: nothing was done, and the same command goes on."""
    img = os.path.join(folder, "work")
    run("cp", placed_image, img)
    p = coffer.inject("flock", "signal=TERM:when=1", coffer.command("abort", img))
    assert p.returncode == 5 and f"coffer abort {img}" in p.stderr, (p.returncode, p.stderr)
    coffer.abort(img)
    assert_plain(img, "after the abort")


# --- sizes that change ------------------------------------------------------------------------------

def stage(name):
    img = small.copy()
    if name == "plain":
        return img
    coffer.kill_at(*stages[name], one_thread(img, small.key))
    return img


def grown(name, more):
    img = stage(name)
    os.truncate(img, small.size + more)
    coffer.finish(img, small.key, program=ASAN)
    small.check(img)


def grown_abort(name, more):
    img = stage(name)
    os.truncate(img, small.size + more)
    coffer.abort(img)
    assert sha256(img, 0, small.end) == plain_digest
    check_fs(img, "ext4")


def shrunk(name, less):
    """Refused, nothing changed; and with its end back it goes on."""
    img = stage(name)
    with open(img, "rb") as f:
        f.seek(small.size - less)
        cut = f.read()
    os.truncate(img, small.size - less)
    before = sha256(img)
    for verb, run_it in ("encrypt", lambda **k: coffer.encrypt(img, small.key, **k)), (
            "abort", lambda **k: coffer.abort(img, **k)):
        if verb == "abort" and name == "plain":
            continue  # there is nothing to take back, whatever the size
        for program in COFFER, ASAN:
            p = run_it(status=(4,), program=program)
            assert str(small.size - less) in p.stderr, p.stderr
            assert sha256(img) == before, f"{verb} has changed the device"
        assert name == "plain" or str(small.size) in p.stderr, p.stderr
    with open(img, "ab") as f:
        f.write(cut)
    coffer.finish(img, small.key)
    small.check(img)


def grown_and_used(name):
    """What was put after the old end meanwhile stays."""
    img = stage(name)
    with open(img, "ab") as f:
        f.write(b"new content " * 1000)
        f.write(bytes(-12000 % 4096))
    tail = sha256(img, small.size, 12288)
    coffer.finish(img, small.key)
    small.check(img)
    assert sha256(img, small.size, 12288) == tail, "what lies after the old end was changed"


with stack:
    small = Box(folder, 6 * MiB, end=4 * MiB)
    plain_digest = sha256(small.plain, 0, small.end)
    moments = coffer.phases(small)
    steps, end = moments["steps"], moments["end"]
    transition = next(i for i, m in enumerate(moments["placement"]) if "at 0)" in m[2])
    stages = {"partly placed": moments["placement"][transition + 3][:2],
              "between the copies": moments["placement"][-4][:2],
              "placed": moments["commit"][0][:2],
              "converting": steps[len(steps) // 2][:2], "before the last step": steps[-6][:2],
              "end pending": end[0][:2], "moved-segment copy wiped": end[2][:2]}
    placed_image = placed("placed")
    probe = os.path.join(folder, "probe")
    run("cp", placed_image, probe)
    undo = []
    for name, *_ in coffer.trace(coffer.command("abort", probe)):
        undo.append((name, 1 + sum(c[0] == name for c in undo)))

    rows = [(f"aborted: {what}", aborted, call, n)
            for phase in ("placement", "commit")
            for call, n, what in few(coffer.kills(moments[phase]), 6)]
    # the first step is no commit before its header is written
    rows += [(f"aborted: {what}", aborted, call, n) for call, n, what in steps[:3]]
    rows += [(f"abort killed at {call} {k}, then {then}", abort_killed, call, k, then)
             for call, k in few(coffer.kills(undo), 6) for then in ("abort", "encrypt")]
    rows += [
        ("abort says so", abort_message),
        ("abort stopped by SIGTERM", abort_stopped),
        ("abort of what stock has begun", stock_start),
        ("abort after stock's first step was killed", stock_first_step),
    ]
    rows += [(f"too late: {what}", too_late, call, n)
             for call, n, what in (steps[4], steps[6], steps[len(steps) // 2], end[0])]
    for i, name in enumerate(("plain", *stages)):
        which = slice(None) if DEEP else slice(i % 2, i % 2 + 1)
        rows += [(f"grown by {more}, {name}", grown, name, more) for more in (512, 5 * MiB)[which]]
        rows += [(f"shrunk by {less}, {name}", shrunk, name, less)
                 for less in (512, 3 * MiB)[which]]
    rows += [(f"grown and used, {name}", grown_and_used, name) for name in few(stages, 4)]
    rows += [(f"grown, aborted, {name}", grown_abort, name, more)
             for name in ("partly placed", "between the copies", "placed")
             for more in few((5 * MiB, 512), 1)]
    tap.run(rows)
tap.done()
