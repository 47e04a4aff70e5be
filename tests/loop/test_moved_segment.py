#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moved segments that are damaged although no part of a header says so: no run begins on them, and
the remedies of repair are right. What coffer's own interrupted runs leave looks alike, and stops no
run."""
import contextlib
import json
import os
import re
import shlex

import btrfsid
import coffer
from coffer import COFFER, Box, encrypt, kill_at, one_thread
from disk import KiB, MiB, check_fs, loop, mounted, read_at, run, sha256, tempdir, write_at
from tap import Tap

S = 16 * MiB  # as people have it; the moved segment holds files, and is copied in 16 writes
RESERVE = ("--reduce-device-size", "32M")

tap = Tap()
tap.need_root()


def repair(img, *args, status=0):
    """What it says in JSON; the disk is as before when it fails."""
    before = sha256(img)
    p = run(COFFER, "repair", "--json", "--yes", *args, img, status=(status,))
    assert status != 6 or sha256(img) == before, "it has changed the disk"
    return coffer.events(p)[-1]


def finding(said, which, verdict="bad"):
    found = [f for f in said["findings"] if f["id"] == which and f["verdict"] == verdict]
    assert len(found) == 1, said["findings"]
    return found[0]


def stage_of(img):
    return json.loads(run(COFFER, "status", "--json", img).stdout)["devices"][0]["stage"]


def refused(img, which, **arguments):
    """By repair, with this finding; by encrypt and its dry run, which name a command."""
    f = finding(repair(img, status=6), which)
    assert arguments.items() <= f.get("arguments", {}).items(), f
    before = sha256(img)
    for args in (), ("--dry-run",):
        last = coffer.summary(encrypt(img, box.key, *RESERVE, "--json", *args, status=(6,)))
        assert "coffer repair --dry-run" in last["advice"] or \
            "coffer header restore" in last["advice"], last
    assert sha256(img) == before, "encrypt has changed the disk"
    return f


# --- coffer's own cuts -----------------------------------------------------------------------------

def saving(n, keep=True):
    """Killed while it copies the moved segment, which lies over random bytes and zeros then."""
    img = box.copy()
    kill_at("pwrite64", n, one_thread(img, box.key, *RESERVE))
    if not keep:
        write_at(img, box.size - S - 4096, bytes(4096))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end)
    return img


def goes_on(n):
    img = saving(n)
    assert read_at(img, box.size - S - 4096, 13) == b"COFFER-RECORD"
    assert repair(img)["findings"] == []
    assert stage_of(img) != "damaged"
    encrypt(img, box.key, *RESERVE)
    box.check(img)


def abort_cut(go_on=True):
    """Killed while it erases the copy: a part of it is left."""
    img = box.copy()
    last = [n for name, n, what in coffer.phases(small)["placement"] if name == "fdatasync"][-1]
    kill_at("fdatasync", last + 1, one_thread(img, box.key, *RESERVE))
    calls = coffer.trace(coffer.command("abort", coffer_copy(img)))
    erasing = [i for i, (name, at, n, _) in enumerate(calls)
               if name == "pwrite64" and at and at >= box.size - S]
    n = sum(name == "pwrite64" for name, *_ in calls[:erasing[len(erasing) // 2]])
    kill_at("pwrite64", n, coffer.command("abort", img))
    assert read_at(img, 0, S) == read_at(box.plain, 0, S) != read_at(img, box.size - S, S)
    assert repair(img)["findings"] == []
    if go_on:
        encrypt(img, box.key, *RESERVE)
        box.check(img)
    return img


def first_step_cut(phase):
    """coffer encrypts what nobody knows, too, and goes on with it: its own copy is no ambiguity."""
    args = ("--device-size", str(raw.end))
    img = raw.copy()
    calls = [n for name, n, _ in coffer.phases(raw, *args)[phase] if name == "pwrite64"]
    kill_at("pwrite64", calls[0], one_thread(img, raw.key, *args))
    assert stage_of(img) == "placed"
    assert [f["id"] for f in repair(img, "--dry-run")["findings"]] == ["conversion"]
    encrypt(img, raw.key)
    raw.check(img)


def torn_record():
    """The next run writes its record of saving over one of before, and that write is torn."""
    at = box.size - S - 4096
    img = saving(6)
    kill_at("pwrite64", 2, one_thread(img, box.key, *RESERVE))
    record = read_at(img, at, 4096)
    assert record[:13] == b"COFFER-RECORD" and not any(record[512:]), "more than one sector"
    img = abort_cut(False)
    record = read_at(img, at, 4096)
    assert record[:13] == b"COFFER-RECORD" and not any(record[512:]), "more than one sector"


def larger_copy():
    """Cut twice, with a larger reserve the second time: its copy has gone over the record of the
    smaller one, and its own superblock has not arrived."""
    small_s = 8 * MiB
    img = box.copy()
    kill_at("pwrite64", 4, one_thread(img, box.key, "--reduce-device-size", "16M"))
    kill_at("pwrite64", 2, one_thread(img, box.key, *RESERVE))
    assert read_at(img, box.size - S - 4096, 13) == b"COFFER-RECORD"
    write_at(img, box.size - small_s - 4096, read_at(img, S - small_s - 4096, 4096))
    assert repair(img)["findings"] == []
    encrypt(img, box.key, *RESERVE)
    box.check(img)


def coffer_copy(img):
    copy = os.path.join(folder, "traced")
    run("cp", "--sparse=always", img, copy)
    return copy


def used_since():
    """The copy is of an older state of the filesystem, and is known by that."""
    img = saving(6)
    with loop(img) as dev, mounted(dev) as at:
        with open(os.path.join(at, "new"), "wb") as f:
            f.write(os.urandom(MiB))
    said = repair(img)
    assert not [f for f in said["findings"] if f["verdict"] == "bad"], said
    encrypt(img, box.key, *RESERVE)


# --- nobody can know ---------------------------------------------------------------------------------

def command_of(f, which, img):
    """The n-th command in docs/recovery.md, with the arguments of the finding."""
    with open(os.path.join(os.path.dirname(__file__), "../../docs/recovery.md"), encoding="utf-8") as doc:
        section = doc.read().split("\n## Ambiguous moved segment\n")[1].split("\n## ")[0]
    command = re.findall(r"^ *(dd .*)$", section, re.MULTILINE)[which]
    values = {"DISK": img, "OFFSET": str(f["arguments"]["offset"]), "SIZE": str(f["arguments"]["size"])}
    return [re.sub("DISK|OFFSET|SIZE", lambda m: values[m[0]], word) for word in command.split()]


def no_record():
    """The same without coffer's record, as cryptsetup leaves it: the moved segment is whole, and
    its copy is to be erased."""
    img = saving(6, keep=False)
    f = refused(img, "moved-segment-ambiguous", offset=box.size - S)
    assert stage_of(img) == "damaged"
    run(*command_of(f, 0, img))
    assert read_at(img, box.size - S, S) == bytes(S) and os.path.getsize(img) == box.size
    assert repair(img)["findings"] == []
    encrypt(img, box.key, *RESERVE)
    box.check(img)


def overwritten(at, n):
    """The copy is whole, and some of the moved segment is random: what cryptsetup writes after its
    header."""
    img = box.copy()
    write_at(img, box.size - S, read_at(img, 0, S))
    write_at(img, at, os.urandom(n))
    f = refused(img, "moved-segment-ambiguous", offset=box.size - S)
    run(*command_of(f, 1, img))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end), "the remedy is wrong"


def metadata_overwritten():
    """Only zeros of a header with large copies (--luks2-metadata-size) have arrived."""
    img = box.copy()
    write_at(img, box.size - S, read_at(img, 0, S))
    used = [at for at in range(64 * KiB, 512 * KiB, 4096) if any(read_at(img, at, 4096))]
    assert used
    for at in used:
        write_at(img, at, bytes(4096))
    f = refused(img, "moved-segment-ambiguous")
    run(*command_of(f, 1, img))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end), "the remedy is wrong"


def odd_name():
    """The commands are a shell's, and the name is one word in them; none is cut short."""
    img = box.copy("it's; a $(disk)")
    write_at(img, box.size - S, read_at(img, 0, S))
    write_at(img, 12 * MiB, os.urandom(MiB))
    f = refused(img, "moved-segment-ambiguous")
    run("sh", "-c", shlex.join(command_of(f, 1, img)))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end), "the remedy is wrong"


def long_name():
    deep = os.path.join(folder, *["d" * 200] * 3)
    os.makedirs(deep)
    img = os.path.join(deep, "disk")
    os.rename(box.copy(), img)
    write_at(img, box.size - S, read_at(img, 0, S))
    write_at(img, 12 * MiB, os.urandom(MiB))
    said = repair(img, status=6)
    f = finding(said, "moved-segment-ambiguous")
    assert re.findall(r"\d+", f["advice"]) == [str(box.size - S), str(S)], f
    run(*command_of(f, 1, img))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end), "the remedy is wrong"


def superblock_overwritten():
    img = box.copy()
    write_at(img, box.size - S, read_at(img, 0, S))
    write_at(img, 512, bytes(3584))
    refused(img, "moved-segment-ambiguous", offset=box.size - S)


def name_with_spaces():
    """The commands can be typed as they stand."""
    img = os.path.join(folder, "a b's.img")
    run("cp", "--sparse=always", box.plain, img)
    write_at(img, box.size - S, read_at(img, 0, S))
    write_at(img, 12 * MiB, os.urandom(MiB))
    f = refused(img, "moved-segment-ambiguous")
    advice = coffer.summary(encrypt(img, box.key, *RESERVE, "--json", status=(6,)))["advice"]
    _, *words = shlex.split(advice[advice.index("coffer repair"):])
    run(COFFER, *words, status=(6,))
    run(*command_of(f, 1, img))
    assert read_at(img, 0, box.end) == read_at(box.plain, 0, box.end), "the remedy is wrong"


def magics_gone(cmd):
    """Bug: the remedy for a header without its magics, in a conversion, was to write over it."""
    img = box.copy()
    cmd(img)
    assert 0 < coffer.pointer(img) < box.end
    run("wipefs", "-a", img)
    f = refused(img, "moved-segment-ambiguous")
    assert "dd " not in f["advice"], f


def coffer_half(img):
    encrypting = coffer.command("encrypt", img, box.key, "--threads", "1", *RESERVE,
                                "--used-only=yes")
    kill_at("fdatasync", 17, encrypting)


def stock_half(img):
    coffer.stock_init(img, box.key, reserve="32M")
    begun = coffer_copy(img)
    for n in range(1, 20):
        run("cp", "--sparse=always", begun, img)
        kill_at("fsync", n, coffer.stock_resume(img, box.key))
        if 0 < coffer.pointer(img) < box.end:
            return
    raise AssertionError("it does nothing in between")


def stale_record():
    """A record of coffer's is left, and then cryptsetup was interrupted: the record's hash is another one."""
    img = saving(20)  # all of the copy is there
    write_at(img, 12 * MiB, os.urandom(MiB))
    refused(img, "moved-segment-ambiguous")


# --- the filesystem's checker ------------------------------------------------------------------------

def damaged_ext4():
    img = box.copy()
    run("debugfs", "-w", "-R", "clri <2>", img)
    finding(repair(img, status=6), "filesystem")


def not_replayed():
    """What a checker says of a filesystem whose journal is not replayed counts for nothing."""
    img = box.copy()
    run("debugfs", "-w", "-R", "feature needs_recovery", img)
    run("debugfs", "-w", "-R", "clri <2>", img)
    f = finding(repair(img), "filesystem", "unchecked")
    assert "journal" in f["arguments"]["reason"], f


def named_so():
    """A file may be called as the checker would say it."""
    img = box.copy()
    name = "Warning: skipping journal recovery"
    with loop(img) as dev, mounted(dev) as at:
        os.mkdir(os.path.join(at, name))
    run("debugfs", "-w", "-R", f'clri "/{name}"', img)
    finding(repair(img, status=6), "filesystem")


def endless_complaints():
    """What a checker prints lies in memory: no filesystem may fill that."""
    img = os.path.join(folder, "garbage")
    with open(img, "wb") as f:
        f.truncate(32 * MiB)
    run("mkfs.ext4", "-q", "-F", "-b", "1024", "-N", "8000", "-I", "128", "-O",
        "^metadata_csum,^uninit_bg,^has_journal", "-E", "lazy_itable_init=0", img)
    inode = bytearray(128)
    inode[0:2], inode[26], inode[28] = b"\xa4\x81", 1, 77  # a file that says it has blocks
    tables = [(int(first), int(last)) for first, last in
              re.findall(r"Inode table at (\d+)-(\d+)", run("dumpe2fs", img).stdout)]
    for first, last in tables[1:]:
        write_at(img, first * KiB, bytes(inode) * ((last - first + 1) * KiB // 128))
    log = os.path.join(folder, "log")
    p = run("strace", "-f", "-qq", "-o", log, "-e", "trace=write", *coffer.command("repair", img),
            status=(6,))
    with open(log) as f:
        assert "EFBIG" in f.read(), "the output has no limit"
    assert "i_blocks is 77" in p.stderr, p.stderr


def btrfs_files():
    """The files' checksums: btrfs' own checker does not look at them."""
    img = btrfs.copy()
    write_at(img, 14 * MiB, os.urandom(MiB))
    check_fs(img, "btrfs")
    finding(repair(img, status=6), "filesystem")


def btrfs_sound():
    assert repair(btrfs.copy())["findings"] == []


def large_number():
    """Its device has a number up to which nobody may count. The spare superblock has the old one,
    and nobody asks it."""
    img = btrfs.copy()
    btrfsid.renumber(img, 1 << 40)
    assert repair(img)["findings"] == []


def held_by_coffer():
    """Bug: btrfs' checker could not open what repair had for itself, and that was called damage."""
    with loop(btrfs.copy()) as dev:
        assert coffer.events(run(COFFER, "repair", "--json", "--yes", dev))[-1]["findings"] == []


def mounted_one(fs):
    """A checker sees what is half written, or no filesystem at all."""
    b = {"ext4": box, "btrfs": btrfs}.get(fs) or Box(folder, 24 * MiB, fs="xfs", end=18 * MiB,
                                                     name="xfs")
    img = b.copy("mounted")
    with loop(img) as dev, mounted(dev, fs) as at:
        with open(os.path.join(at, "new"), "wb") as f:
            f.write(os.urandom(MiB))
        for target, how in (dev, "--dry-run"), (dev, "--yes"), (img, "--dry-run"):
            said = coffer.events(run(COFFER, "repair", "--json", how, target))[-1]
            f = finding(said, "filesystem", "unchecked")
            assert "in use" in f["arguments"]["reason"], f


# --- stock's header -----------------------------------------------------------------------------------

def begun():
    return coffer.stock_init(small.copy(), small.key)


def refused_small(img, which):
    said = repair(img, "--key-file", small.key, status=6)
    finding(said, which)
    before = sha256(img)
    for args in (), ("--dry-run",):
        encrypt(img, small.key, *args, status=(6,))
        p = run(COFFER, "abort", "--json", *args, img, status=(6,))
        assert coffer.why(coffer.summary(p)) == "moved-segment-copy EUCLEAN", p.stdout
    assert sha256(img) == before, "the disk has changed"
    status = said["status"]
    assert status["stage"] == "damaged" and status["can_abort"] is False, status
    assert status["next"].startswith("coffer repair --dry-run"), status


def no_copy(data):
    """The header is placed, and cryptsetup's moved-segment copy never was."""
    img = begun()
    write_at(img, small.size - MiB, data)
    refused_small(img, "moved-segment-copy")


def half_a_copy():
    """Moved segment and copy were both torn in their middle."""
    img = begun()
    half = 600 * KiB
    plain = bytearray(read_at(small.plain, 0, MiB))
    plain[700 * KiB:701 * KiB] = b"text" * 256
    write_at(img, half, bytes(plain[half:]))
    write_at(img, small.size - MiB + half, bytes(MiB - half))
    refused_small(img, "moved-segment-copy")


def used_behind_header():
    """A volume whose header is short was opened and used: that changes the copy, and the old bytes
    after the header stay. A copy that was interrupted looks alike, so nothing goes on; but both is said."""
    img = small.copy()
    write_at(img, 700 * KiB, b"text" * 256)
    coffer.stock_init(img, small.key, "--luks2-keyslots-size", "512k")
    write_at(img, small.size - MiB + 700 * KiB, b"new!" * 256)
    refused_small(img, "moved-segment-copy")


def keyslot_never_written():
    """The copies of the header are there, their keyslot is still what was there before."""
    img = begun()
    write_at(img, 256 * KiB + 4096, b"some text " * 1000)
    said = repair(img, "--key-file", small.key, status=6)
    finding(said, "keyslot")
    assert said["status"]["stage"] == "damaged", said["status"]
    encrypt(img, small.key, "--dry-run", status=(6,))


def not_luks_either():
    """cryptsetup encrypts anything: what is known lies where the copy must be."""
    img = os.path.join(folder, "swap")
    with open(img, "wb") as f:
        f.truncate(8 * MiB)
    run("mkswap", img)
    coffer.stock_init(img, small.key)
    said = repair(img, "--key-file", small.key)
    assert said["stage_after"] == "encrypted", said


def restored_incomplete():
    """A copy that is put back, and has a hole where the moved segment is gone."""
    img = small.copy()
    whole = begun()
    head = bytearray(read_at(small.plain, 0, MiB))
    head[4096:8192] = bytes(4096)  # the group's descriptors
    torn = read_at(whole, 0, 8 * KiB)
    run("cp", "--sparse=always", small.plain, img)
    write_at(img, 0, torn)
    write_at(img, small.size - MiB, bytes(head))
    p = run(COFFER, "repair", "--json", "--yes", img, status=(6,))
    last = coffer.events(p)[-1]
    assert last["changed"] and last["errno"] == "EUCLEAN", last


def aborted():
    """Of cryptsetup's header: everything is back, and nothing is taken for a copy any more."""
    img = begun()
    run(COFFER, "abort", img)
    assert read_at(img, 0, small.end) == read_at(small.plain, 0, small.end)
    with loop(img) as dev, mounted(dev) as at:
        with open(os.path.join(at, "new"), "wb") as f:
            f.write(os.urandom(64 * KiB))
    assert repair(img)["findings"] == []
    encrypt(img, small.key)


def aborted_incomplete(torn):
    """Bug: an abort put a copy with holes back and called that the plain filesystem."""
    img = begun()
    write_at(img, small.size - MiB + 4096, bytes(4096))
    if torn:  # and the header did not come to its end: a part of the moved segment is in its place
        write_at(img, 900 * KiB, b"text" * 256)
        write_at(img, small.size - MiB + 900 * KiB, b"text" * 256)
    header, copies = read_at(img, 0, MiB), 2 * coffer.header(img)["hdr_size"]
    last = coffer.summary(run(COFFER, "abort", "--json", img, status=(6,)))
    assert last["changed"] and last["errno"] == "EUCLEAN", last
    kept = read_at(img, small.end, MiB - 4096)
    assert kept[copies - 4096:] == header[copies:], "what was there is not kept"


def start_lost():
    """No filesystem, no copy, but a spare superblock."""
    img = os.path.join(folder, "spare")
    with open(img, "wb") as f:
        f.truncate(80 * MiB)
    run("mkfs.ext4", "-q", "-F", "-b", "1024", img)
    write_at(img, 0, os.urandom(2 * MiB))
    f = finding(repair(img, status=6), "moved-segment-lost")
    assert f["arguments"]["offset"] == 8193 * KiB, f


with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempdir())
    box = Box(folder, 64 * MiB, end=32 * MiB)
    small = Box(folder, 6 * MiB, end=4 * MiB, name="small")
    raw = Box(folder, 6 * MiB, fs="none", end=4 * MiB, name="raw")
    btrfs = Box(folder, 126 * MiB, fs="btrfs", end=112 * MiB, name="btrfs", fill=6 * MiB)
    tap.run([
        *((f"coffer cut at write {n} of saving the moved segment", goes_on, n)
          for n in (2, 3, 6, 17, 18)),
        ("coffer's abort cut while it erases the copy", abort_cut),
        ("Bug: a record torn over another one", torn_record),
        ("Bug: a larger copy over the record of a smaller one", larger_copy),
        ("used since coffer was interrupted", used_since),
        *((f"Bug: coffer cut at the first {what} of what nobody knows", first_step_cut, what)
          for what in ("commit", "steps")),
        ("a part of a copy, nothing tells whose", no_record),
        # Bug: a run started over a half overwritten moved segment without a header
        ("random bytes in the moved segment", overwritten, 12 * MiB, MiB),
        ("one random sector in the moved segment", overwritten, 12 * MiB, 512),
        ("the superblock overwritten with zeros", superblock_overwritten),
        ("a name with spaces", name_with_spaces),
        ("Bug: coffer's half of a conversion, its magics gone", magics_gone, coffer_half),
        ("Bug: cryptsetup's half of a conversion, its magics gone", magics_gone, stock_half),
        ("Bug: zeros of a header with large copies", metadata_overwritten),
        ("Bug: the commands of a remedy took a name apart", odd_name),
        ("Bug: the commands of a remedy were cut short", long_name),
        ("a record of coffer's that is older", stale_record),
        ("checker: damage, ext4", damaged_ext4),
        ("checker: a journal that is not replayed", not_replayed),
        ("Bug: a file's name made damage unchecked", named_so),
        ("Bug: a checker's output had no limit", endless_complaints),
        ("checker: the files of btrfs", btrfs_files),
        ("checker: a sound btrfs", btrfs_sound),
        ("Bug: the scrub counted up to the number of btrfs' device", large_number),
        ("Bug: a checker that cannot open the disk found damage", held_by_coffer),
        *((f"Bug: a mounted filesystem was checked: {fs}", mounted_one, fs)
          for fs in ("ext4", "xfs", "btrfs")),
        # Bug: a header without a moved-segment copy was converted, and data was lost
        ("placed, no copy: zeros", no_copy, bytes(MiB)),
        ("placed, no copy: random bytes", no_copy, os.urandom(MiB)),
        # Bug: encrypt --dry-run would resume where the run refuses, and status said so
        ("placed, half a copy", half_a_copy),
        ("placed, used, and a short header", used_behind_header),
        ("placed, a keyslot with text", keyslot_never_written),
        ("placed, something else that is known", not_luks_either),
        ("restored from a copy with a hole", restored_incomplete),
        ("abort of cryptsetup's header", aborted),
        ("Bug: abort to a copy with a hole", aborted_incomplete, False),
        ("Bug: abort to a copy with a hole, header torn", aborted_incomplete, True),
        ("the start is lost", start_lost),
    ])
tap.done()
