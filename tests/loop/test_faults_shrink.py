#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device that becomes smaller, or is detached, while coffer works on it: the run never says that
all is well, and never makes an image long again, with a hole where the content was."""
import contextlib
import os

import coffer
from beside import stopped, target, wait_for
from coffer import Box, one_thread
from disk import MiB, block_devices, loop, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
log = os.path.join(folder, "log")


def size_of(where):
    with open(where, "rb") as f:
        return f.seek(0, os.SEEK_END)


def shrink(kind, img, where, size):
    os.truncate(img, size)
    if kind == "block":
        run("losetup", "--set-capacity", where)
    assert size_of(where) == size, (size_of(where), size)


def shrunk(kind, moment, size, verb="encrypt"):
    """The run ends with the sentence that tells it, and so does every later one, which changes
    nothing."""
    img = box.copy()
    begin, cmd = runs[verb]
    if begin:
        coffer.kill_at(*begin, one_thread(img, box.key))
    with target(kind, img) as where, stopped(*moment, cmd(where), log) as p:
        shrink(kind, img, where, size)
        status, said = p.go_on()
        assert status == 6, (status, said)
        assert str(size) in said and str(box.size) in said, said
        assert "othing is lost" not in said, said
        assert size_of(where) == size and os.path.getsize(img) == size, (
            f"it has {os.path.getsize(img)} bytes, and had {size}")
        before = sha256(img)
        again = run(*cmd(where), status=None)
        # a final header no longer tells how large the disk was
        assert again.returncode == 4 and str(box.size if not coffer.is_final(img) else "") in \
            again.stderr, (again.returncode, again.stderr)
        assert os.path.getsize(img) == size and sha256(img) == before, again.stderr


def given_back(kind, moment):
    """Nothing was in what was cut off but what the run itself has not yet put there: with its size
    back, the disk is finished."""
    img = box.copy()
    with target(kind, img) as where, stopped(*moment, one_thread(where, box.key), log) as p:
        shrink(kind, img, where, box.end + MiB)
        status, said = p.go_on()
        assert status == 6, (status, said)
        shrink(kind, img, where, box.size)
        coffer.finish(where, box.key)
    box.check(img)


def detached(moment):
    """The kernel detaches a device that is open when it is closed, so the run ends well."""
    img = box.copy()
    with contextlib.ExitStack() as held:
        held.enter_context(block_devices())
        lent = contextlib.ExitStack()
        where = lent.enter_context(loop(img))
        held.enter_context(lent)
        with stopped(*moment, one_thread(where, box.key), log) as p:
            lent.close()
            assert attached_to(img) == [where], "it is gone at once"
            status, said = p.go_on()
            assert status == 0, (status, said)
        wait_for(lambda: not attached_to(img))
    box.check(img)


def attached_to(img):
    return run("losetup", "--noheadings", "--output", "NAME", "--associated", img).stdout.split()


def unlinked(moment):
    """An image without a name is still the image."""
    img = box.copy()
    other = os.path.join(folder, "other")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(other)
    os.link(img, other)
    with stopped(*moment, one_thread(img, box.key), log) as p:
        os.unlink(img)
        status, said = p.go_on()
        assert status == 0, (status, said)
    assert not os.path.exists(img)
    box.check(other)


with stack:
    box = Box(folder, 5 * MiB, end=3 * MiB)
    moments = coffer.phases(box)
    first = {phase: moments[phase][0][:2] for phase in coffer.PHASES}
    # the moved-segment copy is there, and its record; nothing of the filesystem was touched
    first["placement"] = [m for m in moments["placement"] if m[0] == "pwrite64"][4][:2]
    last = moments["end"][-1][:2]
    # between the last look at the disk and the write that would make it long again
    calls = coffer.trace(one_thread(box.copy(), box.key), "pread64,pwrite64")
    wipe = max(i for i, c in enumerate(calls) if c[:3] == ("pwrite64", box.size - MiB, MiB))
    looked = "pread64", [c[0] for c in calls[:wipe]].count("pread64")
    runs = {"encrypt": (None, lambda where: one_thread(where, box.key)),
            "abort": (first["commit"], lambda where: coffer.command("abort", where))}
    SIZES = {"by a block": box.size - 4096, "to the gap": box.end + MiB, "to L": box.end,
             "to S": MiB}
    rows = [(f"{kind}, {phase}, shrunk {how}", shrunk, kind, first[phase], SIZES[how])
            for kind, phase, how in (
                ("image", "placement", "to the gap"), ("image", "placement", "to L"),
                ("image", "steps", "by a block"), ("image", "steps", "to S"),
                ("image", "end", "by a block"), ("image", "end", "to L"), ("image", "end", "to S"),
                ("block", "placement", "to the gap"), ("block", "steps", "to L"),
                ("block", "end", "by a block"))]
    rows += [
        ("image, shrunk by a block before the wipe", shrunk, "image", looked, box.size - 4096),
        ("image, shrunk to L before the wipe", shrunk, "image", looked, box.end),
        ("block, shrunk to L before the wipe", shrunk, "block", looked, box.end),
        ("image, shrunk in its last flush", shrunk, "image", last, box.end),
        ("block, shrunk in its last flush", shrunk, "block", last, box.end),
        ("abort of an image, shrunk", shrunk, "image", ("pwrite64", 2), box.end, "abort"),
        ("image, its size given back", given_back, "image", first["end"]),
        ("block, its size given back", given_back, "block", first["end"]),
        ("loop device detached in the placement", detached, first["placement"]),
        ("loop device detached in the steps", detached, first["steps"]),
        ("image without a name", unlinked, first["steps"]),
    ]
    tap.run(rows)
tap.done()
