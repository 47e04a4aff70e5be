#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A header's restore: between coffer and stock cryptsetup in both directions, onto headers that are
damaged, changed or gone, and killed at writes of it."""
import hashlib
import json
import os
import re

import coffer
from backups import (AREA, OFFSET, SIZE, add, areas, assert_opens, backup, change, checks, copy,
                     cryptsetup, key, kill, opens, refused, restore, stock_backup, trailer,
                     unchanged, volume, write)
from coffer import COFFER, FAST, header
from disk import MiB, luks_metadata, read_at, run, sha256
from scratch import path_of, stack
from tap import DEEP, Tap

tap = Tap()
tap.need_root()


def round_trip_ours_by_stock():
    img = volume("one", "two")
    path = backup(img)
    change(img, "one", "three")
    kill(img, 1)
    cryptsetup("luksHeaderRestore", img, "--header-backup-file", path)
    assert_opens(img, ["one", "two"], ["three"])
    n = trailer(path)["image_size"]
    assert read_at(img, 0, n) == read_at(path, 0, n), "stock did not take all of it"


def round_trip_stock_by_ours():
    img = volume("one", "two")
    stock = stock_backup(img)
    data = sha256(img, OFFSET, SIZE - OFFSET)
    change(img, "one", "three")
    kill(img, 1)
    meta = luks_metadata(stock)
    restore(img, stock, "--allow", "keyslots")
    assert_opens(img, ["one", "two"], ["three"])
    assert luks_metadata(img) == meta and sha256(img, OFFSET, SIZE - OFFSET) == data
    for at, n in areas(img):
        assert read_at(img, at, n) == read_at(stock, at, n)


def dead_header(how, make):
    """All that is left to go by is the device's size, and of a stock file not even that."""
    img = volume("one", "two")
    path = make(img)
    image = read_at(path, 0, 2 * 16384 + AREA)
    if how == "torn":
        for at in 5000, 16384 + 5000:
            write(img, at, b"\xaa" * 64)
    else:
        write(img, 0, bytes(OFFSET) if how == "zeros" else os.urandom(OFFSET))
    unchanged(img, restore, img, path, "no-yes", status=(3,))
    restore(img, path)
    assert_opens(img, ["one", "two"])
    used = areas(img)
    assert read_at(img, 0, 2 * 16384) == image[:2 * 16384], "the header is not the file's"
    for at, n in used:
        assert read_at(img, at, n) == image[at:at + n]
    assert sum(b != 0 for b in read_at(img, 2 * 16384, AREA)) <= sum(n for _, n in used)


def torn_names():
    """Torn copies still name their volume, and how often it was changed."""
    img, other = volume("one", "two"), volume("one")
    path, stock, foreign = backup(img), stock_backup(img), backup(other)

    def torn(disk, at=5000):
        for place in 0, 16384:
            write(disk, place + at, bytes([read_at(disk, place + at, 1)[0] ^ 1]))
        return disk
    refused(torn(copy(img)), foreign, "uuid", header(img)["uuid"], "uuid")
    kill(img, 1)
    for file in path, stock:
        dead = torn(copy(img))
        refused(dead, file, "keyslots", "keyslots", args=("--allow", "uuid,geometry"))
        restore(dead, file, "--allow", "keyslots")
        assert_opens(dead, ["one", "two"])
    # nothing was changed since: what cannot be compared is said, and no more
    newer = backup(img)
    dead = torn(copy(img))
    seen = {c["id"]: c["verdict"] for c in checks(dead, newer)["checks"]}
    assert seen["uuid"] == "ok" and seen["keyslots"] == seen["volume-key"] == "unchecked", seen
    restore(dead, newer)
    assert_opens(dead, ["one"], ["two"])
    # the lock is that of the volume on the disk
    log = path_of("log")
    dead = torn(copy(img))
    run("strace", "-f", "-o", log, "-e", "trace=openat", COFFER, "header", "restore", dead,
        "--header-backup-file", foreign, "--yes", "--allow", "uuid")
    assert f"LN_LUKS2-reencryption-{header(img)['uuid']}" in read_at(log).decode(errors="replace")
    # the size in block 0 is torn, too: the second copy is found where it lies
    dead = torn(copy(img))
    write(dead, 8, bytes(8))
    refused(dead, path, "keyslots", "keyslots")


def zeroed_first_block():
    """The second copy is whole, nothing foreign is in front of it."""
    img = volume("one")
    path = backup(img)
    write(img, 0, bytes(4096))
    restore(img, path)
    assert_opens(img, ["one"])
    other = volume("one")
    write(other, 0, bytes(4096))
    refused(other, path, "uuid")


def after_mkfs():
    """The usual accident. What mkfs left is in the way until somebody takes it away."""
    img = volume("one")
    path = backup(img)
    run("mkfs.ext4", "-q", "-F", img)
    refused(img, path, "content", "ext4")
    refused(img, path, "content", "ext4", args=("--allow", "uuid,geometry,keyslots,volume-key"))
    run("wipefs", "-q", "-a", img)
    restore(img, path)
    assert_opens(img, ["one"])


def all_in_one():
    """Bug: of several reasons each named its own word, and who gave that one was refused again; and
    beside one that nothing lifts the others named theirs."""
    img, other = volume("one"), volume("two")
    path = backup(other)
    for args in (), ("--allow", "keyslots"):
        report = checks(img, path, *args, status=(4,))
        assert "--allow uuid,volume-key,keyslots" in report["message"], report["message"]
    report = refused(img, path, "uuid")
    given = re.search(r"--allow ([\w,-]+)", report["advice"])[1]
    half = copy(img)
    cryptsetup("reencrypt", "--init-only", "--force-offline-reencrypt", "--resilience", "journal",
               *FAST, "--key-file", key("one"), half)
    report = checks(half, path, status=(4,))
    assert {"conversion", "uuid", "keyslots"} <= {
        c["id"] for c in report["checks"] if c["verdict"] == "bad"}, report
    assert "--allow" not in json.dumps(report), report
    assert "--allow" not in refused(half, path, "space").get("advice", "")
    restore(img, path, "--allow", given)


def unbound_and_token():
    img = volume("one")
    path = backup(img)
    run("cryptsetup", "token", "add", "--key-description", "coffer-test", "--key-slot", 0, img)
    notes = checks(img, path)["checks"]
    assert [c for c in notes if c["id"] == "config" and c["verdict"] == "note"], notes
    restore(img, path)
    assert luks_metadata(img)["tokens"] == {}
    add(img, "one", "loose", "--unbound", "--key-size", 256)
    refused(img, path, "keyslots", "keyslot 1")
    loose = backup(img)
    kill(img, 1)
    restore(img, loose, "--allow", "keyslots")
    run("cryptsetup", "open", "--test-passphrase", "--key-slot", 1, "--key-file", key("loose"), img)


def settings():
    """What opens nothing goes back, too; that is told, and refused to nobody."""
    def notes(img, path):
        return [c["text"] for c in checks(img, path)["checks"] if c["id"] == "config"]
    plain = volume("one", "two")
    path = backup(plain)
    assert notes(plain, path) == [] and notes(copy(plain), stock_backup(plain)) == []
    for what, word in ((["config", "--label", "a\x1bb", "--subsystem", ""], "label or subsystem"),
                       (["config", "--subsystem", "mine"], "label or subsystem"),
                       (["config", "--key-slot", 1, "--priority", "prefer"], "priorities")):
        img = copy(plain)
        cryptsetup(*what, img)
        said = notes(img, path)
        assert len(said) == 1 and word in said[0], (what, said)
        assert len(notes(plain, backup(img))) == 1
        p = restore(img, path)
        assert word in p.stderr and "\x1b" not in p.stderr, p.stderr
        assert luks_metadata(img) == luks_metadata(path) and notes(img, path) == []
    # the flags need a mapping to be set by stock: as they lie on the disk
    img = copy(plain)
    for at in 0, 16384:
        meta = json.loads(read_at(img, at + 4096, 12288).split(b"\0")[0])
        meta["config"]["flags"] = ["allow-discards"]
        text = json.dumps(meta, separators=(",", ":")).encode()
        write(img, at + 4096, text.ljust(12288, b"\0"))
        write(img, at + 448, bytes(64))
        write(img, at + 448, hashlib.sha256(read_at(img, at, 16384)).digest())
    said = notes(img, path)
    assert len(said) == 1 and "activation flags" in said[0], said


def worn_keyslot():
    img = volume("one", "two")
    path = backup(img)
    at, n = areas(img)[1]
    write(img, at + 8192, os.urandom(4096))
    assert_opens(img, ["one"], ["two"])
    text = [c["text"] for c in checks(img, path)["checks"] if c["id"] == "keyslot"]
    assert text and "keyslot 1" in text[0], text
    # what was not as it should be is told, also where nobody was asked
    p = restore(copy(img), path)
    assert re.search(r"note +keyslot +.*\b1\b", p.stderr), p.stderr
    p = restore(img, path, "--quiet")
    assert p.stdout == p.stderr == "", p
    assert_opens(img, ["one", "two"])
    # whose is damaged? Of a file without a checksum nobody knows.
    rotten = stock_backup(img)
    write(rotten, at + 8192, os.urandom(4096))
    refused(img, rotten, "keyslot", "keyslot 1", "keyslots", args=("--allow", "uuid,geometry"))
    assert_opens(img, ["one", "two"])
    restore(img, rotten, "--allow", "keyslots")
    assert_opens(img, ["one"], ["two"])


def sizes():
    img = volume("one")
    path = backup(img)
    grown = copy(img)
    os.truncate(grown, SIZE + 4 * MiB)
    found = checks(grown, path)["checks"]
    assert [c for c in found if c["id"] == "geometry" and c["verdict"] == "note"], found
    restore(grown, path)
    cut = copy(img)
    os.truncate(cut, SIZE - 512)
    refused(cut, path, "geometry", str(SIZE), "geometry")
    restore(cut, path, "--allow", "geometry")
    for at in 5000, 16384 + 5000:
        write(cut, at, b"\xaa" * 64)
    refused(cut, path, "geometry", str(SIZE), "geometry")
    short = copy(img)
    os.truncate(short, OFFSET)
    refused(short, path, "geometry", "geometry")
    os.truncate(short, MiB)
    refused(short, path, "space", args=("--allow", "geometry"))


def larger_before():
    """Of a header with larger copies nothing is left behind the smaller one."""
    img = volume("one", options=["--luks2-keyslots-size", MiB - 2 * 16384])
    path = backup(img)
    data = sha256(img, OFFSET, SIZE - OFFSET)
    cryptsetup("luksFormat", "--type", "luks2", *FAST, "--luks2-metadata-size", "1m",
               "--luks2-keyslots-size", MiB, "--offset", OFFSET // 512, "--uuid",
               header(img)["uuid"], img, key("two"))
    old = copy(img)
    restore(img, path, "--allow", "geometry,volume-key,keyslots")
    assert_opens(img, ["one"], ["two"])
    assert read_at(img, MiB, OFFSET - MiB) == bytes(OFFSET - MiB)
    assert sha256(img, OFFSET, SIZE - OFFSET) == data
    for disk, status in (old, 0), (img, 1):  # stock looks for a second copy up to 4 MiB
        write(disk, 0, bytes(128 * 1024))
        run("cryptsetup", "luksDump", disk, status=(status,))


def detached():
    """The header of a volume whose data begin at byte 0 of another device."""
    data, where = path_of("data"), path_of("header")
    with open(data, "wb") as f:
        f.write(os.urandom(SIZE))
    cryptsetup("luksFormat", "--type", "luks2", *FAST, "--luks2-keyslots-size", AREA, "--header",
               where, data, key("one"))
    path = backup(where)
    with open(where, "r+b") as f:
        f.write(bytes(2 * 16384))
    refused(data, path, "geometry")
    refused(where, path, "geometry", "geometry")
    restore(where, path, "--allow", "geometry")
    cryptsetup("open", "--test-passphrase", "--header", where, "--key-file", key("one"), data)


def killed_restores():
    """SIGKILL at writes of the program, and at its first flush: it opens, and the same command ends it.
    Before another flush the disk is what it is before the next write. unit/test_restore_crash has
    each write."""
    img = volume("one", "two")
    path = backup(img)
    change(img, "one", "uno")
    kill(img, 1)
    add(img, "uno", "due")
    now, then = ["uno", "due"], ["one", "two"]
    cuts = 0
    for call, numbers in ("pwrite64", range(1, 100, 1 if DEEP else 3)), ("fdatasync", range(1, 2)):
        for n in numbers:
            work = copy(img)
            cmd = [COFFER, "header", "restore", work, "--header-backup-file", path, "--yes",
                   "--allow", "keyslots"]
            p = coffer.inject(call, f"signal=KILL:when={n}", cmd)
            state = copy(work)
            assert all(opens(state, w) for w in now) or all(opens(state, w) for w in then), (call, n)
            restore(work, path, "--allow", "keyslots")
            assert_opens(work, then, now)
            os.unlink(work)
            os.unlink(state)
            if p.returncode >= 0:
                break
            cuts += 1
    assert cuts > (6 if DEEP else 2), cuts


tap.run([
    ("ours, restored by stock", round_trip_ours_by_stock),
    ("stock's, restored by us", round_trip_stock_by_ours),
    *((f"no header whole ({how}), {name}", dead_header, how, make)
      for how in ("torn", "zeros", "random")
      for name, make in (("ours", backup), ("stock's", stock_backup))),
    ("torn copies of another volume, or of later", torn_names),
    ("the first block zeroed", zeroed_first_block),
    ("after mkfs", after_mkfs),
    ("restore: several reasons", all_in_one),
    ("tokens and unbound keyslots", unbound_and_token),
    ("label, subsystem, flags, priorities", settings),
    ("a damaged keyslot", worn_keyslot),
    ("sizes of the device", sizes),
    ("a larger header before", larger_before),
    ("a detached header", detached),
    ("killed at its writes", killed_restores),
])
stack.close()
tap.done()
