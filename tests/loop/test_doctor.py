#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer doctor on machines and disks that are really so: a lock directory that is a link, a lock
whose holder is stopped, a cryptsetup that is too old, a kernel without dm-crypt, a header that is
torn. What it says is true, the remedy that it names helps, a healthy machine is not bothered, and
looking changes nothing.

It runs in a mount namespace of its own with an empty /run; what else of the machine a row changes
(/proc/meminfo, /lib/modules) is a file of the row's own, mounted over it there."""
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import coffer
from coffer import ASAN, COFFER, FAST, NOBODY, Box
from disk import HANG, MiB, loop, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
if "COFFER_TEST_DOCTOR" not in os.environ:
    # No hibernated system of another test as long as this one lasts, but for one row: the lock of
    # disk.block_devices() is inherited, since /run will be another folder.
    lock = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock, True)
    os.environ["COFFER_TEST_DOCTOR"] = str(lock)
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--",
                          sys.executable, *sys.argv])

stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
os.chmod(folder, 0o755)  # for an ordinary user
run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
LOCKS = "/run/cryptsetup"
UUID = "8a6e0b12-0000-4000-8000-000000000000"


def path(name):
    return os.path.join(folder, name)


def write(name, text, mode=0o644):
    with open(path(name), "w") as f:
        f.write(text)
    os.chmod(path(name), mode)
    return path(name)


@contextlib.contextmanager
def over(target, source):
    """source in the place of target, a file or folder, in this mount namespace."""
    run("mount", "--bind", source, target)
    try:
        yield
    finally:
        run("umount", target)


@contextlib.contextmanager
def lock_dir(mode=0o700, owner=0):
    os.mkdir(LOCKS)
    os.chmod(LOCKS, mode)
    os.chown(LOCKS, owner, owner)
    try:
        yield
    finally:
        run("rm", "-rf", LOCKS)


def doctor(*targets, status=(0,), prefix=(), program=ASAN, **kw):
    """The report, as JSON; what people are told says the same."""
    p = run(*prefix, program, "doctor", "--json", *targets, status=status, **kw)
    assert p.stdout.count("\n") == 1 and p.stderr == "", (p.stdout, p.stderr)
    report = json.loads(p.stdout)
    assert report["report"] == "doctor" and report["exit_code"] == p.returncode, report
    everything = [*report["machine"], *(c for d in report["disks"] for c in d["checks"])]
    if p.returncode in (0, 3):
        assert (p.returncode == 3) == any(c["verdict"] == "bad" for c in everything), report
    return report


def find(checks, id_, verdict=None):
    """The checks of this id, and of this verdict."""
    return [c for c in checks if c["id"] == id_ and verdict in (None, c["verdict"])]


def machine(id_, verdict, words, remedy=None, status=None, **kw):
    """One finding of the machine."""
    status = (3 if verdict == "bad" else 0,) if status is None else status
    found = find(doctor(healthy, status=status, **kw)["machine"], id_)
    c = next((c for c in found if re.search(words, c["text"])), None)
    assert c, f"no '{words}' in {found}"
    assert c["verdict"] == verdict, c
    assert remedy is None or re.search(remedy, c.get("advice", "")), c
    return c


def disk(img, id_, verdict, words, remedy=None, status=None, **kw):
    """One finding of a disk. Of what is healthy there is no BAD."""
    before = sha256(img)
    status = (3 if verdict == "bad" else 0,) if status is None else status
    d, = doctor(img, status=status, **kw)["disks"]
    assert sha256(img) == before, "it has changed the disk"
    found = find(d["checks"], id_)
    c = next((c for c in found if re.search(words, c["text"])), None)
    assert c, f"no '{words}' in {d['checks']}"
    assert c["verdict"] == verdict, c
    assert remedy is None or re.search(remedy, c.get("advice", "")), c
    return c


# --- a healthy machine ----------------------------------------------------------------------------

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
            assert text.stdout.startswith("this machine: ") and text.stderr == "", text
            assert f"\n{healthy}: encrypted; " in text.stdout, text.stdout


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


# --- locks ----------------------------------------------------------------------------------------

def lock_directory(make, verdict, words, fix=True):
    """Found, and the remedy makes it good."""
    run("sh", "-c", make)
    try:
        c = machine("lock-directory", verdict, words)
        if fix:
            run("sh", "-c", c["advice"].rpartition("then: ")[2])
            left = find(doctor(healthy)["machine"], "lock-directory")
            assert [k["verdict"] for k in left] in (["ok"], ["note"]) and left != [c], left
    finally:
        run("mount", "-o", "remount,rw", "/run")
        run("rm", "-rf", LOCKS)


@contextlib.contextmanager
def process(code, name="holder"):
    """A process called name that does code, and says when it is done; then it sleeps."""
    start = f"import fcntl, os, time; open('/proc/self/comm', 'w').write({name!r}); "
    with subprocess.Popen([sys.executable, "-c", start + code + "; time.sleep(600)"],
                          stdout=subprocess.PIPE, text=True) as p:
        try:
            yield p
        finally:
            p.kill()


def holding(name, how="LOCK_EX"):
    return process(f"fd = os.open('{LOCKS}/{name}', os.O_CREAT | os.O_RDWR); "
                   f"fcntl.flock(fd, fcntl.{how}); print('ready', flush=True)")


def waits_for_state(pid, state):
    end = time.monotonic() + HANG
    while True:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rpartition(")")[2].split()[0] == state:
                return
        assert time.monotonic() < end, f"process {pid} does not come to {state}"
        time.sleep(0.01)


def held_locks():
    """Who holds it, that he is stopped, who waits; kill -CONT helps."""
    name = "LN_LUKS2-reencryption-" + UUID
    with lock_dir(), holding(name) as p:
        p.stdout.readline()
        words = rf"process {p.pid} \(holder, begun \d+ s ago\) holds the lock for the reencryption"
        machine("lock", "note", words)
        os.kill(p.pid, signal.SIGSTOP)
        waits_for_state(p.pid, "T")
        c = machine("lock", "bad", words + " .*is stopped", f"^kill -CONT {p.pid}$")
        run("sh", "-c", c["advice"])
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
            machine("lock", "bad", rf"process {pid} .* and others hold .*is stopped",
                    f"kill -CONT {pid}")


def a_waiter():
    with lock_dir(), holding("L_7:255") as p:
        p.stdout.readline()
        with process(f"fd = os.open('{LOCKS}/L_7:255', os.O_RDWR); print('there', flush=True); "
                     "fcntl.flock(fd, fcntl.LOCK_SH)", "waiter") as w:
            w.stdout.readline()
            end = time.monotonic() + HANG
            words = rf"process {p.pid} .*; process {w.pid} \(waiter, begun \d+ s ago\) waits for it"
            while not any(re.search(words, c["text"])
                          for c in find(doctor(healthy)["machine"], "lock")):
                assert time.monotonic() < end, "it is not seen to wait"
            machine("lock", "note", words, f"what process {p.pid} does")


def a_child_holds_it():
    """The process that took the lock has ended; the open file is its child's."""
    with lock_dir(), process(f"fd = os.open('{LOCKS}/L_7:255', os.O_CREAT | os.O_RDWR); "
                             "fcntl.flock(fd, fcntl.LOCK_EX); pid = os.fork(); "
                             "print(pid, flush=True) if pid else None; pid and os._exit(0)") as p:
        child = int(p.stdout.readline())
        try:
            p.wait(10)
            machine("lock", "note", rf"process {child} \(holder")
        finally:
            os.kill(child, signal.SIGKILL)


def leftovers():
    with lock_dir():
        for name in "L_7:255", "LN_LUKS2-reencryption-" + UUID, "LN_memory-hard-access":
            with open(os.path.join(LOCKS, name), "w"):
                pass
        before = sorted(os.listdir(LOCKS))
        machine("locks", "note", "nobody (who can be seen )?holds LN_LUKS2-reencryption-.* and others")
        with open(os.path.join(LOCKS, "L_strange\n"), "w"):
            pass
        machine("lock", "note", r"L_strange\n' in /run/cryptsetup is no lock")
        text = run(COFFER, "doctor", healthy).stdout
        assert "L_strange?' in" in text, text
        os.unlink(os.path.join(LOCKS, "L_strange\n"))
        assert sorted(os.listdir(LOCKS)) == before, "it has taken something away"


def not_a_lock(make, words):
    with lock_dir():
        run("sh", "-c", make)
        c = machine("lock", "bad", words, "rm -r")
        run("sh", "-c", c["advice"].rpartition("then: ")[2])
        doctor(healthy)


# --- the rest of the machine ----------------------------------------------------------------------

def memory():
    """Less than argon2 takes, by /proc/meminfo."""
    with open("/proc/meminfo") as f:
        meminfo = f.read()
    small = re.sub(r"(MemAvailable|SwapFree): *\d+", r"\1: 20000", meminfo)
    with over("/proc/meminfo", write("meminfo", small)):
        c = disk(argon, "key-memory", "bad", "may kill", "luksConvertKey")
        assert "64.0 MiB" in c["text"], c
        disk(healthy, "keyslot", "note", "one keyslot alone")  # pbkdf2: it takes none
    disk(argon, "key-memory", "ok", "64.0 MiB of memory at most")


def modules(content, verdict, words):
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
            machine("dm-crypt", verdict, words)
    finally:
        run("rm", "-r", tree)
        if made:
            os.rmdir("/lib/modules")


def udev():
    machine("udev", "ok", "there is no udev")
    os.mkdir("/run/udev")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        s.bind("/run/udev/control")
        machine("udev", "note", "nobody answers", "DM_DISABLE_UDEV=1")
        s.listen(1)
        machine("udev", "ok", "udev runs")
        machine("udev", "ok", "udev runs")  # nobody has accepted the first: still it answers
        os.chmod("/run/udev/control", 0o600)
        machine("udev", "unchecked", "only root", prefix=NOBODY, program=COFFER)
        s.close()
        machine("udev", "note", "nobody answers", "rm /run/udev/control")
    finally:
        s.close()
        run("rm", "-r", "/run/udev")


def locked_memory():
    """By the limit of an ordinary user; a run with as little gives up, and one with enough does
    not."""
    img = box.copy("limited")
    os.chmod(img, 0o666)
    key = path("open-key")
    run("cp", box.key, key)
    os.chmod(key, 0o444)
    for limit, verdict, status in (16384, "bad", 1), (65536, "ok", 0):
        prefix = [*NOBODY, "prlimit", f"--memlock={limit}"]
        machine("memory-lock", verdict, "", prefix=prefix, program=COFFER)
        p = run(*prefix, *coffer.command("encrypt", img, key), status=(status,))
        assert ("ulimit -l" in p.stderr) == (status != 0), p.stderr


def hibernated():
    """On a loop device, and for this row no other test looks at the block devices."""
    machine("hibernation", "ok", "no hibernated system")
    img = path("swap")
    with open(img, "wb") as f:
        f.truncate(4 * MiB)
    run("mkswap", img)
    with open(img, "r+b") as f:
        f.seek(4086)
        f.write(b"S1SUSPEND\0")
    lock = int(os.environ["COFFER_TEST_DOCTOR"])
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with loop(img) as dev:
            machine("hibernation", "bad", f"{dev} holds the memory of a hibernated system", "resume")
            machine("hibernation", "unchecked", "only root", prefix=NOBODY, program=COFFER)
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)


def swap(devices, on, volumes, verdict, words):
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
            os.symlink("/", os.path.join(at, "slaves", os.path.basename(other)))
        os.symlink(at, os.path.join(top, "class", os.path.basename(name)))
        os.symlink(at, os.path.join(top, "dev", f"250:{i}"))
        if name == on:
            os.mknod(path("node"), 0o600 | 0o060000, os.makedev(250, i))
    for i in range(volumes):
        os.makedirs(os.path.join(top, "class", f"dm-9{i}", "dm"))
        write(f"sysfs/class/dm-9{i}/dm/uuid", "CRYPT-LUKS2-8a6e-root\n")
    swaps = write("swaps", "Filename Type Size Used Priority\n" +
                  (f"{path('node')} partition 1000 0 -2\n" if on else ""))
    try:
        with over("/proc/swaps", swaps), over("/sys/class/block", os.path.join(top, "class")), \
                over("/sys/dev/block", os.path.join(top, "dev")):
            machine("swap", verdict, words)
    finally:
        run("rm", "-rf", top, path("node"))


# --- disks ------------------------------------------------------------------------------------------

def tear(img, which):
    at = which * coffer.header(img)["hdr_size"] + 4200
    with open(img, "r+b") as f:
        f.seek(at)
        f.write(os.urandom(64))


def torn(which, id_):
    img = path("torn")
    run("cp", healthy, img)
    tear(img, which)
    disk(img, id_, "bad", "torn", f"see what 'coffer repair --dry-run {img}' would do")
    run(COFFER, "repair", "--yes", img)
    doctor(img)


def both_torn():
    img = path("torn")
    run("cp", healthy, img)
    tear(img, 0)
    tear(img, 1)
    disk(img, "damage", "bad", "damaged", f"coffer repair --dry-run {img}")


def unfinished(make, words):
    """An alarm with the command that finishes it, which does."""
    img = box.copy("unfinished")
    make(img)
    c = disk(img, "conversion", "bad", words, ".")
    program = c["advice"].replace("coffer ", COFFER + " ", 1).split()
    run(*program[:2], "--key-file", box.key, *program[2:])
    disk(img, "conversion", "ok", "no conversion is under way")


def killed(moment):
    return lambda img: coffer.kill_at(*moment, coffer.one_thread(img, box.key))


def by_stock(img):
    run(*coffer.stock(img, box.key, "--init-only"), cwd=folder)


def of_cryptsetup():
    """A reencryption that is not coffer's to finish."""
    img = path("reencrypted")
    run("cp", healthy, img)
    run("cryptsetup", "reencrypt", "--batch-mode", "--force-offline-reencrypt", *FAST,
        "--init-only", "--key-file", box.key, img, cwd=folder)
    disk(img, "conversion", "bad", "reencryption of cryptsetup's",
         f"cryptsetup reencrypt --resume-only --force-offline-reencrypt {img}")


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
            words = rf"process {p.pid} \(coffer\) is at work"
            disk_at_work(img, words)
            disk_at_work(img, "cannot be seen from here is at work", prefix=NOBODY, program=COFFER)
            disk_at_work(img, "cannot be seen from here is at work", program=COFFER,
                         prefix=["unshare", "--mount", "--pid", "--fork", "--mount-proc"])
            p.send_signal(signal.SIGSTOP)
            waits_for_state(p.pid, "T")
            machine("lock", "bad", f"process {p.pid} .*is stopped", f"^kill -CONT {p.pid}$")
            disk_at_work(img, words, status=(3,))
        finally:
            p.send_signal(signal.SIGCONT)
            p.terminate()
            p.communicate(timeout=HANG)
    assert p.returncode in (0, 5), p.returncode
    coffer.finish(img, box.key)
    disk(img, "conversion", "ok", "no conversion")


def disk_at_work(img, words, status=(0,), **kw):
    d, = doctor(img, status=status, **kw)["disks"]
    c, = find(d["checks"], "conversion")
    assert c["verdict"] == "note" and re.search(words, c["text"]), c
    assert not [c for c in d["checks"] if c["verdict"] == "bad"], d


def whoever_cannot_see_everybody(img_of):
    img = box.copy("hidden")
    img_of(img)
    os.chmod(img, 0o444)
    disk(img, "conversion", "unchecked", "this user cannot see", prefix=NOBODY, program=COFFER)


def luks_format(name, *options):
    with open(path(name), "wb") as f:
        f.truncate(24 * MiB)
    run("cryptsetup", "luksFormat", "--batch-mode", *options, path(name), box.key)
    return path(name)


def keyslots():
    img = luks_format("slots", *FAST)
    disk(img, "keyslot", "note", "one keyslot alone", "luksAddKey")
    disk(img, "pbkdf", "note", "keyslot 0 has pbkdf2 with 1000", "luksConvertKey --key-slot 0")
    run("cryptsetup", "luksAddKey", "--batch-mode", *FAST, "--key-file", box.key, img, box.key)
    disk(img, "keyslot", "ok", "2 keyslots")
    run("cryptsetup", "luksErase", "--batch-mode", img)
    disk(img, "keyslot", "bad", "no keyslot holds the volume key", "luksHeaderRestore")


def few_keyslots():
    img = luks_format("few", *FAST, "--luks2-keyslots-size", "256K")
    disk(img, "keyslot-room", "note", "no room for another keyslot")
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
    disk(img, "segment", "note", "a header without them")
    with loop(img) as dev:
        d, = doctor(dev, status=(3,))["disks"]
        assert find(d["checks"], "segment", "bad"), d


def other_disks():
    disk(box.plain, "conversion", "note", "not encrypted")
    disk(luks_format("luks1", "--type", "luks1", "--pbkdf-force-iterations", "1000"), "conversion",
         "note", "LUKS1")
    os.truncate(luks_format("nothing", *FAST), 0)
    doctor(path("nothing"))


# --- only a look ------------------------------------------------------------------------------------

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
    disk(img, "header-secondary", "ok", "whole")


with contextlib.ExitStack() as s:
    box = Box(folder)
    healthy = box.copy("healthy")
    box.encrypt(healthy)
    argon = luks_format("argon", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4",
                        "--pbkdf-memory", "65536", "--pbkdf-parallel", "1")
    os.makedirs(path("empty-modules"))
    run("rm", "-rf", LOCKS)
    moments = coffer.phases(box)
    steps = moments["steps"]
    middle = next((c, n) for c, n, what in steps[len(steps) // 2:]
                  if c == "pwrite64" and f"({MiB} " in what)
    run("rm", "-rf", LOCKS)
    release = os.uname().release
    tap.run([
        ("a healthy machine", nothing_is_wrong),
        ("all disks", a_loop_device_is_found),
        ("for an ordinary user", for_nobody),
        ("in a container", in_a_container),
        ("one of two cannot be read", several),
        ("lock directory: a link", lock_directory, f"ln -s /tmp {LOCKS}", "bad", "symbolic link"),
        ("lock directory: a file", lock_directory, f"touch {LOCKS}", "bad", "no folder"),
        ("lock directory: a fifo", lock_directory, f"mkfifo {LOCKS}", "bad", "no folder"),
        ("lock directory: everybody's", lock_directory, f"mkdir -m 777 {LOCKS}", "bad", "0777"),
        ("lock directory: a group's", lock_directory, f"mkdir -m 770 {LOCKS}", "bad", "0770"),
        ("lock directory: another user's", lock_directory,
         f"mkdir -m 700 {LOCKS} && chown 65534 {LOCKS}", "bad", "user 65534"),
        ("lock directory: open to looks", lock_directory, f"mkdir -m 755 {LOCKS}", "note", "0755"),
        ("lock directory: cannot be made", lock_directory, "mount -o remount,ro /run", "bad",
         "cannot be made"),
        ("lock directory: read-only", lock_directory,
         f"mkdir -m 700 {LOCKS} && mount -o remount,ro /run", "bad", "cannot be written"),
        ("a held lock", held_locks),
        ("a lock that two hold", one_of_two_is_stopped),
        ("a lock that somebody waits for", a_waiter),
        ("a lock that was inherited", a_child_holds_it),
        ("locks that were left", leftovers),
        ("a link in the place of a lock", not_a_lock, f"ln -s /tmp {LOCKS}/L_7:255", "symbolic"),
        ("a folder in the place of a lock", not_a_lock, f"mkdir {LOCKS}/L_7:255", "a folder"),
        ("a fifo in the place of a lock", not_a_lock, f"mkfifo {LOCKS}/LN_memory-hard-access",
         "no regular"),
        ("less memory than a keyslot takes", memory),
        ("dm-crypt: a module", modules, {
            "modules.dep": "kernel/drivers/md/dm-crypt.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n",
            "modules.builtin": ""}, "ok", "when it is needed"),
        ("dm-crypt: built in", modules, {
            "modules.dep": "", "modules.builtin": "kernel/drivers/md/dm-crypt.ko\n"}, "ok",
         "a part of this kernel"),
        ("dm-crypt: behind a MiB of others", modules, {
            "modules.dep": "kernel/a.ko: kernel/b.ko\n" * 60000 + "kernel/dm-crypt.ko:\n"}, "ok",
         "when it is needed"),
        ("dm-crypt: no module", modules, {
            "modules.dep": "kernel/x.ko: kernel/drivers/md/dm-crypt.ko\n"}, "bad",
         "has no dm-crypt"),
        ("dm-crypt: the modules are gone", modules, None, "bad",
         f"modules of the running kernel {re.escape(release)} are gone"),
        ("udev", udev),
        ("locked memory", locked_memory),
        ("a hibernated system", hibernated),
        ("swap: none", swap, [], None, 1, "ok", "no swap is to be seen"),
        ("swap: plain, a volume is open", swap, [("sda", None, []), ("sda/sda3", None, [])],
         "sda/sda3", 1, "note", "/node is not encrypted"),
        ("swap: plain, no volume is open", swap, [("sda", None, [])], "sda", 0, "ok",
         "no encrypted volume is open"),
        ("swap: encrypted", swap, [("dm-1", "CRYPT-PLAIN-swap", ["sda"]), ("sda", None, [])],
         "dm-1", 1, "ok", "all swap is encrypted"),
        ("swap: LVM on an encrypted disk", swap,
         [("dm-1", "LVM-x", ["dm-0"]), ("dm-0", "CRYPT-LUKS2-x", ["sda"]), ("sda", None, [])],
         "dm-1", 0, "ok", "all swap is encrypted"),
        ("swap: LVM, half of it on a plain disk", swap,
         [("dm-1", "LVM-x", ["dm-0", "sda"]), ("dm-0", "CRYPT-LUKS2-x", ["sda"]),
          ("sda", None, [])], "dm-1", 1, "note", "is not encrypted"),
        ("swap: in memory", swap, [("zram0", None, [])], "zram0", 1, "ok", "in memory"),
        ("swap: on a loop device", swap, [("loop0", None, [])], "loop0", 1, "unchecked",
         "cannot be told"),
        ("swap: on something that is gone", swap, [("sda", None, ["gone"])], "sda", 1, "unchecked",
         "cannot be told"),
        ("a torn first copy", torn, 0, "header-primary"),
        ("a torn second copy", torn, 1, "header-secondary"),
        ("both copies torn", both_torn),
        ("unfinished: placing", unfinished, killed(moments["placement"][-3][:2]), "half placed"),
        ("unfinished: placed", unfinished, killed(moments["commit"][0][:2]), "nothing is encrypted"),
        ("unfinished: converting", unfinished, killed(middle), "not finished"),
        ("unfinished: the wipe", unfinished, killed(moments["end"][0][:2]), "not wiped"),
        ("unfinished: begun by stock", unfinished, by_stock, "nothing is encrypted"),
        ("unfinished: a reencryption of cryptsetup's", of_cryptsetup),
        ("a conversion that somebody does", at_work),
        ("within a commit", within_a_commit),
        ("a conversion that perhaps somebody does", whoever_cannot_see_everybody, killed(middle)),
        ("keyslots", keyslots),
        ("no room for keyslots", few_keyslots),
        ("a keyslot of a token", of_a_token),
        ("a device that was cut off", cut_off),
        ("plain, LUKS1, empty", other_disks),
        ("only reads an image", only_reads, healthy),
        ("only reads a device", only_reads_a_device),
        ("only reads all disks", only_reads),
    ])
stack.close()
tap.done()
