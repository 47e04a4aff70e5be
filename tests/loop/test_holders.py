#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds a device or image file: real mounts, loop devices, partitions, swap and processes, each
found from the device and from the image below it, and nobody else."""
import contextlib
import json
import os
import subprocess
import sys

import coffer
from coffer import NOBODY, Box
from disk import MiB, loop, mounted, partition, remove_partition, run, tempdir
from holders import (PLAIN_TOOL, TOOL, assert_holders, everything_is_readable, find_holders, image,
                     is_ours, opener, process, short)
from scratch import folder, path_of, raw, stack
from tap import Skip, Tap

tap = Tap()
tap.need_root()
box = Box(folder)


# --- mounts ---------------------------------------------------------------------------------------

def nobody_there():
    img = image()
    assert_holders(img)
    with loop(img) as dev:
        assert_holders(dev)


def is_mounted(fs, size):
    img = image(fs, size)
    with loop(img) as dev, mounted(dev, fs) as at:
        assert_holders(dev, ("mount", at))
        assert_holders(img, ("loop", dev), ("mount", at, short(dev)))


def mounted_twice():
    with loop(image()) as dev, mounted(dev, "ext4") as at, tempdir() as other:
        run("mount", "--bind", at, other)
        try:
            assert_holders(dev, ("mount", at), ("mount", other))
        finally:
            run("umount", other)


def odd_name():
    at = os.path.join(folder, "a b\t\\040 \"c\"")
    os.mkdir(at)
    with loop(image()) as dev:
        run("mount", dev, at)
        try:
            assert_holders(dev, ("mount", at))
        finally:
            run("umount", at)


def long_name():
    at = os.path.join(folder, *["d" * 100] * 4)
    os.makedirs(at)
    with loop(image()) as dev:
        run("mount", dev, at)
        try:
            assert_holders(dev, ("mount", at[:255]))
        finally:
            run("umount", at)


def btrfs_of_two():
    one, two = raw(128 * MiB), raw(128 * MiB)
    run("mkfs.btrfs", "-q", "-f", one, two)
    with loop(one) as a, loop(two) as b:
        run("btrfs", "device", "scan", a, b)
        try:
            with mounted(a, "btrfs", f"device={a},device={b}") as at:
                assert_holders(a, ("mount", at))
                assert_holders(b, ("mount", at))
                assert_holders(two, ("loop", b), ("mount", at, short(b)))
            assert_holders(b)
        finally:
            run("btrfs", "device", "scan", "--forget", a, b)


def mounted_elsewhere():
    """In a mount namespace that is not ours; and in one that has a copy of our mounts."""
    with loop(image()) as dev, tempdir() as at:
        with process("unshare", "--mount", "sh", "-c",
                     'mount "$1" "$2" && echo ready && exec sleep 600', "sh", dev, at) as pid:
            assert not os.path.ismount(at)
            assert_holders(dev, ("mount", at, "", pid, False))
        with mounted(dev, "ext4") as here, process(
                "unshare", "--mount", "sh", "-c", "echo ready && exec sleep 600"):
            assert_holders(dev, ("mount", here))


def claimed_by_nobody():
    """An ordinary user mounts a tmpfs in a namespace of his own and says that it is the device."""
    with loop(image()) as dev, tempdir() as at:
        os.chmod(at, 0o777)
        with process(*NOBODY, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                     'mount -t tmpfs "$1" "$2" && echo ready && exec sleep 600', "sh", dev, at) as pid:
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
                assert f" - tmpfs {dev} " in f.read()
            assert_holders(dev)


# --- loop devices ---------------------------------------------------------------------------------

def attached():
    img = image()
    link, other = path_of("link"), path_of("other")
    os.link(img, link)
    with loop(img) as a, loop(link) as b:
        both = [("loop", dev) for dev in sorted((a, b), key=lambda d: int(d[9:]))]
        assert_holders(img, *both)
        run("mv", img, other)
        assert_holders(other, *both)
        os.unlink(link)
        assert_holders(other, *both)
        run("cp", other, img)  # the name leads to another file now
        assert_holders(img)


def attached_on_btrfs():
    """Its inodes have device numbers that /proc does not know."""
    with loop(image("btrfs", 128 * MiB)) as below, mounted(below, "btrfs") as at:
        run("btrfs", "subvolume", "create", os.path.join(at, "sub"))
        img = os.path.join(at, "sub", "image")
        run("truncate", "-s", 8 * MiB, img)
        assert_holders(img)
        with loop(img) as dev, opener((img, "O_RDWR")) as pid:
            assert_holders(img, ("loop", dev), ("process", "opener", "", pid, True))


def loop_over_loop():
    img = image()
    with loop(img) as lower, loop(lower) as upper, mounted(upper, "ext4") as at:
        on = short(lower)
        assert_holders(img, ("loop", lower), ("loop", upper, on), ("mount", at, short(upper)))
        assert_holders(lower, ("loop", upper), ("mount", at, short(upper)))
        assert_holders(upper, ("mount", at))


# --- partitions -----------------------------------------------------------------------------------

def partitions():
    img = raw(40 * MiB)
    with loop(img) as dev, partition(dev, 2048, 24576) as one:
        run("addpart", dev, 2, 32768, 24576)
        try:
            run("mkfs.ext4", "-q", one)
            two, on = dev + "p2", short(one)
            with mounted(one, "ext4") as at:
                assert_holders(one, ("mount", at))
                assert_holders(dev, ("mount", at, on))
                assert_holders(img, ("loop", dev), ("mount", at, on))
                assert_holders(two)
            with loop(one) as upper, opener((upper, "O_RDONLY")) as pid:
                assert_holders(one, ("loop", upper),
                               ("process", "opener", short(upper), pid, False))
                assert_holders(dev, ("loop", upper, on),
                               ("process", "opener", short(upper), pid, False))
                assert_holders(two)
            assert_holders(dev)
        finally:
            remove_partition(dev, 2)


def whole_disk():
    """Who uses the disk uses its partitions; but a loop device over the disk may be there for the
    sake of another partition."""
    with loop(image(size=40 * MiB)) as dev, partition(dev, 2048, 24576) as part:
        with mounted(dev, "ext4") as at:
            assert_holders(part, ("mount", at, short(dev)))
        with opener((dev, "O_RDWR")) as pid:
            assert_holders(part, ("process", "opener", short(dev), pid, True))
        with loop(dev) as upper, mounted(upper, "ext4"):
            assert_holders(part, ("loop", upper, short(dev)))


# --- swap -----------------------------------------------------------------------------------------

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
    img = raw(12 * MiB)
    with loop(img) as dev, swap(dev):
        assert_holders(dev, ("swap", dev))
        assert_holders(img, ("loop", dev), ("swap", dev, short(dev)))


def swap_file():
    path = path_of("swap file")
    with open(path, "wb") as f:
        f.write(bytes(12 * MiB))
    os.chmod(path, 0o600)
    with swap(path):
        assert_holders(path, ("swap", path))
        p = coffer.encrypt(path, box.key, status=(4,))
        assert "in use as swap" in p.stderr and path in p.stderr, p.stderr


# --- processes ------------------------------------------------------------------------------------

def opened(how, writes):
    img = image()
    with opener((img, how)) as pid:
        assert_holders(img, ("process", "opener", "", pid, writes))
    with loop(img) as dev, opener((dev, how)) as pid:
        assert_holders(dev, ("process", "opener", "", pid, writes))
        assert_holders(img, ("loop", dev), ("process", "opener", short(dev), pid, writes))


def opened_often():
    """One entry, and it writes if any descriptor does; the disk itself counts before those on it."""
    img = image()
    link = path_of("link")
    os.link(img, link)
    with opener((img, "O_RDONLY"), (link, "O_WRONLY"), (img, "O_RDONLY")) as pid:
        assert_holders(img, ("process", "opener", "", pid, True))
    with loop(img) as dev:
        for both in [(dev, "O_RDWR"), (img, "O_RDONLY")], [(img, "O_RDONLY"), (dev, "O_RDWR")]:
            with opener(*both) as pid:
                assert_holders(img, ("loop", dev), ("process", "opener", "", pid, True))


def path_only():
    img = image()
    with opener((img, "O_PATH")):
        assert_holders(img)


def several():
    img = image()
    with opener((img, "O_RDONLY"), name="one (1)") as a, opener((img, "O_RDWR"), name="two") as b:
        assert_holders(img, *sorted([("process", "one (1)", "", a, False),
                            ("process", "two", "", b, True)], key=lambda u: u[3]))


def not_itself():
    """The process that asks is none of them, whatever it has open."""
    img = image()
    with open(img, "rb") as f:
        p = subprocess.run([TOOL, img], stdin=f, stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(s) for s in p.stdout.splitlines()][:-1]
    assert [u["pid"] for u in found] == [os.getpid()], found


# --- coffer status --------------------------------------------------------------------------------

def status(target):
    return json.loads(run(coffer.ASAN, "status", "--json", target).stdout)["devices"][0]


def told_without_escapes():
    """In the name of a process: ESC, and the single character that a terminal takes for ESC [, as
    UTF-8 and as a byte."""
    img = image()
    for name, told in ((b"a\x1b[31mb", b"a?[31mb"), (b"a\xc2\x9b31mb", b"a?31mb"),
                       (b"a\x9b31mb", b"a?31mb"), ("\u00e4\u20ac".encode(), "\u00e4\u20ac".encode())):
        code = (f"import os, time; open('/proc/self/comm', 'wb').write({name!r}); "
                f"os.open({img!r}, os.O_RDONLY); print('ready', flush=True); time.sleep(86400)")
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
            holders = [h for h in got["holders"] if h["kind"] != "process" or is_ours(h["pid"])]
            assert holders == want, got
            text = " ".join(run(coffer.COFFER, "status", img).stdout.split())
            words = f"{short(upper)}: mounted on {at} in the mount namespace of process {pid}"
            assert words in text, text
            assert got["next"] == f"nsenter --target {pid} --mount umount {at}", got
            run("sh", "-c", got["next"])
            got = status(img)
            assert got["holders"] == want[:2] and got["next"] == f"losetup -d {upper}", got


# --- what cannot be seen --------------------------------------------------------------------------

def complete(want, *prefix, tool=TOOL):
    got = find_holders(image(), prefix=prefix, tool=tool)[1]
    assert got == want, f"complete is {got}"


def as_nobody():
    """An ordinary user finds what needs no rights, and is told that it may not be all."""
    tool = os.path.join(folder, "users")
    run("cp", PLAIN_TOOL, tool)
    os.chmod(folder, 0o755)
    img = image()
    with loop(img) as dev, mounted(dev, "ext4") as at, opener((img, "O_RDWR")):
        assert_holders(img, ("loop", dev), ("mount", at, short(dev)), prefix=NOBODY, tool=tool)
        assert find_holders(img, prefix=NOBODY, tool=tool)[1] is False
    # the kernel tells nobody of the processes that hidepid= hides
    hide = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"'
    complete(False, "unshare", "--mount", "sh", "-c", hide, "sh", *NOBODY, tool=tool)


def without(what):
    """In a container: what is found is found, and it is said that it may not be all."""
    cover = f'mount -t tmpfs none {what} && exec "$@"'
    complete(False, "unshare", "--mount", "sh", "-c", cover, "sh", tool=PLAIN_TOOL)


with stack:
    tap.run([
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
        ("holders in coffer status", told_by_status),
        ("names that a terminal would obey", told_without_escapes),
        ("complete for root, if nothing is hidden", lambda: complete(everything_is_readable())),
        ("ordinary user", as_nobody),
        ("other pid namespace", complete, False, "unshare", "--pid", "--fork", "--mount-proc"),
        ("no /proc", without, "/proc"),
        ("no /sys", without, "/sys"),
    ])
tap.done()
