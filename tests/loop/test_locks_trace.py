#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""cryptsetup's locks are taken with the right name and in the right mode around everything that is
read and written of a header: told by the system calls of each verb, on an image file and on a block
device. Stock cryptsetup goes through the same judge, so that it is known to judge reality; and
records that were tampered with must fail."""
import contextlib
import fcntl
import os
import re
import uuid

import coffer
from beside import locked, numbers, run_lock_path, target
from coffer import Box, header
from disk import MiB, luks_metadata, run, tempdir
from locktrace import LOCKS, RULES, Disk, Judge, traced
from tap import Tap
from verifying import xor

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
S = MiB


# --- disks ------------------------------------------------------------------------------------------

def disk(where, kind, volume, of=None):
    """of is an image with a header of the same layout; None: coffer's own, with S of 1 MiB."""
    if of is None:
        head, keyslots = 32 << 10, (32 << 10) + S // 2
    else:
        head = 2 * header(of)["hdr_size"]
        keyslots = head + int(luks_metadata(of)["config"]["keyslots_size"])
    return Disk(where, volume, head, keyslots, (S, small.size - 2 * S),
                numbers(where) if kind == "block" else None)


def made(state):
    """A fresh image in this state, and the UUID of its header."""
    img = small.copy()
    volume = str(uuid.uuid4())
    cmd = coffer.one_thread(img, small.key, "--uuid", volume)
    if state == "placing":
        coffer.kill_at(*begun, cmd)
    elif state == "placed":
        coffer.kill_at(*moments["commit"][0][:2], cmd)
    elif state in ("half", "torn"):
        coffer.kill_at(*middle, cmd)
    elif state == "moved":
        coffer.kill_at(*moments["end"][0][:2], cmd)
    elif state == "behind":  # the final header in one copy only
        coffer.kill_at(*[m for m in moments["end"] if m[0] == "pwrite64"][-1][:2], cmd)
    elif state in ("final", "torn final"):
        run(*cmd)
    elif state == "stock half":
        coffer.stock_init(img, small.key, "--uuid", volume)
        coffer.inject("fdatasync", "signal=TERM:when=2", coffer.stock_resume(img, small.key))
    if state.startswith("torn"):
        xor(img, 5000)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(run_lock_path(volume))  # of the one that was killed
    return img, volume


# --- the judge on what really happened ------------------------------

def judged(lines, where, seen, kind="image", **how):
    """No problem, and everything in seen did happen."""
    judge = Judge(where, **how)
    problems = judge.judge(lines)
    assert not problems, "\n".join(f"{rule}: {why}" for rule, why in problems[:20])
    for what in seen:
        assert judge.count[what] > 0, f"no {what}: {dict(judge.count)}"
    assert judge.count["unlinks"] > 0 or kind == "image", dict(judge.count)
    return judge


# Bug: a repeated placement and an abort did not hold the volume's lock
def ours(kind, state, verb, args, seen, status=0, is_run=False):
    img, volume = made(state)
    with target(kind, img) as where:
        cmd = coffer.command(verb, where, small.key, *args)
        if verb in ("status", "plan", "abort"):
            cmd = coffer.command(verb, where, None, *args)
        lines = traced(cmd, status=(status,))
        judged(lines, disk(where, kind, volume), seen, kind, is_run=is_run,
               is_plain=state in ("plain", "placing"), keyslots=verb == "verify")
    left = [n for n in os.listdir(LOCKS) if volume in n]
    assert not left, f"it left {left}"


def whole_run(kind, *args):
    img, volume = made("plain")
    with target(kind, img) as where:
        lines = traced(coffer.command("encrypt", where, small.key, "--uuid", volume, *args))
        judge = judged(lines, disk(where, kind, volume), WRITES, kind, is_run=True, is_plain=True)
        assert judge.count["commits"] == 7, judge.count  # placed, as it is, four steps, final
    small.check(img)


def refused(kind):
    """Somebody has the reencryption lock: it is asked for, and neither waited for nor removed."""
    img, volume = made("half")
    with target(kind, img) as where, locked(run_lock_path(volume), fcntl.LOCK_EX) as fd:
        for verb, args in ("encrypt", ["--resume-only"]), ("repair", ["--yes"]), ("abort", []):
            cmd = coffer.command(verb, where, None if verb == "abort" else small.key, *args)
            lines = traced(cmd, status=(4,))
            judged(lines, disk(where, kind, volume), LOOKS, kind)
            assert os.path.samestat(os.fstat(fd), os.stat(run_lock_path(volume))), verb


def keyslots(kind):
    """A run that goes on copies the keyslots to memory, as libcryptsetup reads them: locked."""
    img, volume = made("half")
    with target(kind, img) as where:
        lines = traced(coffer.command("encrypt", where, small.key, "--resume-only"))
        judged(lines, disk(where, kind, volume), ("keyslots reads",), kind, keyslots=True)


def theirs(kind, state, cmd, seen, is_run=False, status=0):
    """cmd of stock; "{}" is the disk."""
    img, volume = made(state)
    where_of = made_of(img)
    with target(kind, img) as where:
        lines = traced([where if c == "{}" else c for c in cmd], status=(status,), cwd=folder)
        judged(lines, disk(where, kind, volume, where_of), seen, kind, is_run=is_run, keyslots=True)


def made_of(img):
    """A copy of which the layout can be asked while the image is torn."""
    copy = os.path.join(folder, "layout")
    run("cp", img, copy)
    return copy


# --- the judge on what must not happen ------------------------------

def doctored(lines, rule, edit, where, **how):
    """The record as it was has no problem, and the edited one has this one."""
    assert not Judge(where, **how).rules(lines), "the record has a problem before it is edited"
    edited = edit(list(lines))
    assert edited != lines, "nothing was edited"
    got = Judge(where, **how).rules(edited)
    assert rule in got, f"found {sorted(got)}"


def is_flock(line, where, how=""):
    name = f"L_{where.numbers}>" if where.numbers else f"{where.name}>"
    return "flock(" in line and name in line and how in line


def without(wanted):
    return lambda lines: [line for line in lines if not wanted(line)]


def moved_after(line, wanted):
    """line's first match goes behind the next line that is wanted."""
    def edit(lines):
        at = next(i for i, x in enumerate(lines) if line(x))
        to = next(i for i in range(at + 1, len(lines)) if wanted(lines[i]))
        return lines[:at] + lines[at + 1:to + 1] + [lines[at]] + lines[to + 1:]
    return edit


def shared(where):
    return lambda lines: [x.replace("LOCK_EX", "LOCK_SH") if is_flock(x, where) else x
                          for x in lines]


def doctored_rows():
    """Records of one run on each kind of disk, and what is done to them."""
    for kind in "image", "block":
        img, volume = made("half")
        with target(kind, img) as name:
            where = disk(name, kind, volume)
            lines = traced(coffer.one_thread(name, small.key, "--resume-only"))
        how = {"is_run": True}

        def run_lock(line):
            return "flock(" in line and "LN_LUKS2" in line

        def a_read(line, where=where):
            return "pread64(" in line and where.name in line and ", 4096, 0) = " in line

        def unlocks(line, where=where):
            return is_flock(line, where, "LOCK_UN")

        edits = [
            ("no metadata lock", "unlocked read", without(lambda x, w=where: is_flock(x, w))),
            ("no metadata lock, writes", "unlocked write",
             without(lambda x, w=where: is_flock(x, w))),
            ("shared instead of exclusive", "unlocked write", shared(where)),
            ("read after the lock was given back", "unlocked read", moved_after(a_read, unlocks)),
            ("no reencryption lock", "no run", without(run_lock)),
            ("reencryption lock that waits", "run waits",
             lambda lines: [x.replace("LOCK_EX|LOCK_NB", "LOCK_EX") if run_lock(x) else x
                            for x in lines]),
            ("reencryption lock after the metadata lock", "order",
             moved_after(run_lock, lambda x, w=where: is_flock(x, w, "LOCK_SH|"))),
            ("reencryption lock given back half way", "run broken", given_back),
        ]
        if kind == "image":
            edits += [
                ("metadata lock of the whole run", "two commits", without(unlocks)),
                ("metadata lock over data", "held over data", without(unlocks)),
            ]
        else:
            edits += [
                ("metadata lock of another disk", "unlocked write",
                 lambda lines, w=where: [x.replace(f"L_{w.numbers}", "L_259:9") for x in lines]),
                ("name not looked at", "not checked",
                 without(lambda x: "newfstatat(" in x and '/L_' in x and '""' not in x)),
                ("descriptor not looked at", "not checked",
                 without(lambda x: "newfstatat(" in x and 'L_' in x and '""' in x)),
                ("lock file removed under no lock", "unlink",
                 without(lambda x: "flock(" in x and "LOCK_EX|LOCK_NB" in x and "/L_" in x)),
            ]
        edits.append(("name of the reencryption lock not looked at", "not checked",
                      without(lambda x: "newfstatat(" in x and '/LN_' in x and '""' not in x)))
        for name_, rule, edit in edits:
            yield (f"doctored, {kind}: {name_}", doctored, lines, rule, edit, where), how


def given_back(lines):
    """In the middle somebody else could have had it."""
    at = next(i for i, x in enumerate(lines) if "flock(" in x and "LN_LUKS2" in x)
    taken = lines[at]
    to = [i for i, x in enumerate(lines) if "fdatasync(" in x][-4]
    free = re.sub(r", LOCK_\S+\)", ", LOCK_UN)", taken)
    checks = [x for x in lines[at + 1:at + 3] if "newfstatat(" in x]
    return [*lines[:to], free, taken, *checks, *lines[to:]]


# --- the judge on records made by hand ------------------------------

IMG = Disk("/d", "U", 8192, 16384, (65536, 131072))
RUN = Disk("/d", "U", 8192, 16384, (65536, 131072))  # the same, of a program that converts
DEV = Disk("/dev/x", "U", 8192, 16384, (65536, 131072), "7:1")


def by_hand(text, where, want):
    """Of a program that converts where it takes the reencryption lock of another volume, or none,
    in DEV or IMG as RUN."""
    judge = Judge(where, is_run=where is RUN, keyslots=True)
    got = judge.rules(text.strip().splitlines())
    assert got == set(want), judge.problems


LUKS = r'"LUKS\272\276\0\2\0\0\0\0\0\0\20\0\0\0\0\0\0\0\0'
OPEN = '7 openat(AT_FDCWD</>, "/d", O_RDWR|O_CLOEXEC) = 3</d>\n'
OPEN_DEV = '7 openat(AT_FDCWD</>, "/dev/x", O_RDWR|O_CLOEXEC) = 3</dev/x<block 7:1>>\n'
TAKE = '7 openat(5</run/cryptsetup>, "{0}", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 6</run/cryptsetup/{0}>\n'
CHECK = ('7 newfstatat(6</run/cryptsetup/{0}>, "", {{st_mode=S_IFREG}}, AT_EMPTY_PATH) = 0\n'
         '7 newfstatat(5</run/cryptsetup>, "{0}", {{st_mode=S_IFREG}}, AT_SYMLINK_NOFOLLOW) = 0\n')
LN = "LN_LUKS2-reencryption-U"
FLOCK_LN = f"7 flock(6</run/cryptsetup/{LN}>, LOCK_EX|LOCK_NB) = 0\n"
DATA = '7 pwrite64(3</d>, "x", 4096, 131072) = 4096\n'  # behind the volume's bytes
FLUSH = "7 fdatasync(3</d>) = 0\n"
BY_HAND = [
    ("locked read", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096\n7 flock(3</d>, LOCK_UN) = 0', IMG, []),
    ("lock refused", OPEN + "7 flock(3</d>, LOCK_SH|LOCK_NB) = -1 EAGAIN (x)\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, ["unlocked read"]),
    ("another file locked", OPEN + '7 openat(AT_FDCWD</>, "/e", O_RDWR) = 4</e>\n'
     '7 flock(4</e>, LOCK_EX) = 0\n7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, ["unlocked read"]),
    ("closed without being unlocked", OPEN + '7 openat(AT_FDCWD</>, "/d", O_RDONLY) = 4</d>\n'
     "7 flock(4</d>, LOCK_SH) = 0\n7 close(4</d>) = 0\n"
     '7 pread64(3</d>, "x", 4096, 4096) = 4096', IMG, ["unlocked read"]),
    ("kept by a duplicate", OPEN + '7 openat(AT_FDCWD</>, "/d", O_RDONLY) = 4</d>\n'
     "7 flock(4</d>, LOCK_SH) = 0\n7 fcntl(4</d>, F_DUPFD_CLOEXEC, 3) = 9</d>\n7 close(4</d>) = 0\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, []),
    ("kept by a child", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n"
     "7 clone(child_stack=NULL, flags=SIGCHLD) = 8\n7 close(3</d>) = 0\n"
     '8 pread64(3</d>, "x", 4096, 0) = 4096\n8 +++ exited with 0 +++', IMG, []),
    ("a child's lock ends with it", OPEN + "7 clone(child_stack=NULL, flags=SIGCHLD) = 8\n"
     '8 openat(AT_FDCWD</>, "/d", O_RDONLY) = 4</d>\n8 flock(4</d>, LOCK_SH) = 0\n'
     '8 +++ exited with 0 +++\n7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, ["unlocked read"]),
    ("a thread's lock is everybody's", OPEN +
     "7 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88 <unfinished ...>\n"
     "8 flock(3</d>, LOCK_SH) = 0\n7 <... clone3 resumed>) = 8\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, []),
    ("unlocked while the read is under way", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n"
     "7 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88) = 8\n"
     "7 pread64(3</d>,  <unfinished ...>\n8 flock(3</d>, LOCK_UN) = 0\n"
     '7 <... pread64 resumed>"x", 4096, 0) = 4096', IMG, ["unlocked read"]),
    ("read at the file's own position", OPEN + "7 lseek(3</d>, 65536, SEEK_SET) = 65536\n"
     '7 read(3</d>, "x", 4096) = 4096\n7 lseek(3</d>, 4096, SEEK_SET) = 4096\n'
     '7 read(3</d>, "x", 512) = 512', IMG, ["unlocked read"]),
    ("keyslots", OPEN + '7 pread64(3</d>, "x", 4096, 8192) = 4096', IMG, ["unlocked keyslots"]),
    ("behind the keyslots", OPEN + '7 pread64(3</d>, "x", 4096, 16384) = 4096', IMG, []),
    ("a run", OPEN + TAKE.format(LN) + FLOCK_LN + CHECK.format(LN) + DATA + FLUSH + DATA, RUN, []),
    ("a flush before the run", OPEN + FLUSH + TAKE.format(LN) + FLOCK_LN + CHECK.format(LN) + DATA,
     RUN, []),
    ("no reencryption lock", OPEN + DATA, RUN, ["no run"]),
    ("no reencryption lock for the last flush", OPEN + TAKE.format(LN) + FLOCK_LN +
     CHECK.format(LN) + DATA + "7 close(6</x>) = 0\n" + FLUSH, RUN, ["no run"]),
    ("reencryption lock of another volume", OPEN + TAKE.format(LN + "V") +
     FLOCK_LN.replace(LN, LN + "V") + CHECK.format(LN + "V") + DATA, RUN, ["no run"]),
    ("reencryption lock shared", OPEN + TAKE.format(LN) + FLOCK_LN.replace("EX", "SH") +
     CHECK.format(LN) + DATA, RUN, ["run waits", "no run"]),
    ("reencryption lock that waits", OPEN + TAKE.format(LN) + FLOCK_LN.replace("|LOCK_NB", "") +
     CHECK.format(LN) + DATA, RUN, ["run waits"]),
    ("reencryption lock given back", OPEN + TAKE.format(LN) + FLOCK_LN + CHECK.format(LN) + DATA +
     "7 close(6</x>) = 0\n" + TAKE.format(LN) + FLOCK_LN + CHECK.format(LN) + DATA, RUN,
     ["run broken"]),
    ("reencryption lock not looked at", OPEN + TAKE.format(LN) + FLOCK_LN + DATA, RUN,
     ["not checked"]),
    ("reencryption lock under the metadata lock", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n" +
     TAKE.format(LN) + FLOCK_LN + CHECK.format(LN), RUN, ["order"]),
    ("header written under no lock", OPEN + f'7 pwrite64(3</d>, {LUKS}\\5..."..., 4096, 0) = 4096',
     IMG, ["unlocked write"]),
    ("header written under a shared lock", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n"
     f'7 pwrite64(3</d>, {LUKS}\\5..."..., 4096, 0) = 4096', IMG, ["unlocked write"]),
    ("many pieces at once", OPEN + '7 preadv(3</d>, [{iov_base="x", iov_len=512}], 1, 0) = 512',
     IMG, ["unseen"]),
    ("mapped", OPEN + "7 mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</d>, 0) = 0x7f0000000000", IMG,
     ["unseen"]),
    ("O_DIRECT tried", OPEN + "7 fcntl(3</d>, F_SETFL, O_RDWR|O_DIRECT) = 0\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, []),
    ("O_DIRECT tried as stock does", '7 openat(AT_FDCWD</>, "/d", O_RDONLY|O_DIRECT) = 3</d>\n'
     '7 read(3</d>, "x", 512) = 512\n7 lseek(3</d>, 0, SEEK_SET) = 0\n7 read(3</d>, "", 0) = 0\n'
     '7 read(3</d>, "x", 4096) = 4096', IMG, []),
    ("opened with O_DIRECT, then read", '7 openat(AT_FDCWD</>, "/d", O_RDONLY|O_DIRECT) = 3</d>\n'
     '7 lseek(3</d>, 0, SEEK_SET) = 0\n7 read(3</d>, "x", 4096) = 4096', IMG, ["unlocked read"]),
    ("O_DIRECT tried, then read", OPEN + "7 fcntl(3</d>, F_SETFL, O_RDWR|O_DIRECT) = 0\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096\n7 pread64(3</d>, "x", 4096, 0) = 4096', IMG,
     ["unlocked read"]),
    ("block device", OPEN_DEV + TAKE.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_SH) = 0\n" + CHECK.format("L_7:1") +
     '7 pread64(3</dev/x<block 7:1>>, "x", 4096, 0) = 4096', DEV, []),
    ("block device, name not looked at", OPEN_DEV + TAKE.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_SH) = 0\n" +
     '7 pread64(3</dev/x<block 7:1>>, "x", 4096, 0) = 4096', DEV, ["not checked"]),
    ("block device, name looked at before", OPEN_DEV + TAKE.format("L_7:1") + CHECK.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_SH) = 0\n" +
     '7 pread64(3</dev/x<block 7:1>>, "x", 4096, 0) = 4096', DEV, ["not checked"]),
    ("block device, flock on itself", OPEN_DEV + "7 flock(3</dev/x<block 7:1>>, LOCK_SH) = 0\n"
     '7 pread64(3</dev/x<block 7:1>>, "x", 4096, 0) = 4096', DEV, ["unlocked read"]),
    ("another device's lock", OPEN_DEV + TAKE.format("L_7:2") +
     "7 flock(6</run/cryptsetup/L_7:2>, LOCK_SH) = 0\n" + CHECK.format("L_7:2") +
     '7 pread64(3</dev/x<block 7:1>>, "x", 4096, 0) = 4096', DEV, ["unlocked read"]),
    ("lock file removed", OPEN_DEV + TAKE.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_EX|LOCK_NB) = 0\n" + CHECK.format("L_7:1") +
     '7 unlinkat(5</run/cryptsetup>, "L_7:1", 0) = 0', DEV, []),
    ("lock file removed under a shared lock", OPEN_DEV + TAKE.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_SH) = 0\n" + CHECK.format("L_7:1") +
     '7 unlink("/run/cryptsetup/L_7:1") = 0', DEV, ["unlink"]),
    ("lock file removed unlooked", OPEN_DEV + TAKE.format("L_7:1") +
     "7 flock(6</run/cryptsetup/L_7:1>, LOCK_EX|LOCK_NB) = 0\n" +
     '7 unlinkat(5</run/cryptsetup>, "L_7:1", 0) = 0', DEV, ["not checked"]),
    ("two commits under one lock", OPEN + "7 flock(3</d>, LOCK_EX) = 0\n"
     f'7 pwrite64(3</d>, {LUKS}\\5..."..., 4096, 0) = 4096\n'
     f'7 pwrite64(3</d>, {LUKS}\\6..."..., 4096, 0) = 4096', IMG, ["two commits"]),
    ("one commit", OPEN + "7 flock(3</d>, LOCK_EX) = 0\n"
     f'7 pwrite64(3</d>, {LUKS}\\5..."..., 4096, 0) = 4096\n'
     f'7 pwrite64(3</d>, {LUKS}\\5..."..., 4096, 4096) = 4096', IMG, []),
    ("data under the lock", OPEN + "7 flock(3</d>, LOCK_EX) = 0\n"
     '7 pwrite64(3</d>, "x", 4096, 65536) = 4096', IMG, ["held over data"]),
    ("upgrade that fails loses the lock", OPEN + "7 flock(3</d>, LOCK_SH) = 0\n"
     "7 flock(3</d>, LOCK_EX|LOCK_NB) = -1 EAGAIN (x)\n"
     '7 pread64(3</d>, "x", 4096, 0) = 4096', IMG, ["unlocked read"]),
]

WRITES = ("header reads", "header writes", "exclusive locks", "shared locks", "run locks",
          "data writes", "commits")
LOOKS = ("header reads", "shared locks")
# verb, state, arguments, what must have been seen, status, is it a run
VERBS = [
    ("status", "half", [], LOOKS, 0, False),
    ("status", "torn", [], LOOKS, 0, False),
    ("status", "placed", [], LOOKS, 0, False),
    ("status", "final", [], LOOKS, 0, False),
    ("plan", "half", ["--no-speed"], LOOKS, 0, False),
    ("verify", "half", [], (*LOOKS, "keyslots reads"), 3, False),
    ("verify", "torn", [], (*LOOKS, "keyslots reads"), 3, False),
    ("verify", "final", [], (*LOOKS, "keyslots reads"), 0, False),
    ("verify", "torn final", [], (*LOOKS, "keyslots reads"), 3, False),
    ("encrypt", "half", ["--dry-run"], (*LOOKS, "run locks"), 0, False),
    ("encrypt", "half", ["--resume-only", "--threads", "1"], WRITES, 0, True),
    ("encrypt", "half", ["--resume-only"], WRITES, 0, True),
    ("encrypt", "torn", ["--resume-only"], WRITES, 0, True),
    ("encrypt", "placed", ["--resume-only"], WRITES, 0, True),
    ("encrypt", "placing", ["--resume-only"], WRITES, 0, True),
    ("encrypt", "moved", ["--resume-only"], ("header writes", "commits", "run locks"), 0, True),
    ("encrypt", "behind", ["--resume-only"], ("header writes", "run locks"), 0, True),
    ("encrypt", "final", [], LOOKS, 4, False),
    ("abort", "placed", [], ("header writes", "exclusive locks", "run locks"), 0, True),
    ("abort", "placing", [], ("header writes", "exclusive locks", "run locks"), 0, True),
    ("abort", "half", [], (*LOOKS, "run locks"), 4, False),
    ("repair", "half", ["--dry-run"], LOOKS, 0, False),
    ("repair", "half", ["--yes"], WRITES, 0, True),
    ("repair", "torn final", ["--yes"], ("header writes", "exclusive locks", "run locks"), 0, True),
    ("repair", "placing", ["--yes"], WRITES, 0, True),
]


def stock_rows():
    fast = ["--batch-mode", *coffer.FAST]
    key = ["--key-file", small.key]
    resume = ["cryptsetup", "reencrypt", "--resume-only", "--batch-mode",
              "--force-offline-reencrypt", *key, "{}"]
    return [
        ("luksDump", "half", ["cryptsetup", "luksDump", "{}"], LOOKS),
        ("luksDump that repairs", "torn final", ["cryptsetup", "luksDump", "{}"],
         ("header reads", "header writes", "exclusive locks")),
        ("luksAddKey", "final", ["cryptsetup", "luksAddKey", *fast, *key, "{}", small.key],
         ("header reads", "header writes", "exclusive locks", "shared locks")),
        ("open", "final", ["cryptsetup", "open", "--test-passphrase", *key, "{}"], LOOKS),
        ("reencrypt", "stock half", resume, WRITES, True),
        ("reencrypt after coffer", "half", resume, WRITES, True),
    ]


with stack:
    small = Box(folder, 6 * MiB, end=4 * MiB)
    moments = coffer.phases(small)
    middle = moments["steps"][len(moments["steps"]) // 2][:2]
    mark = next(i for i, m in enumerate(moments["placement"]) if "(4096 at 0)" in m[2])
    begun = moments["placement"][mark + 2][:2]
    rows = [("by hand: " + name, by_hand, text, where, want) for name, text, where, want in BY_HAND]
    for kind in "image", "block":
        rows += [(f"encrypt, {kind}", whole_run, kind),
                 (f"encrypt, one thread, {kind}", whole_run, kind, "--threads", "1"),
                 (f"reencryption lock held by another, {kind}", refused, kind),
                 (f"keyslots of a resume, {kind}", keyslots, kind)]
        rows += [(f"{verb} {' '.join(args)}, {state}, {kind}", ours, kind, state, verb, *rest)
                 for verb, state, *rest in VERBS for args in [rest[0]]]
        rows += [(f"stock {name}, {state}, {kind}", theirs, kind, state, *rest)
                 for name, state, *rest in stock_rows()]
    tap.run(rows)
    for row, how in doctored_rows():
        name, function, *arguments = row
        tap.run([(name, lambda f=function, a=arguments, h=how: f(*a, **h))])
    told = {rule for *_, want in BY_HAND for rule in want}
    tap.ok(told == set(RULES), "each rule is broken by hand once", set(RULES) - told)
tap.done()
