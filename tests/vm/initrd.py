# SPDX-License-Identifier: LGPL-2.1-or-later
"""initrd - an initramfs from files of this machine: programs, their libraries, modules.

Built anew for every test program: it takes a second, and a cache could be stale."""

import os
import shutil
import stat
import subprocess

# busybox does the rest
TOOLS = ["cryptsetup", "dmsetup", "mkfs.ext4", "e2fsck", "mkfs.xfs", "xfs_repair", "mkfs.btrfs",
         "btrfs", "mount", "umount"]
# Opened by glibc when a thread ends by cancellation, so ldd does not name it.
HIDDEN_LIBRARIES = ["/lib/x86_64-linux-gnu/libgcc_s.so.1"]
FOLDERS = ["bin", "dev", "proc", "sys", "run", "tmp", "etc", "root"]


def _which(name):
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


def _libraries(program):
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=900, check=False).stdout
    for line in out.splitlines():
        words = line.split()
        if "not found" in line:
            raise FileNotFoundError(f"{program}: {line.strip()}")
        if "=>" in words:
            yield words[2]
        elif words and words[0].startswith("/"):
            yield words[0]


class _Archive:
    """The "newc" cpio format, as much of it as an initramfs needs."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.seen = set()

    def _entry(self, name, mode, data):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self.out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def folder(self, name):
        if name and name not in self.seen:
            self.folder(os.path.dirname(name))
            self.seen.add(name)
            self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, source):
        name = name.lstrip("/")
        if name not in self.seen:
            self.folder(os.path.dirname(name))
            self.seen.add(name)
            with open(source, "rb") as f:
                self._entry(name, stat.S_IFREG | 0o755, f.read())

    def program(self, name, source):
        self.file(name, source)
        for library in _libraries(source):
            self.file(library, library)

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def close(self):
        self._entry("TRAILER!!!", 0, b"")


def build(path, coffer, inside, init, modules):
    """Write to @path an initramfs with the program @coffer, the scripts of folder @inside,
    the script @init as /init, and the kernel modules of folder @modules."""
    with open(path, "wb") as out:
        archive = _Archive(out)
        for name in FOLDERS:
            archive.folder(name)
        archive.file("init", init)
        archive.file("bin/busybox", _which("busybox"))
        archive.link("bin/sh", "busybox")
        archive.program("coffer/coffer", coffer)
        helper = os.path.join(os.path.dirname(coffer), "coffer-helper")
        if os.path.exists(helper):  # an older build has none
            archive.program("coffer/coffer-helper", helper)
        for tool in TOOLS:
            archive.program(f"usr/sbin/{tool}", _which(tool))
        for library in HIDDEN_LIBRARIES:
            archive.file(library, library)
        for name in os.listdir(inside):
            archive.file(f"inside/{name}", os.path.join(inside, name))
        for name in sorted(os.listdir(modules)):
            archive.file(f"modules/{name}", os.path.join(modules, name))
        archive.close()
