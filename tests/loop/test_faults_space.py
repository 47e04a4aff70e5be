#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sparse image on a filesystem that is full, truly: whatever the moment, the run says that room is
missing, and goes on when there is some."""
import contextlib
import os
import re

import coffer
from coffer import Box, one_thread
from disk import KiB, MiB, mounted, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
WORDS = "free some space on the filesystem that holds it"


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


def room_in(where):
    st = os.statvfs(where)
    return st.f_bavail * st.f_frsize


def fill(where, leave):
    """A file that takes all but so many bytes."""
    path = os.path.join(where, "ballast")
    left = room_in(where) - leave
    with open(path, "wb") as f:
        while left > 0:
            piece = min(left, 64 * KiB)
            with contextlib.suppress(OSError):
                os.write(f.fileno(), bytes(piece))
            left -= piece
        with contextlib.suppress(OSError):
            os.fsync(f.fileno())
    assert room_in(where) <= leave + 4 * KiB, (room_in(where), leave)
    return path


def seen_at(said):
    """Which part of the run met the end of the room."""
    if "save the first" in said:
        return "save"
    if "place the header" in said:
        return "place"
    if "convert below" in said:
        return "steps"
    return "elsewhere"


def full(kind, leave, *args):
    """Room for so many bytes more than the sparse image takes: less than the run needs."""
    with volume(kind, 2 * box.size + 2 * MiB) as where:
        img = os.path.join(where, "disk.img")
        run("cp", "--sparse=always", box.plain, img)
        before = sha256(img)
        ballast = fill(where, leave)
        p = run(*one_thread(img, box.key, *args), status=None)
        met.setdefault(seen_at(p.stderr), []).append(f"{kind} {leave}")
        assert p.returncode in (1, 5), (p.returncode, p.stderr)
        assert "No space left on device" in p.stderr and WORDS in p.stderr, p.stderr
        if p.returncode == 1:
            assert sha256(img) == before, p.stderr
        else:
            assert re.search(f"resume with: coffer encrypt .*{img}\n", p.stderr), p.stderr
        again = run(*one_thread(img, box.key, *args), status=None)  # still none
        assert again.returncode in (1, 5) and "No space left" in again.stderr, again.stderr
        os.unlink(ballast)
        coffer.finish(img, box.key)
        box.check(img)


def full_abort(kind, leave):
    """Abort needs room of its own only where the image has holes."""
    with volume(kind, 2 * box.size + 2 * MiB) as where:
        img = os.path.join(where, "disk.img")
        run("cp", "--sparse=always", box.plain, img)
        coffer.kill_at(*first_commit, one_thread(img, box.key))
        # the head's place has no blocks any more: a hole where the header had zeros
        run("fallocate", "--dig-holes", img)
        ballast = fill(where, leave)
        p = run(*coffer.command("abort", img), status=None)
        assert p.returncode in (1, 5), (p.returncode, p.stderr)
        assert "No space left on device" in p.stderr and WORDS in p.stderr, p.stderr
        os.unlink(ballast)
        coffer.abort(img)
        assert sha256(img, 0, box.end) == sha256(box.plain, 0, box.end)


def all_were_met():
    """The rows above say little if all of them failed at one place. The end needs no room: it
    writes only where something lies already."""
    for where in "save", "place", "steps":
        assert met.get(where), met


def backup(kind):
    """The file of a header's backup does not appear."""
    with volume(kind, 4 * MiB) as where:
        file = os.path.join(where, "backup")
        ballast = fill(where, 64 * KiB)
        img = os.path.join(folder, "encrypted")
        p = run(coffer.COFFER, "header", "backup", img, "--header-backup-file", file, status=None)
        assert p.returncode == 1 and "No space left on device" in p.stderr, (p.returncode, p.stderr)
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
    rows = [(f"{kind}, room for {leave} bytes", full, kind, leave)
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
