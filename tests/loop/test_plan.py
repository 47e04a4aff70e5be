#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""'coffer plan': what it counts is what a run then does, what it refuses is what a run refuses, and
it changes nothing.

Bytes and flushes are held against those of a real run, by strace and by the run's own report. The
time is held against a real run's too, within a factor, since machines are noisy."""
import contextlib
import json
import os
import re

import coffer
from coffer import ASAN, COFFER, NOBODY, Box
from disk import (HANG, MiB, block_devices, loop, make_image, make_partitions, mounted, run, sha256,
                  tempdir)
from scratch import folder, path_of, raw, stack
from tap import Skip, Tap

tap = Tap()
tap.need_root()
box = Box(folder)
ALL = ["--used-only", "no"]
AUTO = ["--used-only", "auto"]
GUARDS = ["exclusive", "writable", "locks", "state", "content", "filesystem", "single-device", "reserve",
          "sector-size", "header"]


def command(target, *args, program=COFFER):
    own = [] if "--reduce-device-size" in args else coffer.SMALL
    return [program, "plan", *own, *args, target]


def plan(target, *args, status=(0,), disk=None, prefix=(), program=None, speed=False, **kw):
    """The plan as JSON, by both builds; the disk is the same before and after, to the byte."""
    disk = disk or target
    before = sha256(disk)
    reports = []
    for prog in [program] if program else [ASAN, COFFER]:
        cmd = command(target, "--json", *([] if speed else ["--no-speed"]), *args, program=prog)
        p = run(*prefix, *cmd, status=status, **kw)
        lines = p.stdout.splitlines()
        assert len(lines) == 1, p.stdout
        report = json.loads(lines[0])
        assert report["report"] == "plan" and report["exit_code"] == p.returncode, report
        assert p.stderr == "", p.stderr
        reports.append(report)
    assert sha256(disk) == before, "the plan has changed the device"
    for report in reports:
        check_shape(report)
    if not speed:
        # new-header makes a header of its own each time, but says the same
        assert reports[0] == reports[-1], "two plans differ"
    return reports[-1]


def check_shape(report):
    if "preflight" not in report:
        return
    verdicts = {g["id"]: g["verdict"] for g in report["preflight"]}
    assert len(verdicts) == len(report["preflight"]), "an id occurs twice"
    assert report["possible"] == ("bad" not in verdicts.values()), report
    assert report["possible"] == (report["exit_code"] == 0), report
    for g in report["preflight"]:
        assert g["text"] and not g["text"].endswith("."), g
    for s in report["phases"]:
        assert s["does"] and s["worst"] and s["bytes"] > 0, s
    if report["phases"]:
        assert sum(s["bytes"] for s in report["phases"]) == report["to_write"], report


def verdicts(report, *ids):
    found = {g["id"]: g["verdict"] for g in report["preflight"]}
    return [found.get(i) for i in ids] if ids else found


def all_ok(report, *but):
    """Nobody may be seen here who uses it, and yet not everybody be visible."""
    for i, v in verdicts(report).items():
        assert i in but or v == "ok" or (i, v) == ("exclusive", "note"), report["preflight"]


def refusal(report, guard):
    [g] = [g for g in report["preflight"] if g["id"] == guard]
    assert g["verdict"] == "bad", report["preflight"]
    return g


# --- what it counts, against a run --------------------------------------------------------------

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
    assert list(verdicts(report)) == [*GUARDS, "new-header"], report["preflight"]
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
    assert report["used_only"] is False and "does not know" in report["all_because"], report


def holes(fs, size=64 * MiB, end=62 * MiB):
    """A filesystem with 8 MiB in files."""
    img, tree = path_of(fs), path_of("tree")
    os.mkdir(tree)
    for n in range(8):
        with open(os.path.join(tree, f"f{n}"), "wb") as f:
            f.write(os.urandom(MiB))
    make_image(img, size, fs, end, tree)
    return img


def used(how, *args):
    """Of ext4 it is known which blocks are used, and so is all that follows."""
    img = holes("ext4")
    report = as_run(img, *AUTO, "--free-space", how, *args)
    assert list(verdicts(report)) == [*GUARDS, "new-header", "used-only"], report["preflight"]
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
    text = run(*command(img, "--no-speed")).stdout
    assert re.search(f"about .* of {fs} would be", text) and "moves        about" in text, text
    summary = coffer.events(coffer.encrypt(img, box.key, "--json", *AUTO))[-1]
    assert summary["used_only"], summary
    slack = max(2 * MiB, report["to_move"] // 4)
    assert abs(summary["bytes_moved"] - report["to_move"]) <= slack, (summary, report["to_move"])


def doubt():
    """Where it is not certain what is used, all is, and --used-only=yes is refused."""
    img = holes("ext4")
    run("debugfs", "-w", "-R", "feature needs_recovery", img)
    report = plan(img)
    assert report["exact"] and report["used_only"] is False, report
    assert report["to_move"] == report["data_size"] and report["all_because"], report
    assert "free_space" not in report and verdicts(report, "used-only") == ["note"], report
    report = plan(img, "--used-only", "yes", status=(4,))
    g = refusal(report, "used-only")
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
    assert "moves        at most" in run(*command(img, "--no-speed")).stdout
    assert plan(img, *ALL)["exact"], "everything is exact"
    summary = coffer.events(coffer.encrypt(img, box.key, "--json", *AUTO))[-1]
    assert summary["used_only"] and summary["bytes_moved"] < report["to_move"], summary
    assert summary["flushes"] < report["flushes"], summary


def limited():
    img = holes("ext4")
    report = plan(img, "--max-rate", "1M", speed=True)
    assert report["seconds"]["low"] >= report["to_move"] / MiB - 0.01, report["seconds"]
    report = plan(img, "--max-rate", "1M", "--free-space", "fill", speed=True)
    assert report["seconds"]["low"] >= report["data_size"] / MiB - 0.01, \
        ("what is filled counts", report["seconds"])


def cut_after(img, flushes):
    coffer.kill_at("fdatasync", flushes,
                   coffer.command("encrypt", img, box.key, "--threads", "1", *ALL))


# The flushes of a run, at which it is killed with its writes done: 1 the first look, 2 to 5 save,
# 6 the mark, 7 veils, 8 body, 9 and 10 the header, 11 the record is erased, 12 a look, 13 and 14 the
# first commit, then three for each step.
CUTS = [
    # name, flush, stage, what a run finds, stages that are left
    ("nothing was written", 1, "reserved", "start", ["save", "place", "convert", "finalize"]),
    ("it is said that the head is saved", 2, "reserved", "start", ["save", "place", "convert",
                                                                   "finalize"]),
    ("the head was saved", 5, "reserved", "start", ["save", "place", "convert", "finalize"]),
    ("block 0 is marked", 6, "placing", "redo-placement", ["place", "convert", "finalize"]),
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
    as_run(img, *ALL)
    box.check(img)


def restoring():
    """An abort that was cut: it is finished first, and what comes then is not promised."""
    img = box.copy("undoing")
    cut_after(img, 13)
    coffer.kill_at("fdatasync", 6, coffer.command("abort", img))
    report = plan(img)
    assert report["status"]["stage"] == "undoing", report["status"]
    assert [s["phase"] for s in report["phases"]] == ["undo"] and report["steps"] == 0, report


def others(make, stage, status, *words):
    img = make()
    report = plan(img, status=(status,))
    bad = refusal(report, "state")
    text = bad["text"] + " " + bad.get("advice", "")
    for word in words:
        assert re.search(word, text), text
    assert report["status"]["stage"] == stage and not report["phases"], report
    assert report["message"] and report["speed"]["measured"] is False
    p = coffer.encrypt(img, box.key, "--dry-run", status=(status,))
    assert bad["text"] in p.stderr, f"{bad['text']}\n{p.stderr}"


def encrypted():
    img = box.copy("encrypted")
    box.encrypt(img)
    return img


def shrunk():
    img = box.copy("shrunk")
    cut_after(img, 17)
    os.truncate(img, box.size - MiB)
    return img


def foreign():
    img = encrypted()
    run("cryptsetup", "reencrypt", "--init-only", "--batch-mode", "--force-offline-reencrypt",
        *coffer.FAST, "--key-file", box.key, img)
    return img


def damaged():
    img = box.copy("damaged")
    cut_after(img, 7)
    with open(img, "r+b") as f:
        f.seek(box.size - MiB + 5000)
        f.write(b"not the head")
    return img


# --- guards --------------------------------------------------------------------------------------

def bad(guard, make, *args, status=4, words=(), unchecked=()):
    """One guard is in the way, and the run says the same."""
    img = make()
    report = plan(img, *args, status=(status,))
    found = verdicts(report)
    assert [i for i, v in found.items() if v == "bad"] == [guard], report["preflight"]
    assert [i for i, v in found.items() if v == "unchecked"] == list(unchecked), report["preflight"]
    assert "to_move" not in report and not report["phases"], report
    g = refusal(report, guard)
    p = coffer.encrypt(img, box.key, "--dry-run", *args, status=(status,) if guard != "new-header"
                       else (1, 4))
    assert g["text"] in p.stderr and g.get("advice", "") in p.stderr, f"{g}\n{p.stderr}"
    for word in words:
        assert re.search(word, g.get("advice", g["text"])), g


def image(size, fs, end, **kw):
    path = path_of("image")
    make_image(path, size, fs, end, **kw)
    return path


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
    with open(img, "r+b") as f:
        f.seek(8)
        f.write(b"\xff" * 8)  # an impossible size of the first copy
        f.seek(16384)
        f.write(bytes(6))
    return img


def two_devices():
    one, two = raw(128 * MiB), raw(128 * MiB)
    run("mkfs.btrfs", "-q", "-f", "-b", 112 * MiB, one, two)
    os.unlink(two)
    return one


def absurd():
    img = box.copy("absurd")
    with open(img, "r+b") as f:
        f.seek(1024 + 24)
        f.write(b"\xff")
    return img


def hibernated():
    img = raw(12 * MiB)
    run("mkswap", "-q", img)
    with open(img, "r+b") as f:
        f.seek(4086)
        f.write(b"S1SUSPEND\0")
    return img


def hibernated_elsewhere():
    with block_devices(alone=True), loop(box.copy("victim")) as victim, \
            loop(hibernated()) as suspended:
        report = plan(victim, status=(4,), disk=victim)
        g = refusal(report, "hibernation")
        assert suspended in g["text"] and "mkswap" in g["advice"], g


def block_device():
    """The same guards, and one more; a mounted filesystem, too, can be planned for."""
    with block_devices(), loop(box.copy("block")) as dev:
        report = plan(dev, *ALL)
        assert list(verdicts(report)) == [*GUARDS, "hibernation", "new-header"]
        with mounted(dev, "ext4", "ro,noload") as at:
            report = plan(dev, *ALL, status=(4,))
            g = refusal(report, "exclusive")
            assert at in g["text"] and "unmount" in g["advice"], g
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
        g = refusal(plan(dev, status=(4,)), "writable")
        assert "read-only" in g["text"], g


def as_nobody(mode, *, bad_guard=None):
    """An ordinary user who may read the image; then the lock folder of root's is not for him."""
    img = box.copy("nobody")
    program = os.path.join(folder, "coffer")
    coffer.install(program)
    os.chmod(folder, 0o755)
    os.chmod(img, mode)
    report = plan(img, *ALL, status=(4 if bad_guard else 0,), prefix=NOBODY, program=program)
    assert verdicts(report, "locks") == ["note"], report["preflight"]
    if bad_guard:
        g = refusal(report, bad_guard)
        assert "Permission denied" in g["text"], g
    return img, report


def nobody_runs():
    img, report = as_nobody(0o666)
    os.chmod(box.key, 0o644)
    program = os.path.join(folder, "coffer")
    p = run(*NOBODY, *coffer.command("encrypt", img, box.key, "--json", *ALL, program=program))
    summary = coffer.events(p)[-1]
    assert summary["flushes"] == report["flushes"], (summary["flushes"], report["flushes"])


def no_plan(target, status, *words):
    p = run(*command(target, "--json"), status=(status,))
    report = json.loads(p.stdout)
    assert report["report"] == "plan" and report["exit_code"] == status, report
    assert report["device"] == target and "preflight" not in report, report
    for word in words:
        assert re.search(word, report["message"]), report
    p = run(*command(target), status=(status,))
    assert p.stdout == "" and p.stderr.startswith("coffer: "), (p.stdout, p.stderr)


# --- it changes nothing -----------------------------------------------------------------------------

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


# --- speed ---------------------------------------------------------------------------------------------

def check_speed(speed, where, same):
    assert speed["measured"], speed
    assert speed["where"] == where and speed["same_filesystem"] == same, speed
    assert 3 <= speed["rounds"] <= 9 and speed["bytes"] % MiB == 0, speed
    for what in "read", "write", "step":
        r = speed[what]
        assert 0 < r["low"] <= r["median"] <= r["high"], speed


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


def unmeasured(make, *words):
    """Without a scratch file there is a plan all the same, and a sentence instead of a time."""
    with make() as where:
        report = plan(box.copy("unmeasured"), *ALL, "--scratch", where, speed=True)
        assert report["possible"] and report["steps"] == 10, report
        assert "seconds" not in report and report["speed"]["measured"] is False, report
        for word in words:
            assert re.search(word, report["speed"]["why"]), report["speed"]
        p = run(*command(box.copy("unmeasured"), "--scratch", where))
        assert re.search("time +not known: .*" + words[0], p.stdout), p.stdout
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
    img = image(8 * MiB, "ext4", 6 * MiB)
    cmd = command(img, "--json", "--scratch", folder)
    p = run("prlimit", f"--fsize={10 * MiB}", *cmd)
    speed = json.loads(p.stdout)["speed"]
    assert speed["measured"] is False and "too little room" in speed["why"], speed


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


# --- for people -----------------------------------------------------------------------------------------

def text():
    p = run(*command(box.copy("text"), *ALL))
    for words in ("10.0 MiB of ext4 would be encrypted in place", r"moves +10485760 bytes .* in 10 st",
                  r"writes +at most \d+ bytes", r"time +about .* \(.* to .*\)", r"measured +with \d small",
                  r"ok +reserve ", r"ok +content ", r"save +copy the first", r"worst: nothing happened",
                  "nothing was changed"):
        assert re.search(words, p.stdout), f"no '{words}' in:\n{p.stdout}"
    assert p.stderr == "" and "{" not in p.stdout, p.stdout
    p = run(*command(image(12 * MiB, "ext4", 12 * MiB)), status=(4,))
    assert re.search(r"would not begin", p.stdout) and re.search(r"BAD +reserve ", p.stdout), p.stdout
    assert re.search(r"-> make the filesystem smaller", p.stdout), p.stdout


def full_stdout():
    with open("/dev/full", "wb") as full:
        for json_too in [], ["--json"]:
            p = run("sh", "-c", 'exec "$@" >/dev/full', "sh",
                    *command(box.copy("full"), "--no-speed", *json_too), status=(1,))
    assert full and p.returncode == 1


rows = [
    ("ext4: bytes and flushes of a run", fresh, "ext4", 12 * MiB, 10 * MiB),
    ("ext4 with room to spare", fresh, "ext4", 16 * MiB + 4096 * 3, 10 * MiB),
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
    ("used: a dirty journal", doubt),
    ("used: a conversion under way, at most", rest),
    ("rate: no faster than asked for", limited),
    *[("cut: " + name, cut, *rest) for name, *rest in CUTS],
    ("cut: an abort", restoring),
    ("state: encrypted", others, encrypted, "encrypted", 4, "LUKS already"),
    ("state: shrunk", others, shrunk, "shrunk", 4, "give it its size back"),
    ("state: another's reencryption", others, foreign, "other", 4, "resume-only"),
    ("state: damaged", others, damaged, "damaged", 6, "saved head"),

    ("guard content: partition table", lambda: bad(
        "content", partitioned, words=["name one of its partitions"],
        unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
    ("guard content: LUKS1", lambda: bad(
        "content", luks1, words=["coffer status"],
        unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
    ("guard content: LUKS2 without a header", lambda: bad(
        "content", lone_magic, status=6, words=["coffer header restore"],
        unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
    ("guard content: hibernated", lambda: bad(
        "content", hibernated, words=["mkswap"],
        unchecked=["filesystem", "single-device", "reserve", "sector-size"])),
    ("guard filesystem: nothing known", lambda: bad(
        "filesystem", lambda: raw(12 * MiB), words=["--device-size"],
        unchecked=["single-device", "reserve", "sector-size"])),
    ("guard filesystem: an absurd superblock", lambda: bad(
        "filesystem", absurd, words=["absurd block size"],
        unchecked=["single-device", "reserve", "sector-size"])),
    ("guard filesystem: too small", lambda: bad(
        "filesystem", lambda: raw(512), words=["too small"],
        unchecked=["single-device", "reserve", "sector-size"])),
    ("guard one-device", lambda: bad("single-device", two_devices, words=["must lie on one device"])),
    ("guard room: no reserve", lambda: bad(
        "reserve", lambda: image(12 * MiB, "ext4", 12 * MiB), words=["resize2fs"],
        unchecked=["sector-size"])),
    ("guard room: odd size", lambda: bad(
        "reserve", lambda: raw(12 * MiB + 100, (0, b"x")), "--device-size", "8M", words=["truncate"],
        unchecked=["single-device", "sector-size"])),
    ("guard sector-size", lambda: bad(
        "sector-size", lambda: image(12 * MiB, "ext4", 8 * MiB, block_size=1024), "--sector-size",
        "4096", words=["--sector-size 512"])),
    ("guard header: too large", lambda: bad(
        "header", lambda: box.copy("c"), "--luks2-keyslots-size", "2M", words=["do not fit"])),
    ("guard new-header: what libcryptsetup does not take", lambda: bad(
        "new-header", lambda: box.copy("c"), "--luks2-keyslots-size", "4K")),
    ("guard hibernation", hibernated_elsewhere),
    ("guard alone: block device, mounted", block_device),
    ("guard alone: image attached to a loop device", attached),
    ("guard alone: a coffer at work, image", at_work, False),
    ("guard alone: a coffer at work, block device", at_work, True),
    ("guard writable: block device", read_only_device),
    ("guard writable: an image that nobody may write", lambda: as_nobody(
        0o444, bad_guard="writable")),
    ("an ordinary user: the flushes of his run", nobody_runs),
    ("folder", no_plan, folder, 4, "neither a block device nor an image"),
    ("no such file", no_plan, os.path.join(folder, "missing"), 1, "No such file"),

    ("only reads: image", only_reads, False),
    ("only reads: block device", only_reads, True),

    ("speed: beside the image", beside),
    ("speed: elsewhere", elsewhere),
    ("speed: a file with a name", with_a_name),
    ("speed: no folder", unmeasured, missing, "No such file"),
    ("speed: no room", unmeasured, small_filesystem, "too little room"),
    ("speed: read-only filesystem", unmeasured, read_only_filesystem, "Read-only"),
    ("speed: in memory", unmeasured, memory, "lies in memory"),
    ("speed: a limit on files", quota),
    ("estimate: small steps", estimate, 256 * MiB, "2M"),
    ("estimate: usual steps", estimate, 512 * MiB, "32M"),

    ("text for people", text),
    ("nobody takes the report", full_stdout),
]

with stack:
    tap.run(rows)
tap.done()
