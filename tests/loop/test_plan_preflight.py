#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""'coffer plan': each preflight check in the way, and that the run says the same."""
import contextlib
import json
import os
import re

import coffer
from coffer import NOBODY
from disk import MiB, block_devices, loop, make_partitions, mounted, run, write_at
from plans import ALL, PREFLIGHT, all_ok, box, command, plan, refusal, tap, verdicts
from scratch import folder, image, raw, stack


def bad(id_, make, *args, status=4, words=(), unchecked=()):
    """One check is in the way, and the run says the same."""
    img = make()
    report = plan(img, *args, status=(status,))
    found = verdicts(report)
    assert [i for i, v in found.items() if v == "bad"] == [id_], report["preflight"]
    assert [i for i, v in found.items() if v == "unchecked"] == list(unchecked), report["preflight"]
    assert "to_move" not in report and not report["phases"], report
    g = refusal(report, id_)
    p = coffer.encrypt(img, box.key, "--dry-run", *args, status=(status,) if id_ != "new-header"
                       else (1, 4))
    assert g["text"] in p.stderr and g.get("advice", "") in p.stderr, f"{g}\n{p.stderr}"
    for word in words:
        assert re.search(word, g.get("advice", g["text"])), g


def partitioned():
    img = raw(12 * MiB)
    make_partitions(img, "gpt", "start=2048\n")
    return img


def luks1():
    img = raw(24 * MiB)
    run("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", *coffer.FAST, "--key-file",
        box.key, img)
    return img


def lone_magic():
    img = raw(24 * MiB)
    run("cryptsetup", "luksFormat", "--batch-mode", *coffer.FAST, "--key-file", box.key, img)
    write_at(img, 8, b"\xff" * 8)  # an impossible size of the first copy
    write_at(img, 16384, bytes(6))
    return img


def two_devices():
    one, two = raw(128 * MiB), raw(128 * MiB)
    run("mkfs.btrfs", "-q", "-f", "-b", 112 * MiB, one, two)
    os.unlink(two)
    return one


def absurd():
    img = box.copy("absurd")
    write_at(img, 1024 + 24, b"\xff")
    return img


def hibernated():
    img = raw(12 * MiB)
    run("mkswap", "-q", img)
    write_at(img, 4086, b"S1SUSPEND\0")
    return img


def hibernated_elsewhere():
    with block_devices(alone=True), loop(box.copy("victim")) as victim, \
            loop(hibernated()) as suspended:
        report = plan(victim, status=(4,), disk=victim)
        g = refusal(report, "hibernation")
        assert suspended in g["text"] and "mkswap" in g["advice"], g


def block_device():
    """The same preflight checks, and one more; a mounted filesystem, too, can be planned for."""
    with block_devices(), loop(box.copy("block")) as dev:
        report = plan(dev, *ALL)
        assert list(verdicts(report)) == [*PREFLIGHT, "hibernation", "new-header"]
        with mounted(dev, "ext4", "ro,noload") as at:
            report = plan(dev, *ALL, status=(4,))
            g = refusal(report, "exclusive")
            assert at in g["text"] and g["advice"], g
            assert report["steps"] == 10 and report["to_move"] == box.end, report
            all_ok(report, "exclusive")


def attached():
    img = box.copy("attached")
    with loop(img) as dev:
        g = refusal(plan(img, status=(4,)), "exclusive")
        assert dev in g["text"] and "losetup -d" in g["advice"], g


def at_work(block):
    img = box.copy("work")
    with contextlib.ExitStack() as s:
        if block:
            s.enter_context(block_devices())
            img = s.enter_context(loop(img))
        with coffer.paused("fdatasync", 21, coffer.command("encrypt", img, box.key, "--threads",
                                                           "1")):
            report = plan(img, status=(4,))
            assert verdicts(report, "exclusive") == ["bad"], report["preflight"]
            assert report["status"]["stage"] == "converting", report["status"]


def read_only_device():
    with block_devices(), loop(box.copy("ro"), "--read-only") as dev:
        refusal(plan(dev, status=(4,)), "writable")


def as_nobody(mode, *, refused_by=None):
    """An ordinary user who may read the image; then the lock folder of root's is not for him."""
    img = box.copy("nobody")
    program = os.path.join(folder, "coffer")
    coffer.install(program)
    os.chmod(folder, 0o755)
    os.chmod(img, mode)
    report = plan(img, *ALL, status=(4 if refused_by else 0,), prefix=NOBODY, program=program)
    assert verdicts(report, "locks") == ["note"], report["preflight"]
    if refused_by:
        refusal(report, refused_by)
    return img, report


def nobody_runs():
    img, report = as_nobody(0o666)
    os.chmod(box.key, 0o644)
    program = os.path.join(folder, "coffer")
    p = run(*NOBODY, *coffer.command("encrypt", img, box.key, "--json", *ALL, program=program))
    summary = coffer.events(p)[-1]
    assert summary["flushes"] == report["flushes"], (summary["flushes"], report["flushes"])


def no_plan(target, status, why):
    p = run(*command(target, "--json"), status=(status,))
    report = json.loads(p.stdout)
    assert report["report"] == "plan" and report["exit_code"] == status, report
    assert report["device"] == target and "preflight" not in report, report
    assert coffer.why(report) == why, report
    p = run(*command(target), status=(status,))
    assert p.stdout == "" and p.stderr.startswith("coffer: "), (p.stdout, p.stderr)


with stack:
    tap.run([
        ("preflight content: partition table", lambda: bad(
            "content", partitioned,
            unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
        ("preflight content: LUKS1", lambda: bad(
            "content", luks1, words=["coffer status"],
            unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
        ("preflight content: LUKS2 without a header", lambda: bad(
            "content", lone_magic, status=6, words=["coffer header restore"],
            unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
        ("preflight content: hibernated", lambda: bad(
            "content", hibernated, words=["mkswap"],
            unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
        ("preflight filesystem: nothing known", lambda: bad(
            "filesystem", lambda: raw(12 * MiB), words=["--device-size"],
            unchecked=["single-device", "reserve", "sector-size"])),
        ("preflight filesystem: an absurd superblock", lambda: bad(
            "filesystem", absurd,
            unchecked=["single-device", "reserve", "sector-size"])),
        ("preflight filesystem: too small", lambda: bad(
            "filesystem", lambda: raw(512),
            unchecked=["single-device", "reserve", "sector-size"])),
        ("preflight single-device", lambda: bad("single-device", two_devices)),
        ("preflight reserve: none", lambda: bad(
            "reserve", lambda: image(12 * MiB, "ext4", 12 * MiB), words=["resize2fs"],
            unchecked=["sector-size"])),
        ("preflight reserve: odd size", lambda: bad(
            "reserve", lambda: raw(12 * MiB + 100, (0, b"x")), "--device-size", "8M", words=["truncate"],
            unchecked=["single-device", "sector-size"])),
        ("preflight sector-size", lambda: bad(
            "sector-size", lambda: image(12 * MiB, "ext4", 8 * MiB, block_size=1024), "--sector-size",
            "4096", words=["--sector-size 512"])),
        ("preflight header: too large", lambda: bad(
            "header", lambda: box.copy("c"), "--luks2-keyslots-size", "2M")),
        ("preflight new-header: what libcryptsetup does not take", lambda: bad(
            "new-header", lambda: box.copy("c"), "--luks2-keyslots-size", "4K")),
        ("preflight hibernation", hibernated_elsewhere),
        ("preflight exclusive: block device, mounted", block_device),
        ("preflight exclusive: image attached to a loop device", attached),
        ("preflight exclusive: a coffer at work, image", at_work, False),
        ("preflight exclusive: a coffer at work, block device", at_work, True),
        ("preflight writable: block device", read_only_device),
        ("preflight writable: an image that nobody may write", lambda: as_nobody(
            0o444, refused_by="writable")),
        ("an ordinary user: the flushes of his run", nobody_runs),
        ("folder", no_plan, folder, 4, "ENOTBLK"),
        ("no such file", no_plan, os.path.join(folder, "missing"), 1, "ENOENT"),
    ])
tap.done()
