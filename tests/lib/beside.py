# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two programs at one disk: cryptsetup's locks as this file takes them, header copies as this file
reads them, and programs that are stopped, waited for and killed. Nothing here is coffer's code."""
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import tempfile
import time

from disk import HANG, KiB, MiB, block_devices, loop

LOCKS = "/run/cryptsetup"
MAGICS = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
# numbers of system calls
FLOCK = {"x86_64": 73, "aarch64": 32}.get(platform.machine())
NAP = {"x86_64": 230, "aarch64": 115}.get(platform.machine())


@contextlib.contextmanager
def target(kind, img):
    """img itself ("image"), or a loop device over it ("block")."""
    if kind == "image":
        yield img
        return
    with block_devices(), loop(img) as dev:
        yield dev


# --- locks ------------------------------------------------------------------------------------------

def is_block(where):
    return os.path.realpath(where).startswith("/dev/") and not os.path.isfile(where)


def numbers(dev):
    st = os.stat(dev)
    return f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"


def metadata_lock_path(where):
    """The file on which the metadata lock of an image or block device is taken."""
    return os.path.join(LOCKS, "L_" + numbers(where)) if is_block(where) else where


def run_lock_path(volume):
    return os.path.join(LOCKS, "LN_LUKS2-reencryption-" + volume)


def open_lock(path):
    """A descriptor of a lock file that is made when it is missing."""
    os.makedirs(LOCKS, mode=0o700, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


@contextlib.contextmanager
def locked(path, how=fcntl.LOCK_SH):
    """Holds flock on a file to which the name still leads; a file in LOCKS is removed by whoever is
    the last."""
    while True:
        fd = open_lock(path) if path.startswith(LOCKS) else os.open(path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(fd, how)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                break
        os.close(fd)
    try:
        yield fd
    finally:
        if path.startswith(LOCKS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_UN)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(path) and os.path.samestat(os.fstat(fd), os.stat(path)):
                    os.unlink(path)
        os.close(fd)


def held_locks(*paths):
    """Those of the files on which somebody holds a lock; asked of the kernel, without taking one."""
    with open("/proc/locks") as f:
        inodes = {int(line.split()[5].split(":")[2]) for line in f if "->" not in line}
    return [p for p in paths if os.path.exists(p) and os.stat(p).st_ino in inodes]


# --- header copies ---------------------------------------------------------------------------------

class Copy:
    """A header copy that is whole: its sum is right and its metadata are one JSON object."""

    def __init__(self, block, text):
        self.size = int.from_bytes(block[8:16], "big")
        self.seqid = int.from_bytes(block[16:24], "big")
        self.uuid = block[168:208].split(b"\0")[0].decode()
        self.text, self.meta = text, json.loads(text)


def copy_in(data, at):
    """The copy at this offset of data, or None when it is not whole."""
    block = data[at:at + 4096]
    size = int.from_bytes(block[8:16], "big")
    if block[:6] != MAGICS[at > 0] or not 16 * KiB <= size <= 4 * MiB or at + size > len(data):
        return None
    area = data[at + 4096:at + size]
    if hashlib.sha256(block[:448] + bytes(64) + block[512:] + area).digest() != block[448:480]:
        return None
    try:
        return Copy(block, area.split(b"\0")[0])
    except ValueError:
        return None


def copies_in(data):
    """Both copies; the second one is searched for where the first one is not whole."""
    first = copy_in(data, 0)
    sizes = [first.size] if first else [(16 * KiB) << i for i in range(9)]
    return first, next((c for c in (copy_in(data, at) for at in sizes) if c), None)


def copies(path):
    with open(path, "rb") as f:
        return copies_in(f.read(8 * MiB))


def assert_copies_equal(path):
    first, second = copies(path)
    assert first and second, f"{path}: first copy {bool(first)}, second copy {bool(second)}"
    assert (first.seqid, first.uuid, first.text) == (second.seqid, second.uuid, second.text), (
        f"{path}: the copies differ, sequence numbers {first.seqid} and {second.seqid}")
    return first


# --- processes --------------------------------------------------------------------------------------

class Program:
    """A program that runs beside this one."""

    def __init__(self, cmd, **kw):
        self.cmd = [str(c) for c in cmd]
        self.out = tempfile.TemporaryFile("w+", errors="replace")
        self.err = tempfile.TemporaryFile("w+", errors="replace")
        self.began = time.monotonic()
        self.p = subprocess.Popen(self.cmd, stdin=subprocess.DEVNULL, stdout=self.out,
                                  stderr=self.err, **kw)
        self.pid = self.p.pid

    def is_alive(self):
        return self.p.poll() is None

    def _is_in(self, call):
        with open(f"/proc/{self.pid}/syscall") as f:
            return f.read().split()[0] == str(call)

    def is_in_flock(self):
        """Does it sleep in flock(2)?"""
        return self._is_in(FLOCK)

    def is_napping(self):
        """Does it sleep in clock_nanosleep(2), as coffer does between two tries of a lock?"""
        return self._is_in(NAP)

    def wait(self, limit=HANG):
        """(status, what it said); an error when it takes longer than limit seconds."""
        try:
            self.p.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not done after {limit} s: {' '.join(self.cmd)}: {self.said()}")
        self.seconds = time.monotonic() - self.began
        return self.p.returncode, self.said()

    def said(self):
        self.out.seek(0)
        self.err.seek(0)
        return self.out.read() + self.err.read()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.p.kill()
        self.p.wait()


@contextlib.contextmanager
def programs():
    """start(cmd) begins a Program; none of them outlives the block."""
    begun = []

    def start(*cmd, **kw):
        begun.append(Program(cmd, **kw))
        return begun[-1]
    try:
        yield start
    finally:
        for p in begun:
            p.kill()


class Stopped:
    """cmd, stopped by SIGSTOP in its n-th call of this name."""

    def __init__(self, call, n, cmd, log, timeout=HANG):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)
        self.strace = Program(["strace", "-f", "-o", log, "-e", "trace=" + call, "-e",
                               f"inject={call}:signal=STOP:when={n}", *cmd])
        self.pid, end = None, time.monotonic() + timeout
        while self.pid is None:
            assert self.strace.is_alive(), f"ended before it was stopped: {self.strace.said()}"
            assert time.monotonic() < end, f"{cmd} was not stopped in {timeout} s"
            time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError), open(log, errors="replace") as f:
                m = re.search(r"^(\d+) +--- stopped by SIGSTOP", f.read(), re.MULTILINE)
                self.pid = int(m[1]) if m else None

    def go_on(self, limit=HANG):
        os.kill(self.pid, signal.SIGCONT)
        return self.strace.wait(limit)

    def kill(self):
        """SIGKILL for the program; strace ends with it."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid and self.strace.is_alive():
                os.kill(self.pid, signal.SIGKILL)
                self.strace.p.wait(HANG)
        self.strace.kill()


@contextlib.contextmanager
def stopped(call, n, cmd, log):
    p = Stopped(call, n, cmd, log)
    try:
        yield p
    finally:
        p.kill()


def wait_for(what, seconds=HANG):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not in {seconds} s"
        time.sleep(0.01)


def inodes_open(pid):
    """Inodes of all that a process has open."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
    return found


def has_open(pid, path):
    """Which inodes of this name a process has open; also names that are gone."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(f"/proc/{pid}/fd/{fd}").removesuffix(" (deleted)")
            if name == path:
                found.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
    return found
