#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whole conversions of many shapes: every byte is what it was, and the filesystem's own checker
finds no fault in the decrypted content."""
import contextlib
import json
import os
import tempfile

import coffer
from coffer import ASAN, COFFER, Box
from disk import (KiB, MiB, block_devices, check_fs, loop, luks_metadata, partition, run, sha256,
                  tempdir)
from tap import DEEP, Skip, Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
counter = iter(range(10 ** 6))


def new_box(*args, **kw):
    return Box(folder, *args, name=f"plain{next(counter)}", **kw)


def convert(box, target, img, *args, sector=None, reserve=2 * MiB, program=COFFER):
    """Encrypts target, which leads to img, and checks all of the result."""
    p = box.encrypt(target, "--json", "--reduce-device-size", str(reserve), *args, program=program)
    summary = json.loads(p.stdout.splitlines()[-1])
    assert summary["outcome"] == "done" and summary["finished"], summary
    assert summary["data_offset"] == reserve // 2, summary
    if sector:
        assert summary["sector_size"] == sector, summary
    box.check(img)
    if box.fs != "none":
        out = os.path.join(folder, "decrypted")
        coffer.volume_file(img, box.key, summary["data_size"], out)
        check_fs(out, box.fs)
        os.unlink(out)
    return summary


def whole(fs, size, reserve, sector, end=None, program=COFFER, args=(), **make):
    box = new_box(size, fs, size - reserve if end is None else end, **make)
    img = box.copy()
    summary = convert(box, img, img, *args, sector=sector, reserve=reserve, program=program)
    if not args:
        assert summary["data_size"] == size - reserve == summary["bytes_moved"], summary
    os.unlink(img)
    os.unlink(box.plain)


def unknown(size, content, reserve, given=None):
    """Content that coffer does not know, and a device much larger than it."""
    box = new_box(size, "none", content)
    img = box.copy()
    end = -(-content // 512) * 512 + reserve
    tail = sha256(img, end, size - end)
    convert(box, img, img, "--device-size", str(given or content), reserve=reserve)
    assert sha256(img, end, size - end) == tail, "what lies after the content was changed"
    os.unlink(img)
    os.unlink(box.plain)


def by_link(make_target):
    box = shared
    img = box.copy()
    with make_target(img) as target:
        convert(box, target, img, sector=4096)


@contextlib.contextmanager
def link_to_image(img):
    link = os.path.join(folder, "link")
    os.symlink(os.path.basename(img), link)
    yield link
    os.unlink(link)


@contextlib.contextmanager
def link_to_device(img):
    """Like /dev/disk/by-uuid: a relative link to a block device."""
    with block_devices(), loop(img) as dev:
        by_uuid = os.path.join(folder, "disk", "by-uuid")
        os.makedirs(by_uuid, exist_ok=True)
        link = os.path.join(by_uuid, "0b1f4f4e-7f5f-4c5b-9d59-6d6a3f5f3a11")
        os.symlink(os.path.relpath(dev, by_uuid), link)
        yield link
        os.unlink(link)


@contextlib.contextmanager
def loop_device(img, *options):
    with block_devices(), loop(img, *options) as dev:
        yield dev


def on_loop(fs, size, end, sector, *options, **make):
    box = new_box(size, fs, end, **make)
    img = box.copy()
    with block_devices(), loop(img, *options) as dev:
        convert(box, dev, dev, sector=sector)
    os.unlink(img)
    os.unlink(box.plain)


def on_partition():
    """Its neighbours before and after stay as they are."""
    img = os.path.join(folder, "disk-image")
    with open(img, "wb") as f:
        f.write(os.urandom(MiB))
        with open(shared.plain, "rb") as src:
            f.write(src.read())
        f.write(os.urandom(MiB))
    before = sha256(img, 0, MiB), sha256(img, 13 * MiB, MiB)
    with block_devices(), loop(img) as dev, partition(dev, 2048, 12 * 2048) as part:
        convert(shared, part, part, sector=4096)
    assert (sha256(img, 0, MiB), sha256(img, 13 * MiB, MiB)) == before, "a neighbour was changed"


def in_memory():
    """On a filesystem that may have no direct transfers."""
    if not os.path.isdir("/dev/shm"):
        raise Skip("no /dev/shm")
    with tempfile.TemporaryDirectory(prefix="coffer-test-", dir="/dev/shm") as where:
        img = os.path.join(where, "work")
        run("cp", shared.copy(), img)
        convert(shared, img, img)


def argon2():
    """The key derivation that is the default, with a benchmark."""
    img = shared.copy()
    run(COFFER, "encrypt", "--key-file", shared.key, *coffer.SMALL, "--used-only=no",
        "--iter-time", "100", "--pbkdf-memory", "32768", img)
    kdf = luks_metadata(img)["keyslots"]["0"]["kdf"]
    assert kdf["type"] == "argon2id" and kdf["memory"] <= 32768, kdf
    shared.check(img)


def odd_name():
    name = "--a b%s%n\n\"quoted\" \u00e4"
    img = shared.copy(name)
    convert(shared, img, img)


rows = [
    ("ext4", whole, "ext4", 12 * MiB, 2 * MiB, 4096),
    ("ext4, with the sanitizers", whole, "ext4", 12 * MiB, 2 * MiB, 4096, None, ASAN),
    ("ext4 with sectors of 512", lambda: whole("ext4", 12 * MiB, 2 * MiB, 512,
                                               args=["--sector-size", "512"])),
    ("size no multiple of 1 MiB, the last step one block", whole, "ext4", 12 * MiB + 4096, 2 * MiB,
     4096),
    ("size no multiple of 4 KiB", whole, "ext4", 12 * MiB + 3 * 512, 2 * MiB, 512, 10 * MiB),
    ("filesystem ends before the data", whole, "ext4", 13 * MiB + 512, 2 * MiB, 512, 9 * MiB),
    ("xfs with sectors of 512", whole, "xfs", 32 * MiB + 4096, 2 * MiB, 512),
    ("btrfs", lambda: whole("btrfs", 130 * MiB, 2 * MiB, 4096, fill=8 * MiB)),
    ("reserve 6M", whole, "ext4", 22 * MiB + 4096, 6 * MiB, 4096),
    ("reserve of no whole MiB", whole, "ext4", 16 * MiB, 3 * MiB + 8192, 4096),
    ("reserve 32M", whole, "ext4", 72 * MiB + 4096, 32 * MiB, 4096),
    ("L is S", whole, "ext4", 3 * MiB, 2 * MiB, 4096),
    ("L a block above S", whole, "ext4", 3 * MiB + 4096, 2 * MiB, 4096),
    ("L a sector above S", whole, "ext4", 3 * MiB + 512, 2 * MiB, 512, MiB),
    ("L a block above 2S", whole, "ext4", 4 * MiB + 4096, 2 * MiB, 4096),
    ("sixteen threads", lambda: whole("ext4", 40 * MiB, 24 * MiB, 4096, args=["--threads", "16"])),
    ("unknown content, the device much larger", unknown, 48 * MiB, 5 * MiB, 2 * MiB),
    ("unknown content of no whole sectors", unknown, 16 * MiB, 5 * MiB + 1000, 2 * MiB),
    ("image by link", by_link, link_to_image),
    ("block device by link, as in /dev/disk", by_link, link_to_device),
    ("loop device", by_link, loop_device),
    ("ext4 on a device with sectors of 4096", on_loop, "ext4", 12 * MiB, 10 * MiB, 4096,
     "--sector-size", "4096"),
    ("xfs on a device with sectors of 4096", lambda: on_loop(
        "xfs", 32 * MiB, 28 * MiB, 4096, "--sector-size", "4096", options=["-s", "size=4096"])),
    ("loop device of no whole blocks", on_loop, "ext4", 12 * MiB + 512, 9 * MiB, 512),
    ("partition", on_partition),
    ("a name with everything in it", odd_name),
    ("image in memory", in_memory),
    ("argon2id", argon2),
]
# Of the deep set.
more_rows = [
    ("size no multiple of S", whole, "ext4", 12 * MiB + 640 * KiB, 2 * MiB, 4096),
    ("ext4 of 1 KiB blocks", lambda: whole("ext4", 12 * MiB + 1024, 2 * MiB, 512,
                                           block_size=1024)),
    ("ext2", lambda: whole("ext4", 12 * MiB, 2 * MiB, 4096, options=["-O", "^has_journal"])),
    ("xfs with sectors of 4096", lambda: whole("xfs", 32 * MiB, 2 * MiB, 4096,
                                               options=["-s", "size=4096"])),
    ("reserve 256M", whole, "ext4", 400 * MiB, 256 * MiB, 4096),
    ("L is S, S of 16 MiB", whole, "ext4", 48 * MiB, 32 * MiB, 4096),
    ("L a block below 2S", whole, "ext4", 4 * MiB - 4096, 2 * MiB, 4096),
    ("L is 2S", whole, "ext4", 4 * MiB, 2 * MiB, 4096),
    ("one thread", lambda: whole("ext4", 12 * MiB, 2 * MiB, 4096, args=["--threads", "1"])),
    ("unknown content up to the reserve", unknown, 12 * MiB, 10 * MiB, 2 * MiB),
]

with stack:
    shared = new_box()
    tap.run(rows + more_rows * DEEP)
tap.done()
