#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer status on real disks of every stage: what it says, that the command which it names works,
and that looking changes nothing, whoever looks and whatever is on the disk."""
import contextlib
import errno
import json
import os
import re
import shlex

import coffer
from coffer import ASAN, COFFER, FAST, NOBODY, Box, one_thread, pointer
from disk import MiB, block_devices, loop, make_image, run, sha256, tempdir, write_at
from tap import Skip, Tap, few

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
os.chmod(folder, 0o755)  # for an ordinary user
VERBS = re.findall(r"^  (\w+)", run(COFFER, "--help").stdout, re.MULTILINE)
ERRNO = re.compile(r"\b(%s)\b" % "|".join(errno.errorcode.values()))
STAGES = {"plain", "reserved", "placing", "placed", "converting", "wipe-pending", "encrypted",
          "undoing", "other", "shrunk", "damaged"}
ANY = object()
seen = set()


# --- what holds for whatever it says ----------------------------------------------------------

def for_people(p):
    """No JSON, no dump, no name of an error number."""
    for stream in p.stdout, p.stderr:
        assert not re.search(r"0x[0-9a-f]|[{}]|\[\"", stream), stream
        assert not ERRNO.search(stream), stream
    assert all(line.startswith("coffer: ") for line in p.stderr.splitlines()), p.stderr
    return p


def for_programs(p):
    assert p.stdout.count("\n") == 1 and p.stdout.endswith("\n") and p.stderr == "", (p.stdout,
                                                                                      p.stderr)
    report = json.loads(p.stdout)
    assert report["report"] == "status" and report["exit_code"] == p.returncode, report
    return report


def identity(path):
    st = os.stat(path)
    return sha256(path), st.st_mtime_ns, st.st_ctime_ns


def look(target, img=None, status=0):
    """What status says of target, as JSON; img is the file that is below it."""
    img = img or target
    before = identity(img)
    text = for_people(run(COFFER, "status", target, status=(status,)))
    report = for_programs(run(ASAN, "status", "--json", target, status=(status,)))
    assert identity(img) == before, "it has changed the disk"
    if status:
        assert text.stdout == "" and report["devices"] == [], text.stdout
        return text.stderr
    s, = report["devices"]
    head = text.stdout.splitlines()[0]
    assert head.startswith(f"{target}: {s['stage']}"), head
    assert re.search(r"^ *next +\S", text.stdout, re.M) and s.get("next", "") in text.stdout, text.stdout
    assert s["stage"] in STAGES and s["device"] == str(target), s
    seen.add(s["stage"])
    return s


def look_as_nobody(img, like):
    """Whoever may only read the image is told the same, but for what he may not see."""
    before, mode = sha256(img), os.stat(img).st_mode
    os.chmod(img, 0o444)
    try:
        p = run(*NOBODY, COFFER, "status", "--json", img)
        for_people(run(*NOBODY, COFFER, "status", img))
    finally:
        os.chmod(img, mode)
    s, = for_programs(p)["devices"]
    other = ("holders", "holders_complete", "locked", "next", "why")
    assert {k: v for k, v in s.items() if k not in other} == \
        {k: v for k, v in like.items() if k not in other}, s
    assert s.get("next") == like.get("next") or like["holders"], s
    assert sha256(img) == before, "it has changed the disk"


def follow(s, key, *options, status=(0,)):
    """Runs the command that status names, with the key and what makes a test quick."""
    words = shlex.split(s["next"])
    if words[:1] != ["coffer"]:
        if words[0] == "cryptsetup":
            words[-1:-1] = ["--batch-mode", "--key-file", key]
        return run(*words)
    if words[1] not in VERBS:
        raise Skip(f"there is no 'coffer {words[1]}' yet")
    own = {"encrypt": [*FAST, "--key-file", key], "repair": ["--key-file", key],
           "verify": ["--key-file", key]}.get(words[1], [])
    if words[1] == "repair" and "--dry-run" not in words:
        own.append("--yes")
    return run(ASAN, words[1], *own, *options, *words[2:], status=status)


def says(img, stage, next_, why="", **more):
    """One disk: the same for everybody. why: what the reason names; ".": any reason; "": none."""
    s = look(img)
    look_as_nobody(img, s)
    assert s["stage"] == stage, s
    want = [*next_.split(), img] if next_ else []
    assert shlex.split(s.get("next", "")) == want, (s.get("next"), want)
    assert why is ANY or re.search(why, s.get("why", "")) and (why or "why" not in s), s
    for k, v in more.items():
        assert s.get(k) == v, (k, v, s)
    return s


# --- a disk of each stage --------------------------------------------------------------------------

def work(name="work"):
    return os.path.join(folder, name)


def without_room():
    img = work()
    make_image(img, 6 * MiB, "ext4", 6 * MiB)
    s = says(img, "plain", "coffer plan", ".", filesystem="ext4", operation="start")
    follow(s, small.key, status=(0, 3, 4))


def of_nothing(size):
    img = work(f"nothing-{size}")
    with open(img, "wb") as f:
        f.truncate(size)
    s = says(img, "plain", "coffer plan", ".", size=size, operation="start")
    assert "filesystem" not in s or s["filesystem"] == "", s


def held(img, before):
    """All of the content is there. What the command that was named has placed itself, it has
    encrypted by its default: only what is used."""
    (small.check_used if before in ("reserved", "placing") else small.check)(img)


def reserved(box, reserve):
    """The whole way: encrypt as it says, and then it says something else."""
    img = box.copy(f"{box.fs} a'b")
    option = f" --reduce-device-size {reserve}" if reserve else ""
    s = says(img, "reserved", "coffer encrypt" + option, filesystem=box.fs, operation="start",
             can_abort=False)
    follow(s, box.key)
    box.check_used(img)
    says(img, "encrypted", "coffer verify", cipher="aes-xts-plain64", luks_version=2,
         can_abort=False, locked=True)
    os.unlink(img)


def killed(moment, stage, operation, can_abort):
    img = small.copy()
    coffer.kill_at(*moment, one_thread(img, small.key))
    more = {"bytes_converted": small.end - pointer(img), "bytes_total": small.end} if stage in (
        "placed", "converting", "wipe-pending") else {}
    s = says(img, stage, "coffer encrypt", ANY, operation=operation, can_abort=can_abort,
             device_size=small.size, data_size=small.end, data_offset=MiB, **more)
    if stage == "converting":
        text = run(COFFER, "status", img).stdout
        assert f" {more['bytes_converted'] * 100 // small.end} %\n" in text, text
    follow(s, small.key)
    held(img, stage)


def killed_everywhere():
    """Wherever a run was killed, the command that comes next is the right one, without options."""
    for phase in coffer.PHASES:
        for call, n, what in few(coffer.kills(moments[phase]), 3):
            img = small.copy()
            coffer.kill_at(call, n, one_thread(img, small.key))
            s = look(img)
            if s["stage"] == "encrypted":
                follow(s, small.key) if "repair" in s["next"] else None
            else:
                follow(s, small.key)
            try:
                held(img, s["stage"])
            except AssertionError as e:
                raise AssertionError(f"{what}: it was {s['stage']}, next: {s['next']}") from e


def restoring():
    img = small.copy()
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, small.key))
    coffer.kill_at("fdatasync", 4, coffer.command("abort", img))
    s = says(img, "undoing", "coffer abort", ANY, operation="finish-undo", can_abort=True)
    follow(s, small.key)
    assert sha256(img, 0, small.end) == sha256(small.plain, 0, small.end)


def luks_format(img, *options):
    with open(img, "wb") as f:
        f.truncate(24 * MiB)
    run("cryptsetup", "luksFormat", "--batch-mode", *FAST, *options, img, small.key)


def by_stock():
    luks_format(work())
    says(work(), "encrypted", "coffer verify", luks_version=2, cipher="aes-xts-plain64",
         data_offset=16 * MiB)


def luks1():
    luks_format(work(), "--type", "luks1")
    says(work(), "encrypted", "", luks_version=1)


def of_stock(how):
    """A reencryption that is cryptsetup's to finish."""
    luks_format(work())
    cmd = ["cryptsetup", "reencrypt", "--batch-mode", "--force-offline-reencrypt", *FAST,
           "--hotzone-size", "1M", "--key-file", small.key]
    if how == "begun":
        run(*cmd, "--init-only", work(), cwd=folder)
    else:
        coffer.kill_at("fdatasync", 2, [*cmd, work()], cwd=folder)
    before = sha256(work())
    if how == "killed":  # inside a step: cryptsetup does not resume that before its own repair
        s = says(work(), "other", "cryptsetup repair", ".", operation="other-reencryption")
        p = coffer.encrypt(work(), small.key, status=(4,))
        assert f"cryptsetup repair {work()}" in p.stderr and sha256(work()) == before, p.stderr
        follow(s, small.key)
    s = says(work(), "other", "cryptsetup reencrypt --resume-only --force-offline-reencrypt", ".",
             operation="other-reencryption", can_abort=False)
    with loop(work()) as dev:
        assert look(dev, work())["next"] == f"cryptsetup reencrypt --resume-only {dev}"
    follow(s, small.key)
    assert look(work())["stage"] == "encrypted"


def begun_by_stock():
    img = small.copy()
    coffer.stock_init(img, small.key)
    s = says(img, "placed", "coffer encrypt", operation="convert", can_abort=True)
    follow(s, small.key)
    small.check(img)


def too_small():
    """Bug: cryptsetup encrypts in place where the data is less than the shift; status said that this
    was no encryption in place."""
    with open(work(), "wb") as f:
        f.truncate(40 * MiB)
    run("cryptsetup", "reencrypt", "--encrypt", "--init-only", "--batch-mode", *FAST,
        "--reduce-device-size", "32M", "--key-file", small.key, work(), cwd=folder)
    says(work(), "other", "cryptsetup reencrypt --resume-only --force-offline-reencrypt", "too small",
         operation="other-reencryption")


def shrunk(moment):
    img = small.copy()
    coffer.kill_at(*moment, one_thread(img, small.key))
    with open(img, "rb") as f:
        f.seek(small.size - 4096)
        tail = f.read()
    os.truncate(img, small.size - 4096)
    says(img, "shrunk", "", f"{small.size - 4096}.*{small.size}.*; enlarge the device", can_abort=False)
    # Bug: nothing was next
    assert re.search("next +enlarge", run(COFFER, "status", img).stdout)
    with open(img, "ab") as f:
        f.write(tail)
    follow(look(img), small.key)
    small.check(img)


def tear(img, *places):
    for at in places:
        write_at(img, at, os.urandom(64))


def damaged():
    img = small.copy()
    coffer.kill_at(*middle, one_thread(img, small.key))
    size = coffer.header(img)["hdr_size"]
    tear(img, 4200, size + 4200)
    s = says(img, "damaged", "coffer repair --dry-run", ".")
    before = sha256(img)
    follow(s, small.key, status=(6,))
    assert sha256(img) == before, "it has changed the disk"


def torn_copy(which, moment):
    """Of a finished volume repair is next; a conversion repairs it on its way."""
    img = small.copy()
    if moment:
        coffer.kill_at(*moment, one_thread(img, small.key))
    else:
        coffer.encrypt(img, small.key)
    tear(img, which * coffer.header(img)["hdr_size"] + 4200)
    s = says(img, *(("converting", "coffer encrypt") if moment else ("encrypted", "coffer repair")),
             ".")
    follow(s, small.key)
    small.check(img)
    says(img, "encrypted", "coffer verify")


def odd_size(size):
    """Too small for anything, or no multiple of a sector."""
    img = work(f"odd-{size}")
    with open(img, "wb") as f:
        f.write(os.urandom(size))
    says(img, "plain", "coffer plan", ".", size=size)


# --- who is at work -----------------------------------------------------------------------------------

def kinds(s):
    return [u["kind"] for u in s["holders"] if u["kind"] != "process"]


def in_use():
    """Each command in turn takes away what is in the way, until the disk is encrypted."""
    img = large.copy()
    with contextlib.ExitStack() as undo:
        dev = run("losetup", "--find", "--show", img).stdout.strip()
        undo.callback(lambda: run("losetup", "--detach", dev, status=None))
        at = work("mount point")
        os.mkdir(at)
        run("mount", dev, at)
        undo.callback(lambda: run("umount", at, status=None))
        for target in img, dev:
            s = look(target, img)
            assert s["stage"] == "reserved" and s["next"] == f"umount '{at}'", s
            assert at in s["why"], s
        follow(s, large.key)
        assert kinds(look(dev, img)) == [] and "coffer encrypt" in look(dev, img)["next"]
        s = look(img)
        assert kinds(s) == ["loop"] and s["next"] == f"losetup -d {dev}", s
        follow(s, large.key)
        undo.pop_all()
    s = look(img)
    assert s["holders"] == [], s
    follow(s, large.key)
    assert coffer.is_final(img)


def at_work(cmd, call, n, pid_of, name):
    """A conversion that is under way is not to be begun a second time."""
    img = cmd[-1]
    with coffer.paused(call, n, cmd) as pid:
        s = look(img)
        mine, = (u for u in s["holders"] if u["kind"] == "reencryption")
        assert mine["pid"] == pid and mine["name"] == name and mine["writes"], s
        assert s["stage"] == "converting" and "next" not in s, s
        text = run(COFFER, "status", img).stdout
        for said in s["why"], text:
            assert str(pid) in said and name in said, said
        look_as_nobody(img, s)
    small.check(img)


def coffer_at_work():
    img = small.copy()
    # a write of data: while the header is written its lock makes everybody wait
    call, n = next((c, n) for c, n, what in moments["steps"][len(moments["steps"]) // 2:]
                   if c == "pwrite64" and f"({MiB} " in what)
    at_work(one_thread(img, small.key), call, n, None, "coffer")


def stock_at_work():
    img = small.copy()
    coffer.stock_init(img, small.key)
    at_work(coffer.stock_resume(img, small.key), "fdatasync", 2, None, "cryptsetup")


# --- only a look -----------------------------------------------------------------------------------------

READS = {"BLKGETSIZE64", "BLKSSZGET", "BLKPBSZGET", "BLKALIGNOFF", "BLKIOMIN", "BLKIOOPT",
         "BLKROGET", "BLKGETZONESZ", "BLKGETDISKSEQ", "LOOP_GET_STATUS64", "LOOP_GET_STATUS",
         "CDROM_GET_CAPABILITY", "CDROM_LAST_WRITTEN", "FDGETFDCSTAT"}


def only_reads(make):
    """By the system calls: it is opened for reading, and no call on it could change anything."""
    img = small.copy()
    make(img)
    with loop(img) as dev:
        for target in img, dev:
            log = work("strace")
            run("strace", "-f", "-y", "-o", log, "-e", "trace=%desc,%file", COFFER, "status",
                target)
            opened = 0
            with open(log, errors="replace") as f:
                for line in f:
                    if f"<{target}>" not in line and f'"{target}"' not in line:
                        continue
                    call = re.match(r"\d+ +(\w+)\(", line)[1]
                    if call in ("openat", "open"):
                        opened += 1
                        assert "O_RDONLY" in line and "O_CREAT" not in line, line
                    elif call == "ioctl":
                        request = re.search(r">, (\w+)", line)[1]
                        assert request in READS, line
                    else:
                        assert call in {"execve", "read", "pread64", "readv", "preadv", "preadv2",
                                        "lseek", "fstat", "newfstatat", "statx", "stat", "lstat",
                                        "close", "fadvise64", "flock", "fcntl", "readlink", "mmap",
                                        "readlinkat", "access", "dup", "dup3", "dup2", "close_range"}, line
            assert opened, f"{target} was never opened"


def no_operand():
    """All disks of the machine, a line for each that holds something; what cannot be read is no
    failure of the others."""
    img = large.copy()
    with block_devices(), loop(img) as dev:
        p = for_people(run(COFFER, "status"))
        head, *lines = p.stdout.splitlines()
        assert head.split() == ["DEVICE", "SIZE", "STAGE", "CONTENT", "NEXT"], head
        mine, = (line for line in lines if line.split()[0] == dev)
        assert re.search(rf"{dev} .*reserved +ext4 +coffer encrypt.* {dev}$", mine), mine
        report = for_programs(run(ASAN, "status", "--json"))
        assert report["outcome"] == "done", report
        mine, = (s for s in report["devices"] if s["device"] == dev)
        assert mine["stage"] == "reserved" and mine["block_device"], mine


def of_the_machine_as_nobody():
    """Bug: what an ordinary user may not read was in no report, and its errors looked like one."""
    with block_devices(), loop(small.plain) as dev:
        os.chmod(dev, 0o600)
        for prog in COFFER, ASAN:
            p = for_people(run(*NOBODY, prog, "status"))
            assert re.search(rf"{dev}\b", p.stderr), p.stderr
            report = for_programs(run(*NOBODY, prog, "status", "--json"))
            mine, = (u for u in report["unchecked"] if u["device"] == dev)
            assert "Permission denied" in mine["message"], report
            assert dev not in [s["device"] for s in report["devices"]], report
        report = for_programs(run(COFFER, "status", "--json"))
        assert dev not in [u["device"] for u in report["unchecked"]], report
    assert "unchecked" not in for_programs(run(COFFER, "status", "--json", small.plain))


def several(first, status):
    """The good ones are shown whatever the others are."""
    for files in (first, small.plain), (small.plain, first):
        p = for_people(run(COFFER, "status", *files, status=(status,)))
        assert p.stdout.startswith(f"{small.plain}: reserved\n"), p.stdout
        assert first in p.stderr, p.stderr
        report = for_programs(run(ASAN, "status", "--json", *files, status=(status,)))
        assert [s["device"] for s in report["devices"]] == [small.plain], report
        assert first in report["message"], report


def two():
    p = run(COFFER, "status", small.plain, large.plain)
    assert p.stdout.count(": reserved\n") == 2, p.stdout


def lying_names():
    """What a name has in it is neither printed as it is nor run by a shell."""
    img = small.copy("a\033[31m\n$(touch owned) b")
    s, = for_programs(run(ASAN, "status", "--json", img))["devices"]
    p = for_people(run(COFFER, "status", img))
    assert "\033" not in p.stdout and p.stdout.count("\n$") == 0, p.stdout
    assert shlex.split(s["next"])[-1] == img, s
    assert not os.path.exists("owned")
    os.unlink(img)


def full():
    with open("/dev/full", "wb") as f:
        p = run("sh", "-c", 'exec "$0" status "$1" >/dev/full', COFFER, small.plain, status=(1,))
        assert p.returncode == 1 and f
        run("sh", "-c", 'exec "$0" status --json "$1" >/dev/full', COFFER, small.plain, status=(1,))


def all_stages():
    assert seen == STAGES, f"no row shows {STAGES - seen}"


with stack:
    small = Box(folder, 6 * MiB, end=4 * MiB)
    large = Box(folder, 48 * MiB, end=16 * MiB, name="large")
    half = Box(folder, 24 * MiB, end=8 * MiB, name="half")
    xfs = Box(folder, 60 * MiB, fs="xfs", end=28 * MiB, name="xfs", fill=4 * MiB)
    btrfs = Box(folder, 142 * MiB, fs="btrfs", end=110 * MiB, name="btrfs", fill=4 * MiB)
    moments = coffer.phases(small)
    placement, steps, end = moments["placement"], moments["steps"], moments["end"]
    middle = steps[len(steps) // 2][:2]
    mark = next(i for i, m in enumerate(placement) if "(4096 at 0)" in m[2])
    erase = [m for m in placement if m[0] == "pwrite64"][-1][:2]
    placed = moments["commit"][0][:2]
    tap.run([
        ("plain, without a reserve", without_room),
        ("plain, of zeros", of_nothing, 8 * MiB),
        ("plain, of zeros, 4 KiB", of_nothing, 4096),
        ("reserved, ext4", reserved, large, None),
        ("reserved, ext4, a reserve of 16 MiB", reserved, half, "16M"),
        ("reserved, ext4, a reserve of 2 MiB", reserved, small, "2M"),
        ("reserved, xfs", reserved, xfs, None),
        ("reserved, btrfs", reserved, btrfs, None),
        ("placing", killed, placement[mark + 3][:2], "placing", "redo-placement", True),
        ("placing, only its record is left", killed, erase, "placing", "finish-placement",
         True),
        ("placed", killed, placed, "placed", "convert", True),
        ("converting", killed, middle, "converting", "convert", False),
        ("wipe-pending", killed, end[0][:2], "wipe-pending", "finalize", False),
        ("killed everywhere", killed_everywhere),
        ("undoing", restoring),
        ("encrypted by stock", by_stock),
        ("encrypted, LUKS1", luks1),
        ("other, begun", of_stock, "begun"),
        ("other, killed", of_stock, "killed"),
        ("placed by stock", begun_by_stock),
        ("Bug: other, too small for coffer", too_small),
        ("shrunk, placed", shrunk, placed),
        ("shrunk, partly placed", shrunk, placement[mark + 3][:2]),
        ("shrunk, converting", shrunk, middle),
        ("damaged", damaged),
        ("encrypted, second copy torn", torn_copy, 1, None),
        ("encrypted, first copy torn", torn_copy, 0, None),
        ("converting, second copy torn", torn_copy, 1, middle),
        ("converting, first copy torn", torn_copy, 0, middle),
        *((f"{n} bytes", odd_size, n) for n in (0, 1, 511, 512, 4095, 4097, 3 * MiB - 1, 3 * MiB + 1,
                                                6 * MiB + 512)),
        ("in use", in_use),
        ("coffer is at work", coffer_at_work),
        ("stock is at work", stock_at_work),
        ("only reads, plain", only_reads, lambda img: None),
        ("only reads, placing", only_reads,
         lambda img: coffer.kill_at(*placement[mark + 3][:2], one_thread(img, small.key))),
        ("only reads, a torn copy", only_reads, lambda img: (
            coffer.kill_at(*middle, one_thread(img, small.key)), tear(img, 4200))),
        ("no operand", no_operand),
        ("no operand, an ordinary user", of_the_machine_as_nobody),
        ("two disks", two),
        ("one is not there", several, work("no such file"), 1),
        ("one is a folder", several, folder, 4),
        ("one is a terminal's", several, "/dev/null", 4),
        ("names that lie", lying_names),
        ("a full disk for the report", full),
        ("every stage was seen", all_stages),
    ])
tap.done()
