#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Interrupted at any moment, a conversion goes on: by coffer, by stock cryptsetup, and by coffer
where stock has begun. Nothing of the content is lost. COFFER_DEEP=1 takes every call of a run, the
quick set some of each phase: unit/test_crash has all of them."""
import contextlib
import os
import re
import shlex
import signal

import coffer
from coffer import ASAN, Box, one_thread, pointer
from disk import MiB, block_devices, loop, luks_metadata, run, sha256, tempdir
from tap import Tap, few

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


def goes_on(cmd):
    """What an interrupted run says: all that it was given, since an option that is missing would
    make another volume, or take another key."""
    return f" coffer {shlex.join(cmd[1:])}\n"


# --- SIGKILL --------------------------------------------------------------------------------------

def killed(call, n, phase):
    """Then coffer resumes, and on a copy stock does, where it can."""
    img, other = small.copy(), os.path.join(folder, "other")
    coffer.kill_at(call, n, one_thread(img, small.key))
    run("cp", img, other)
    coffer.finish(img, small.key)
    small.check(img)
    if phase in ("commit", "steps") and pointer(other):
        run(*coffer.stock_resume(other, small.key))
        small.check(other)


def killed_explicit(call, n, undo):
    """With an explicit size, on a device much larger; what goes on needs no option, for the disk
    tells all of it, and what lies after it stays as it is."""
    img = unknown.copy()
    tail = sha256(img, 6 * MiB, unknown.size - 6 * MiB)
    coffer.kill_at(call, n, one_thread(img, unknown.key, "--device-size", "4M"))
    if undo:
        coffer.abort(img, program=ASAN)
        assert sha256(img, 0, 4 * MiB) == sha256(unknown.plain, 0, 4 * MiB)
    else:
        run(*coffer.command("encrypt", img, unknown.key, program=ASAN))
        unknown.check(img)
    assert sha256(img, 6 * MiB, unknown.size - 6 * MiB) == tail, "what lies after it was changed"


def killed_twice(call, n):
    """The run that goes on is killed as well, at its own n-th call."""
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    coffer.kill_at(call, n, one_thread(img, small.key))
    coffer.finish(img, small.key, program=ASAN)
    small.check(img)


def killed_again_and_again(make_target):
    """At every second event that tells of something new, with threads, until it is done."""
    img = large.copy()
    done, runs = -1, 0
    with make_target(img) as target:
        cmd = coffer.command("encrypt", target, large.key, "--json")
        while True:
            status, seen, err = coffer.signal_at(
                cmd, signal.SIGKILL, lambda e: e["event"] == "progress" and e["done"] > done)
            runs += 1
            if status == 0 or coffer.why(seen[-1]) == "content EEXIST":
                break
            assert status == -signal.SIGKILL, (status, err, seen[-1])
            done = max(e["done"] for e in seen if e["event"] == "progress")
    assert runs > 5, f"only {runs} runs"
    large.check(img)


@contextlib.contextmanager
def as_loop(img):
    with block_devices(), loop(img) as dev:
        yield dev


# --- begin nothing ---------------------------------------------------------------------------------

def resume_only(call, n, begun):
    """Goes on wherever the header or the transition block is on the disk; before that it says that
    nothing was begun, and changes no byte."""
    img = small.copy()
    coffer.kill_at(call, n, one_thread(img, small.key))
    before = sha256(img)
    coffer.encrypt(img, small.key, "--resume-only", "--dry-run", status=(0 if begun else 3,))
    assert sha256(img) == before, "a dry run has changed the device"
    coffer.encrypt(img, small.key, "--resume-only", program=ASAN, status=(0 if begun else 3,))
    if begun:
        small.check(img)
        return
    assert sha256(img) == before, "it has changed the device"
    coffer.encrypt(img, small.key)
    small.check(img)


def resume_only_of_stock():
    img = small.copy()
    run("cp", os.path.join(folder, "start"), img)
    coffer.inject("fdatasync", "signal=TERM:when=2", coffer.stock_resume(img, small.key))
    coffer.encrypt(img, small.key, "--resume-only", program=ASAN)
    small.check(img)


def resume_only_of_abort(n):
    """An abort that was interrupted is finished, and then there is nothing to go on with. Bug: the message
    said only that there was no conversion."""
    img = small.copy()
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, small.key))
    coffer.kill_at("fdatasync", n, coffer.command("abort", img))
    before = sha256(img)
    p = coffer.encrypt(img, small.key, "--resume-only", "--dry-run", status=(3,))
    assert "an abort is not finished" in p.stderr, p.stderr
    assert sha256(img) == before, "a dry run has changed the device"
    p = coffer.encrypt(img, small.key, "--resume-only", "--json", status=(3,), program=ASAN)
    last = coffer.events(p)[-1]
    assert "the abort is finished" in last["message"], last
    assert last["outcome"] == "no" and last["aborted"] and last["changed"], last
    assert sha256(img, 0, small.end) == sha256(small.plain, 0, small.end), "the moved segment differs"
    coffer.encrypt(img, small.key, "--resume-only", status=(3,))


def resume_only_stopped():
    """The command that it names begins nothing either."""
    img = small.copy()
    coffer.kill_at(*steps[0][:2], one_thread(img, small.key))
    cmd = one_thread(img, small.key, "--resume-only")
    p = coffer.inject(steps[-1][0], "signal=TERM:when=5", cmd)
    assert p.returncode == 5, (p.returncode, p.stderr)
    assert goes_on(cmd) in p.stderr, p.stderr
    coffer.encrypt(img, small.key, "--resume-only")
    small.check(img)


# --- signals that ask ------------------------------------------------------------------------------

def stopped(sig, call, n):
    """Status 5, a line that says how to go on, and a state in which stock resumes as well."""
    img, other = small.copy(), os.path.join(folder, "other")
    cmd = one_thread(img, small.key)
    p = coffer.inject(call, f"signal={sig}:when={n}", cmd)
    assert p.returncode == 5, (p.returncode, p.stderr)
    assert goes_on(cmd) in p.stderr, p.stderr
    left = pointer(img)
    assert 0 < left < small.end, (p.stderr, left)
    assert f"{(small.end - left) / MiB:.1f} MiB of" in p.stderr, (p.stderr, left)
    run("cp", img, other)
    coffer.encrypt(img, small.key)
    small.check(img)
    run(*coffer.stock_resume(other, small.key))
    small.check(other)


def stopped_json(sig):
    img = large.copy()
    status, seen, err = coffer.signal_at(
        coffer.command("encrypt", img, large.key, "--json"), sig,
        lambda e: e["event"] == "progress" and 0 < e["done"] < large.end // 2)
    assert status == 5 and err == "", (status, err)
    assert seen[-1]["outcome"] == "interrupted" and seen[-1]["exit_code"] == 5, seen[-1]
    assert not seen[-1]["finished"] and coffer.why(seen[-1]) == "stopped EINTR", seen[-1]
    p = coffer.encrypt(img, large.key, "--json")
    last = coffer.events(p)[-1]
    assert last["resumed"] and last["finished"], last
    assert last["bytes_moved"] + seen[-1]["bytes_moved"] == large.end, (last, seen[-1])
    large.check(img)


def stopped_before_the_start():
    """While the header is still made in memory."""
    img = small.copy()
    p = coffer.inject("wait4", "signal=TERM:when=1", one_thread(img, small.key))
    assert p.returncode == 5, (p.returncode, p.stderr)
    run("cmp", img, small.plain)
    coffer.encrypt(img, small.key)
    small.check(img)


ALL_OPTIONS = ["--key-size", "256", "--sector-size", "512", "--hash", "sha512", "-c",
               "aes-xts-plain64", "--pbkdf-force-iterations=1001", "--iter-time", "100", "--uuid",
               "6b64f6f4-8e64-4a5d-9f1f-0a3f5d0c1b2a", "--label", "a disk; $(of) ours",
               "--luks2-metadata-size", "16K", "--luks2-keyslots-size", "512K", "--device-size",
               "4M", "--serialize-memory-hard-pbkdf", "--keyfile-offset", "3", "-l", "20"]


def stopped_with_options(call, n, changed):
    """Bug: the command that goes on had lost most options: begun with it, the volume had another
    key, key size and name. A volume that was begun takes all of them, too, and keeps its own."""
    img = small.copy()
    cmd = one_thread(img, small.key, *ALL_OPTIONS)
    p = coffer.inject(call, f"signal=TERM:when={n}", cmd)
    assert p.returncode == 5, (p.returncode, p.stderr)
    assert goes_on(cmd) in p.stderr, p.stderr
    assert changed or run("cmp", img, small.plain)
    line = re.search("(coffer encrypt .*)", p.stderr)[1]
    run("sh", "-c", f'coffer() {{ "$program" "$@"; }}; {line}', env={**os.environ, "program": ASAN})
    meta, header = luks_metadata(img), coffer.header(img)
    assert header["uuid"] == "6b64f6f4-8e64-4a5d-9f1f-0a3f5d0c1b2a", header
    assert header["label"] == "a disk; $(of) ours" and header["hdr_size"] == 16384, header
    assert meta["keyslots"]["0"]["key_size"] == 32, meta["keyslots"]
    assert meta["keyslots"]["0"]["kdf"]["iterations"] == 1001, meta["keyslots"]
    assert meta["digests"]["0"]["hash"] == "sha512", meta["digests"]
    assert meta["segments"]["0"]["sector_size"] == 512, meta["segments"]
    run("cryptsetup", "open", "--test-passphrase", "--key-file", small.key, "--keyfile-offset", "3",
        "--keyfile-size", "20", img)


def dry_run_tells(call, n, operation):
    """Bug: of a partly placed header it told "0 B of 0 B", of the end that something would go on."""
    img = small.copy()
    coffer.kill_at(call, n, one_thread(img, small.key))
    before = sha256(img)
    p = coffer.encrypt(img, small.key, "--dry-run", program=ASAN)
    assert "0 B of 0 B" not in p.stderr, p.stderr
    p = coffer.encrypt(img, small.key, "--dry-run", "--json", program=ASAN)
    assert coffer.events(p)[-1]["operation"] == operation, p.stdout
    assert sha256(img) == before, "a dry run has changed the device"


def failed_at_the_end(call, n):
    """Bug: "4.0 MiB of 4.0 MiB are encrypted. Nothing is lost", while plain bytes are left."""
    img = small.copy()
    p = coffer.inject(call, f"error=EIO:when={n}", one_thread(img, small.key))
    assert p.returncode == 5, (p.returncode, p.stderr)
    assert "1.0 MiB" in p.stderr and "coffer encrypt " in p.stderr, p.stderr
    coffer.encrypt(img, small.key)
    small.check(img)


# --- what stock has begun --------------------------------------------------------------------------

def begun_by_stock(call, what, wanted, program=ASAN):
    """what is an injection into stock's resume; wanted judges the metadata it leaves."""
    img = small.copy()
    coffer.stock_init(img, small.key)
    if call:
        coffer.inject(call, what, coffer.stock_resume(img, small.key))
    meta = luks_metadata(img)
    assert wanted(meta), meta["segments"]
    coffer.encrypt(img, small.key, program=program)
    small.check(img)


def is_clean(meta):
    return coffer.requirements(meta) and not is_hot(meta) and not is_stuck(meta)


def is_hot(meta):
    return any("in-reencryption" in s.get("flags", []) for s in meta["segments"].values())


def is_stuck(meta):
    """Everything is encrypted, but stock has not cleaned up and never will."""
    return bool(coffer.requirements(meta)) and len(meta["segments"]) == 4 and \
        coffer.regular(meta)[0]["size"] == "dynamic" and not is_hot(meta)


def killed_stock(call, numbers):
    """Stock killed at each of these calls, torn copies of the header among what it leaves."""
    start = small.copy("start")
    coffer.stock_init(start, small.key)
    img = os.path.join(folder, "work")
    for n in numbers:
        run("cp", start, img)
        coffer.kill_at(call, n, coffer.stock_resume(img, small.key))
        p = coffer.finish(img, small.key)
        try:
            small.check(img)
        except AssertionError as e:
            raise AssertionError(f"{call} {n}: {p.stderr}") from e


def stuck():
    """The state that stock cannot leave by itself."""
    img = small.copy()
    coffer.stock_init(img, small.key)
    found = 0
    for n in range(calls_of_stock["fsync"], 0, -1):
        run("cp", os.path.join(folder, "start"), img)
        coffer.kill_at("fsync", n, coffer.stock_resume(img, small.key))
        meta = luks_metadata(img)
        if not is_stuck(meta):
            if found:
                break
            continue
        found += 1
        assert run(*coffer.stock_resume(img, small.key), status=None).returncode != 0, \
            "stock has learned to leave this state: this row can go"
        coffer.encrypt(img, small.key, program=ASAN)
        small.check(img)
    assert found, "no fsync of stock leaves that state"


def stuck_by_coffer(n):
    """coffer's own state between the last step and the final header: stock opens it, and both
    headers stay whole."""
    img = small.copy()
    coffer.kill_at(*n, one_thread(img, small.key))
    assert pointer(img) in (0, None)
    run("cryptsetup", "open", "--test-passphrase", "--key-file", small.key, img)
    coffer.finish(img, small.key)
    small.check(img)


def turn_by_turn():
    """coffer and stock, each killed in turn until it is done."""
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    for _ in range(2):
        coffer.kill_at("fdatasync", 1, coffer.stock_resume(img, small.key))
        assert is_hot(luks_metadata(img))
        coffer.inject("fdatasync", "signal=KILL:when=5", one_thread(img, small.key))
    coffer.finish(img, small.key)
    small.check(img)


# --- the passphrase ------------------------------------------------------------------------------

def wrong_passphrase(phase):
    img = small.copy()
    coffer.kill_at(*phase, one_thread(img, small.key))
    wrong = os.path.join(folder, "wrong")
    with open(wrong, "w") as f:
        f.write("not the passphrase")
    before = open(img, "rb").read()
    p = coffer.encrypt(img, wrong, status=(1,), program=ASAN)
    assert open(img, "rb").read() == before, "it has changed the device"
    coffer.encrypt(img, small.key)
    small.check(img)


with stack:
    small = Box(folder, 6 * MiB, end=4 * MiB)
    large = Box(folder, 32 * MiB, name="large")
    unknown = Box(folder, 20 * MiB, "none", 4 * MiB, "unknown")
    moments = coffer.phases(small)
    steps = moments["steps"]
    middle = steps[len(steps) // 2][:2]
    start = small.copy("start")
    coffer.stock_init(start, small.key)
    calls_of_stock = {"fsync": 0, "fdatasync": 0, "write": 0}
    counted = os.path.join(folder, "counted")
    run("cp", start, counted)
    for name, *_ in coffer.trace(coffer.stock_resume(counted, small.key), "fsync,fdatasync,write"):
        calls_of_stock[name] += 1
    small.check(counted)

    rows = []
    for phase in coffer.PHASES:
        rows += [(f"killed: {what}", killed, call, n, phase)
                 for call, n, what in few(coffer.kills(moments[phase]), 6)]
    rows += [(f"killed twice, then at {call} {n}", killed_twice, call, n)
             for call in ("pwrite64", "fdatasync") for n in few((1, 2, 3, 4, 5), 3)]
    # both conversions are 4 MiB long: their calls are the same
    begun = [m for m in moments["placement"] if m[0] == "pwrite64"][5:]
    rows += [(f"explicit size, killed: {what}", killed_explicit, call, n, False)
             for call, n, what in few((*begun, moments["commit"][0], *steps[:3], steps[-1],
                                       *moments["end"][:3]), 5)]
    rows += [(f"explicit size, aborted: {what}", killed_explicit, call, n, True)
             for call, n, what in few((*begun, moments["commit"][0]), 4)]
    # From the write after the transition block's on, a killed run is one that has begun.
    mark = 1 + next(i for i, m in enumerate(moments["placement"]) if "(4096 at 0)" in m[2])
    rows += [(f"resume-only, killed: {what}", resume_only, call, n, True)
             for call, n, what in (*few(coffer.kills(moments["placement"][mark:]), 3),
                                   moments["commit"][0], *few(steps[:2], 1), moments["end"][0])]
    rows += [(f"resume-only, killed too early: {what}", resume_only, call, n, False)
             for call, n, what in few(coffer.kills(moments["placement"][:mark]), 3)]
    rows += [(f"resume-only, abort killed at flush {n}", resume_only_of_abort, n)
             for n in few(range(3, 8), 3)]
    rows += [
        ("killed again and again", killed_again_and_again, contextlib.nullcontext),
        ("resume-only, begun by stock", resume_only_of_stock),
        ("resume-only, stopped", resume_only_stopped),
        ("SIGINT", stopped, "INT", *middle),
        ("SIGTERM", stopped, "TERM", *middle),
        ("SIGHUP", stopped, "HUP", *middle),
        ("SIGINT during the first commit", stopped, "INT", *steps[0][:2]),
        ("SIGTERM, JSON", stopped_json, signal.SIGTERM),
        ("SIGINT, JSON", stopped_json, signal.SIGINT),
        ("SIGTERM before the first write", stopped_before_the_start),
        ("all options, stopped before the first write", stopped_with_options, "wait4", 1, False),
        ("all options, stopped half way", stopped_with_options, *middle, True),
        ("dry run, partly placed", dry_run_tells, *moments["placement"][-3][:2],
         "finish-placement"),
        ("dry run, half way", dry_run_tells, *middle,
         "convert"),
        ("dry run, before the end", dry_run_tells, *moments["end"][0][:2],
         "finalize"),
        ("fails at the end", failed_at_the_end, *moments["end"][0][:2]),
        ("stock has begun", begun_by_stock, None, None, is_clean),
    ]
    rows.append(("killed again and again, block device", killed_again_and_again, as_loop))
    for n in few(range(1, calls_of_stock["fdatasync"]), 2):
        rows += [(f"stock stopped at step {n}", begun_by_stock, "fdatasync",
                  f"signal=TERM:when={n}", is_clean),
                 (f"stock killed at step {n}", begun_by_stock, "fdatasync",
                  f"signal=KILL:when={n}", is_hot)]
    n = calls_of_stock["fdatasync"]
    rows += [
        ("stock killed at its last step", begun_by_stock, "fdatasync", f"signal=KILL:when={n}",
         is_hot),
        ("stock in the state it cannot leave", stuck),
        ("stock killed at an fsync", killed_stock, "fsync",
         few(range(1, calls_of_stock["fsync"] + 1), 6)),
        ("stock killed at writes of its first steps", killed_stock, "write",
         few(range(1, 30), 8)),
        ("stock killed at its last writes", killed_stock, "write",
         few(range(calls_of_stock["write"] - 20, calls_of_stock["write"]), 6)),
        ("coffer and stock in turn", turn_by_turn),
        ("wrong passphrase, placed", wrong_passphrase, moments["commit"][0][:2]),
        ("wrong passphrase, half way", wrong_passphrase, middle),
        ("wrong passphrase, before the end", wrong_passphrase, moments["end"][0][:2]),
    ]
    rows += [(f"stock opens it: {what}", stuck_by_coffer, (call, n))
             for call, n, what in coffer.kills(moments["end"])]
    tap.run(rows)
tap.done()
