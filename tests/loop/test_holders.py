#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who is at work on a device or image file: real mounts, loop devices, partitions, swap, processes
and reencryptions, each found from the device and from the image below it, and nobody else. And the
list of block devices."""
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
import uuid

import coffer
from coffer import NOBODY, Box
from disk import MiB, loop, make_image, mounted, partition, run, tempdir
from tap import Skip, Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
box = Box(folder)
counter = iter(range(10 ** 6))
LOCKS = "/run/cryptsetup"
INIT_PID_NS = 0xEFFFFFFC

PLAIN_TOOL = os.path.join(os.environ["COFFER_BUILD"], "tests/holders")
TOOL = os.path.join(os.environ["COFFER_ASAN_BUILD"], "tests/holders")
if not os.access(TOOL, os.X_OK):
    TOOL = PLAIN_TOOL


def path_of(name):
    return os.path.join(folder, f"{name}-{next(counter)}")


def short(dev):
    return os.path.basename(dev)


def is_ours(pid):
    """This process, or one below it."""
    while pid != os.getpid():
        try:
            with open(f"/proc/{pid}/stat") as f:
                pid = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == 0:
            return False
    return True


def look(target, volume="", prefix=(), tool=TOOL):
    """What the tool says: the users, and whether these are all. Left out are processes of others,
    say of another test: coffer, losetup and udev look at every block device of the machine."""
    lines = [json.loads(s) for s in run(*prefix, tool, target, volume).stdout.splitlines()]
    return ([u for u in lines[:-1] if u["kind"] != "process" or is_ours(u["pid"])],
            lines[-1]["complete"])


def users(target, *want, volume="", prefix=(), tool=TOOL):
    """The users of target are these and no others; each as (kind, name[, on]) or, for a process,
    (kind, name, on, pid, writes)."""
    got = []
    for u in look(target, volume, prefix, tool)[0]:
        row = (u["kind"], u["name"], u["device"])
        got.append(row + (u["pid"], u["writes"]) if u["pid"] or u["writes"] else row)
    want = [w if len(w) > 2 else (*w, "") for w in want]
    assert got == want, f"{target} is used by\n  {got}, not by\n  {want}"


def raw(size=12 * MiB):
    path = path_of("raw")
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def image(fs="ext4", size=12 * MiB):
    path = path_of("image")
    make_image(path, size, fs, size)
    return path


@contextlib.contextmanager
def process(*cmd, **kw):
    """cmd, until it is no longer needed; it says a line when it has everything open."""
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, **kw) as p:
        try:
            assert p.stdout.readline(), f"{cmd} ended with {p.wait()}"
            yield p.pid
        finally:
            p.kill()


def opener(*files, name="opener"):
    """A process called name that has files open: pairs of a path and how os.open takes it."""
    opens = "".join(f"os.open({path!r}, os.{how}); " for path, how in files)
    code = (f"import os, time; open('/proc/self/comm', 'w').write({name!r}); {opens}"
            "print('ready', flush=True); time.sleep(600)")
    return process(sys.executable, "-c", code)


# --- mounts -----------------------------------------------------------------------------------------

def nobody_there():
    img = image()
    users(img)
    with loop(img) as dev:
        users(dev)


def is_mounted(fs, size):
    img = image(fs, size)
    with loop(img) as dev, mounted(dev, fs) as at:
        users(dev, ("mount", at))
        users(img, ("loop", dev), ("mount", at, short(dev)))


def mounted_twice():
    with loop(image()) as dev, mounted(dev, "ext4") as at, tempdir() as other:
        run("mount", "--bind", at, other)
        try:
            users(dev, ("mount", at), ("mount", other))
        finally:
            run("umount", other)


def odd_name():
    at = os.path.join(folder, "a b\t\\040 \"c\"")
    os.mkdir(at)
    with loop(image()) as dev:
        run("mount", dev, at)
        try:
            users(dev, ("mount", at))
        finally:
            run("umount", at)


def long_name():
    at = os.path.join(folder, *["d" * 100] * 4)
    os.makedirs(at)
    with loop(image()) as dev:
        run("mount", dev, at)
        try:
            users(dev, ("mount", at[:255]))
        finally:
            run("umount", at)


def btrfs_of_two():
    one, two = raw(128 * MiB), raw(128 * MiB)
    run("mkfs.btrfs", "-q", "-f", one, two)
    with loop(one) as a, loop(two) as b:
        run("btrfs", "device", "scan", a, b)
        try:
            with mounted(a, "btrfs", f"device={a},device={b}") as at:
                users(a, ("mount", at))
                users(b, ("mount", at))
                users(two, ("loop", b), ("mount", at, short(b)))
            users(b)
        finally:
            run("btrfs", "device", "scan", "--forget", a, b)


def mounted_elsewhere():
    """In a mount namespace that is not ours; and in one that has a copy of our mounts."""
    with loop(image()) as dev, tempdir() as at:
        with process("unshare", "--mount", "sh", "-c",
                     'mount "$1" "$2" && echo ready && exec sleep 600', "sh", dev, at) as pid:
            assert not os.path.ismount(at)
            users(dev, ("mount", at, "", pid, False))
        with mounted(dev, "ext4") as here, process(
                "unshare", "--mount", "sh", "-c", "echo ready && exec sleep 600"):
            users(dev, ("mount", here))


def claimed_by_nobody():
    """An ordinary user mounts a tmpfs in a namespace of his own and says that it is the device."""
    with loop(image()) as dev, tempdir() as at:
        os.chmod(at, 0o777)
        with process(*NOBODY, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                     'mount -t tmpfs "$1" "$2" && echo ready && exec sleep 600', "sh", dev, at) as pid:
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
                assert f" - tmpfs {dev} " in f.read()
            users(dev)


# --- loop devices ------------------------------------------------------------------------------------

def attached():
    img = image()
    link, other = path_of("link"), path_of("other")
    os.link(img, link)
    with loop(img) as a, loop(link) as b:
        both = [("loop", dev) for dev in sorted((a, b), key=lambda d: int(d[9:]))]
        users(img, *both)
        run("mv", img, other)
        users(other, *both)
        os.unlink(link)
        users(other, *both)
        run("cp", other, img)  # the name leads to another file now
        users(img)


def attached_on_btrfs():
    """Its inodes have device numbers that /proc does not know."""
    with loop(image("btrfs", 128 * MiB)) as below, mounted(below, "btrfs") as at:
        run("btrfs", "subvolume", "create", os.path.join(at, "sub"))
        img = os.path.join(at, "sub", "image")
        run("truncate", "-s", 8 * MiB, img)
        users(img)
        with loop(img) as dev, opener((img, "O_RDWR")) as pid:
            users(img, ("loop", dev), ("process", "opener", "", pid, True))


def loop_over_loop():
    img = image()
    with loop(img) as lower, loop(lower) as upper, mounted(upper, "ext4") as at:
        on = short(lower)
        users(img, ("loop", lower), ("loop", upper, on), ("mount", at, short(upper)))
        users(lower, ("loop", upper), ("mount", at, short(upper)))
        users(upper, ("mount", at))


# --- partitions --------------------------------------------------------------------------------------

def partitions():
    img = raw(40 * MiB)
    with loop(img) as dev, partition(dev, 2048, 24576) as one:
        run("addpart", dev, 2, 32768, 24576)
        try:
            run("mkfs.ext4", "-q", one)
            two, on = dev + "p2", short(one)
            with mounted(one, "ext4") as at:
                users(one, ("mount", at))
                users(dev, ("mount", at, on))
                users(img, ("loop", dev), ("mount", at, on))
                users(two)
            with loop(one) as upper, opener((upper, "O_RDONLY")) as pid:
                users(one, ("loop", upper),
                      ("process", "opener", short(upper), pid, False))
                users(dev, ("loop", upper, on), ("process", "opener", short(upper), pid, False))
                users(two)
            users(dev)
        finally:
            run("delpart", dev, 2)


def whole_disk():
    """Who uses the disk uses its partitions; but a loop device over the disk may be there for the
    sake of another partition."""
    with loop(image(size=40 * MiB)) as dev, partition(dev, 2048, 24576) as part:
        with mounted(dev, "ext4") as at:
            users(part, ("mount", at, short(dev)))
        with opener((dev, "O_RDWR")) as pid:
            users(part, ("process", "opener", short(dev), pid, True))
        with loop(dev) as upper, mounted(upper, "ext4"):
            users(part, ("loop", upper, short(dev)))


# --- swap ---------------------------------------------------------------------------------------------

@contextlib.contextmanager
def swap(target):
    run("mkswap", "-q", target)
    p = run("swapon", target, status=None)
    if p.returncode:
        raise Skip("this machine lets nobody swap on it: " + p.stderr.strip())
    try:
        yield
    finally:
        run("swapoff", target)


def swap_device():
    img = raw()
    with loop(img) as dev, swap(dev):
        users(dev, ("swap", dev))
        users(img, ("loop", dev), ("swap", dev, short(dev)))


def swap_file():
    path = path_of("swap file")
    with open(path, "wb") as f:
        f.write(bytes(12 * MiB))
    os.chmod(path, 0o600)
    with swap(path):
        users(path, ("swap", path))
        p = coffer.encrypt(path, box.key, status=(4,))
        assert "in use as swap" in p.stderr and path in p.stderr, p.stderr


# --- processes ---------------------------------------------------------------------------------------

def opened(how, writes):
    img = image()
    with opener((img, how)) as pid:
        users(img, ("process", "opener", "", pid, writes))
    with loop(img) as dev, opener((dev, how)) as pid:
        users(dev, ("process", "opener", "", pid, writes))
        users(img, ("loop", dev), ("process", "opener", short(dev), pid, writes))


def opened_often():
    """One entry, and it writes if any descriptor does; the disk itself counts before those on it."""
    img = image()
    link = path_of("link")
    os.link(img, link)
    with opener((img, "O_RDONLY"), (link, "O_WRONLY"), (img, "O_RDONLY")) as pid:
        users(img, ("process", "opener", "", pid, True))
    with loop(img) as dev:
        for both in [(dev, "O_RDWR"), (img, "O_RDONLY")], [(img, "O_RDONLY"), (dev, "O_RDWR")]:
            with opener(*both) as pid:
                users(img, ("loop", dev), ("process", "opener", "", pid, True))


def path_only():
    img = image()
    with opener((img, "O_PATH")):
        users(img)


def several():
    img = image()
    with opener((img, "O_RDONLY"), name="one (1)") as a, opener((img, "O_RDWR"), name="two") as b:
        users(img, *sorted([("process", "one (1)", "", a, False),
                            ("process", "two", "", b, True)], key=lambda u: u[3]))


def not_itself():
    """The process that asks is none of them, whatever it has open."""
    img = image()
    with open(img, "rb") as f:
        p = subprocess.run([TOOL, img], stdin=f, stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(s) for s in p.stdout.splitlines()][:-1]
    assert [u["pid"] for u in found] == [os.getpid()], found


# --- reencryption --------------------------------------------------------------------------------------

def uuid_of(img):
    return run("cryptsetup", "luksUUID", img).stdout.strip()


@contextlib.contextmanager
def on(block, img):
    """img, or a loop device over it."""
    if not block:
        yield img
        return
    with loop(img) as dev:
        yield dev


def stock_at_work(block):
    img = box.copy("stock")
    run(*coffer.stock(img, box.key, "--init-only"))
    volume = uuid_of(img)
    with on(block, img) as target:
        with coffer.paused("fdatasync", 3, coffer.stock_resume(target, box.key)) as pid:
            users(target, ("reencryption", "cryptsetup", "", pid, True), volume=volume)
            users(target, ("process", "cryptsetup", "", pid, True))
            users(target, ("process", "cryptsetup", "", pid, True), volume=str(uuid.uuid4()))
            users(box.plain, ("reencryption", "cryptsetup", "", pid, False), volume=volume)
        users(target, volume=volume)
    box.check(img)


def coffer_at_work():
    img = box.copy("coffer")
    run(*coffer.stock(img, box.key, "--init-only"))
    volume = uuid_of(img)
    cmd = coffer.one_thread(img, box.key)
    with coffer.paused("fdatasync", 12, cmd) as pid:
        users(img, ("reencryption", "coffer", "", pid, True), volume=volume)
        p = coffer.encrypt(img, box.key, status=(4,))
        assert f"at work on {img} (coffer (process {pid}))" in p.stderr, p.stderr
    box.check(img)


def lock_path(volume):
    os.makedirs(LOCKS, mode=0o700, exist_ok=True)
    return os.path.join(LOCKS, "LN_LUKS2-reencryption-" + volume)


def killed(n, cmd):
    img = box.copy("killed")
    run(*coffer.stock(img, box.key, "--init-only"))
    volume = uuid_of(img)
    coffer.kill_at("fdatasync", n, cmd(img))
    assert os.path.exists(lock_path(volume)), "it left no lock file: nothing was tested"
    users(img, volume=volume)
    os.unlink(lock_path(volume))


@contextlib.contextmanager
def locked(code):
    """A lock file for a volume of its own, used by code (sh) as "$1"; yields (volume, pid)."""
    volume = str(uuid.uuid4())
    path = lock_path(volume)
    try:
        with process("sh", "-c", code, "sh", path) as pid:
            yield volume, pid
    finally:
        os.unlink(path)


def lock_inherited():
    """flock(1) has taken it and ended: the table names a process that is dead. Its parent has the
    lock through the open file."""
    img = image()
    with locked('exec 9>"$1"; flock -n 9; echo ready; exec sleep 600') as (volume, pid):
        with open("/proc/locks") as f:
            ino = os.stat(lock_path(volume)).st_ino
            taker = [line.split()[4] for line in f if line.split()[5].endswith(f":{ino}")]
        assert len(taker) == 1 and not os.path.exists("/proc/" + taker[0]), taker
        users(img, ("reencryption", "sleep", "", pid, False), volume=volume)


def lock_not_taken():
    """Somebody has the file open, and somebody waits for the lock that a third one has."""
    img = image()
    with locked('exec 9>"$1"; echo ready; exec sleep 600') as (volume, _):
        users(img, volume=volume)
        with open(lock_path(volume), "rb") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            with subprocess.Popen(["flock", lock_path(volume), "true"]) as waiter:
                try:
                    wait_for(lambda: any("->" in line and f" {waiter.pid} " in line
                                         for line in open("/proc/locks")))
                    users(img, ("reencryption", "python3", "", os.getpid(), False), volume=volume)
                finally:
                    waiter.kill()


def lock_in_flight():
    """The open file that has the lock is on its way through a socket: no process has it."""
    code = """if True:
        import fcntl, os, socket, sys, time
        fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_EX)
        a, b = socket.socketpair()
        socket.send_fds(a, [b"x"], [fd])
        os.close(fd)
        print("ready", flush=True)
        time.sleep(600)"""
    img = image()
    volume = str(uuid.uuid4())
    path = lock_path(volume)
    try:
        with process(sys.executable, "-c", code, path):
            users(img, ("reencryption", ""), volume=volume)
        users(img, volume=volume)
    finally:
        os.unlink(path)


def lock_of_a_stranger():
    """Where nobody lets us look, the kernel's table still tells who took it."""
    img = image()
    with process("flock", "--no-fork", lock_path(volume := str(uuid.uuid4())), "sh", "-c",
                 "echo ready && exec sleep 600") as pid:
        blind = ["setpriv", "--bounding-set=-sys_ptrace"]
        with opener((img, "O_RDWR")):
            users(img, ("reencryption", "sleep", "", pid, False), volume=volume, prefix=blind)
        assert look(img, prefix=blind)[1] is False
    os.unlink(lock_path(volume))


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not in {seconds} s"
        time.sleep(0.02)


def strange_uuid():
    img = image()
    for volume in "../../etc/passwd", "x" * 5000, "no such volume":
        users(img, volume=volume)


# --- coffer status ---------------------------------------------------------------------------------------

def status(target):
    return json.loads(run(coffer.ASAN, "status", "--json", target).stdout)["devices"][0]


def told_without_escapes():
    """In the name of a process: ESC, and the single character that a terminal takes for ESC [, as
    UTF-8 and as a byte."""
    img = image()
    for name, told in ((b"a\x1b[31mb", b"a?[31mb"), (b"a\xc2\x9b31mb", b"a?31mb"),
                       (b"a\x9b31mb", b"a?31mb"), ("\u00e4\u20ac".encode(), "\u00e4\u20ac".encode())):
        code = (f"import os, time; open('/proc/self/comm', 'wb').write({name!r}); "
                f"os.open({img!r}, os.O_RDONLY); print('ready', flush=True); time.sleep(600)")
        with process(sys.executable, "-c", code):
            out = subprocess.run([coffer.COFFER, "status", img], stdout=subprocess.PIPE, check=True).stdout
        assert b"(" + told + b")" in out, (name, out)


def told_by_status():
    """On which device a user is; and the next command makes the uppermost one go."""
    img = box.copy("told")
    with loop(img) as dev, loop(dev) as upper, tempdir() as at:
        with process("unshare", "--mount", "sh", "-c",
                     'mount "$1" "$2" && echo ready && exec sleep 600', "sh", upper, at) as pid:
            got = status(img)
            want = [{"kind": "loop", "name": dev},
                    {"kind": "loop", "name": upper, "device": short(dev)},
                    {"kind": "mount", "name": at, "device": short(upper), "pid": pid}]
            assert got["holders"] == want, got
            text = " ".join(run(coffer.COFFER, "status", img).stdout.split())
            words = f"{short(upper)}: mounted on {at} in the mount namespace of process {pid}"
            assert words in text, text
            assert got["next"] == f"nsenter --target {pid} --mount umount {at}", got
            run("sh", "-c", got["next"])
            got = status(img)
            assert got["holders"] == want[:2] and got["next"] == f"losetup -d {upper}", got


# --- what cannot be seen --------------------------------------------------------------------------------

def everything_is_readable():
    """Whether this process may see all others, asked in its own way."""
    if os.stat("/proc/self/ns/pid").st_ino != INIT_PID_NS:
        return False
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            os.stat(f"/proc/{pid}/ns/mnt")
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    os.stat(f"/proc/{pid}/fd/{fd}")
        except (FileNotFoundError, ProcessLookupError):
            pass
        except PermissionError:
            return False
    return True


def complete(want, *prefix, tool=TOOL):
    got = look(image(), prefix=prefix, tool=tool)[1]
    assert got == want, f"complete is {got}"


def as_nobody():
    """An ordinary user finds what needs no rights, and is told that it may not be all."""
    tool = os.path.join(folder, "users")
    run("cp", PLAIN_TOOL, tool)
    os.chmod(folder, 0o755)
    img = image()
    with loop(img) as dev, mounted(dev, "ext4") as at, opener((img, "O_RDWR")):
        users(img, ("loop", dev), ("mount", at, short(dev)), prefix=NOBODY, tool=tool)
        assert look(img, prefix=NOBODY, tool=tool)[1] is False
    # the kernel tells nobody of the processes that hidepid= hides
    hide = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"'
    complete(False, "unshare", "--mount", "sh", "-c", hide, "sh", *NOBODY, tool=tool)


def without(what):
    """In a container: what is found is found, and it is said that it may not be all."""
    cover = f'mount -t tmpfs none {what} && exec "$@"'
    complete(False, "unshare", "--mount", "sh", "-c", cover, "sh", tool=PLAIN_TOOL)


# --- the list of block devices ---------------------------------------------------------------------------

def fake_root(root, devices):
    """sysfs and /dev of a machine that has devices: (name in sysfs, sectors, numbers, name of the
    node or None, numbers of the node, further files)."""
    for name, size, dev, node, node_dev, more in devices:
        at = os.path.join(root, "sys/class/block", name)
        for path, text in [("size", str(size)), ("dev", dev), *more]:
            path = os.path.join(at, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text + "\n")
        if node:
            path = os.path.join(root, "dev", node)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            run("mknod", path, "b", *node_dev.split(":"))


def listed_devices():
    with tempdir() as root:
        fake_root(root, [
            ("vda10", 8, "254:10", "vda10", "254:10", [("partition", "10")]),
            ("vda2", 8, "254:2", "vda2", "254:2", [("partition", "2")]),
            ("vda", 100, "254:0", "vda", "254:0", []),
            ("cciss!c0d0", 8, "104:0", "cciss/c0d0", "104:0", []),
            ("dm-0", 8, "253:0", "mapper/home", "253:0", [("dm/name", "home")]),
            ("dm-1", 8, "253:1", "dm-1", "253:1", [("dm/name", "no node of this name")]),
            ("dm-2", 8, "253:2", "mapper/other", "253:9", [("dm/name", "other")]),
            ("loop0", 8, "7:0", "loop0", "7:0", [("loop/backing_file", "/img")]),
            ("loop0p1", 8, "259:0", "loop0p1", "259:0", [("partition", "1")]),
            ("loop1", 8, "7:1", "loop1", "7:1", []),
            ("ram0", 8, "1:0", "ram0", "1:0", []),
            ("zram0", 8, "252:0", "zram0", "252:0", []),
            ("ramble0", 8, "251:0", "ramble0", "251:0", []),
            ("sr0", 0, "11:0", "sr0", "11:0", []),
            ("nvme0c0n1", 8, "259:5", None, None, [("hidden", "1")]),
            ("sda", 8, "8:0", "sda", "8:16", []),
            ("vdb", 8, "254:16", None, None, []),
        ])
        run("mknod", os.path.join(root, "dev/vdb"), "c", 254, 16)  # no block device
        got = run(TOOL, "--devices", root).stdout.split()
    assert got == ["/dev/cciss/c0d0", "/dev/dm-1", "/dev/loop0", "/dev/loop0p1",
                   "/dev/mapper/home", "/dev/ramble0", "/dev/vda", "/dev/vda2", "/dev/vda10"], got


def devices_of_this_machine():
    with loop(raw()) as dev, partition(dev, 2048, 4096) as part:
        lsblk = run("lsblk", "--all", "--list", "--noheadings", "--bytes", "--paths", "--exclude",
                    "1", "--output", "NAME,SIZE").stdout
        want = {n for n, size in (line.split() for line in lsblk.splitlines())
                if size != "0" and not re.match("/dev/zram", n)}
        got = run(TOOL, "--devices").stdout.split()
        assert dev in got and part in got, got
        # other tests attach and detach theirs at the same time
        others = re.compile(r"/dev/loop\d+(p\d+)?$")
        assert {d for d in got if not others.match(d)} == {
            d for d in want if not others.match(d)}, (got, want)
    assert dev not in run(TOOL, "--devices").stdout.split() or os.path.exists(
        f"/sys/class/block/{short(dev)}/loop/backing_file")


def no_sysfs():
    with tempdir() as root:
        p = run(TOOL, "--devices", root, status=(1,))
    assert "look for block devices in" in p.stderr, p.stderr


rows = [
    ("nobody", nobody_there),
    ("ext4 mounted", is_mounted, "ext4", 12 * MiB),
    ("btrfs mounted", is_mounted, "btrfs", 128 * MiB),
    ("mounted twice", mounted_twice),
    ("mounted where the name needs escapes", odd_name),
    ("mounted where the name is too long", long_name),
    ("btrfs on two devices", btrfs_of_two),
    ("mounted in another mount namespace", mounted_elsewhere),

    ("said to be mounted, by an ordinary user", claimed_by_nobody),

    ("image attached under several names", attached),
    ("image on a btrfs attached", attached_on_btrfs),
    ("loop device over loop device", loop_over_loop),

    ("partition in use", partitions),
    ("partition of a disk in use", whole_disk),

    ("swap on a loop device", swap_device),
    ("swap file", swap_file),

    ("open for reading", opened, "O_RDONLY", False),
    ("open for writing", opened, "O_WRONLY", True),
    ("open for both", opened, "O_RDWR", True),
    ("open more than once", opened_often),
    ("open without access", path_only),
    ("two processes", several),
    ("not the one that asks", not_itself),

    ("cryptsetup reencrypts, image", stock_at_work, False),
    ("cryptsetup reencrypts, block device", stock_at_work, True),
    ("coffer at work", coffer_at_work),
    ("cryptsetup killed", killed, 3, lambda img: coffer.stock_resume(img, box.key)),
    ("coffer killed", killed, 12, lambda img: coffer.one_thread(img, box.key)),
    ("lock held by a child", lock_inherited),
    ("lock file open, lock waited for", lock_not_taken),
    ("lock held by nobody that can be told", lock_in_flight),
    ("lock held by one that may not be looked at", lock_of_a_stranger),
    ("UUIDs that are none", strange_uuid),

    ("users in coffer status", told_by_status),
    ("names that a terminal would obey", told_without_escapes),

    ("complete for root, if nothing is hidden", lambda: complete(everything_is_readable())),
    ("ordinary user", as_nobody),
    ("other pid namespace", complete, False, "unshare", "--pid", "--fork", "--mount-proc"),
    ("no /proc", without, "/proc"),
    ("no /sys", without, "/sys"),

    ("block devices of a made-up machine", listed_devices),
    ("block devices of this machine", devices_of_this_machine),
    ("block devices without sysfs", no_sysfs),
]

with stack:
    tap.run(rows)
tap.done()
