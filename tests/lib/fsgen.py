# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random filesystems with a random history, the same for the same seed (but for what the kernel's
own timing decides): what mkfs was told, which files were made, changed and deleted, and a manifest
of all that must be there afterwards.

    fs = fsgen.make(path, seed)        # an image with an ext4, xfs or btrfs, not mounted
    with fsgen.mount(fs.path, fs) as where: assert fsgen.manifest(where) == fs.manifest

Needs root. Everything lies in image files, which are sparse.
"""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import random
import shutil
import stat
import struct
import time

from disk import KiB, MiB, run, tempdir

KINDS = "ext4", "xfs", "btrfs"
LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 0x01, 0x02, 0x08, 0x10, 0x20
FICLONE, FICLONERANGE, FITRIM = 0x40049409, 0x4020940d, 0xc0185879
FS_IOC_SETFLAGS, NOCOW = 0x40086602, 0x00800000
FULL = errno.ENOSPC, errno.EDQUOT


class Fs:
    """One generated filesystem. size is the filesystem's, device that of the image."""

    def __init__(self, path, kind, seed, size, device, mkfs, mounting):
        self.path, self.kind, self.seed = path, kind, seed
        self.size, self.device, self.mkfs, self.mounting = size, device, mkfs, mounting
        self.ops, self.manifest = 0, None

    def __str__(self):
        return (f"{self.kind} of {self.size / MiB:g} MiB in {self.device / MiB:g} MiB, mkfs "
                f"{' '.join(map(str, self.mkfs))}, mount {self.mounting}, {self.ops} operations, "
                f"{len(self.manifest or {})} names")


# --- mkfs --------------------------------------------------------------------------------------

def make(path, seed, kind=None, reserve=2 * MiB):
    """A filesystem that leaves the reserve free after it."""
    rnd = random.Random(f"fs {seed}")
    kind = kind or rnd.choice(KINDS)
    size, options, mounting = {"ext4": _ext4, "xfs": _xfs, "btrfs": _btrfs}[kind](rnd)
    device = size + reserve
    if rnd.random() < 0.2:  # an image that was grown: the filesystem is much smaller
        device += rnd.choice((512, 4 * KiB, MiB + 512, 40 * MiB, 150 * MiB))
    fs = Fs(path, kind, seed, size, device, options, mounting)
    with open(path, "wb") as f:
        f.truncate(device)
        if rnd.random() < 0.3:  # not every disk was new
            for _ in range(20):
                f.seek(rnd.randrange(device - 64 * KiB))
                f.write(rnd.randbytes(64 * KiB))
    mkfs(fs)
    History(fs, rnd).run()
    return fs


def mkfs(fs):
    path = [fs.path]
    if fs.kind == "ext4":
        block = int(fs.mkfs[fs.mkfs.index("-b") + 1])
        run("mke2fs", "-q", "-F", "-t", "ext4", *fs.mkfs, *path, fs.size // block)
        with open(fs.path, "rb") as f:  # a last group that is too small was left out
            f.seek(1024 + 4)
            fs.size = int.from_bytes(f.read(4), "little") * block
    elif fs.kind == "xfs":
        # mkfs.xfs refuses less than 300 MB, unless it believes to be in xfstests.
        run("mkfs.xfs", "-q", "-f", *fs.mkfs, *path,
            env=dict(os.environ, TEST_DIR="1", TEST_DEV="1", QA_CHECK_FS="1"))
    else:
        run("mkfs.btrfs", "-q", "-f", "-b", fs.size, *fs.mkfs, *path)


def _ext4(rnd):
    block = rnd.choice((1024, 1024, 2048, 4096, 4096, 4096))
    size = rnd.choice((8, 12, 16, 24, 33, 48, 64)) * MiB
    features, more, extended = [], [], [f"lazy_itable_init={rnd.choice((0, 1, 1))}"]
    journal = rnd.random() < 0.75 and size // block > 2048
    if not journal:
        features.append("^has_journal")
    else:
        extended.append(f"lazy_journal_init={rnd.choice((0, 1))}")
    inode = rnd.choice((128, 256, 256, 256, 512, 1024))
    # No inline_data: writes into inline files stop Linux 6.18 with a BUG (a process dies within a
    # journal handle), and from then on every sync(2) of the machine waits for ever.
    kind = rnd.choice(("plain", "plain", "bigalloc", "old", "meta_bg", "small groups", "plain"))
    if kind == "bigalloc":
        features.append("bigalloc")
        more += ["-C", block * rnd.choice((2, 4, 16))]
    elif kind == "old":  # as ext2 and ext3 were
        features += ["^extents", "^flex_bg", "^metadata_csum", "^64bit", "^huge_file"]
        features.append(rnd.choice(("^uninit_bg", "uninit_bg")))
    elif kind == "meta_bg":
        features += ["meta_bg", "^resize_inode"]
    elif kind == "small groups":
        more += ["-g", 8 * rnd.randrange(32, block // 4)]
        features += rnd.choice((["sparse_super2", "^resize_inode"],
                                ["^sparse_super", "^resize_inode"], []))
    if kind not in ("old",):
        features += rnd.choice((["^64bit"], ["64bit"], ["64bit"]))
        features += rnd.choice((["^flex_bg"], ["flex_bg"], []))
        features += rnd.choice((["metadata_csum"], ["metadata_csum"], ["^metadata_csum", "uninit_bg"],
                                ["^metadata_csum", "^uninit_bg"]))
        features += rnd.choice((["dir_index"], ["^dir_index"], ["large_dir"], ["ea_inode"],
                                ["verity"], ["encrypt"], ["metadata_csum_seed"], []))
        if "metadata_csum_seed" in features and "metadata_csum" not in features:
            features.remove("metadata_csum_seed")
        if journal and rnd.random() < 0.15:
            features.append(rnd.choice(("fast_commit", "orphan_file")))
    if "^flex_bg" not in features and rnd.random() < 0.3 and kind != "meta_bg":
        more += ["-G", rnd.choice((2, 4, 32))]
        if rnd.random() < 0.3:
            extended.append("packed_meta_blocks=1")
    if rnd.random() < 0.3:
        more += ["-N", rnd.choice((128, 1000, 4000, 20000 if size > 16 * MiB else 4000))]
    mounting = rnd.choice(("defaults", "defaults", "nodelalloc", "discard"))
    return size, ["-b", block, "-I", inode, "-O", ",".join(features) or "none", "-E",
                  ",".join(extended), *more], mounting


def _xfs(rnd):
    size = rnd.choice((32, 48, 48, 64, 96)) * MiB
    block = rnd.choice((1024, 2048, 4096, 4096, 4096))
    sector = rnd.choice((512, 512, min(block, 4096)))
    reflink = rnd.choice((0, 1, 1))
    options = ["-b", f"size={block}", "-s", f"size={sector}"]
    meta = [f"reflink={reflink}", f"rmapbt={rnd.choice((0, 0, 1))}",
            f"finobt={rnd.choice((0, 1, 1))}", f"bigtime={rnd.choice((0, 1))}"]
    if "finobt=0" in meta:
        meta = [m for m in meta if not m.startswith("rmapbt")] + ["inobtcount=0"]
    options += ["-m", ",".join(meta)]
    inode = 512 if block == 1024 else rnd.choice((512, 512, 1024))
    options += ["-i", f"size={inode},sparse={rnd.choice((0, 1))},nrext64={rnd.choice((0, 1))}"]
    if rnd.random() < 0.5:
        options += ["-n", f"size={rnd.choice((4 * KiB, 8 * KiB, 16 * KiB, 64 * KiB, 64 * KiB))}"]
    groups = rnd.choice((1, 2, 3, 4, 4))
    while size // groups < 24 * MiB:
        groups -= 1
    options += ["-d", f"size={size},agcount={groups}"]
    if size < 96 * MiB or "rmapbt=1" in meta or rnd.random() < 0.3:
        options += ["-l", "size=18m"]  # on small ones mkfs and kernel differ about the least log
    return size, options, rnd.choice(("defaults", "defaults", "discard", "wsync", "largeio"))


def _btrfs(rnd):
    # No quotas: with snapshots the kernel itself leaves counts that "btrfs check" calls wrong.
    mixed = rnd.random() < 0.4
    if mixed:
        size = rnd.choice((20, 24, 32, 48, 80)) * MiB
        options = ["--mixed", "-n", 4096, "-d", "single", "-m", "single"]
    else:
        data, meta = rnd.choice(("single", "single", "dup")), rnd.choice(("single", "dup"))
        size = rnd.choice((112, 112, 128, 160)) * MiB
        size += (64 * MiB if data == "dup" else 0) + (65 * MiB if data == meta == "dup" else 0)
        options = ["-n", rnd.choice((4096, 8192, 16384, 16384, 65536)), "-d", data, "-m", meta]
    features = [rnd.choice(("no-holes", "^no-holes")), rnd.choice(("extref", "^extref"))]
    tree = rnd.choice(("free-space-tree", "free-space-tree", "^free-space-tree"))
    options += ["-s", 4096, "-O", ",".join(features), "-R", tree,
                "--csum", rnd.choice(("crc32c", "crc32c", "xxhash", "sha256"))]
    mounting = rnd.choice(("defaults", "compress=zlib", "compress-force=zstd", "compress=lzo",
                           "max_inline=0", "nodatacow", "discard=sync", "autodefrag"))
    return size, options, mounting


# --- mounts ------------------------------------------------------------------------------------

@contextlib.contextmanager
def mount(path, fs, options="defaults", kind=None):
    """An image, mounted on a folder of its own. fs is an Fs, or None with a kind."""
    kind = kind or fs.kind
    with tempdir() as where:
        for tries in range(20):  # others ask for free loop devices, too
            p = run("mount", "-t", kind, "-o", f"loop,{options}", path, where, status=None)
            if p.returncode == 0 or "failed to setup loop" not in p.stderr or tries == 19:
                break
            time.sleep(0.05 * (tries + 1))
        assert p.returncode == 0, f"mount {kind} {options}: {p.stderr}"
        try:
            yield where
        finally:
            _umount(where)


def _umount(where):
    for tries in range(20):
        p = run("umount", where, status=None)
        if p.returncode == 0 or tries == 19:
            break
        time.sleep(0.05 * (tries + 1))
    assert p.returncode == 0, p.stderr


# --- the manifest ------------------------------------------------------------------------------

def manifest(where):
    """{name: what must be the same afterwards}, of all below a folder, other subvolumes too."""
    found, links = {}, {}
    for folder, folders, files in os.walk(where):
        folders.sort()
        for name in [".", *sorted(files + [d for d in folders
                                           if os.path.islink(os.path.join(folder, d))])]:
            path = os.path.normpath(os.path.join(folder, name))
            st = os.lstat(path)
            short = os.path.relpath(path, where)
            about = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid,
                     st.st_rdev]
            if st.st_ino != 2 or folder == where:  # in a snapshot, of another: made when looked at
                about.append(st.st_mtime_ns)
            about.append(sorted((x, os.getxattr(path, x, follow_symlinks=False))
                                for x in os.listxattr(path, follow_symlinks=False)))
            if stat.S_ISLNK(st.st_mode):
                about.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                about += [st.st_size, st.st_nlink, _content(path)]
                about.append(links.setdefault((st.st_dev, st.st_ino), short))
            found[short] = about
    return found


def _content(path):
    """A digest of all bytes; holes and zeros are the same."""
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        end, at = os.fstat(f.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError as e:
                assert e.errno == errno.ENXIO, e
                break
            at = at // (64 * KiB) * (64 * KiB)
            piece = os.pread(f.fileno(), 64 * KiB, at)
            if piece.count(0) != len(piece):
                h.update(struct.pack("<Q", at) + piece)
            at += 64 * KiB
    return h.hexdigest()


def differences(want, got):
    """A few lines about what is not the same; "" if all is."""
    lines = []
    for name in sorted(set(want) | set(got)):
        if want.get(name) != got.get(name):
            lines.append(f"{name}: wanted {str(want.get(name))[:300]}, got {str(got.get(name))[:300]}")
    return "\n".join(lines[:10] + ([f"... {len(lines)} in all"] if len(lines) > 10 else []))


# --- history -----------------------------------------------------------------------------------

class History:
    """What happens to a filesystem between its mkfs and its encryption."""

    def __init__(self, fs, rnd):
        self.fs, self.rnd = fs, rnd
        self.pool = rnd.randbytes(MiB) + (b"all work and no play " * 4000)
        self.where, self.n = None, 0
        self.files, self.folders = [], []  # below the mount point
        self.room = fs.size
        # These run in the kernel of whoever tests: nothing that hardly anybody uses is combined
        # with what hardly anybody uses.
        self.exotic = any(o in " ".join(map(str, fs.mkfs))
                          for o in ("bigalloc", "fast_commit", "ea_inode", "^extents"))

    def run(self):
        rnd, fs = self.rnd, self.fs
        rounds = rnd.choice((1, 1, 2, 3))
        character = rnd.choice(("mixed", "mixed", "mixed", "full", "tiny", "empty"))
        for n in range(rounds):
            with mount(fs.path, fs, fs.mounting) as self.where:
                if n == 0:
                    os.chmod(self.where, 0o755)
                count = {"empty": rnd.randrange(0, 3), "tiny": 30}.get(character,
                                                                      rnd.randrange(10, 120))
                self._some(count)
                if character == "tiny":
                    with contextlib.suppress(OSError):  # full
                        self.tiny_files(rnd.choice((500, 1500)))
                if character == "full" and n == 0:
                    self.fill()
                    self._some(10)
        fs.ops = self.n
        with mount(fs.path, fs, "ro") as where:  # what has really reached it
            fs.manifest = manifest(where)

    def _some(self, count):
        weights = [(self.create, 30), (self.overwrite, 10), (self.delete, 14), (self.truncate, 6),
                   (self.punch, 6), (self.preallocate, 5), (self.append, 8), (self.sparse, 4),
                   (self.folder, 8), (self.rename, 4), (self.hard_link, 4), (self.symlink, 4),
                   (self.xattr, 6), (self.mode, 3), (self.special, 1), (self.tiny_files, 1),
                   (self.big_folder, 1), (self.remove_folder, 2), (self.trim, 0.5), (self.sync, 1)]
        if self.fs.kind != "ext4":
            weights.append((self.clone, 10))
        if self.fs.kind == "btrfs":
            weights += [(self.subvolume, 1.5), (self.snapshot, 2), (self.delete_subvolume, 1),
                        (self.nocow, 1)]
        ops, chances = zip(*weights)
        for op in self.rnd.choices(ops, chances, k=count):
            self.n += 1
            try:
                op()
            except FileNotFoundError:
                self._look()  # a snapshot or a folder was removed with it
            except OSError as e:
                if e.errno in FULL:
                    with contextlib.suppress(OSError):  # it may lie in a snapshot
                        self.delete()
                elif e.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.EMLINK, errno.E2BIG,
                                     errno.ENOTEMPTY, errno.EFBIG, errno.EROFS, errno.EXDEV,
                                     errno.EPERM, errno.EACCES, errno.EEXIST,
                                     errno.ETXTBSY, errno.ENOTDIR, errno.ENAMETOOLONG):
                    raise

    # -- helpers

    def _look(self):
        self.files, self.folders = [], []
        for folder, folders, files in os.walk(self.where):
            folders.sort()
            self.folders += [os.path.relpath(os.path.join(folder, d), self.where) for d in folders
                             if not os.path.islink(os.path.join(folder, d))]
            for name in sorted(files):
                path = os.path.join(folder, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    self.files.append(os.path.relpath(path, self.where))

    def _path(self, short):
        return os.path.join(self.where, short)

    def _new_name(self):
        self.n += 1
        name = f"f{self.n}"
        if self.rnd.random() < 0.3:
            name += "-" + "n" * self.rnd.randrange(1, 200)
        return os.path.join(self.rnd.choice(self.folders), name) \
            if self.folders and self.rnd.random() < 0.6 else name

    def _file(self):
        if not self.files:
            raise FileNotFoundError
        return self._path(self.rnd.choice(self.files))

    def _length(self):
        top = max(64 * KiB, min(3 * MiB, self.room // 12))
        return min(top, self.rnd.choice((0, 1, 60, 150, 511, 512, 1000, 4096, 4097, 5000, 12288,
                                         40000, 70000, 200000, MiB, self.rnd.randrange(2 * MiB))))

    def _bytes(self, n):
        at = self.rnd.randrange(len(self.pool))
        piece = self.pool[at:at + n]
        while len(piece) < n:
            piece += self.pool[:n - len(piece)]
        return piece

    def _range(self, size):
        unit = self.rnd.choice((1, 512, 4096, 65536))
        at = self.rnd.randrange(size + 1) // unit * unit
        return at, max(1, self.rnd.randrange(max(1, size // 2) + 1) // unit * unit)

    # -- operations

    def create(self):
        short = self._new_name()
        fd = os.open(self._path(short), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self.files.append(short)
        with open(fd, "wb", buffering=0) as f:
            f.write(self._bytes(self._length()))
            if self.rnd.random() < 0.1:
                os.fsync(f.fileno())

    def overwrite(self):
        with open(self._file(), "r+b", buffering=0) as f:
            at, n = self._range(os.fstat(f.fileno()).st_size)
            f.seek(at)
            f.write(self._bytes(min(n, MiB)))

    def append(self):
        with open(self._file(), "ab", buffering=0) as f:
            f.write(self._bytes(self._length()))

    def delete(self):
        for _ in range(self.rnd.choice((1, 1, 1, 5, len(self.files) // 3))):
            if not self.files:
                return
            short = self.files.pop(self.rnd.randrange(len(self.files)))
            os.unlink(self._path(short))

    def truncate(self):
        path = self._file()
        size = os.stat(path).st_size
        os.truncate(path, self.rnd.choice((0, size // 2, size // 3, size + 10000, 100)))

    def _fallocate(self, mode, path, at, n):
        fd = os.open(path, os.O_RDWR)
        try:
            if LIBC.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(n)) < 0:
                raise OSError(ctypes.get_errno(), "fallocate")
        finally:
            os.close(fd)

    def punch(self):
        path = self._file()
        at, n = self._range(os.stat(path).st_size)
        mode = self.rnd.choice((PUNCH | KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE,
                                COLLAPSE, INSERT))
        if mode in (COLLAPSE, INSERT):
            if self.exotic:
                return
            at, n = at // 4096 * 4096, 4096 * self.rnd.randrange(1, 5)
        self._fallocate(mode, path, at, n)

    def preallocate(self):
        path = self._file()
        at, n = self._range(os.stat(path).st_size + self.rnd.randrange(MiB))
        self._fallocate(self.rnd.choice((0, KEEP_SIZE)), path, at, n)

    def sparse(self):
        short = self._new_name()
        with open(self._path(short), "xb", buffering=0) as f:
            self.files.append(short)
            far = self.rnd.choice((10 * MiB, 200 * MiB, 3 << 30))
            for _ in range(self.rnd.randrange(1, 12)):
                f.seek(self.rnd.randrange(far))
                f.write(self._bytes(self.rnd.choice((1, 4096, 9000))))

    def folder(self):
        short = self._new_name()
        os.mkdir(self._path(short))
        self.folders.append(short)

    def remove_folder(self):
        if self.folders:
            short = self.folders[self.rnd.randrange(len(self.folders))]
            shutil.rmtree(self._path(short), ignore_errors=True)
            self._look()

    def rename(self):
        old = self.files[self.rnd.randrange(len(self.files))] if self.files else None
        if old:
            new = self._new_name()
            os.rename(self._path(old), self._path(new))
            self.files[self.files.index(old)] = new

    def hard_link(self):
        path, short = self._file(), self._new_name()
        os.link(path, self._path(short))
        self.files.append(short)

    def symlink(self):
        os.symlink("t" * self.rnd.choice((5, 59, 60, 61, 200, 1000)), self._path(self._new_name()))

    def xattr(self):
        for _ in range(self.rnd.choice((1, 2, 6))):
            os.setxattr(self._file(), f"user.{self.rnd.randrange(20)}",
                        self._bytes(self.rnd.choice((0, 10, 60, 300, 900, 3000))))

    def mode(self):
        path = self._file()
        os.chmod(path, self.rnd.choice((0o600, 0o4755, 0o444)))
        os.chown(path, self.rnd.randrange(70000), 5)

    def special(self):
        os.mknod(self._path(self._new_name()), self.rnd.choice((stat.S_IFIFO, stat.S_IFCHR)) | 0o600,
                 os.makedev(1, 3))

    def tiny_files(self, count=None):
        folder = self._path(self._new_name())
        os.mkdir(folder)
        for n in range(count or self.rnd.choice((50, 200, 400))):
            with open(os.path.join(folder, f"{n}"), "wb", buffering=0) as f:
                f.write(self._bytes(self.rnd.randrange(200)))
        if self.rnd.random() < 0.5:
            for n in range(0, 50, self.rnd.randrange(2, 5)):
                os.unlink(os.path.join(folder, f"{n}"))
        self._look()

    def big_folder(self):
        """Names as long as they can be; one inode, or many."""
        short = self._new_name()
        folder = self._path(short)
        os.mkdir(folder)
        first = os.path.join(folder, "first")
        os.close(os.open(first, os.O_CREAT | os.O_WRONLY, 0o600))
        for n in range(self.rnd.choice((100, 400, 900))):
            os.link(first, os.path.join(folder, f"{n:04}" + "x" * self.rnd.choice((1, 100, 250))))
        self.folders.append(short)

    def trim(self):
        fd = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FITRIM, struct.pack("QQQ", 0, (1 << 64) - 1, 0))
        finally:
            os.close(fd)

    def sync(self):
        fd = os.open(self.where, os.O_RDONLY)
        LIBC.syncfs(fd)
        os.close(fd)

    def fill(self):
        """Until no block is left, then some space is made again."""
        mine = []
        try:
            for n in range(2000):
                short = f"fill{n}"
                with open(self._path(short), "xb", buffering=0) as f:
                    mine.append(short)
                    want = self.rnd.choice((3000, 20000, 100000, 500000, MiB))
                    assert f.write(self._bytes(want)) == want or n < 0
        except (OSError, AssertionError) as e:
            if isinstance(e, OSError) and e.errno not in FULL:
                raise
        share = self.rnd.choice((0, 0.05, 0.3, 0.6))
        for short in mine:
            if self.rnd.random() < share:
                os.unlink(self._path(short))
        self._look()

    def clone(self):
        source = self._file()
        with open(source, "rb") as s:
            if self.rnd.random() < 0.6:
                short = self._new_name()
                with open(self._path(short), "xb") as t:
                    self.files.append(short)
                    fcntl.ioctl(t.fileno(), FICLONE, s.fileno())
            else:
                with open(self._file(), "r+b") as t:
                    n = os.fstat(s.fileno()).st_size // 65536 * 65536
                    fcntl.ioctl(t.fileno(), FICLONERANGE,
                                struct.pack("qQQQ", s.fileno(), 0, n, 65536))

    def subvolume(self):
        short = self._new_name()
        run("btrfs", "subvolume", "create", self._path(short), status=None)
        self._look()

    def snapshot(self):
        read_only = self.rnd.choice(([], ["-r"]))
        short = os.path.basename(self._new_name())
        if len([f for f in os.listdir(self.where) if f.startswith("snap")]) < 3:
            run("btrfs", "subvolume", "snapshot", *read_only, self.where,
                self._path("snap" + short[:50]), status=None)
            self._look()

    def delete_subvolume(self):
        for name in sorted(os.listdir(self.where)):
            if name.startswith("snap"):
                run("btrfs", "subvolume", "delete", *self.rnd.choice(([], ["--commit-after"])),
                    self._path(name), status=None)
                self._look()
                return

    def nocow(self):
        short = self._new_name()
        with open(self._path(short), "xb", buffering=0) as f:
            self.files.append(short)
            fcntl.ioctl(f.fileno(), FS_IOC_SETFLAGS, struct.pack("l", NOCOW))
            f.write(self._bytes(self._length()))
