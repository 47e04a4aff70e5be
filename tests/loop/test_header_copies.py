#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cryptsetup repairs a torn or stale header copy whenever it reads one, which is a write. coffer never makes that necessary: whenever it gives the metadata lock back, both copies are whole and
equal. And it never does it: what only looks changes nothing, whatever the copies are like."""
import contextlib
import os

import coffer
from beside import (assert_copies_equal, copies_in, locked, metadata_lock_path, programs, target)
from coffer import COFFER, Box
from cuts import record
from disk import KiB, MiB, read_at, run, sha256, tempdir, write_at
from tap import DEEP, Tap
from verifying import reseal, xor

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
KINDS = "image", "block"
C = 16 * KiB  # one header copy where S is below 4 MiB


# --- what a commit leaves ---------------------------------------------------------------------------

def commits(make, cmd_of, least):
    """Every sequence number of a run is one that both copies say, with equal metadata; and from the
    first whole copy on there is one at each flush."""
    img = make()
    recording = record(cmd_of(img), img)
    image, equal, seen = recording.base, set(), set()
    had = any(copies_in(image[:64 * KiB]))
    for n, writes in enumerate(recording.epochs):
        image = image.patched(writes)
        first, second = copies_in(image[:64 * KiB])
        assert first or second or not had, f"no copy is whole after flush {n + 1}"
        had = had or bool(first or second)
        seen |= {c.seqid for c in (first, second) if c}
        if first and second and first.seqid == second.seqid:
            assert (first.text, first.uuid) == (second.text, second.uuid), f"flush {n + 1}"
            equal.add(first.seqid)
    assert max(seen) - min(equal) + 1 == len(equal), (sorted(seen), sorted(equal))
    assert len(equal) >= least, f"only {sorted(equal)}"
    small.check(img)


def half(edit=None):
    img = small.copy()
    run("cp", os.path.join(folder, "half"), img)
    if edit:
        edit(img)
    return img


# --- what others see ------------------------------------------------------------------------------

def observed(kind, *args):
    """Somebody who takes the lock as cryptsetup does sees a whole filesystem or two equal copies,
    never anything in between, and never an older header than before."""
    img = large.copy("observed")
    seen, samples = [], 0
    with target(kind, img) as where, programs() as start:
        p = start(*coffer.command("encrypt", where, large.key, "--max-rate", "20M", *args))
        lock = metadata_lock_path(where)
        while p.is_alive():
            with locked(lock):
                data = read_at(img, 0, 64 * KiB)
            samples += 1
            first, second = copies_in(data)
            if not seen and not first and not second:
                assert data[1080:1082] == b"\x53\xef", "neither a filesystem nor a header"
                continue
            assert first and second, f"sample {samples}: {bool(first)}, {bool(second)}"
            assert (first.seqid, first.text) == (second.seqid, second.text), f"sample {samples}"
            assert not seen or first.seqid >= seen[-1], (first.seqid, seen[-1])
            if not seen or first.seqid > seen[-1]:
                seen.append(first.seqid)
        status, said = p.wait()
        assert status == 0, said
    print(f"# {kind}: {samples} samples, {len(seen)} headers of {seen[-1]}")
    assert samples > 50 and len(seen) > 5, (samples, seen)
    large.check(img)


# --- looking changes nothing ------------------------------------------------------------------------

def older(copy):
    def edit(img):
        first = read_at(img, 0, 4096)
        reseal(img, lambda meta: meta["config"].update(a=1), copies=(copy,),
               seqid=int.from_bytes(first[16:24], "big") - 1)
    return edit


# Bug: a header copy that libcryptsetup refuses counted as whole
def refused(copy):
    """A right checksum over metadata that libcryptsetup does not load."""
    return lambda img: reseal(img, lambda meta: meta["config"].pop("keyslots_size"), copies=(copy,))


DAMAGE = {
    "both whole": lambda img: None,
    "first copy torn in its metadata": lambda img: xor(img, 5000),
    "first copy torn in its first block": lambda img: xor(img, 300),
    "second copy torn in its metadata": lambda img: xor(img, C + 5000),
    "second copy torn in its first block": lambda img: xor(img, C + 300),
    "first copy older": older(0),
    "second copy older": older(1),
    "first copy refused": refused(0),
    "second copy refused": refused(1),
    "first copy zero": lambda img: write_at(img, 0, bytes(C)),
    "second copy zero": lambda img: write_at(img, C, bytes(C)),
}
LOOKS = [
    ("status", []), ("plan", ["--no-speed"]), ("verify", []), ("verify with a key", None),
    ("repair", ["--dry-run"]),
]


def looks(kind, source, damage, repairs):
    """coffer changes no byte; on a copy stock luksDump does, where there is something to repair."""
    img = small.copy("looked-at")
    run("cp", os.path.join(folder, source), img)
    DAMAGE[damage](img)
    other = os.path.join(folder, "repaired")
    run("cp", img, other)
    before = sha256(img)
    with target(kind, img) as where:
        for verb, args in LOOKS:
            args = ["--key-file", small.key] if args is None else args
            p = run(COFFER, verb.split()[0], *args, where, status=(0, 3, 4, 6))
            assert sha256(img) == before, f"{verb} changed the disk: {p.stdout}{p.stderr}"
    with target(kind, other) as where:
        run("cryptsetup", "luksDump", where)
    assert (sha256(other) != before) == repairs, "stock repairs this in another way now"
    if repairs:
        assert_copies_equal(other)


with stack:
    small = Box(folder, 6 * MiB, end=4 * MiB)
    large = Box(folder, 24 * MiB, name="large")
    moments = coffer.phases(small)
    at = moments["steps"][len(moments["steps"]) // 2][:2]
    for name, call in ("half", at), ("placed", moments["commit"][0][:2]), ("final", None):
        img = small.copy(name)
        if call:
            coffer.kill_at(*call, coffer.one_thread(img, small.key))
        else:
            coffer.encrypt(img, small.key)
        run("cryptsetup", "luksDump", img)  # the moment may be inside a commit
        assert_copies_equal(img)

    def resume(img):
        return coffer.one_thread(img, small.key, "--resume-only")

    rows = [
        ("commits of a whole run", commits, lambda: small.copy(),
         lambda img: coffer.one_thread(img, small.key), 7),
        ("commits of a resume", commits, half, resume, 4),
        ("commits of a repair", commits, half,
         lambda img: [COFFER, "repair", "--yes", "--threads", "1", "--key-file", small.key, img], 4),
        ("commits of stock", commits, half, lambda img: coffer.stock_resume(img, small.key), 4),
    ]
    rows += [(f"commits of a resume, {damage}", commits, lambda d=damage: half(DAMAGE[d]), resume, 4)
             # a refused one differs from its equal until it is written again
             for damage in DAMAGE if damage not in ("both whole", "first copy zero")
             and "refused" not in damage]
    for kind in KINDS:
        rows += [(f"seen under the lock, {kind}", observed, kind),
                 (f"seen under the lock, one thread, {kind}", observed, kind, "--threads", "1")]
    for source in "half", "placed", "final":
        rows += [(f"looks change nothing, {source}, {damage}, {kind}", looks, kind, source, damage,
                  damage != "both whole") for damage in DAMAGE for kind in KINDS
                 if DEEP or kind == "image" or source == "half"]
    tap.run(rows)
tap.done()
