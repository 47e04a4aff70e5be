#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Restores of a header that are refused, with not one byte of the disk changed: what is on the disk,
what --allow does not say, and files that are damaged, forged or no backups."""
import hashlib
import json
import os
import re
import struct

import coffer
from backups import (AREA, OFFSET, SIZE, TRAILER, add, areas, assert_opens, backup, change, checks,
                     copy, cryptsetup, key, kill, path_of_folder, refused, restore, stock_backup,
                     unchanged, volume, why_of, write)
from coffer import COFFER, FAST, Box, header
from disk import MiB, luks_metadata, read_at, run, sha256
from scratch import folder, path_of, stack
from tap import Tap

tap = Tap()
tap.need_root()


def foreign_content(make, word):
    img = volume("one")
    path = backup(img)
    other = path_of("other")
    with open(other, "wb") as f:
        f.truncate(SIZE)
    make(other)
    refused(other, path, "content", word, args=("--allow", "uuid,geometry,keyslots,volume-key"))
    c = [c for c in checks(other, path, status=(4,))["checks"] if c["id"] == "content"][0]
    if c["remedy"][0] == "coffer":
        assert make is torn_by_stock, c
        return
    before = sha256(other)
    assert word[:4].lower() in run(*c["remedy"]).stdout.lower() and sha256(other) == before, c
    run("wipefs", "--all", "--force", other)
    restore(other, path)
    assert_opens(other, ["one"])


def second_copy_intact():
    """Bug: the advice was to erase all signatures: with them went the last usable header copy, and
    what it says against the backup."""
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    other = path_of("other")
    with open(other, "wb") as f:
        f.truncate(SIZE)
    ext4(other)
    with open(img, "r+b") as f, open(other, "rb") as g:
        f.write(g.read(16384))
    c = [c for c in checks(img, path, status=(4,))["checks"] if c["id"] == "content"][0]
    assert c["remedy"] == ["coffer", "repair", "--dry-run", img], c


def ext4(img):
    run("mkfs.ext4", "-q", "-F", img)


def gpt(img):
    run("sfdisk", "-q", "--label", "gpt", img, input="start=2048, size=4096\n")


def luks1(img):
    cryptsetup("luksFormat", "--type", "luks1", "--pbkdf-force-iterations", 1000, img, key("one"))


def torn_by_stock(img):
    """A filesystem whose moved segment cryptsetup's header has half overwritten."""
    box = Box(path_of_folder("torn"))
    plain = box.copy("plain-disk")
    placed = box.copy("placed")
    coffer.stock_init(placed, box.key)
    with open(plain, "r+b") as f, open(placed, "rb") as g:
        g.seek(box.size - MiB)
        f.seek(box.size - MiB)
        f.write(g.read(MiB))
        g.seek(0)
        f.seek(0)
        f.write(g.read(4096))
    run("cp", plain, img)


def other_volume():
    img, other = volume("one"), volume("one")
    path = backup(other)
    refused(img, path, "uuid", "uuid", header(img)["uuid"], header(other)["uuid"])
    refused(img, path, "volume-key", args=("--allow", "uuid,keyslots"))
    restore(img, path, "--allow", "uuid,keyslots,volume-key")
    assert header(img)["uuid"] == header(other)["uuid"]


def one_by_one():
    """--allow allows what it names, and nothing else."""
    img, other = volume("one"), volume("two")
    path = backup(other)
    words = ["uuid", "volume-key", "keyslots"]
    for left_out in words:
        refused(img, path, left_out, left_out,
                args=("--allow", ",".join(w for w in words if w != left_out)))
    for bad in "", "uuid,", ",uuid", "everything", "uuid geometry", "UUID":
        p = unchanged(img, restore, img, path, "--allow", bad, status=(2,))
        assert "--allow" in p.stderr, p.stderr


def key_sets():
    img = volume("one", "two", "three")
    path = backup(img)
    seen = checks(img, path)
    assert not [c for c in seen["checks"] if c["verdict"] == "bad"] and seen["same"] is False
    kill(img, 1)
    refused(img, path, "keyslots", "keyslot 1", "keyslots")
    change(img, "one", "uno")
    refused(img, path, "keyslots", "keyslot 1", "keyslot 0")
    for word in "four", "five":
        add(img, "uno", word)
    refused(img, path, "keyslots", "keyslots 0, 1", "keyslot 3")
    restore(img, path, "--allow", "keyslots")
    assert_opens(img, ["one", "two", "three"], ["uno", "four", "five"])
    # what opened it in between opens nothing, should an old header come back
    assert coffer.events(restore(img, path, "--json"))[-1]["changed"] is False


def same_slot_again():
    """A key of the same words in the same keyslot is another key all the same."""
    img = volume("one", "two")
    path = backup(img)
    kill(img, 1)
    add(img, "one", "two")
    refused(img, path, "keyslots", "keyslot 1")


def other_layout(options):
    """Copies of another size cannot take each other's place one by one: only on demand."""
    img = volume("one")
    path = backup(img)
    other = copy(img)
    cryptsetup("luksFormat", "--type", "luks2", *FAST, *options, "--uuid", header(img)["uuid"],
               other, key("two"))
    refused(other, path, "geometry", "geometry", args=("--allow", "volume-key,keyslots"))
    restore(other, path, "--allow", "geometry,volume-key,keyslots")
    assert_opens(other, ["one"], ["two"])
    assert luks_metadata(other)["segments"] == luks_metadata(img)["segments"]


def no_room():
    small = path_of("small")
    with open(small, "wb") as f:
        f.write(os.urandom(SIZE))
    cryptsetup("luksFormat", "--type", "luks2", *FAST, "--luks2-keyslots-size", 258048, "--offset",
               OFFSET // 512, small, key("one"))
    path = backup(small)
    at, n = areas(small)[0]
    write(small, at, os.urandom(4096))
    refused(small, path, "space", "luksKillSlot")


def bad_files():
    img = volume("one")
    path = backup(img)
    whole = read_at(path)
    size = len(whole)
    count = 0

    def judge(data, what):
        nonlocal count
        bad = path_of("bad")
        with open(bad, "wb") as f:
            f.write(data)
        p = unchanged(img, restore, img, bad, "--dry-run", "--json", status=(4,), program=COFFER)
        assert why_of(p) in ("EBADMSG", "ENODATA", "EOPNOTSUPP"), (what, p.stdout)
        os.unlink(bad)
        count += 1

    for cut in 0, 1, 511, 4095, 4096, 16384, 2 * 16384, size - TRAILER - 1, size - TRAILER + 1, \
            size - 512, size - 1:
        judge(whole[:cut], f"cut at {cut}")
    judge(whole + b"\0", "one byte more")
    judge(whole + bytes(4096), "a block more")
    base = size - TRAILER
    fields = [0, 15, 16, 19, 20, 23, 24, 32, 39, 40, 47, 48, 55, 56, 63, 64, 71, 72, 79, 80, 115,
              119, 120, 127, 128, 159, 160, 191, 192, 223, 224, 479, 480, 543, 544, 799, 800, 4095]
    for at in [base + f for f in fields] + [0, 5, 8, 16, 24, 72, 104, 168, 256, 448, 4096, 5000,
                                            16384, 16384 + 4096, 2 * 16384, 2 * 16384 + 100000,
                                            base - 1]:
        flipped = bytearray(whole)
        flipped[at] ^= 1
        judge(bytes(flipped), f"byte {at} flipped")
    assert count > 60


def bad_stock_files():
    """Without a trailer the header's own checksums are all there is."""
    img = volume("one")
    whole = read_at(stock_backup(img))
    for at in 0, 16, 24, 168, 448, 5000, 16384, 16384 + 5000:
        bad = path_of("bad")
        flipped = bytearray(whole)
        flipped[at] ^= 1
        with open(bad, "wb") as f:
            f.write(flipped)
        refused(img, bad, "ENODATA" if at == 0 else "EBADMSG")
    bad = path_of("bad")
    with open(bad, "wb") as f:
        f.write(whole[:-4096])
    refused(img, bad, "EBADMSG")
    found = checks(img, stock_backup(img))["checks"]
    assert [c for c in found if c["id"] == "backup" and c["verdict"] == "note"], found
    # ours without its trailer is one of these
    ours = path_of("cut")
    with open(ours, "wb") as f:
        f.write(read_at(backup(img))[:-TRAILER])
    assert checks(img, ours)["backup"]["sealed"] is False


def seal(image, block):
    """A trailer with the right sums over whatever is in it."""
    block = bytearray(block)
    block[160:192] = hashlib.sha256(image).digest()
    block[128:160] = bytes(32)
    block[128:160] = hashlib.sha256(block).digest()
    return image + bytes(block)


def forged_files():
    """Sums that are right over contents that are not."""
    img = volume("one")
    whole = read_at(backup(img))
    image, block = whole[:-TRAILER], whole[-TRAILER:]

    def judge(data, why="EBADMSG"):
        bad = path_of("forged")
        with open(bad, "wb") as f:
            f.write(data)
        refused(img, bad, why)

    judge(seal(image, block[:16] + struct.pack(">I", 2) + block[20:]), "EOPNOTSUPP")
    for at, value in (40, 99), (48, 32768), (64, 0), (120, 1):
        judge(seal(image, block[:at] + struct.pack(">Q", value) + block[at + 8:]))
    judge(seal(image, block[:20] + struct.pack(">I", 1) + block[24:]))
    judge(seal(image, block[:20] + struct.pack(">I", 7) + block[24:]))
    judge(seal(image, block[:224] + b"x" * 256 + block[480:]))
    judge(seal(bytes(len(image)), block), "ENODATA")

    def with_json(edit):
        out = bytearray(image)
        for at in 0, 16384:
            text = out[at + 4096:at + 16384].split(b"\0")[0]
            meta = json.loads(text)
            edit(meta)
            text = json.dumps(meta, separators=(",", ":")).encode()
            out[at + 4096:at + 16384] = text + bytes(16384 - 4096 - len(text))
            out[at + 448:at + 512] = bytes(64)
            out[at + 448:at + 480] = hashlib.sha256(out[at:at + 16384]).digest()
        return bytes(out)

    def area(**kw):
        return lambda meta: meta["keyslots"]["0"]["area"].update(kw)
    for edit in (area(offset="0"), area(offset=str(2 ** 63)), area(offset="32769"), area(size="0"),
                 area(size=str(AREA + 4096)),
                 lambda m: m["config"].update(keyslots_size="1"),
                 lambda m: m["config"].update(keyslots_size=str(2 ** 62)),
                 lambda m: m["keyslots"].update({"99": m["keyslots"]["0"]}),
                 lambda m: m["keyslots"].update({"1": m["keyslots"]["0"]}),
                 lambda m: m["digests"]["0"].pop("salt"),
                 lambda m: m["segments"]["0"].update(type="x")):
        judge(seal(with_json(edit), block))
    judge(seal(with_json(lambda m: m["keyslots"]["0"].pop("af")), block))


def hostile_uuid():
    """What a disk or a file calls itself reaches no terminal as it is."""
    img = volume("one")
    name = b"\x1b]0;owned\x07\xff"
    for at in 0, 16384:
        write(img, at + 168, name.ljust(40, b"\0"))
        write(img, at + 448, bytes(64))
        write(img, at + 448, hashlib.sha256(read_at(img, at, 16384)).digest())
    path = path_of("hostile")
    p = backup(img, status=(0, 9), path=path)
    dead = copy(img)
    write(dead, 5000, b"\xaa" * 64)
    said = [p, restore(img, path, "--dry-run"), restore(img, path), restore(dead, path)]
    assert "owned" in said[0].stderr and "owned" in said[1].stdout, said
    for p in said:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", p.stderr + p.stdout), p
    assert "\ufffd" in checks(img, path)["backup"]["uuid"]


def odd_files():
    img = volume("one")
    path = backup(img)
    for bad, status, why in ((path_of("missing"), 1, "ENOENT"), (folder, 4, "EINVAL"),
                             ("/dev/null", 4, "EINVAL"), (img, 4, "EBADMSG")):
        p = unchanged(img, restore, img, bad, "--json", status=(status,))
        assert why_of(p) == why, p.stdout
    link = path_of("link")
    os.symlink(path, link)
    restore(img, link, "--dry-run")
    large = path_of("large")
    with open(large, "wb") as f:
        f.truncate(1 << 34)
    restore(img, large, status=(4,))
    fifo = path_of("fifo")
    os.mkfifo(fifo)
    assert why_of(restore(img, fifo, "--json", status=(4,))) == "EINVAL"
    p = run(COFFER, "header", "restore", img, status=(2,))
    assert "--header-backup-file" in p.stderr, p.stderr


tap.run([
    # Bug: the way out was a repair that had nothing to do
    ("refused: a filesystem instead", foreign_content, ext4, "ext4"),
    ("refused: a partition table instead", foreign_content, gpt, "gpt"),
    ("refused: LUKS1 instead", foreign_content, luks1, "LUKS1"),
    ("Bug: a filesystem over the first copy only", second_copy_intact),
    ("refused: a moved segment torn by stock", foreign_content, torn_by_stock, "moved segment"),
    ("refused: another volume", other_volume),
    ("refused: one word of --allow missing", one_by_one),
    ("refused: other sets of keys", key_sets),
    ("refused: the same words, another key", same_slot_again),
    ("refused: copies of another size", other_layout, ["--luks2-metadata-size", "64k",
                                                       "--luks2-keyslots-size", AREA, "--offset",
                                                       OFFSET // 512]),
    ("refused: another place of the data", other_layout, ["--luks2-keyslots-size", AREA, "--offset",
                                                          (OFFSET + MiB) // 512]),
    ("refused: another keyslots area", other_layout, ["--luks2-keyslots-size", 2 * MiB, "--offset",
                                                      OFFSET // 512]),
    ("refused: no space for the keyslots", no_room),
    ("refused: damaged files", bad_files),
    ("refused: damaged stock files", bad_stock_files),
    ("refused: forged files", forged_files),
    ("a UUID that is none", hostile_uuid),
    ("refused: files of other kinds", odd_files),
])
stack.close()
tap.done()
