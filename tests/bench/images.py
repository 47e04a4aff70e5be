# SPDX-License-Identifier: LGPL-2.1-or-later
"""The images that are measured: made once, copied for each run, compared afterwards."""
import contextlib
import hashlib
import json
import os
import random
import subprocess
import tempfile

from machine import Failed, KiB, MiB, run

RESERVE = 32 * MiB  # of both programs, by --reduce-device-size 32M


class Image:
    """A plain image. fs is None for random bytes without a filesystem.

    content: bytes of files; small: files of about 16 KiB of which every second one is deleted,
    instead of files of many lengths."""

    def __init__(self, folder, size, fs=None, content=0, small=False):
        self.size, self.fs, self.content, self.small = size, fs, content, small
        kind = f"{fs or 'random'}-{size >> 20}" + (f"-{content >> 20}" if fs else "")
        self.path = os.path.join(folder, kind + ("-small" if small else "") + ".img")
        self.length = size - RESERVE

    def make(self):
        if os.path.exists(self.path + ".json"):
            return
        with open(self.path, "wb") as f:
            f.truncate(self.size)
        if self.fs is None:
            hashes = _fill_random(self.path, self.size)
        else:
            _mkfs(self.path, self.fs, self.length)
            with mounted(self.path) as top:
                hashes = _fill_small(top, self.content) if self.small else _fill(top, self.content)
        with open(self.path + ".json", "w") as f:  # last: an image without it was never finished
            json.dump(hashes, f)

    def drop(self):
        for path in (self.path, self.path + ".json"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def copy(self, to):
        run("cp", "--reflink=auto", "--sparse=always", self.path, to)

    def check(self, volume, key, luks_cat):
        """The finished volume holds all that the plain image held, by other code than coffer's."""
        if self.fs is None:
            with subprocess.Popen([luks_cat, volume, key], stdout=subprocess.PIPE) as cat:
                equal = subprocess.run(["cmp", "-s", "-n", str(self.length), "-", self.path],
                                       stdin=cat.stdout, check=False).returncode == 0
                cat.stdout.close()
            if not equal:
                raise Failed(f"{volume}: the content is not what it was")
            return "every byte compared"
        plain = volume + ".plain"
        try:
            run(luks_cat, volume, key, plain)
            run(*{"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n", "-o", "force_geometry"],
                  "btrfs": ["btrfs", "check", "--readonly"]}[self.fs], plain)
            with open(self.path + ".json") as f:
                want = json.load(f)
            with mounted(plain, "ro") as top:
                have = _hashes(top)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(plain)
        if have != want:
            wrong = sorted(n for n in want.keys() | have.keys() if want.get(n) != have.get(n))
            raise Failed(f"{volume}: {len(wrong)} of {len(want)} files are not what they were, "
                         f"{wrong[0]} for one")
        return f"filesystem checker, hashes of {len(want)} files"


@contextlib.contextmanager
def mounted(path, options="rw"):
    """noinit_itable: ext4 would go on to initialize its inode tables while files are written, more
    or less of it as the machine is fast."""
    kind = run("blkid", "-p", "-s", "TYPE", "-o", "value", path).strip()
    options += {"ext4": ",noinit_itable", "xfs": ",nouuid"}.get(kind, "")
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as top:
        run("mount", "-o", "loop,noatime," + options, path, top)
        try:
            yield top
        finally:
            run("umount", top)
            if kind == "btrfs":  # or it takes the next copy, which has the same UUID, for a mirror
                with contextlib.suppress(Failed):
                    run("btrfs", "device", "scan", "--forget")


def _mkfs(path, fs, length):
    # mkfs.xfs refuses less than 300 MB, unless it believes to be in xfstests.
    small = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"} if length < 300 * MiB else {}
    # mkfs.ext4 would punch an image file, know its inode tables as zeros and mark them as written. On
    # a disk it leaves them to the kernel, for later: that state is wanted here.
    run(*{"ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=1", path,
                   length // 4096],
          "xfs": ["mkfs.xfs", "-q", "-f", "-s", "size=4096", "-d", f"size={length}", path],
          "btrfs": ["mkfs.btrfs", "-q", "-f", "-b", length, path]}[fs],
        env=dict(os.environ, **small))


def _fill_random(path, size):
    with open(path, "r+b") as f, open("/dev/urandom", "rb") as random_bytes:
        for _ in range(0, size, MiB):
            f.write(random_bytes.read(MiB))
    return {}


def _write(top, name, data, hashes):
    path = os.path.join(top, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    hashes[name] = hashlib.sha256(data).hexdigest()


def _fill(top, content):
    """Files of many lengths, as an installed system has them, until content bytes are there."""
    rnd = random.Random(content)
    hashes = {}
    while content > 0:
        n = min(content, int(4 * KiB * 2 ** rnd.uniform(0, 12)))
        _write(top, f"d{len(hashes) % 31}/f{len(hashes)}", rnd.randbytes(n), hashes)
        content -= n
    return hashes


def _fill_small(top, content):
    """Twice the content in small files, then every second one goes: a hole behind each file."""
    rnd = random.Random(content)
    hashes = {}
    names = []
    left = 2 * content
    while left > 0:
        n = rnd.randrange(12 * KiB, 20 * KiB)
        names.append(f"d{len(names) // 1000}/f{len(names)}")
        _write(top, names[-1], rnd.randbytes(n), hashes)
        left -= n
    run("sync", "-f", top)  # what is deleted before it was ever written leaves no hole
    for name in names[::2]:
        os.unlink(os.path.join(top, name))
        del hashes[name]
    return hashes


def _hashes(top):
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, top)] = hashlib.file_digest(f, "sha256").hexdigest()
    return found

