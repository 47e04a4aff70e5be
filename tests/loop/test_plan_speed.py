#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""'coffer plan': where the speed is measured, and the time of a real run. It is held against it
within a factor, since machines are noisy."""
import contextlib
import json
import os

import beside
import coffer
from disk import MiB, block_devices, loop, make_image, mounted, run, tempdir
from plans import ALL, box, command, holes, plan, tap
from scratch import folder, image, path_of, stack


def limited():
    img = holes("ext4")
    report = plan(img, "--max-rate", "1M", speed=True)
    assert report["seconds"]["low"] >= report["to_move"] / MiB - 0.01, report["seconds"]
    report = plan(img, "--max-rate", "1M", "--free-space", "fill", speed=True)
    assert report["seconds"]["low"] >= report["data_size"] / MiB - 0.01, \
        ("what is filled counts", report["seconds"])


def check_speed(speed, where, same):
    assert speed["measured"], speed
    assert speed["where"] == where and speed["same_filesystem"] == same, speed


def beside():
    img = box.copy("beside")
    before = sorted(os.listdir(folder))
    report = plan(img, speed=True)
    check_speed(report["speed"], os.path.realpath(folder), True)
    s = report["seconds"]
    assert 0 < s["low"] <= s["median"] <= s["high"], s
    assert sorted(os.listdir(folder)) == before, "the scratch file is still there"


def elsewhere():
    there = stack.enter_context(tempdir())
    report = plan(box.copy("there"), "--scratch", there, speed=True)
    check_speed(report["speed"], there, True)
    with block_devices(), loop(box.copy("there")) as dev:
        report = plan(dev, speed=True, env=dict(os.environ, TMPDIR=there))
        check_speed(report["speed"], there, False)
    assert os.listdir(there) == [], "the scratch file is still there"


def unmeasured(make):
    """Without a scratch file there is a plan all the same, and a sentence instead of a time."""
    with make() as where:
        report = plan(box.copy("unmeasured"), *ALL, "--scratch", where, speed=True)
        assert report["possible"] and report["steps"] == 10, report
        assert "seconds" not in report and report["speed"]["measured"] is False, report
        p = run(*command(box.copy("unmeasured"), "--scratch", where))
        assert report["speed"]["why"] in p.stdout, (report["speed"], p.stdout)
        if os.path.isdir(where):
            assert not [n for n in os.listdir(where) if "coffer" in n], os.listdir(where)


def with_a_name():
    """A filesystem that makes no file without a name: it has one, for a moment."""
    there = stack.enter_context(tempdir())
    log = path_of("strace")
    p = run("strace", "-f", "-o", log, "-P", there, "-e", "trace=openat", "-e",
            "inject=openat:error=EOPNOTSUPP:when=1", *command(box.copy("named"), "--json",
                                                              "--scratch", there))
    check_speed(json.loads(p.stdout)["speed"], there, True)
    with open(log, errors="replace") as f:
        assert "O_TMPFILE" in f.read(), "nothing was injected"
    assert os.listdir(there) == [], "the scratch file is still there"


@contextlib.contextmanager
def missing():
    yield os.path.join(folder, "missing")


@contextlib.contextmanager
def small_filesystem():
    img = path_of("small")
    make_image(img, 64 * MiB, "ext4", 64 * MiB)
    with loop(img) as dev, mounted(dev, "ext4") as at:
        yield at


@contextlib.contextmanager
def read_only_filesystem():
    img = path_of("small")
    make_image(img, 64 * MiB, "ext4", 64 * MiB)
    with loop(img) as dev, mounted(dev, "ext4", "ro,noload") as at:
        yield at


@contextlib.contextmanager
def memory():
    with mounted("none", "tmpfs", "size=1G") as at:
        yield at


def quota():
    """A limit on the size of files, which a write would meet with a signal."""
    img = image(6 * MiB, "ext4", 4 * MiB)
    cmd = command(img, "--json", "--scratch", folder)
    p = run("prlimit", f"--fsize={7 * MiB}", *cmd)
    speed = json.loads(p.stdout)["speed"]
    assert speed["measured"] is False and speed["why"], speed


FACTOR = 4


def estimate(size, reserve):
    """The real time lies within a factor of what was told."""
    img = path_of("estimate")
    make_image(img, size, "ext4", size - (64 * MiB if reserve == "64M" else 32 * MiB))
    args = [*ALL, "--reduce-device-size", reserve]
    ratios = []
    for tries in range(3):  # another process may have had the disk at that moment
        copy = path_of("copy")
        run("cp", "--sparse=never", img, copy)
        p = run(*command(copy, "--json", *args))
        told = json.loads(p.stdout)["seconds"]
        p = coffer.encrypt(copy, box.key, "--json", *args)
        real = coffer.events(p)[-1]["seconds"]
        os.unlink(copy)
        ratios.append(real / told["median"])
        print(f"# {size // MiB} MiB, reserve {reserve}: told {told['low']:.2f} to "
              f"{told['high']:.2f} s, median {told['median']:.2f} s; took {real:.2f} s, "
              f"ratio {ratios[-1]:.2f}", flush=True)
        if told["low"] / FACTOR <= real <= told["high"] * FACTOR:
            return
    raise AssertionError(f"real time to told time: {ratios}")


with stack:
    tap.run([
        ("rate: no faster than asked for", limited),
        ("speed: beside the image", beside),
        ("speed: elsewhere", elsewhere),
        ("speed: a file with a name", with_a_name),
        ("speed: no folder", unmeasured, missing),
        ("speed: no space", unmeasured, small_filesystem),
        ("speed: read-only filesystem", unmeasured, read_only_filesystem),
        ("speed: in memory", unmeasured, memory),
        ("speed: a limit on files", quota),
        ("estimate: small steps", estimate, 256 * MiB, "2M"),
        ("estimate: usual steps", estimate, 512 * MiB, "32M"),
    ])
tap.done()
