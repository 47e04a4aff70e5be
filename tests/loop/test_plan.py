#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""'coffer plan': what it counts is what a run then does, what it refuses is what a run refuses, and
it changes nothing. Bytes and flushes are held against those of a real run, by strace and by the
run's own report."""
import contextlib
import os
import re

import coffer
from coffer import COFFER
from disk import HANG, MiB, block_devices, loop, make_image, run, write_at
from plans import (ALL, AUTO, PREFLIGHT, all_ok, box, command, cut_after, holes, plan, refusal,
                   tap, verdicts)
from scratch import folder, image, path_of, raw, stack
from tap import few


def written(img, cmd, placing):
    """Bytes that cmd writes to img: without the header's commits, and theirs; and flushes of it.
    A placement ends with the first header copy, whole; what comes after that are commits."""
    log = path_of("strace")
    run("strace", "-f", "-y", "-o", log, "-e", "trace=pwrite64,write,pwritev,fdatasync,fsync", *cmd,
        timeout=HANG)
    copy_size = coffer.header(img)["hdr_size"]
    total = commits = flushes = 0
    begun, halves = not placing, {}
    name = re.escape(os.path.realpath(img))
    with open(log, errors="replace") as f:
        for line in f:
            pid = line.split()[0]
            if "unfinished ..." in line:  # another thread's call came between
                halves[pid] = line.split(" <unfinished")[0]
                continue
            if " resumed>" in line:
                line = halves.pop(pid) + line.split(" resumed>")[1]
            if not re.search(r"\w\(\d+<" + name + ">", line):
                continue
            result = int(re.search(r"= (-?\d+)$", line)[1])
            assert result >= 0, line
            if re.search(r"f(data)?sync\(", line):
                flushes += 1
                continue
            at = int(re.search(r", (\d+)\) += \d+$", line)[1])
            if begun and at + result <= 2 * copy_size:
                commits += result
            else:
                total += result
            begun = begun or (at, result) == (0, copy_size)
    return total, commits, flushes, copy_size


def as_run(img, *args, flags=(), prefix=()):
    """The plan for img agrees with the run that follows it."""
    report = plan(img, *args)
    assert report["possible"], report
    json_line = [*prefix, *coffer.command("encrypt", img, box.key, "--threads", "1", "--json", *args)]
    placing = report["status"]["operation"] in ("start", "redo-placement")
    total, commits, flushes, copy_size = written(img, json_line, placing)
    exact = report["to_write"] - report["to_commit"]
    assert report["exact"] and exact == total, f"plan {exact}, run {total}"
    assert 2 * copy_size <= commits <= report["to_commit"], (commits, report["to_commit"])
    assert report["flushes"] == flushes, f"plan {report['flushes']}, run {flushes}"
    return report


def fresh(fs, size, end, *args, **kw):
    img = path_of(fs)
    make_image(img, size, fs, end, **kw)
    report = as_run(img, *ALL, *args)
    assert list(verdicts(report)) == [*PREFLIGHT, "new-header"], report["preflight"]
    all_ok(report)
    assert report["status"]["stage"] == "reserved" or args, report["status"]
    assert [s["phase"] for s in report["phases"]] == ["save", "place", "convert", "finalize"]
    shift = report["data_offset"]
    assert report["to_move"] == report["data_size"] == report["device_size"] - 2 * shift
    assert report["steps"] == -(-report["to_move"] // shift)
    os.unlink(img)


def run_says_the_same(*args):
    """The layout, too, and the run's own count of flushes."""
    img = box.copy("same")
    report = plan(img, *args)
    summary = coffer.events(coffer.encrypt(img, box.key, "--json", *args))[-1]
    for mine, its in (("device_size",) * 2, ("data_offset",) * 2, ("data_size",) * 2,
                      ("sector_size",) * 2, ("cipher",) * 2, ("to_move", "bytes_moved"),
                      ("flushes",) * 2, ("used_only",) * 2):
        assert report[mine] == summary[its], (mine, report[mine], summary[its])
    for what in "free_space", "all_because":
        assert report.get(what) == summary.get(what), (report, summary)


def known_by_size():
    img = raw(12 * MiB, (0, os.urandom(MiB)))
    report = as_run(img, "--device-size", str(7 * MiB + 1000))
    assert verdicts(report, "filesystem", "single-device", "used-only") == [
        "note", "unchecked", "note"], report["preflight"]
    assert report["used_only"] is False and report["all_because"], report


def used(how, *args):
    """Of ext4 it is known which blocks are used, and so is all that follows."""
    img = holes("ext4")
    report = as_run(img, *AUTO, "--free-space", how, *args)
    assert list(verdicts(report)) == [*PREFLIGHT, "new-header", "used-only"], report["preflight"]
    all_ok(report)
    assert report["used_only"] and report["free_space"] == how, report
    assert 8 * MiB < report["to_move"] < 20 * MiB, report
    assert (report["to_write"] > 60 * MiB) == (how == "fill"), report


def estimated(fs, size, end):
    """A superblock's count is about right: what is moved lies within 2 MiB, or a fourth, of it."""
    img = holes(fs, size, end)
    report = plan(img)
    assert report["exact"] is False and report["used_only"], report
    assert verdicts(report, "used-only") == ["note"], report["preflight"]
    summary = coffer.events(coffer.encrypt(img, box.key, "--json", *AUTO))[-1]
    assert summary["used_only"], summary
    slack = max(2 * MiB, report["to_move"] // 4)
    assert abs(summary["bytes_moved"] - report["to_move"]) <= slack, (summary, report["to_move"])


def dirty():
    """Where it is not certain what is used, all is, and --used-only=yes is refused. Bug: only auto
    was named as the way out."""
    img = holes("ext4")
    run("debugfs", "-w", "-R", "feature needs_recovery", img)
    report = plan(img)
    assert report["exact"] and report["used_only"] is False, report
    assert report["to_move"] == report["data_size"] and report["all_because"], report
    assert "free_space" not in report and verdicts(report, "used-only") == ["note"], report
    report = plan(img, "--used-only", "yes", status=(4,))
    g = refusal(report, "used-only")
    assert "mount and unmount the filesystem first" in g["text"] and "auto" in g["advice"], g
    assert "to_move" not in report and not report["phases"], report
    p = coffer.encrypt(img, box.key, "--dry-run", "--used-only", "yes", status=(4,))
    assert g["text"] in p.stderr, (g, p.stderr)


def rest():
    """Of a conversion under way only the key can tell whether its map holds: all is counted."""
    img = holes("ext4")
    coffer.kill_at("fdatasync", 14,
                   coffer.command("encrypt", img, box.key, "--threads", "1", *AUTO))
    report = plan(img)
    assert report["status"]["stage"] == "placed" and report["exact"] is False, report
    assert plan(img, *ALL)["exact"], "everything is exact"
    summary = coffer.events(coffer.encrypt(img, box.key, "--json", *AUTO))[-1]
    assert summary["used_only"] and summary["bytes_moved"] < report["to_move"], summary
    assert summary["flushes"] < report["flushes"], summary


# The flushes of a run, at which it is killed with its writes done: 1 the first look, 2 to 5 save,
# 6 the transition block, 7 masked blocks, 8 body, 9 and 10 the header, 11 the record is erased, 12 a
# look, 13 and 14 the first commit, then three for each step.
CUTS = [
    # name, flush, stage, what a run finds, stages that are left
    ("nothing was written", 1, "reserved", "start", ["save", "place", "convert", "finalize"]),
    ("it is said that the moved segment is saved", 2, "reserved", "start",
     ["save", "place", "convert", "finalize"]),
    ("the moved segment was saved", 5, "reserved", "start",
     ["save", "place", "convert", "finalize"]),
    ("the transition block is written", 6, "placing", "redo-placement",
     ["place", "convert", "finalize"]),
    ("the body is there", 8, "placing", "redo-placement", ["place", "convert", "finalize"]),
    ("one header copy is there", 9, "placing", "finish-placement", ["place", "convert", "finalize"]),
    ("both header copies are there", 10, "placing", "finish-placement", ["place", "convert", "finalize"]),
    ("the header is placed", 12, "placed", "convert", ["convert", "finalize"]),
    ("the first step", 17, "converting", "convert", ["convert", "finalize"]),
    ("half way", 14 + 3 * 5, "converting", "convert", ["convert", "finalize"]),
    ("the last step", 14 + 3 * 10, "wipe-pending", "finalize", ["finalize"]),
    ("one final copy", 14 + 3 * 10 + 3, "encrypted", "sync-final", ["finalize"]),
]


def cut(flushes, stage, found, stages):
    img = box.copy("cut")
    cut_after(img, flushes)
    report = plan(img, *ALL)
    status = report["status"]
    assert (status["stage"], status["operation"]) == (stage, found), status
    assert [s["phase"] for s in report["phases"]] == stages, report["phases"]
    if found != "sync-final":
        assert report["to_move"] == box.end - status.get("bytes_converted", 0), report
    assert verdicts(report, "state") == ["ok"]
    # Bug: "resume at 0 B of 0 B", and a cipher without a name, while the header is being placed
    text = run(COFFER, "plan", "--no-speed", *coffer.SMALL, img).stdout
    dry = coffer.encrypt(img, box.key, "--dry-run").stderr
    assert " of 0 B" not in text + dry and not re.search(r"cipher +\d", text), (text, dry)
    as_run(img, *ALL)
    box.check(img)


def restoring():
    """An abort that was interrupted: it is finished first, and what comes then is not promised."""
    img = box.copy("undoing")
    cut_after(img, 13)
    coffer.kill_at("fdatasync", 6, coffer.command("abort", img))
    report = plan(img)
    assert report["status"]["stage"] == "undoing", report["status"]
    assert [s["phase"] for s in report["phases"]] == ["undo"] and report["steps"] == 0, report


def others(make, stage, status, command=""):
    img = make()
    report = plan(img, status=(status,))
    bad = refusal(report, "state")
    assert command in bad["text"] + bad.get("advice", ""), bad
    assert report["status"]["stage"] == stage and not report["phases"], report
    assert report["message"] and report["speed"]["measured"] is False
    p = coffer.encrypt(img, box.key, "--dry-run", status=(status,))
    assert bad["text"] in p.stderr and command in p.stderr, f"{bad['text']}\n{p.stderr}"


def encrypted_text():
    img = box.encrypted()
    p = run(*command(img, "--no-speed"), status=(4,))
    assert "yet" not in p.stdout and f"coffer verify {img}" in p.stdout, p.stdout


def shrunk():
    img = box.copy("shrunk")
    cut_after(img, 17)
    os.truncate(img, box.size - MiB)
    return img


def foreign():
    img = box.encrypted()
    run("cryptsetup", "reencrypt", "--init-only", "--batch-mode", "--force-offline-reencrypt",
        *coffer.FAST, "--key-file", box.key, img)
    return img


def damaged():
    img = box.copy("damaged")
    cut_after(img, 7)
    write_at(img, box.size - MiB + 5000, b"not the moved segment")
    return img


def only_reads(block):
    """No call that writes, on any descriptor of the device, and none that mounts."""
    img = box.copy("reads")
    with contextlib.ExitStack() as s:
        if block:
            s.enter_context(block_devices())
            img = s.enter_context(loop(img))
        before = os.stat(img)
        log = path_of("strace")
        run("strace", "-f", "-y", "-o", log, *command(img, "--scratch", folder), timeout=HANG)
        after = os.stat(img)
        assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
        real = re.escape(os.path.realpath(img))
        opened = writes = 0
        with open(log, errors="replace") as f:
            for line in f:
                assert not re.search(r"\b(mount|umount2?|fsmount|move_mount|open_tree)\(", line), line
                if re.search(r"open(at)?\(.*" + real + '"', line):
                    opened += 1
                    assert "O_RDONLY" in line and "O_EXCL" not in line, line
                if re.search(r"\b(p?writev?2?|pwrite64|fallocate|ftruncate|fdatasync|fsync|"
                             r"copy_file_range|sendfile)\(\d+<" + real + ">", line):
                    raise AssertionError(line)
                writes += bool(re.search(r"pwrite64\(\d+<" + re.escape(folder), line))
        assert opened and writes, "the trace does not show what it is looked at for"


def text():
    p = run(*command(box.copy("text"), *ALL))
    for fact in "10.0 MiB", "ext4", r"ok +reserve ", r"ok +content ", r"\bsave ":
        assert re.search(fact, p.stdout), f"no '{fact}' in:\n{p.stdout}"
    assert p.stderr == "" and "{" not in p.stdout, p.stdout
    p = run(*command(image(12 * MiB, "ext4", 12 * MiB)), status=(4,))
    assert re.search(r"FAIL +reserve ", p.stdout) and "resize2fs" in p.stdout, p.stdout


def full_stdout():
    with open("/dev/full", "wb") as full:
        for json_too in [], ["--json"]:
            p = run("sh", "-c", 'exec "$@" >/dev/full', "sh",
                    *command(box.copy("full"), "--no-speed", *json_too), status=(1,))
    assert full and p.returncode == 1


with stack:
    tap.run([
        ("ext4: bytes and flushes of a run", fresh, "ext4", 12 * MiB, 10 * MiB),
        ("ext4 with space to spare", fresh, "ext4", 16 * MiB + 4096 * 3, 10 * MiB),
        ("ext4 of 1 KiB blocks, unaligned", lambda: fresh(
            "ext4", 12 * MiB + 512, 8 * MiB, block_size=1024)),
        ("ext4, a large reserve", fresh, "ext4", 96 * MiB, 64 * MiB, "--reduce-device-size", "32M"),
        ("ext4, a larger header", fresh, "ext4", 80 * MiB, 64 * MiB, "--reduce-device-size", "16M",
         "--luks2-metadata-size", "1M", "--luks2-keyslots-size", "4M", "--key-size", "256"),
        ("xfs: bytes and flushes of a run", fresh, "xfs", 36 * MiB, 32 * MiB),
        ("btrfs: bytes and flushes of a run", fresh, "btrfs", 116 * MiB, 112 * MiB),
        ("content that is known by its size", known_by_size),
        ("layout and count are those that the run reports", run_says_the_same, *ALL),
        ("those of used blocks, too", run_says_the_same, *AUTO),
        ("and of free blocks that are filled", run_says_the_same, *AUTO, "--free-space", "fill"),
        ("used: ext4, bytes and flushes of a run", used, "keep"),
        ("used: ext4, filled", used, "fill"),
        ("used: ext4, read back", used, "keep", "--verify"),
        ("used: xfs, an estimate", estimated, "xfs", 116 * MiB, 112 * MiB),
        ("used: btrfs, an estimate", estimated, "btrfs", 116 * MiB, 112 * MiB),
        ("used: a dirty journal", dirty),
        ("used: a conversion under way, at most", rest),
        *[("cut: " + name, cut, *rest) for name, *rest in few(CUTS, 7)],
        ("cut: an abort", restoring),
        ("state: encrypted", others, box.encrypted, "encrypted", 4, "coffer status"),
        ("Bug: state: encrypted: 'cannot be encrypted yet'", encrypted_text),
        ("state: shrunk", others, shrunk, "shrunk", 4),
        ("state: another's reencryption", others, foreign, "other", 4,
         "cryptsetup reencrypt --resume-only --force-offline-reencrypt "),
        ("state: damaged", others, damaged, "damaged", 6, "coffer repair"),
        ("only reads: image", only_reads, False),
        ("only reads: block device", only_reads, True),
        ("text for people", text),
        ("nobody takes the report", full_stdout),
    ])
tap.done()
