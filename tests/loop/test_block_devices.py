#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The list of block devices: of this machine, and of made-up ones."""
import os
import re

from disk import MiB, loop, partition, run, tempdir
from holders import TOOL, short
from scratch import raw, stack
from tap import Tap

tap = Tap()
tap.need_root()


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
            ("loop1", 0, "7:1", "loop1", "7:1", []),
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
    with loop(raw(12 * MiB)) as dev, partition(dev, 2048, 4096) as part:
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
    assert "/sys/class/block: No such file" in p.stderr, p.stderr


with stack:
    tap.run([
        ("block devices of a made-up machine", listed_devices),
        ("block devices of this machine", devices_of_this_machine),
        ("block devices without sysfs", no_sysfs),
    ])
tap.done()
