#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer doctor on disks that are really so: a header that is torn, a conversion that was interrupted.
What it says is true, the remedy that it names helps, a healthy machine is not bothered, and looking
changes nothing."""
import contextlib
import json
import os
import re
import signal
import subprocess

import coffer
from coffer import COFFER, FAST, NOBODY
from disk import HANG, MiB, loop, run, write_at
from doctors import (LOCKS, box, command_of, disk, doctor, facts_of, find, healthy, lock_dir,
                     luks_format, machine, path, tap, waits_for_state)
from scratch import folder, stack


def nothing_is_wrong():
    for at in contextlib.nullcontext(), lock_dir():
        with at:
            before = os.listdir("/run")
            report = doctor(healthy)
            assert os.listdir("/run") == before, "it has made something"
            assert not find(report["machine"], "lock"), report
            p = run(COFFER, "doctor", "--quiet", healthy)
            assert p.stdout == "" and p.stderr == "", p
            text = run(COFFER, "doctor", healthy)
            assert f"\n{healthy}: encrypted" in text.stdout and text.stderr == "", text


def a_loop_device_is_found():
    """Without an operand each disk that holds LUKS, and no other."""
    with loop(healthy) as dev, loop(box.plain) as plain:
        report = doctor(status=(0, 3))
        mine, = (d for d in report["disks"] if d["device"] == dev)
        assert not find(mine["checks"], "conversion", "bad"), mine
        assert mine["status"]["stage"] == "encrypted" and mine["status"]["block_device"], mine
        assert plain not in [d["device"] for d in report["disks"]], report
        assert [d["device"] for d in doctor(plain)["disks"]] == [plain]
    assert not os.path.exists(LOCKS), "it has made the lock directory"


def for_nobody():
    """An ordinary user gets notes and what he cannot see, and no alarm."""
    with lock_dir():
        report = doctor(healthy, prefix=NOBODY, program=COFFER)
    for id_, verdict in (("lock-directory", "note"), ("locks", "unchecked"),
                         ("hibernation", "unchecked"), ("memory-lock", "ok")):
        assert find(report["machine"], id_, verdict), (id_, report)
    report = doctor(prefix=NOBODY, program=COFFER)
    assert report["disks"] == [] and find(report["machine"], "disks"), report


def in_a_container():
    """No sysfs, no modules, a pid namespace of its own, and hardly a tool: notes only."""
    modules = path("none")
    os.makedirs(modules, exist_ok=True)
    inside = ("mount -t tmpfs tmpfs /sys && { [ ! -d /lib/modules ] || "
              f"mount --bind {modules} /lib/modules; }} && exec \"$0\" \"$@\"")
    prefix = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", inside]
    report = doctor(healthy, prefix=prefix, program=COFFER)
    assert find(report["machine"], "dm-crypt", "note"), report
    report = doctor(prefix=prefix, program=COFFER)
    assert find(report["machine"], "disks", "unchecked"), report


def several():
    """One that cannot be read keeps nobody from the others."""
    missing = path("missing")
    for files in (missing, healthy), (healthy, missing):
        report = doctor(*files, status=(1,))
        assert [d["device"] for d in report["disks"]] == list(files), report
        assert missing in report["message"], report
        bad, = (d for d in report["disks"] if d["device"] == missing)
        assert "status" not in bad and find(bad["checks"], "disk", "unchecked"), bad


def tear(img, which):
    at = which * coffer.header(img)["hdr_size"] + 4200
    write_at(img, at, os.urandom(64))


def torn(which, id_):
    img = path("torn")
    run("cp", healthy, img)
    tear(img, which)
    disk(img, id_, "bad", advice=f"coffer repair --dry-run {img}")
    run(COFFER, "repair", "--yes", img)
    doctor(img)


def both_torn():
    img = path("torn")
    run("cp", healthy, img)
    tear(img, 0)
    tear(img, 1)
    disk(img, "damage", "bad", advice=f"coffer repair --dry-run {img}")


def unfinished(make):
    """An alarm with the command that finishes it, which does."""
    img = box.copy("unfinished")
    make(img)
    _, *program = command_of(disk(img, "conversion", "bad")).split()
    run(COFFER, program[0], "--key-file", box.key, *program[1:])
    disk(img, "conversion", "ok")


def killed(moment):
    return lambda img: coffer.kill_at(*moment, coffer.one_thread(img, box.key))


def by_stock(img):
    coffer.stock_init(img, box.key)


def of_cryptsetup():
    """A reencryption that is not coffer's to finish."""
    img = path("reencrypted")
    run("cp", healthy, img)
    run("cryptsetup", "reencrypt", "--batch-mode", "--force-offline-reencrypt", *FAST,
        "--init-only", "--key-file", box.key, img, cwd=folder)
    disk(img, "conversion", "bad",
         advice=f"cryptsetup reencrypt --resume-only --force-offline-reencrypt {img}")


def at_work():
    """A conversion that somebody does is none that needs care. Who does it is found through a pid
    namespace by his lock on the disk, and when he is stopped, that is what needs care."""
    img = box.copy("at-work")
    os.chmod(img, 0o444)
    with subprocess.Popen(coffer.command("encrypt", img, box.key, "--max-rate", "1M", "--json"),
                          stdout=subprocess.PIPE, text=True) as p:
        try:
            for line in p.stdout:
                if json.loads(line).get("phase") == "convert":
                    break
            disk_at_work(img, str(p.pid))
            disk_at_work(img, "", prefix=NOBODY, program=COFFER)
            disk_at_work(img, "", program=COFFER,
                         prefix=["unshare", "--mount", "--pid", "--fork", "--mount-proc"])
            p.send_signal(signal.SIGSTOP)
            waits_for_state(p.pid, "T")
            machine("lock", "bad", rf"\b{p.pid}\b", rf"kill -CONT {p.pid}\b")
            disk_at_work(img, str(p.pid), status=(3,))
        finally:
            p.send_signal(signal.SIGCONT)
            p.terminate()
            p.communicate(timeout=HANG)
    assert p.returncode in (0, 5), p.returncode
    coffer.finish(img, box.key)
    disk(img, "conversion", "ok")


def disk_at_work(img, pid, status=(0,), **kw):
    d, = doctor(img, status=status, **kw)["disks"]
    c, = find(d["checks"], "conversion")
    assert c["verdict"] == "note" and pid in facts_of(c), c
    assert not [c for c in d["checks"] if c["verdict"] == "bad"], d


def whoever_cannot_see_everybody(img_of):
    img = box.copy("hidden")
    img_of(img)
    os.chmod(img, 0o444)
    disk(img, "conversion", "unchecked", prefix=NOBODY, program=COFFER)


def keyslots():
    img = luks_format("slots", *FAST)
    disk(img, "keyslot", "note", advice="luksAddKey")
    disk(img, "pbkdf", "note", "0 1000", "luksConvertKey --key-slot 0")
    run("cryptsetup", "luksAddKey", "--batch-mode", *FAST, "--key-file", box.key, img, box.key)
    disk(img, "keyslot", "ok", "2")
    run("cryptsetup", "luksErase", "--batch-mode", img)
    disk(img, "keyslot", "bad", advice="coffer header restore")


def few_keyslots():
    img = luks_format("few", *FAST, "--luks2-keyslots-size", "256K")
    disk(img, "keyslot-room", "note")
    c = doctor(healthy)["disks"][0]["checks"]
    assert not find(c, "keyslot-room") or box.size < 16 * MiB, c


def of_a_token():
    """A keyslot that a token opens has a passphrase that nobody guesses."""
    img = luks_format("token", *FAST)
    run("cryptsetup", "token", "import", "--json-file", "-", img,
        input='{"type":"systemd-tpm2","keyslots":["0"],"tpm2-blob":"","tpm2-pcrs":[],'
              '"tpm2-policy-hash":""}')
    d, = doctor(img)["disks"]
    assert not find(d["checks"], "pbkdf"), d


def cut_off():
    """The device ends where the data begin."""
    img = luks_format("cut", *FAST)
    os.truncate(img, 16 * MiB)
    disk(img, "size", "unchecked")
    with loop(img) as dev:
        d, = doctor(dev, status=(3,))["disks"]
        assert find(d["checks"], "segment", "bad"), d


def other_disks():
    disk(box.plain, "conversion", "note")
    img = luks_format("luks1", "--type", "luks1", "--pbkdf-force-iterations", "1000")
    disk(img, "conversion", "note")
    assert doctor(img)["disks"][0]["status"]["luks_version"] == 1
    os.truncate(luks_format("nothing", *FAST), 0)
    doctor(path("nothing"))


FORBIDDEN = ("mkdir mkdirat unlink unlinkat rename renameat renameat2 rmdir symlink symlinkat link "
             "linkat creat truncate fallocate mknod mknodat chmod fchmod fchmodat chown fchown "
             "lchown fchownat utimensat setxattr lsetxattr fsetxattr mount umount2 move_mount fsopen "
             "open_tree init_module finit_module flock fsync fdatasync sync syncfs sethostname "
             "reboot swapon swapoff semget msgget shmget ptrace kexec_load").split()


def only_reads(*targets):
    """By the system calls of coffer and of all that it runs: nothing is opened for writing or made,
    no lock is taken, nobody gets a signal."""
    log = path("strace")
    run("strace", "-f", "-y", "-o", log, "-e",
        "trace=openat,open,openat2,ioctl,kill,fcntl,ftruncate,pwrite64," + ",".join(FORBIDDEN),
        COFFER, "doctor", *targets, status=(0, 3))
    opened = 0
    with open(log, errors="replace") as f:
        for line in f:
            m = re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ]", line)
            if not m or "</memfd:coffer-" in line:  # memory, for the helper
                continue
            assert m[1] not in FORBIDDEN and m[1] not in ("kill", "ftruncate", "pwrite64"), line
            if m[1] in ("open", "openat", "openat2"):
                opened += 1
                writes = re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE", line)
                assert not writes or '"/dev/null"' in line, line
            elif m[1] == "fcntl":
                assert not re.search("F_(OFD_)?SETLK", line), line
            elif m[1] == "ioctl":
                assert not re.search(r"(SET|ADD|CLR|FLSBUF|DISCARD|RRPART|BLKPG|DM_)", line), line
    assert opened > 20, "hardly anything was opened"


def only_reads_a_device():
    run("rm", "-rf", LOCKS)
    with loop(healthy) as dev, lock_dir():
        only_reads(dev)


def within_a_commit():
    """One header copy is written and the other one is not: that is nothing to care about as long as
    somebody is at work, and his lock keeps nobody from looking."""
    img = box.copy("commit")
    second = next(i for i, (c, _, what) in enumerate(steps)
                  if c == "pwrite64" and " at 16384)" in what)
    with coffer.paused(*steps[second - 1][:2], coffer.one_thread(img, box.key)):
        h = coffer.header(img)
        assert h["seqids"][0] == h["seqids"][1] + 1, h
        d, = doctor(img)["disks"]
        assert find(d["checks"], "header-copies", "unchecked"), d
        assert find(d["checks"], "conversion", "note"), d
    disk(img, "header-secondary", "ok")


with stack:
    moments = coffer.phases(box)
    steps = moments["steps"]
    middle = next((c, n) for c, n, what in steps[len(steps) // 2:]
                  if c == "pwrite64" and f"({MiB} " in what)
    run("rm", "-rf", LOCKS)
    tap.run([
        ("a healthy machine", nothing_is_wrong),
        ("all disks", a_loop_device_is_found),
        ("for an ordinary user", for_nobody),
        ("in a container", in_a_container),
        ("one of two cannot be read", several),
        ("a torn first copy", torn, 0, "header-primary"),
        ("a torn second copy", torn, 1, "header-secondary"),
        ("both copies torn", both_torn),
        ("unfinished: placing", unfinished, killed(moments["placement"][-3][:2])),
        ("unfinished: placed", unfinished, killed(moments["commit"][0][:2])),
        ("unfinished: converting", unfinished, killed(middle)),
        ("unfinished: the wipe", unfinished, killed(moments["end"][0][:2])),
        ("unfinished: begun by stock", unfinished, by_stock),
        ("unfinished: a reencryption of cryptsetup's", of_cryptsetup),
        ("a conversion that somebody does", at_work),
        ("within a commit", within_a_commit),
        ("a conversion that perhaps somebody does", whoever_cannot_see_everybody, killed(middle)),
        ("keyslots", keyslots),
        ("no space for keyslots", few_keyslots),
        ("a keyslot of a token", of_a_token),
        ("a device that was cut off", cut_off),
        ("plain, LUKS1, empty", other_disks),
        ("only reads an image", only_reads, healthy),
        ("only reads a device", only_reads_a_device),
        ("only reads all disks", only_reads),
    ])
tap.done()
