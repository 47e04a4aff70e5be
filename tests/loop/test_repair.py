#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer repair: each of its actions on real disks. What is done loses nothing.
COFFER_DEEP=1 repairs after every call of a run."""
import os

import beside
import coffer
from coffer import ASAN, one_thread, pointer
from disk import KiB, MiB, check_fs, copy_to, luks_metadata, read_at, run, sha256, write_at
from repairs import (COPY, aborting, btrfs, content, end, finished, grown_mark,
                     half_placed, has_nothing_to_do, image_lost, is_plain, killed_at, marked,
                     middle, moments, names, placement, record_left, repaired, report, seen,
                     small, steps, stock_begun, stock_hot, tap, torn, torn_segment, use, zeroed)
from scratch import folder, stack
from tap import few
from verifying import reseal

ACTIONS = {"recover-header-copy", "redo-placement", "finish-placement", "finish-undo", "undo-placement",
           "undo-block-0", "undo-stock-placement", "erase-transition-block", "erase-record", "resume"}


def refused(which, moment=None):
    """A right checksum over metadata that libcryptsetup does not load, as after a program's bug."""
    img = killed_at(moment) if moment else finished()
    reseal(img, lambda meta: meta["config"].pop("keyslots_size"), copies=(which,))
    return img


def uuid_half_changed():
    """cryptsetup luksUUID, cut between its two copies: two UUIDs, and still one volume."""
    img = finished()
    other = copy_to(img, os.path.join(folder, "another-uuid"))
    run("cryptsetup", "luksUUID", "--batch-mode", "--uuid",
        "5a8f2b16-9d0c-4a57-8f0e-0b4d1c9e7a01", other)
    write_at(img, 0, read_at(other, 0, COPY))
    return img


def changed_meanwhile():
    """Somebody puts something in place of the first copy, with the lock that keeps repair waiting."""
    img = zeroed(4096)
    with beside.programs() as start:
        with beside.locked(img):
            p = start(*coffer.command("repair", img, small.key, "--yes"))
            beside.wait_for(p.is_napping)  # for the exclusive lock: looks are let in
            write_at(img, 0, b"something else" * 500)
            before = sha256(img)
        status, said = p.wait()
    assert status == 6, (status, said)
    assert sha256(img) == before


def key_added_meanwhile():
    """cryptsetup has repaired the copy and added a key, between repair's look and its lock."""
    img, other = torn(1), os.path.join(folder, "other")
    copy_to(img, other)
    run("cryptsetup", "luksAddKey", "--batch-mode", *coffer.FAST, "--key-file", small.key, other,
        small.key)
    with beside.programs() as start:
        with beside.locked(img):
            p = start(*coffer.command("repair", img, small.key, "--yes"))
            beside.wait_for(p.is_napping)
            write_at(img, 0, read_at(other, 0, MiB))
        status, said = p.wait()
    assert status == 0, (status, said)
    assert sha256(img) == sha256(other), "it has written something"


def stale(which, older, newer=None):
    """One copy is that of an earlier moment of the same run."""
    img = small.copy()
    paused = os.path.join(folder, "older")
    coffer.kill_at(*older[:2], one_thread(img, small.key))
    old = read_at(img, which * COPY, COPY)
    run("cp", img, paused)
    if newer:
        coffer.inject("pwrite64", "signal=KILL:when=12", one_thread(img, small.key))
        assert 0 < pointer(img) < pointer(paused), pointer(img)
    else:
        coffer.encrypt(img, small.key)
    write_at(img, which * COPY, old)
    return img


def stock_stuck():
    """All is moved, and stock can neither go on nor go back."""
    start = stock_begun()
    img = os.path.join(folder, "stuck")
    calls = [c for c in coffer.trace(coffer.stock_resume(copy_to(start, img), small.key), "fsync")]
    for n in range(len(calls), 0, -1):
        copy_to(start, img)
        coffer.kill_at("fsync", n, coffer.stock_resume(img, small.key))
        if coffer.requirements(luks_metadata(img)):
            break
    assert run(*coffer.stock_resume(img, small.key), status=None).returncode != 0
    return img


def encrypted_by(make, *actions):
    img = make()
    repaired(img, *actions)
    small.check(img)


def plain_by(make, *actions):
    img = make()
    repaired(img, *actions)
    is_plain(img)
    assert b"COFFER-" not in read_at(img, small.end, 2 * MiB), "a record is left"
    coffer.encrypt(img, small.key)
    small.check(img)


def killed_everywhere():
    """Wherever a conversion was interrupted, repair takes it to an end that is right."""
    for phase in coffer.PHASES:
        for call, n, what in few(coffer.kills(moments[phase]), 3):
            img = killed_at((call, n))
            said = report(img, "--dry-run")
            did = report(img, "--yes", program=ASAN)
            assert names(said) == names(did) and all(a["done"] for a in did["actions"]), (said, did)
            seen.update(names(did))
            has_nothing_to_do(img)
            try:
                is_plain(img) if did.get("stage_after", "reserved") == "reserved" and \
                    not coffer.is_final(img) else small.check(img)
            except AssertionError as e:
                raise AssertionError(f"{what}: {names(did)}") from e


def grown_over_record():
    """The record of a placement that never began is no longer in unused space."""
    img = record_left()
    run("e2fsck", "-fy", img, status=(0, 1))
    run("resize2fs", img, "6M")
    has_nothing_to_do(img)
    check_fs(img, "ext4")


def block_0(box, sectors):
    img = marked(box, sectors)
    files = use(img, box.fs)
    before = sha256(img)
    p = coffer.encrypt(img, box.key, status=(6,))
    assert "coffer repair" in p.stderr and sha256(img) == before, p.stderr
    behind = sha256(img, 512 * sectors, box.end - 512 * sectors)
    repaired(img, "undo-block-0")
    assert read_at(img, 0, 512 * sectors) == read_at(box.plain, 0, 512 * sectors), "block 0 is not back"
    assert sha256(img, 512 * sectors, box.end - 512 * sectors) == behind, "more than that changed"
    check_fs(img, box.fs)
    assert content(img, box.fs) == files and "./new/" in files, "the files are not those"
    used = copy_to(img, os.path.join(folder, "used"))
    coffer.encrypt(img, box.key)
    box.check(img, plain=used)
    os.unlink(used)


def mark_erased():
    img, files = grown_mark()
    before = sha256(img, 4096)
    p = coffer.encrypt(img, btrfs().key, status=(6,))
    assert "coffer repair" in p.stderr, p.stderr
    repaired(img, "erase-transition-block")
    assert read_at(img, 0, 4096) == bytes(4096), "something is left of the transition block"
    assert sha256(img, 4096) == before, "more than that was changed"
    check_fs(img, "btrfs")
    assert content(img, "btrfs") == files, "the files are not those"
    os.unlink(img)


def all_actions():
    assert seen == ACTIONS, f"no row does {ACTIONS - seen}"


with stack:
    tap.run([
        *((f"recover-header-copy: {('first', 'second')[i]} copy torn {what}, encrypted", encrypted_by,
           lambda i=i, at=at: torn(i, None, at), "recover-header-copy")
          for i in (0, 1) for what, at in (("in its metadata", 4196), ("in its binary header", 10))),
        *((f"recover-header-copy: {('first', 'second')[i]} copy torn, converting", encrypted_by,
           lambda i=i: torn(i, middle), "recover-header-copy", "resume") for i in (0, 1)),
        *((f"recover-header-copy: {('first', 'second')[i]} copy's metadata refused, {what}",
           encrypted_by, lambda i=i, m=m: refused(i, m), "recover-header-copy", *then)
          for i in (0, 1) for what, m, then in (("encrypted", None, ()),
                                                ("converting", middle, ("resume",)))),
        *((f"recover-header-copy: {('first', 'second')[i]} copy older, encrypted", encrypted_by,
           lambda i=i: stale(i, middle), "recover-header-copy") for i in (0, 1)),
        *((f"recover-header-copy: {('first', 'second')[i]} copy older, converting", encrypted_by,
           lambda i=i: stale(i, steps[0], middle), "recover-header-copy", "resume") for i in (0, 1)),
        *((f"recover-header-copy: {what} of the first copy zeroed, encrypted", encrypted_by,
           lambda n=n: zeroed(n), "recover-header-copy")
          for what, n in (("a sector", 512), ("a block", 4096), ("all", COPY))),
        ("recover-header-copy: a block of the first copy zeroed, converting", encrypted_by,
         lambda: zeroed(4096, middle), "recover-header-copy", "resume"),
        ("Bug: a change of the UUID that was interrupted is not two volumes", encrypted_by,
         uuid_half_changed, "recover-header-copy"),
        ("Bug: changed while the lock was waited for", changed_meanwhile),
        ("Bug: a key added while the lock was waited for", key_added_meanwhile),
        ("redo-placement", encrypted_by, half_placed, "redo-placement", "resume"),
        ("finish-placement", encrypted_by,
         lambda: killed_at([m for m in placement if m[0] == "pwrite64"][-1]), "finish-placement",
         "resume"),
        *((f"finish-undo: cut at flush {n}", plain_by, lambda n=n: aborting(n), "finish-undo")
          for n in (4, 5, 6)),
        ("undo-placement", plain_by, image_lost, "undo-placement"),
        ("erase-record", plain_by, record_left, "erase-record"),
        ("the filesystem has grown over the record", grown_over_record),
        *((f"undo-stock-placement: {upto} bytes of a header", plain_by,
           lambda upto=upto: torn_segment(upto), "undo-stock-placement") for upto in (4 * KiB, 8 * KiB)),
        ("undo-block-0, btrfs", block_0, btrfs(), 8),
        ("undo-block-0, ext4, one sector", block_0, small, 1),
        ("erase-transition-block", mark_erased),
        ("resume: placed", encrypted_by, lambda: killed_at(moments["commit"][0]), "resume"),
        ("resume: wipe pending", encrypted_by, lambda: killed_at(end[0]), "resume"),
        ("resume: stock inside a step", encrypted_by, stock_hot, "resume"),
        ("resume: stock stuck at its end", encrypted_by, stock_stuck, "resume"),
        ("killed everywhere", killed_everywhere),
        ("every action was done", all_actions),
    ])
tap.done()
