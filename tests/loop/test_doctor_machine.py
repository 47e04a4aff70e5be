#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer doctor on machines that are really so: a lock directory that is a link, a lock whose holder
is stopped, a kernel without dm-crypt. What it says is true, and the remedy that it names helps."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time

import coffer
from coffer import COFFER, NOBODY
from disk import HANG, MiB, loop, run, write_at
from doctors import (LOCKS, box, command_of, disk, doctor, facts_of, find, healthy, lock_dir,
                     luks_format, machine, over, path, tap, waits_for_state, write)
from scratch import stack

UUID = "8a6e0b12-0000-4000-8000-000000000000"


def lock_directory(make, verdict, facts="", fix=True):
    """Found, and the remedy makes it good."""
    run("sh", "-c", make)
    try:
        c = machine("lock-directory", verdict, facts)
        if fix:
            run("sh", "-c", command_of(c))
            left = find(doctor(healthy)["machine"], "lock-directory")
            assert [k["verdict"] for k in left] in (["ok"], ["note"]) and left != [c], left
    finally:
        run("mount", "-o", "remount,rw", "/run")
        run("rm", "-rf", LOCKS)


@contextlib.contextmanager
def process(code, name="holder"):
    """A process called name that does code, and says when it is done; then it sleeps."""
    start = f"import fcntl, os, time; open('/proc/self/comm', 'w').write({name!r}); "
    with subprocess.Popen([sys.executable, "-c", start + code + "; time.sleep(86400)"],
                          stdout=subprocess.PIPE, text=True) as p:
        try:
            yield p
        finally:
            p.kill()


def holding(name, how="LOCK_EX"):
    return process(f"fd = os.open('{LOCKS}/{name}', os.O_CREAT | os.O_RDWR); "
                   f"fcntl.flock(fd, fcntl.{how}); print('ready', flush=True)")


def held_locks():
    """Who holds it, that he is stopped, who waits; kill -CONT helps."""
    name = "LN_LUKS2-reencryption-" + UUID
    with lock_dir(), holding(name) as p:
        p.stdout.readline()
        words = rf"\b{p.pid}\b.*holder"
        machine("lock", "note", words)
        os.kill(p.pid, signal.SIGSTOP)
        waits_for_state(p.pid, "T")
        c = machine("lock", "bad", words, rf"kill -CONT {p.pid}\b")
        run("sh", "-c", command_of(c))
        machine("lock", "note", words)


def one_of_two_is_stopped():
    """Of those who share a lock the one that is stopped is named, whichever came first."""
    for stopped in 0, 1:
        with lock_dir(), holding("L_7:255", "LOCK_SH") as p, holding("L_7:255", "LOCK_SH") as q:
            for each in p, q:
                each.stdout.readline()
            pid = (p, q)[stopped].pid
            os.kill(pid, signal.SIGSTOP)
            waits_for_state(pid, "T")
            machine("lock", "bad", rf"\b{pid}\b", f"kill -CONT {pid}")


def a_waiter():
    with lock_dir(), holding("L_7:255") as p:
        p.stdout.readline()
        with process(f"fd = os.open('{LOCKS}/L_7:255', os.O_RDWR); print('there', flush=True); "
                     "fcntl.flock(fd, fcntl.LOCK_SH)", "waiter") as w:
            w.stdout.readline()
            end = time.monotonic() + HANG
            words = rf"\b{p.pid}\b.*\b{w.pid}\b.*waiter"
            while not any(re.search(words, facts_of(c))
                          for c in find(doctor(healthy)["machine"], "lock")):
                assert time.monotonic() < end, "it is not seen to wait"
            machine("lock", "note", words, "what the holder is doing")


def a_child_holds_it():
    """The process that took the lock has ended; the open file is its child's."""
    with lock_dir(), process(f"fd = os.open('{LOCKS}/L_7:255', os.O_CREAT | os.O_RDWR); "
                             "fcntl.flock(fd, fcntl.LOCK_EX); pid = os.fork(); "
                             "print(pid, flush=True) if pid else None; pid and os._exit(0)") as p:
        child = int(p.stdout.readline())
        try:
            p.wait(HANG)
            machine("lock", "note", rf"\b{child}\b.*holder")
        finally:
            os.kill(child, signal.SIGKILL)


def leftovers():
    with lock_dir():
        for name in "L_7:255", "LN_LUKS2-reencryption-" + UUID, "LN_memory-hard-access":
            with open(os.path.join(LOCKS, name), "w"):
                pass
        before = sorted(os.listdir(LOCKS))
        machine("locks", "ok")
        with open(os.path.join(LOCKS, "L_strange\n"), "w"):
            pass
        machine("lock", "note", r"L_strange\n")
        text = run(COFFER, "doctor", healthy).stdout
        assert "L_strange?" in text, text
        os.unlink(os.path.join(LOCKS, "L_strange\n"))
        assert sorted(os.listdir(LOCKS)) == before, "it has taken something away"


def not_a_lock(make):
    with lock_dir():
        run("sh", "-c", make)
        c = machine("lock", "bad", advice="rm -r")
        run("sh", "-c", command_of(c))
        doctor(healthy)


def memory():
    """Less than argon2 takes, by /proc/meminfo."""
    with open("/proc/meminfo") as f:
        meminfo = f.read()
    small = re.sub(r"(MemAvailable|SwapFree): *\d+", r"\1: 20000", meminfo)
    with over("/proc/meminfo", write("meminfo", small)):
        disk(argon, "key-memory", "bad", str(64 * MiB), "luksConvertKey")
        disk(healthy, "keyslot", "note")  # pbkdf2: it takes none
    disk(argon, "key-memory", "ok", str(64 * MiB))


def modules(content, verdict, facts=""):
    """/lib/modules with these files of the running kernel; None: of another one only."""
    tree = path("modules")
    release = os.uname().release
    os.makedirs(os.path.join(tree, release if content else "5.0.0-other"))
    for name, text in (content or {}).items():
        write(f"modules/{release}/{name}", text)
    made = not os.path.isdir("/lib/modules")
    if made:
        os.mkdir("/lib/modules")
    try:
        with over("/lib/modules", tree), contextlib.ExitStack() as s:
            if os.path.isdir("/sys/module/dm_crypt"):
                s.enter_context(over("/sys/module", path("empty-modules")))
            machine("dm-crypt", verdict, facts)
    finally:
        run("rm", "-r", tree)
        if made:
            os.rmdir("/lib/modules")


def udev():
    machine("udev", "ok")
    os.mkdir("/run/udev")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        s.bind("/run/udev/control")
        machine("udev", "note", advice="DM_DISABLE_UDEV=1")
        s.listen(1)
        machine("udev", "ok")
        machine("udev", "ok")  # nobody has accepted the first: still it answers
        os.chmod("/run/udev/control", 0o600)
        machine("udev", "unchecked", prefix=NOBODY, program=COFFER)
        s.close()
        machine("udev", "note", advice="/run/udev/control")
    finally:
        s.close()
        run("rm", "-r", "/run/udev")


def locked_memory():
    """Bug: the limit that it named was too low for itself, and higher than a run needs."""
    img = box.copy("limited")
    os.chmod(img, 0o666)
    key = path("open-key")
    run("cp", box.key, key)
    os.chmod(key, 0o444)
    def with_limit(kib, verdict, status):
        prefix = [*NOBODY, "prlimit", f"--memlock={kib * 1024}"]
        found = machine("memory-lock", verdict, prefix=prefix, program=COFFER)
        p = run(*prefix, *coffer.command("encrypt", img, key), status=(status,))
        assert ("ulimit -l" in p.stderr) == (status != 0), p.stderr
        return found
    named = int(with_limit(16, "bad", 1)["remedy"][-1])
    with_limit(named - 4, "bad", 1)
    with_limit(named, "ok", 0)


def hibernated():
    """On a loop device, and for this row no other test looks at the block devices."""
    machine("hibernation", "ok")
    img = path("swap")
    with open(img, "wb") as f:
        f.truncate(4 * MiB)
    run("mkswap", img)
    write_at(img, 4086, b"S1SUSPEND\0")
    lock = int(os.environ["COFFER_TEST_DOCTOR"])
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with loop(img) as dev:
            machine("hibernation", "bad", advice=dev)
            machine("hibernation", "unchecked", prefix=NOBODY, program=COFFER)
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)


def swap(devices, on, volumes, verdict, facts=""):
    """A swap on the block device that is called on, in a sysfs of this row: devices are (name, UUID
    of device-mapper or None, what it stands on). A partition lies within its disk."""
    top = path("sysfs")
    for sub in "class", "dev", "devices":
        os.makedirs(os.path.join(top, sub))
    for i, (name, uuid, below) in enumerate(devices):
        at = os.path.join(top, "devices", name)
        os.makedirs(os.path.join(at, "slaves"))
        if "/" in name:
            write(f"sysfs/devices/{name}/partition", "1\n")
        if uuid:
            os.mkdir(os.path.join(at, "dm"))
            write(f"sysfs/devices/{name}/dm/uuid", uuid + "\n")
        for other in below:
            os.symlink(os.path.join(top, "devices", other),
                       os.path.join(at, "slaves", os.path.basename(other)))
        write(f"sysfs/devices/{name}/dev", f"250:{i}\n")
        os.symlink(at, os.path.join(top, "class", os.path.basename(name)))
        os.symlink(at, os.path.join(top, "dev", f"250:{i}"))
        if name == on:
            os.mknod(path("node"), 0o600 | 0o060000, os.makedev(250, i))
    for i in range(volumes):
        os.makedirs(os.path.join(top, "class", f"dm-9{i}", "dm"))
        write(f"sysfs/class/dm-9{i}/dm/uuid", "CRYPT-LUKS2-8a6e-root\n")
        write(f"sysfs/class/dm-9{i}/dev", f"250:9{i}\n")
        os.symlink(os.path.join(top, "class", f"dm-9{i}"), os.path.join(top, "dev", f"250:9{i}"))
    swaps = write("swaps", "Filename Type Size Used Priority\n" +
                  (f"{path('node')} partition 1000 0 -2\n" if on else ""))
    try:
        with over("/proc/swaps", swaps), over("/sys/class/block", os.path.join(top, "class")), \
                over("/sys/dev/block", os.path.join(top, "dev")):
            machine("swap", verdict, facts)
    finally:
        run("rm", "-rf", top, path("node"))


with stack:
    argon = luks_format("argon", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4",
                        "--pbkdf-memory", "65536", "--pbkdf-parallel", "1")
    os.makedirs(path("empty-modules"))
    run("rm", "-rf", LOCKS)
    release = os.uname().release
    tap.run([
        ("lock directory: a link", lock_directory, f"ln -s /tmp {LOCKS}", "bad"),
        ("lock directory: a file", lock_directory, f"touch {LOCKS}", "bad"),
        ("lock directory: a fifo", lock_directory, f"mkfifo {LOCKS}", "bad"),
        ("lock directory: everybody's", lock_directory, f"mkdir -m 777 {LOCKS}", "bad", "0777"),
        ("lock directory: a group's", lock_directory, f"mkdir -m 770 {LOCKS}", "bad", "0770"),
        ("lock directory: another user's", lock_directory,
         f"mkdir -m 700 {LOCKS} && chown 65534 {LOCKS}", "bad", "65534"),
        ("lock directory: open to looks", lock_directory, f"mkdir -m 755 {LOCKS}", "note", "0755"),
        ("lock directory: cannot be made", lock_directory, "mount -o remount,ro /run", "bad"),
        ("lock directory: read-only", lock_directory,
         f"mkdir -m 700 {LOCKS} && mount -o remount,ro /run", "bad"),
        ("a held lock", held_locks),
        ("a lock that two hold", one_of_two_is_stopped),
        ("a lock that somebody waits for", a_waiter),
        ("a lock that was inherited", a_child_holds_it),
        ("locks that were left", leftovers),
        ("a link in the place of a lock", not_a_lock, f"ln -s /tmp {LOCKS}/L_7:255"),
        ("a folder in the place of a lock", not_a_lock, f"mkdir {LOCKS}/L_7:255"),
        ("a fifo in the place of a lock", not_a_lock, f"mkfifo {LOCKS}/LN_memory-hard-access"),
        ("less memory than a keyslot takes", memory),
        ("dm-crypt: a module", modules, {
            "modules.dep": "kernel/drivers/md/dm-crypt.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n",
            "modules.builtin": ""}, "ok"),
        ("dm-crypt: built in", modules, {
            "modules.dep": "", "modules.builtin": "kernel/drivers/md/dm-crypt.ko\n"}, "ok"),
        ("dm-crypt: after a MiB of others", modules, {
            "modules.dep": "kernel/a.ko: kernel/b.ko\n" * 60000 + "kernel/dm-crypt.ko:\n"}, "ok"),
        ("dm-crypt: no module", modules, {
            "modules.dep": "kernel/x.ko: kernel/drivers/md/dm-crypt.ko\n"}, "bad"),
        ("dm-crypt: the modules are gone", modules, None, "bad",
         re.escape(release)),
        ("udev", udev),
        ("Bug: the limit on locked memory", locked_memory),
        ("a hibernated system", hibernated),
        ("swap: none", swap, [], None, 1, "ok"),
        ("swap: plain, a volume is open", swap, [("sda", None, []), ("sda/sda3", None, [])],
         "sda/sda3", 1, "note", "/node"),
        ("swap: plain, no volume is open", swap, [("sda", None, [])], "sda", 0, "ok"),
        ("swap: encrypted", swap, [("dm-1", "CRYPT-PLAIN-swap", ["sda"]), ("sda", None, [])],
         "dm-1", 1, "ok"),
        ("swap: LVM on an encrypted disk", swap,
         [("dm-1", "LVM-x", ["dm-0"]), ("dm-0", "CRYPT-LUKS2-x", ["sda"]), ("sda", None, [])],
         "dm-1", 0, "ok"),
        ("swap: LVM, half of it on a plain disk", swap,
         [("dm-1", "LVM-x", ["dm-0", "sda"]), ("dm-0", "CRYPT-LUKS2-x", ["sda"]),
          ("sda", None, [])], "dm-1", 1, "note", "/node"),
        ("swap: in memory", swap, [("zram0", None, [])], "zram0", 1, "ok"),
        ("swap: on a loop device", swap, [("loop0", None, [])], "loop0", 1, "unchecked"),
        ("swap: on something that is gone", swap, [("sda", None, ["gone"])], "sda", 1, "unchecked"),
    ])
tap.done()
