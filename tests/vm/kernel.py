# SPDX-License-Identifier: LGPL-2.1-or-later
"""kernel - Debian's kernel for virtual machines, unpacked in a cache, never installed."""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

# Roots of the module graph; what they depend on comes along.
MODULES = ["virtio_pci", "virtio_blk", "ext4", "xfs", "btrfs", "dm-crypt", "xts", "cbc",
           "aesni_intel", "sha256_generic", "sha512_generic", "hmac", "crc32c_generic",
           "crc32c-intel"]
# In the name of a cache folder, so that another list makes another folder.
LAYOUT = hashlib.sha256(" ".join(MODULES).encode()).hexdigest()[:8]


class NoKernel(Exception):
    """There is no kernel package to be had."""


def _say(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=900, check=False, **options)
    return done.returncode, done.stdout


def _cache():
    default = os.path.join(os.path.expanduser("~"), ".cache", "coffer-tests")
    return os.path.join(os.environ.get("COFFER_CACHE", default), "vm-kernel")


def _package():
    """(name, version) of the package that linux-image-amd64 names."""
    for attempt in range(2):
        _, depends = _say("apt-cache", "depends", "linux-image-amd64")
        if name := re.search(r"Depends: (linux-image-\S+)", depends):
            _, policy = _say("apt-cache", "policy", name[1])
            if version := re.search(r"Candidate: (\d\S*)", policy):
                return name[1], version[1]
        if attempt == 0:        # package lists may never have been fetched here
            _say("apt-get", "update")
    raise NoKernel("apt knows no linux-image-amd64")


def _modules_in_order(root, release):
    """File names below root/lib/modules, each after those it needs."""
    status, out = _say("depmod", "-b", root, release)
    if status != 0:
        raise NoKernel(f"depmod: {out}")
    ordered = []
    for module in MODULES:
        status, out = _say("modprobe", "-d", root, "-S", release, "--ignore-install",
                           "--show-depends", module)
        if status != 0:
            raise NoKernel(f"modprobe {module}: {out}")
        for line in out.splitlines():
            word = line.split()
            if word[0] == "insmod" and word[1] not in ordered:
                ordered.append(word[1])
    return ordered


def _unpack(package, version, folder):
    """Leave in folder: vmlinuz, and modules/NNN-name.ko to be loaded in this order."""
    status, out = _say("apt-get", "download", f"{package}={version}", cwd=folder)
    debs = [f for f in os.listdir(folder) if f.endswith(".deb")]
    if status != 0 or not debs:
        raise NoKernel(f"apt-get download {package}: {out.strip()[-200:]}")
    root = os.path.join(folder, "root")
    status, out = _say("dpkg-deb", "-x", os.path.join(folder, debs[0]), root)
    if status != 0:
        raise NoKernel(f"dpkg-deb: {out.strip()[-200:]}")
    os.unlink(os.path.join(folder, debs[0]))
    release = package.removeprefix("linux-image-")
    shutil.move(os.path.join(root, "boot", "vmlinuz-" + release), os.path.join(folder, "vmlinuz"))
    os.mkdir(os.path.join(folder, "modules"))
    for number, path in enumerate(_modules_in_order(root, release)):
        name = f"{number:03}-{os.path.basename(path)}"
        shutil.copyfile(path, os.path.join(folder, "modules", name))
    shutil.rmtree(root)         # 400 MB that nobody needs any more


def _fetch():
    package, version = _package()
    there = os.path.join(_cache(), f"{LAYOUT}-{package}_{version.replace(':', '%3a')}")
    if os.path.isdir(there):
        return there
    os.makedirs(_cache(), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache(), prefix="new-") as new:
        made = os.path.join(new, "made")
        os.mkdir(made)
        _unpack(package, version, made)
        try:
            os.rename(made, there)
        except OSError:         # somebody else was faster
            if not os.path.isdir(there):
                raise
    return there


def folder():
    """A folder with vmlinuz and modules/: of the newest package, fetched on the first call
    for its version, or of an older one where that cannot be had."""
    try:
        return _fetch()
    except NoKernel:
        older = glob.glob(os.path.join(glob.escape(_cache()), f"{LAYOUT}-linux-image-*"))
        if not older:
            raise
        return max(older, key=os.path.getmtime)
