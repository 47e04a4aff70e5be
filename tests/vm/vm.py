# SPDX-License-Identifier: LGPL-2.1-or-later
"""vm - boot Debian's own kernel in QEMU with a virtio disk and run steps in it.

Emulated (TCG), so that it works without KVM. Its console protocol, its steps and its power
cut are those of tests/uml; new is a stock x86 kernel with AES-NI, two processors, io
schedulers and virtio-blk."""

import os
import shutil

import guest
import initrd
import kernel
import uml

HERE = os.path.dirname(os.path.realpath(__file__))
QEMU = "qemu-system-x86_64"


def why_not():
    """A reason not to run here, or None."""
    if shutil.which(QEMU) is None:
        return f"no {QEMU} (package qemu-system-x86)"
    if shutil.which("busybox") is None:
        return "no busybox (package busybox-static)"
    try:
        kernel.folder()
    except kernel.NoKernel as e:
        return str(e)
    return None


class Machine:
    """A kernel and an initramfs in @folder, to be booted any number of times."""

    def __init__(self, folder):
        there = kernel.folder()
        self.vmlinuz = os.path.join(there, "vmlinuz")
        self.initrd = os.path.join(folder, "initrd")
        initrd.build(self.initrd, uml.program(), uml.INSIDE, os.path.join(HERE, "vm-init"),
                     os.path.join(there, "modules"))

    def boot(self, steps, disk, limit=120, cut=None, sector=512, **env):
        """Boot on @disk (/dev/vda, in sectors of @sector bytes), run @steps, return a
        guest.Outcome; see uml.boot()."""
        env = {"DEV": "/dev/vda", "SHIFT": 1, "FS": "ext4", **env, "STEPS": ",".join(steps)}
        words = ["console=ttyS0", "quiet", "panic=-1"] + [f"{k}={v}" for k, v in env.items()]
        argv = [QEMU, "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "768",
                "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
                "-no-reboot", "-kernel", self.vmlinuz, "-initrd", self.initrd,
                "-append", " ".join(words),
                "-drive", f"if=none,id=disk,format=raw,cache=writeback,file={disk}",
                "-device", f"virtio-blk-pci,drive=disk,logical_block_size={sector},"
                           f"physical_block_size={sector}"]
        return guest.run(argv, limit, cut)
