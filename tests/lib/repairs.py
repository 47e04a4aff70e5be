# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that ask for a repair, and what holds for every repair: what the dry run says is what is
done, and what is done leaves nothing to do."""
import contextlib
import functools
import json
import os

import coffer
from coffer import ASAN, COFFER, Box, one_thread
from disk import (KiB, MiB, check_fs, copy_to, loop, luks_metadata, make_tree, mounted, read_at,
                  run, sha256, write_at)
from scratch import folder
from tap import Tap

COPY = 16 * KiB  # one header copy, for S = 1 MiB
seen = set()  # the actions that repaired() was asked for

tap = Tap()
tap.need_root()
small = Box(folder, 6 * MiB, end=4 * MiB)
moments = coffer.phases(small)
placement, steps, end = moments["placement"], moments["steps"], moments["end"]
middle = steps[len(steps) // 2]


def transition_block(calls):
    return next(i for i, m in enumerate(calls) if "(4096 at 0)" in m[2])


mark = transition_block(placement)


@functools.cache
def btrfs():
    return Box(folder, 114 * MiB, fs="btrfs", end=112 * MiB, name="btrfs", fill=4 * MiB)


@functools.cache
def moments_of_btrfs():
    return coffer.phases(btrfs())


def after_mark(box):
    """The call before which the transition block is written, and nothing behind it."""
    calls = placement if box is small else moments_of_btrfs()["placement"]
    return calls[transition_block(calls) + 1][:2]


def report(img, *args, key=None, program=COFFER, status=0, prefix=()):
    p = run(*prefix, program, "repair", "--json", "--key-file", key or small.key, *args, img,
            status=(status,))
    lines = coffer.events(p)
    assert p.stderr == "" and all(e["event"] == "progress" for e in lines[:-1]), p.stdout
    assert lines[-1]["report"] == "repair" and lines[-1]["exit_code"] == status, lines[-1]
    return lines[-1]


def names(r):
    return [a["action"] for a in r["actions"]]


def asks_for(img, *wanted):
    """The dry run names these actions, and changes nothing."""
    before = sha256(img)
    said = report(img, "--dry-run", program=ASAN)
    assert names(said) == list(wanted), said
    assert not said["changed"] and not any(a["done"] for a in said["actions"]), said
    assert sha256(img) == before, "a dry run has changed the disk"
    return said


def has_nothing_to_do(img):
    before = sha256(img)
    for args in ["--dry-run"], ["--yes"]:
        r = report(img, *args)
        assert r["actions"] == [] and not r["changed"], r
    assert sha256(img) == before, "it has changed a disk that asks for nothing"


def repaired(img, *wanted):
    said = asks_for(img, *wanted)
    seen.update(wanted)
    did = report(img, "--yes", program=ASAN)
    assert did["changed"] and all(a["done"] for a in did["actions"]), did
    assert [(a["action"], a["text"]) for a in did["actions"]] == \
        [(a["action"], a["text"]) for a in said["actions"]], (said, did)
    stage, = json.loads(run(COFFER, "status", "--json", img).stdout)["devices"]
    assert did["stage_after"] == stage["stage"], (did["stage_after"], stage)
    has_nothing_to_do(img)
    return did


def is_plain(img):
    assert sha256(img, 0, small.end) == sha256(small.plain, 0, small.end), "the content is not back"
    check_fs(img, "ext4")


def tear(img, which, at=4096 + 100):
    write_at(img, which * COPY + at, os.urandom(64))


def killed_at(moment, box=None):
    box = box or small
    img = box.copy()
    coffer.kill_at(*moment[:2], one_thread(img, box.key))
    return img


def finished():
    img = small.copy()
    coffer.encrypt(img, small.key)
    return img


def torn(which, moment=None, at=4096 + 100):
    img = killed_at(moment) if moment else finished()
    tear(img, which, at)
    return img


def zeroed(n, moment=None):
    img = killed_at(moment) if moment else finished()
    write_at(img, 0, bytes(n))
    return img


def half_placed():
    return killed_at(placement[mark + 3])


def image_lost():
    """Half placed, and the header's image is not what its record names."""
    img = half_placed()
    write_at(img, small.end + 4096 + 5000, os.urandom(64))
    return img


def aborting(n):
    img = killed_at(moments["commit"][0])
    coffer.kill_at("fdatasync", n, coffer.command("abort", img))
    return img


def record_left():
    """Cut before the transition block: the filesystem has not noticed."""
    return killed_at(placement[mark])


def torn_segment(upto=8 * KiB):
    """Stock's header arrived in part, the moved-segment copy did."""
    img, begun = small.copy(), os.path.join(folder, "begun")
    run("cp", img, begun)
    coffer.stock_init(begun, small.key)
    write_at(img, small.size - MiB, read_at(begun, small.size - MiB, MiB))
    write_at(img, 0, read_at(begun, 0, upto))
    os.unlink(begun)
    return img


def stock_begun():
    return coffer.stock_init(small.copy(), small.key)


def stock_hot(n=2):
    img = stock_begun()
    coffer.kill_at("fdatasync", n, coffer.stock_resume(img, small.key))
    assert any("in-reencryption" in s.get("flags", [])
               for s in luks_metadata(img)["segments"].values()), "not inside a step"
    return img


def use(img, fs, grow=0):
    """Really mounted, and written to, as somebody does who does not know."""
    if grow:
        os.truncate(img, os.path.getsize(img) + grow)
    with loop(img) as dev, mounted(dev, fs) as at:
        os.mkdir(os.path.join(at, "new"))
        make_tree(os.path.join(at, "new"), MiB // 2, seed=99)
        if grow:
            run("btrfs", "filesystem", "resize", "max", at)
            with contextlib.suppress(OSError), open(os.path.join(at, "fill"), "wb") as f:
                while True:
                    f.write(os.urandom(MiB))
                    f.flush()
                    os.fsync(f.fileno())
        run("sync", "-f", at)
        return digest(at)


def digest(at):
    return run("sh", "-c", 'cd "$0" && find . -type f | sort | xargs sha256sum', at).stdout


def content(img, fs):
    with loop(img) as dev, mounted(dev, fs, "ro") as at:
        return digest(at)


def marked(box, sectors):
    """The transition block is there, or these sectors of it, and nothing behind it."""
    img = box.copy()
    other = os.path.join(folder, "marked")
    copy_to(img, other)
    coffer.kill_at(*after_mark(box), one_thread(other, box.key))
    assert read_at(other, 0, 14) == b"COFFER-TRANSIT" and read_at(other, 64 * KiB, 4096) == \
        read_at(img, 64 * KiB, 4096), "killed at another moment"
    block = read_at(other, 0, 4096)
    os.rename(other, img)
    write_at(img, 0, block[:512 * sectors] + read_at(box.plain, 512 * sectors, 4096 - 512 * sectors))
    return img


def restored_but_marked():
    """An abort of btrfs(), interrupted before block 0: its superblock is back, the transition
    block is still there."""
    img = killed_at(moments_of_btrfs()["commit"][0], btrfs())
    calls = coffer.trace(coffer.command("abort", copy_to(img, os.path.join(folder, "traced"))))
    os.unlink(os.path.join(folder, "traced"))
    at = [i for i, c in enumerate(calls) if c[0] == "pwrite64" and c[1] == 0 and c[2] == 4096][-1]
    coffer.kill_at("pwrite64", sum(c[0] == "pwrite64" for c in calls[:at + 1]),
                   coffer.command("abort", img))
    assert read_at(img, 0, 14) == b"COFFER-TRANSIT", "killed at another moment"
    return img


def grown_mark():
    img = restored_but_marked()
    saved = sha256(img, btrfs().size - MiB, MiB)
    files = use(img, "btrfs", 160 * MiB)  # btrfs takes no size below 256 MiB from anybody
    assert sha256(img, btrfs().size - MiB, MiB) != saved, "it has not grown over the moved-segment copy"
    return img, files
