# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images, filesystems, loop devices and an independent decryptor for the tests.

Everything that must be given back is a context manager; sizes and offsets are bytes.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import random
import subprocess
import tempfile
import time
from array import array

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HANG = 900  # seconds: a test that waits longer hangs; a busy machine does not come near it
KiB = 1 << 10
MiB = 1 << 20

# The lock folder of libcryptsetup is root's; on a private image nobody competes for the lock.
NO_LOCKS = [] if os.access("/run/cryptsetup", os.W_OK) or os.geteuid() == 0 else ["--disable-locks"]


# --- processes ---------------------------------------------------------------------------------

def run(*cmd, status=(0,), timeout=HANG, input=None, **kw):
    """Runs cmd with stdout and stderr captured as text; any status not listed is an error.
    status=None accepts all. input is text."""
    cmd = [str(c) for c in cmd]
    pipe = subprocess.PIPE
    with subprocess.Popen(cmd, text=True, errors="replace", stdout=pipe, stderr=pipe,
                          stdin=subprocess.DEVNULL if input is None else pipe, **kw) as p:
        try:
            out, err = p.communicate(input, timeout)
        except BaseException:  # subprocess.run() would SIGKILL at once, and cmd leave its things
            p.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.wait(5)
            p.kill()
            raise
    if status is not None and p.returncode not in status:
        raise AssertionError(f"{' '.join(cmd)}: status {p.returncode}, wanted {status}\n"
                             f"stdout: {out[-2000:]}\nstderr: {err[-2000:]}")
    return subprocess.CompletedProcess(cmd, p.returncode, out, err)


# --- files and folders -------------------------------------------------------------------------

def tempdir():
    """A folder on a real disk: /tmp may be memory, which has no O_DIRECT and little space."""
    return tempfile.TemporaryDirectory(prefix="coffer-test-",
                                       dir=os.environ.get("TMPDIR", "/var/tmp"))


@contextlib.contextmanager
def memory_dir():
    """A folder in memory, if that can be read past the page cache as a disk can; else on a disk,
    which is slower."""
    with contextlib.ExitStack() as stack:
        where = None
        if os.path.isdir("/dev/shm"):
            where = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm",
                                                                    prefix="coffer-test-"))
            try:
                os.close(os.open(os.path.join(where, "direct"), os.O_CREAT | os.O_DIRECT))
            except OSError:
                where = None
        yield where or stack.enter_context(tempdir())


def make_tree(folder, size, seed=1):
    """Fills folder with about size bytes of files of many lengths, the same for the same seed."""
    rnd = random.Random(seed)
    n = 0
    while size > 0:
        sub = os.path.join(folder, f"d{n % 7}")
        os.makedirs(sub, exist_ok=True)
        length = min(size, rnd.choice((0, 1, 511, 4096, 5000, 70000, 3 * MiB)) + 1)
        with open(os.path.join(sub, f"f{n}"), "wb") as f:
            f.write(rnd.randbytes(length))
        size -= length
        n += 1


def make_partitions(img, label, script):
    """A partition table by sfdisk. Its sync() at the end is left out: it waits for every filesystem
    of the machine, also for one that hangs and is none of ours."""
    run("strace", "-qq", "-o", "/dev/null", "-e", "trace=sync", "-e", "inject=sync:retval=0",
        "sfdisk", "-q", "--label", label, img, input=script)


def copy_to(path, new):
    """A copy of a file, with its holes."""
    run("cp", "--sparse=always", path, new)
    return new


def read_at(path, at=0, n=-1):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read(n)


def write_at(path, at, data):
    """Into a file or device that is there."""
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def sha256(path, offset=0, size=None):
    """Digest of a file or device, or of the range [offset, offset + size) of it."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        f.seek(offset)
        while size is None or size > 0:
            piece = f.read(MiB if size is None else min(MiB, size))
            if not piece:
                assert size is None, f"{path} ends {size} bytes early"
                break
            h.update(piece)
            size = None if size is None else size - len(piece)
    return h.hexdigest()


# --- filesystems -------------------------------------------------------------------------------

def make_image(path, size, fs, fs_size, tree=None, block_size=4096, options=()):
    """An image of size bytes whose first fs_size bytes hold an ext4, xfs or btrfs with the files
    of the folder tree. Needs no root and no mount. btrfs wants 110 MiB at least. options are
    further ones of the mkfs."""
    with open(path, "wb") as f:
        f.truncate(size)
    if fs == "ext4":
        source = ["-d", tree] if tree else []
        run("mkfs.ext4", "-q", "-F", "-b", block_size, "-E", "lazy_itable_init=0", *source, *options,
            path, fs_size // block_size)
    elif fs == "xfs":
        with tempfile.NamedTemporaryFile("w", suffix=".proto") as proto:
            proto.write("/none\n0 0\nd--755 0 0\n" + (_xfs_proto(tree) if tree else "") + "$\n")
            proto.flush()
            # mkfs.xfs refuses less than 300 MB, unless it believes to be in xfstests.
            run("mkfs.xfs", "-q", "-f", "-b", f"size={block_size}", "-d", f"size={fs_size}",
                "-p", proto.name, *options, path,
                env=dict(os.environ, TEST_DIR="1", TEST_DEV="1", QA_CHECK_FS="1"))
    elif fs == "btrfs":
        source = ["--rootdir", tree] if tree else []
        run("mkfs.btrfs", "-q", "-f", "-b", fs_size, *source, *options, path)
        os.truncate(path, size)  # with --rootdir it cuts a file to the size of the filesystem
    else:
        raise ValueError(fs)


def _xfs_proto(folder):
    lines = ""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.is_dir():
            lines += f"{entry.name} d--755 0 0\n{_xfs_proto(entry.path)}$\n"
        else:
            lines += f"{entry.name} ---644 0 0 {entry.path}\n"
    return lines


def check_fs(path, fs):
    """Fails unless the filesystem's own checker finds nothing wrong; changes nothing."""
    run(*{"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n", "-o", "force_geometry"],
          "btrfs": ["btrfs", "check", "--readonly"]}[fs], path)


@contextlib.contextmanager
def loop(path, *options):
    """A loop device over path, e.g. loop(img, "--sector-size", "4096") as dev.

    Two tests that ask for a free device at the same time may be given the same one: the loser
    tries again."""
    for tries in range(10):
        p = run("losetup", "--find", "--show", *options, path, status=None)
        if p.returncode == 0 or tries == 9:
            break
        time.sleep(0.1 * (tries + 1))
    assert p.returncode == 0, p.stderr
    dev = p.stdout.strip()
    try:
        yield dev
    finally:
        run("losetup", "--detach", dev)


@contextlib.contextmanager
def loop_if(block, path):
    """path, or a loop device over it that coffer may begin on."""
    if not block:
        yield path
        return
    with block_devices(), loop(path) as dev:
        yield dev


@contextlib.contextmanager
def partition(dev, start, sectors):
    """Partition 1 of a loop device; told to the kernel, which need not read partition tables."""
    run("addpart", dev, 1, start, sectors)
    try:
        for _ in range(100):
            if os.path.exists(dev + "p1"):
                break
            time.sleep(0.05)
        yield dev + "p1"
    finally:
        remove_partition(dev, 1)


def remove_partition(dev, number):
    """Other programs of the machine open each block device for a moment; then it is busy."""
    end = time.monotonic() + HANG
    while run("delpart", dev, number, status=None).returncode != 0:
        assert time.monotonic() < end, f"partition {number} of {dev} stays busy"
        time.sleep(0.05)


@contextlib.contextmanager
def block_devices(alone=False):
    """Held by whoever lets coffer begin on a block device: it asks all block devices of the
    machine for a hibernated system. alone is for the one test that makes such a device. The lock
    is the machine's, since another checkout may be tested at the same time."""
    fd = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def mounted(source, fs=None, options="defaults"):
    """source mounted on a folder of its own."""
    with tempdir() as where:
        run("mount", *(["-t", fs] if fs else []), "-o", options, source, where)
        try:
            yield where
        finally:
            run("umount", where)


# --- LUKS2, read with the stock tool and this file only ------------------------------------------

@contextlib.contextmanager
def _header_of(img):
    """A copy of the header: luksDump repairs what it reads, and a test must not change its disk."""
    with tempdir() as d:
        copy = os.path.join(d, "header")
        with open(img, "rb") as src, open(copy, "wb") as dst:
            dst.write(src.read(16 * MiB))
        yield copy


def luks_metadata(img):
    """The JSON metadata, as stock cryptsetup reads it."""
    with _header_of(img) as h:
        return json.loads(run("cryptsetup", "luksDump", *NO_LOCKS, "--dump-json-metadata", h).stdout)


def volume_key(img, key_file):
    with _header_of(img) as h:
        run("cryptsetup", "luksDump", *NO_LOCKS, "--batch-mode", "--dump-volume-key",
            "--volume-key-file", h + ".key", "--key-file", key_file, h)
        with open(h + ".key", "rb") as f:
            return f.read()


def decrypt(img, key_file, out):
    """Writes what a mapping of img would show, also of one that is converted half way.

    The order of the segments' numbers is the logical order; those flagged "backup-..." describe
    the time before and after a conversion and map nothing. A hot zone ("in-reencryption") has no
    certain content before recovery: that is an error. Returns the number of bytes."""
    meta = luks_metadata(img)
    key = volume_key(img, key_file)
    with open(img, "rb") as src, open(out, "wb") as dst:
        end = src.seek(0, os.SEEK_END)
        for number in sorted(meta["segments"], key=int):
            seg = meta["segments"][number]
            flags = seg.get("flags", [])
            if any(f.startswith("backup") for f in flags):
                continue
            assert "in-reencryption" not in flags, f"segment {number} waits for recovery"
            offset = int(seg["offset"])
            left = end - offset if seg["size"] == "dynamic" else int(seg["size"])
            src.seek(offset)
            if seg["type"] == "crypt":
                assert seg["encryption"] == "aes-xts-plain64", seg["encryption"]
                xts = _Xts(key, seg["sector_size"], int(seg["iv_tweak"]))
            while left > 0:
                piece = src.read(min(MiB, left))
                assert piece, f"segment {number} ends {left} bytes early"
                left -= len(piece)
                dst.write(xts.decrypt(piece) if seg["type"] == "crypt" else piece)
        return dst.tell()


class _Xts:
    """AES-XTS put together from AES-ECB over many sectors at once, lanes of 128 bits in one long
    integer. One cipher object per sector would be ten times slower."""

    def __init__(self, key, sector_size, first):
        half = len(key) // 2
        self.data = Cipher(algorithms.AES(key[:half]), modes.ECB()).decryptor()
        self.tweak = Cipher(algorithms.AES(key[half:]), modes.ECB()).encryptor()
        self.size, self.next = sector_size, first

    def decrypt(self, piece):
        sectors, rest = divmod(len(piece), self.size)
        assert rest == 0
        step = self.size // 512  # plain64 counts 512-byte units, whatever the sector size is
        numbers = b"".join((self.next + i * step).to_bytes(16, "little") for i in range(sectors))
        self.next += sectors * step
        ones = int.from_bytes((b"\1" + bytes(15)) * sectors, "little")
        low = ones * ((1 << 127) - 1)
        t = int.from_bytes(self.tweak.update(numbers), "little")
        mask, stride = array("Q", bytes(len(piece))), self.size // 8
        for word in range(0, stride, 2):
            lanes = array("Q", t.to_bytes(16 * sectors, "little"))
            mask[word::stride], mask[word + 1::stride] = lanes[0::2], lanes[1::2]
            t = ((t & low) << 1) ^ ((t >> 127) & ones) * 0x87  # times x in GF(2^128)
        return _xor(self.data.update(_xor(piece, mask)), mask)


def _xor(a, b):
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")
