#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sparse image on a filesystem that is really full: at any moment the run fails with ENOSPC, and
is resumed when there is space again."""
import contextlib
import json
import os

import coffer
from coffer import Box, one_thread
from disk import KiB, MiB, mounted, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())


@contextlib.contextmanager
def volume(kind, size):
    """A small filesystem of its own."""
    if kind == "tmpfs":
        with mounted("tmpfs", "tmpfs", f"size={size}") as where:
            yield where
        return
    image = os.path.join(folder, "volume")
    with open(image, "wb") as f:
        f.truncate(size)
    run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", image)
    with mounted(image, "ext4", "loop") as where:
        yield where


def space_in(where):
    st = os.statvfs(where)
    return st.f_bavail * st.f_frsize


def fill(where, leave):
    """A file that takes all but so many bytes."""
    path = os.path.join(where, "ballast")
    left = space_in(where) - leave
    with open(path, "wb") as f:
        while left > 0:
            piece = min(left, 64 * KiB)
            with contextlib.suppress(OSError):
                os.write(f.fileno(), bytes(piece))
            left -= piece
        with contextlib.suppress(OSError):
            os.fsync(f.fileno())
    assert space_in(where) <= leave + 4 * KiB, (space_in(where), leave)
    return path


def no_space(p):
    """The run fails for want of space, and changes nothing or can be resumed."""
    last = coffer.summary(p)
    assert p.returncode in (1, 5) and last["errno"] == "ENOSPC", (p.returncode, last)
    assert last["exit_code"] == p.returncode, last


def stage_of(img):
    return json.loads(run(coffer.COFFER, "status", "--json", img).stdout)["devices"][0]["stage"]


def full(kind, leave, *args):
    """Space for so many bytes more than the sparse image takes: less than the run needs."""
    with volume(kind, 2 * box.size + 2 * MiB) as where:
        img = os.path.join(where, "disk.img")
        run("cp", "--sparse=always", box.plain, img)
        before = sha256(img)
        ballast = fill(where, leave)
        p = run(*one_thread(img, box.key, "--json", *args), status=None)
        no_space(p)
        met.setdefault(stage_of(img), []).append(f"{kind} {leave}")
        assert p.returncode == 5 or sha256(img) == before, "status 1, but the device was changed"
        no_space(run(*one_thread(img, box.key, "--json", *args), status=None))  # still none
        os.unlink(ballast)
        coffer.finish(img, box.key)
        box.check(img)


def full_abort(kind, leave):
    """Abort needs space of its own only where the image has holes."""
    with volume(kind, 2 * box.size + 2 * MiB) as where:
        img = os.path.join(where, "disk.img")
        run("cp", "--sparse=always", box.plain, img)
        coffer.kill_at(*first_commit, one_thread(img, box.key))
        # the moved segment has no blocks any more: a hole where the header had zeros
        run("fallocate", "--dig-holes", img)
        ballast = fill(where, leave)
        no_space(run(*coffer.command("abort", img, None, "--json"), status=None))
        os.unlink(ballast)
        coffer.abort(img)
        assert sha256(img, 0, box.end) == sha256(box.plain, 0, box.end)


def all_were_met():
    """The rows above say little if all of them failed at one place. The end needs no space: it
    writes only where something lies already."""
    for stage in "reserved", "placing", "converting":
        assert met.get(stage), met


def backup(kind):
    """The file of a header's backup does not appear."""
    with volume(kind, 4 * MiB) as where:
        file = os.path.join(where, "backup")
        ballast = fill(where, 64 * KiB)
        img = os.path.join(folder, "encrypted")
        p = run(coffer.COFFER, "header", "backup", "--json", img, "--header-backup-file", file,
                status=(1,))
        assert coffer.summary(p)["errno"] == "ENOSPC", p.stdout
        names = set(os.listdir(where)) - {"lost+found"}
        assert names == {"ballast"}, names
        os.unlink(ballast)
        run(coffer.COFFER, "header", "backup", img, "--header-backup-file", file)


with stack:
    # The reserve is a hole, and so are the free blocks: a run fills both.
    box = Box(folder, 7 * MiB, end=5 * MiB, fill=1 * MiB)
    with open(box.plain, "r+b") as f:
        f.truncate(box.end)
        f.truncate(box.size)
    first_commit = coffer.phases(box)["commit"][0][:2]
    done = box.copy("encrypted")
    coffer.encrypt(done, box.key)
    met = {}
    LEVELS = [0, 4 * KiB, 512 * KiB, 1 * MiB, 1 * MiB + 96 * KiB, 2 * MiB, 5 * MiB // 2, 3 * MiB]
    rows = [(f"{kind}, space for {leave} bytes", full, kind, leave)
            for kind, levels in (("tmpfs", LEVELS), ("ext4", LEVELS[::2] + LEVELS[-1:]))
            for leave in levels]
    rows += [("each part of a run met it", all_were_met),
             ("abort on a full tmpfs", full_abort, "tmpfs", 0),
             ("abort on a full ext4", full_abort, "ext4", 16 * KiB),
             ("header backup on a full tmpfs", backup, "tmpfs"),
             ("header backup on a full ext4", backup, "ext4")]
    tap.run(rows)
    for where, which in met.items():
        print(f"# {where}: {', '.join(which)}")
tap.done()
