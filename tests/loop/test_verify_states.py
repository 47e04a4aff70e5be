#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer verify on interrupted conversions, on what a conversion may leave behind, on disks without a
volume, and with the filesystems' own checkers; and the system calls that it makes on a disk."""
import contextlib
import json
import os
import re

import coffer
from coffer import ASAN, COFFER, Box, one_thread
from disk import MiB, block_devices, loop, luks_metadata, mounted, read_at, run, tempdir, write_at
from tap import Skip, Tap, few
from verifying import (expect, expect_bad, expect_filesystem, reseal, state_of, texts, verdicts,
                       verify, xor)

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
SIZE, END, S = 12 * MiB, 10 * MiB, MiB  # of the small disks
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def encrypted(*args):
    img = small.copy()
    small.encrypt(img, *args)
    return img


# --- remains -------------------------------------------------------------------------------------

def with_record(uuid_then, uuid_now, record, image, status, cut_image=False):
    """The gap as it is while a header is placed, put back when the volume is finished."""
    img = small.copy()
    n = [m for m in moments["placement"] if m[0] == "pwrite64"][5][1]
    coffer.kill_at("pwrite64", n, one_thread(img, small.key, "--uuid", uuid_then))
    gap = bytearray(read_at(img, SIZE - 2 * S, S))
    assert gap.startswith(b"COFFER-RECORD"), gap[:16]
    if cut_image:
        gap[8192:12288] = os.urandom(4096)
    img = small.copy()
    small.encrypt(img, "--uuid", uuid_now)
    write_at(img, SIZE - 2 * S, gap)
    report = verify(img, key=small.key, status=status)
    expect(report, "encrypted", record=record, image=image)


def with_abort_record():
    """The other record, at the other place."""
    img, traced = small.copy(), os.path.join(folder, "traced")
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, small.key))
    uuid = coffer.header(img)["uuid"]
    run("cp", img, traced)
    writes = coffer.trace(coffer.command("abort", traced), "pwrite64")
    record = next(i for i, c in enumerate(writes) if c[1] == SIZE - S - 4096)
    coffer.kill_at("pwrite64", record + 2, coffer.command("abort", img))
    block = read_at(img, SIZE - S - 4096, 4096)
    assert block.startswith(b"COFFER-RECORD"), block[:16]
    img = small.copy()
    small.encrypt(img, "--uuid", uuid)
    write_at(img, SIZE - S - 4096, block)
    report = verify(img, key=small.key, status=3)
    expect(report, "encrypted", record="bad", image="")


def with_segment_copy(plain, with_key, without_key, status):
    """The plain moved segment where a torn wipe, or none, would have left it."""
    img = encrypted()
    write_at(img, SIZE - S, read_at(plain, 0, S))
    report = verify(img)
    expect(report, "encrypted", moved_segment_copy=without_key)
    report = verify(img, key=small.key, status=status)
    expect(report, "encrypted", moved_segment_copy=with_key, filesystem="ok")
    if status == 3:
        with open(os.path.join(TOP, "docs/recovery.md"), encoding="utf-8") as f:
            recipe = re.search(r"^dd if=.*", f.read(), re.M)[0]
        run("sh", "-c", f"D={SIZE} S={S} DEVICE={img}; {recipe.replace('DEVICE', '$DEVICE')}")
        expect(verify(img, key=small.key), "encrypted", moved_segment_copy="ok")
        small.check(img)


# --- half way --------------------------------------------------------------------------------------------

def half_way(call, n):
    """A coffer that was killed anywhere: what there is can be read, and the answer is no."""
    img = small.copy()
    coffer.kill_at(call, n, one_thread(img, small.key))
    judge_half_way(img)


def judge_half_way(img):
    with open(img, "rb") as f:
        luks = f.read(6) == b"LUKS\xba\xbe"
    stage = run(COFFER, "status", "--json", img).stdout
    stage = json.loads(stage)["devices"][0]["stage"]
    if stage in ("reserved", "encrypted"):
        return stage
    report = verify(img, key=small.key, status=3)
    assert report["outcome"] == "no", report
    expect(report, stage, conversion="bad")
    remedy = next(c["remedy"] for c in report["checks"] if c["id"] == "conversion")
    assert remedy == ["coffer", "encrypt", img], remedy
    if luks and stage != "placing":
        expect(report, stage, keyslot="ok", digest="ok ok", metadata="ok", volume_key="ok")
        expect_filesystem(report, small.plain, END)
    if stage == "wipe-pending":
        expect(report, stage, wipe_pending="note")
    return stage


def half_way_by_stock(call, numbers, wanted):
    """Stock, killed at each of these: between steps, inside them, and where it cannot go on."""
    start, seen = os.path.join(folder, "start"), set()
    for n in numbers:
        img = os.path.join(folder, "work")
        run("cp", start, img)
        coffer.kill_at(call, n, coffer.stock_resume(img, small.key))
        bad = [c for c in header_checks(img) if c == "bad"]
        if bad:  # a torn copy: another row's
            continue
        stage = judge_half_way(img)
        if stage == "encrypted":
            verify(img)
        hot = any("in-reencryption" in s.get("flags", [])
                  for s in luks_metadata(img)["segments"].values())
        seen.add("hot" if hot else stage)
    assert wanted <= seen, seen


def header_checks(img):
    p = run(COFFER, "verify", "--json", img, status=None)
    return verdicts(json.loads(p.stdout), "header-primary", "header-secondary")


def at_work():
    """A coffer in the middle of a step: what it moves is not looked at."""
    img = small.copy()
    data = [m[1] for m in moments["steps"] if m[0] == "pwrite64" and f"({S} at " in m[2]]
    with coffer.paused("pwrite64", data[len(data) // 2], one_thread(img, small.key)):
        report = verify(img, key=small.key, status=3)
    expect(report, "converting", keyslot="ok", digest="ok ok", filesystem="unchecked",
           conversion="note")
    small.check(img)


def forged():
    """The offsets of a conversion changed by somebody who has no key (CVE-2021-4122)."""
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    def edit(meta):
        digest = next(d for d in meta["digests"].values() if not d["segments"])
        digest["salt"] = "B" * 43 + "="
    reseal(img, edit)
    report = verify(img, key=small.key, status=3)
    expect(report, "converting", digest="ok bad")
    expect_bad(report, "conversion", "digest")


def other_reencryption():
    img = content(os.urandom(20 * MiB))()
    run("cryptsetup", "luksFormat", "-q", "--type", "luks2", *coffer.FAST, "--key-file", small.key, img)
    run("cryptsetup", "reencrypt", "-q", *coffer.FAST, "--init-only", "--force-offline-reencrypt",
        "--key-file", small.key, img, cwd=folder)
    report = verify(img, key=small.key, status=3)
    expect(report, "other", conversion="bad", filesystem="unchecked")
    remedy = next(c["remedy"] for c in report["checks"] if c["id"] == "conversion")
    assert remedy == ["cryptsetup", "reencrypt", "--resume-only", "--force-offline-reencrypt",
                      img], remedy


def shrunk():
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    os.truncate(img, SIZE - 4096)
    report = verify(img, key=small.key, status=3)
    expect(report, "shrunk", size="bad", keyslot="ok", filesystem="")


def half_aborted():
    img = small.copy()
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, small.key))
    coffer.kill_at("pwrite64", 4, coffer.command("abort", img))
    report = verify(img, key=small.key, status=3)
    expect(report, "undoing", conversion="bad")


# --- no volume at all --------------------------------------------------------------------------------------

def plain(make, stage, status, checks):
    report = verify(make(), status=status)
    expect(report, stage, **checks)
    # Bug: verify did not say what status says of a lost header, nor repair of 64 bytes
    if checks["filesystem"] == "note":
        reason = report["status"]["why"]
        assert reason and report["message"].endswith(reason), report
        found = json.loads(run(ASAN, "repair", "--dry-run", "--json", report["device"],
                               status=None).stdout)["findings"]
        assert all(f["text"] == reason for f in found), found


def content(data):
    def make():
        path = os.path.join(folder, "content")
        with open(path, "wb") as f:
            f.write(data)
        return path
    return make


def stale_record():
    """Cut before the first changed byte: the filesystem lives, the record lies after it."""
    img = small.copy()
    n = [m for m in moments["placement"] if m[0] == "pwrite64"][4][1]
    coffer.kill_at("pwrite64", n, one_thread(img, small.key))
    report = verify(img, status=3)
    expect(report, "reserved", record="note", filesystem="ok")


def torn_by_stock():
    """Stock's first write, cut: half a header over the moved segment."""
    img = small.copy()
    coffer.stock_init(img, small.key)
    header = read_at(img, 0, 16384)
    write_at(img, 0, read_at(small.plain, 0, S))
    write_at(img, 0, header[:8192])
    report = verify(img, key=small.key, status=6)
    expect(report, "damaged", damage="bad")
    assert report["outcome"] == "needs-repair", report


def refused(target, status, why):
    report = json.loads(run(ASAN, "verify", "--json", target, status=(status,)).stdout)
    assert coffer.why(report) == why and "checks" not in report, report


# --- the checker ---------------------------------------------------------------------------------------------

def checked_plain(fs, img, verdict):
    report = verify(img, "--check-filesystem", status=3)
    expect(report, report["status"]["stage"], check_filesystem=verdict)
    return texts(report, "check-filesystem")


def broken_plain():
    img = small.copy()
    run("debugfs", "-w", "-R", "clri <2>", img)
    before = state_of(img)
    text = checked_plain("ext4", img, "bad")
    assert "Root inode is not a directory" in text, text
    assert state_of(img) == before


def no_checker():
    """Nothing is found wrong where nothing was looked at."""
    img = small.copy()
    report = verify(img, "--check-filesystem", status=3, env=dict(os.environ, PATH="/nonexistent"),
                    prefix=["/usr/bin/unshare", "--mount", "/bin/sh", "-c",
                            "for d in /usr/sbin /sbin /usr/local/sbin; do "
                            "/bin/mount -t tmpfs none $d || exit; done; exec \"$@\"", "sh"])
    expect(report, "reserved", check_filesystem="unchecked")
    assert "e2fsck" in texts(report, "check-filesystem"), report["checks"]


def checked_mounted():
    img = small.copy()
    with block_devices(), loop(img) as dev, mounted(dev, "ext4"):
        p = run(ASAN, "verify", "--json", "--check-filesystem", dev, status=(3,))
        report = json.loads(p.stdout)
    expect(report, report["status"]["stage"], check_filesystem="unchecked", filesystem="ok")


def checked_encrypted():
    """On a kernel without device-mapper it says so; tests/uml has one with it."""
    if os.path.exists("/sys/class/misc/device-mapper"):
        raise Skip("this kernel has device-mapper: tests/uml looks at that")
    img = encrypted()
    for key in (small.key, None):
        report = verify(img, "--check-filesystem", key=key, status=3)
        expect(report, "encrypted", check_filesystem="unchecked")
        assert coffer.why(report) == "check-filesystem EOPNOTSUPP", report


def checked_half_way():
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    report = verify(img, "--check-filesystem", key=small.key, status=3)
    expect(report, "converting", check_filesystem="unchecked")


# --- system calls ------------------------------------------------------------------------------------------

def system_calls(damage):
    """The device is opened for reading once, and nothing but looking is done with it. The calls of
    all children count too."""
    img = encrypted()
    damage(img)
    with tempdir() as logs:
        log = os.path.join(logs, "log")
        run("strace", "-f", "-y", "-o", log, COFFER, "verify", "--key-file", small.key,
            "--check-filesystem", "--tokens", img, status=None)
        with open(log, errors="replace") as f:
            lines = [line for line in f if img in line]
    used = set()
    for line in lines:
        m = re.match(r"\d+ +(\w+)\(", line)
        if not m:
            continue
        used.add(m[1])
        if m[1] == "openat":
            assert "O_RDONLY" in line and "O_TRUNC" not in line and "O_CREAT" not in line, line
    looking = {"execve", "openat", "stat", "newfstatat", "fstat", "statx", "lstat", "pread64", "read",
               "lseek", "close", "close_range", "dup2", "fstatfs", "fcntl", "flock", "fadvise64", "ioctl", "access", "faccessat",
               "faccessat2", "readlink", "readlinkat", "write"}
    assert "pread64" in used and "openat" in used, used
    assert used <= looking, used - looking
    for line in lines:
        m = re.match(r"\d+ +(write|ioctl|fcntl)\((\d+)<([^>]*)>(.*)", line)
        if m and m[3] == img:
            assert m[1] != "write", line
            if m[1] == "ioctl":
                assert "BLK" not in m[4] or "BLKGETSIZE" in m[4], line


with stack:
    small = Box(folder, SIZE, end=END)
    xfs = Box(folder, 40 * MiB, "xfs", 38 * MiB, name="xfs")
    btrfs = Box(folder, 128 * MiB, "btrfs", 126 * MiB, name="btrfs", fill=MiB)
    moments = coffer.phases(small)
    middle = moments["steps"][5][:2]
    start = small.copy("start")
    coffer.stock_init(start, small.key)
    counted = os.path.join(folder, "counted")
    run("cp", start, counted)
    calls = [c[0] for c in coffer.trace(coffer.stock_resume(counted, small.key), "fsync,fdatasync")]
    fsyncs, fdatasyncs = calls.count("fsync"), calls.count("fdatasync")
    U1, U2 = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
    tap.run([
        ("a record of this volume is left", with_record, U1, U1, "bad", "bad", 3),
        ("a record of another volume is left", with_record, U1, U2, "note", "note", 0),
        ("a record is left, its image is gone", with_record, U1, U1, "bad", "ok", 3, True),
        ("a record of an abort is left", with_abort_record),
        ("the moved-segment copy is left", with_segment_copy, small.plain, "bad", "note", 3),
        ("another filesystem's copy is there", with_segment_copy, xfs.plain, "note", "note", 0),

        *((f"killed: {m[2]}", half_way, *m[:2])
          for phase in coffer.PHASES for m in few(moments[phase], 4)),
        ("stock killed between and inside its steps", half_way_by_stock, "fdatasync",
         few(range(1, fdatasyncs + 1), 3), {"hot"}),
        ("stock killed at its last flushes", half_way_by_stock, "fsync",
         few(range(fsyncs - 6, fsyncs + 1), 4), {"wipe-pending"}),
        ("a coffer at work", at_work),
        ("a forged conversion", forged),
        ("another reencryption", other_reencryption),
        ("a device that has shrunk", shrunk),
        ("an abort, half done", half_aborted),

        ("a filesystem with its reserve", plain, lambda: small.copy(), "reserved", 3,
         dict(filesystem="ok", filesystem_end="ok")),
        ("a filesystem without one", plain, content(read_at(small.plain, 0, END)), "plain", 3,
         dict(filesystem="ok", filesystem_end="ok")),
        ("half a filesystem", plain, content(read_at(small.plain, 0, END // 2)), "plain", 3,
         dict(filesystem="ok", filesystem_end="bad")),
        ("garbage", plain, content(os.urandom(5 * MiB)), "plain", 3, dict(filesystem="note")),
        ("zeros", plain, content(bytes(5 * MiB)), "plain", 3, dict(filesystem="note")),
        ("one byte", plain, content(b"x"), "plain", 3, dict(filesystem="note")),
        ("an empty file", plain, content(b""), "plain", 3, dict(filesystem="note")),
        ("a record after a filesystem that lives", stale_record),
        ("a moved segment that stock's first write has torn", torn_by_stock),
        ("a folder", refused, folder, 4, "ENOTBLK"),
        ("a character device", refused, "/dev/null", 4, "ENOTBLK"),
        ("nothing", refused, os.path.join(folder, "none"), 1, "ENOENT"),

        ("checker: ext4", checked_plain, "ext4", small.plain, "ok"),
        ("checker: xfs", checked_plain, "xfs", xfs.plain, "ok"),
        ("checker: btrfs", checked_plain, "btrfs", btrfs.plain, "ok"),
        ("checker: a broken ext4", broken_plain),
        ("checker: not installed", no_checker),
        ("checker: mounted", checked_mounted),
        ("checker: encrypted, no device-mapper", checked_encrypted),
        ("checker: half way", checked_half_way),

        ("system calls, a whole header", system_calls, lambda img: None),
        ("system calls, a torn header", system_calls, lambda img: xor(img, 4200)),
        ("system calls, both copies torn", system_calls,
         lambda img: (xor(img, 4200), write_at(img, 65536, bytes(64)))),
    ])
tap.done()
