#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of a LUKS2 header and back: between coffer and stock cryptsetup in both directions, and
what is refused, with not one byte of the disk changed."""
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess

import coffer
from coffer import ASAN, COFFER, FAST, NOBODY, Box, header, kill_at, phases
from disk import MiB, NO_LOCKS, block_devices, loop, luks_metadata, mounted, run, sha256, tempdir
from tap import Skip, Tap

TRAILER = 4096
SIZE = 8 * MiB
AREA = 3 * MiB  # of the keyslots; the data begin at 4 MiB
OFFSET = 4 * MiB

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
counter = iter(range(10 ** 6))
keys = {}


def path_of(name):
    return os.path.join(folder, f"{name}-{next(counter)}")


def key(word):
    """A key file that holds the word."""
    if word not in keys:
        keys[word] = path_of("key")
        with open(keys[word], "w", encoding="utf-8") as f:
            f.write(word)
    return keys[word]


def cryptsetup(*args, **kw):
    return run("cryptsetup", "-q", *args, **kw)


def volume(*words, size=SIZE, options=()):
    """An image with a LUKS2 header, and a keyslot for each word."""
    img = path_of("disk")
    with open(img, "wb") as f:
        f.write(os.urandom(size))
    cryptsetup("luksFormat", "--type", "luks2", *FAST, "--luks2-keyslots-size", AREA, "--offset",
               OFFSET // 512, *options, img, key(words[0]))
    for word in words[1:]:
        add(img, words[0], word)
    return img


def add(img, word, new, *options):
    cryptsetup("luksAddKey", *FAST, *options, "--key-file", key(word), img, key(new))


def kill(img, slot):
    cryptsetup("luksKillSlot", img, slot)


def change(img, old, new):
    cryptsetup("luksChangeKey", *FAST, "--key-file", key(old), img, key(new))


def opens(img, word):
    p = run("cryptsetup", "open", *NO_LOCKS, "--test-passphrase", "--key-file", key(word), img,
            status=(0, 2))
    return p.returncode == 0


def assert_opens(img, yes=(), no=()):
    for word in yes:
        assert opens(img, word), f"{word} does not open it"
    for word in no:
        assert not opens(img, word), f"{word} opens it"


def backup(img, *args, status=(0,), program=ASAN, prefix=(), path=None):
    path = path or path_of("backup")
    p = run(*prefix, program, "header", "backup", img, "--header-backup-file", path, *args,
            status=status)
    return path if status == (0,) else p


def restore(img, path, *args, status=(0,), program=ASAN, prefix=(), **kw):
    if "--dry-run" not in args and "--yes" not in args and "no-yes" not in args:
        args = (*args, "--yes")
    args = [a for a in args if a != "no-yes"]
    return run(*prefix, program, "header", "restore", img, "--header-backup-file", path, *args,
               status=status, **kw)


def stock_backup(img):
    path = path_of("stock")
    cryptsetup("luksHeaderBackup", img, "--header-backup-file", path)
    return path


def copy(path):
    new = path_of("copy")
    run("cp", "--sparse=always", path, new)
    return new


def read(path, at=0, n=None):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read() if n is None else f.read(n)


def write(path, at, what):
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(what)


def areas(img):
    """The keyslots' places, [(offset, size)]."""
    return [(int(k["area"]["offset"]), int(k["area"]["size"]))
            for k in luks_metadata(img)["keyslots"].values()]


def trailer(path):
    """The fields of a backup's last block, read by the format's description alone."""
    block = read(path)[-TRAILER:]
    names = ("image_size", "seqid", "copy_size", "device_size", "data_offset", "date")
    fields = dict(zip(names, struct.unpack(">6Q", block[32:80])))
    return {**fields, "magic": block[:16], "version": int.from_bytes(block[16:20], "big"),
            "kind": int.from_bytes(block[20:24], "big"),
            "uuid": block[80:120].rstrip(b"\0").decode(),
            "pointer": int.from_bytes(block[120:128], "big"), "sum": block[128:160],
            "image_hash": block[160:192], "coffer": block[192:224].rstrip(b"\0").decode(),
            "device": os.fsdecode(block[224:480].rstrip(b"\0")),
            "partuuid": block[480:544].rstrip(b"\0").decode(),
            "id": block[544:800].rstrip(b"\0").decode(), "rest": block[800:],
            "sum_now": hashlib.sha256(block[:128] + bytes(32) + block[160:]).digest()}


def unchanged(img, function, *args, **kw):
    before = sha256(img)
    p = function(*args, **kw)
    assert sha256(img) == before, f"{img} was changed"
    return p


def refused(img, path, *words, args=(), status=4):
    """Both a dry run and a real one."""
    for more in (("--dry-run",), ()):
        p = unchanged(img, restore, img, path, *args, *more, status=(status,))
        for word in words:
            assert re.search(word, p.stderr), f"no '{word}' in: {p.stderr}"
    return p.stderr


def checks(img, path, *args, status=(0,)):
    p = unchanged(img, restore, img, path, "--dry-run", "--json", *args, status=status)
    return json.loads(p.stdout)


# --- backup ----------------------------------------------------------------------------------------

def what_is_in_it():
    img = volume("one", "two")
    path = unchanged(img, backup, img)
    t, stock = trailer(path), stock_backup(img)
    image = read(path)[:-TRAILER]
    assert t["magic"] == b"COFFER-BACKUP\0\0\0" and t["version"] == 1 and t["kind"] == 0, t
    assert t["image_size"] == len(image) == 2 * 16384 + AREA, t
    assert t["image_hash"] == hashlib.sha256(image).digest() and t["sum"] == t["sum_now"], t
    assert t["seqid"] == header(img)["seqids"][0] and t["uuid"] == header(img)["uuid"], t
    assert t["copy_size"] == 16384 and t["device_size"] == SIZE and t["data_offset"] == OFFSET, t
    assert abs(t["date"] - os.stat(path).st_mtime) < 60 and t["device"] == img, t
    assert run(COFFER, "--version").stdout == f"coffer {t['coffer']}\n", t
    assert t["rest"] == bytes(TRAILER - 800) and t["pointer"] == 0, t
    assert os.stat(path).st_mode & 0o7777 == 0o400, oct(os.stat(path).st_mode)
    # stock's own backup, but for what is no keyslot
    want = bytearray(read(stock))
    assert len(want) == len(image)
    used = [False] * (len(want) // 4096)
    for at, n in areas(img):
        for i in range(at // 4096, (at + n) // 4096):
            used[i] = True
    for i in range(2 * 16384 // 4096, len(used)):
        if not used[i]:
            want[i * 4096:(i + 1) * 4096] = bytes(4096)
    assert image == want, "the image is not stock's"
    assert len(run("cryptsetup", "luksDump", copy(path)).stdout) > 100
    assert luks_metadata(path) == luks_metadata(img)


def no_dead_keys():
    """The area of a removed keyslot is in stock's backup, and must not be in ours."""
    img = volume("one")
    at, n = areas(img)[0]
    old = read(img, at + n, n)
    add(img, "one", "two")
    material = read(img, at + n, n)
    kill(img, 1)
    write(img, at + n, material)  # as a flash that keeps what was to be overwritten
    path = backup(img)
    assert read(path, at + n, n) == bytes(n) and material != old
    stock = stock_backup(img)
    assert read(stock, at + n, n) == material
    restore(img, stock, "--allow", "keyslots")
    assert read(img, at + n, n) == bytes(n), "old key material is left on the disk"


def torn_copies():
    img = volume("one")
    for at in 5000, 16384 + 5000:
        torn = copy(img)
        write(torn, at, b"\xaa" * 100)
        path = unchanged(torn, backup, torn)
        h = header(path)
        assert h["equal"] and h["seqids"][0] == h["seqids"][1], h
        p = unchanged(torn, backup, torn, "--json", status=(0, 9))
        notes = json.loads(p.stdout)["notes"]
        assert any("torn" in n["text"] for n in notes), notes
        assert_opens(path, ["one"])
        restore(torn, path)
        assert header(torn)["equal"]
        assert_opens(torn, ["one"])


def no_header(what, status, word):
    img = path_of("disk")
    with open(img, "wb") as f:
        f.truncate(SIZE)
    if what == "ext4":
        run("mkfs.ext4", "-q", "-F", img)
    elif what == "luks1":
        cryptsetup("luksFormat", "--type", "luks1", "--pbkdf-force-iterations", 1000, img,
                   key("one"))
    elif what == "dead":
        os.unlink(img)
        img = volume("one")
        for at in 5000, 16384 + 5000:
            write(img, at, b"\xaa" * 100)
    path = path_of("none")
    p = unchanged(img, backup, img, status=(status,), path=path)
    assert re.search(word, p.stderr), p.stderr
    assert not os.path.exists(path)


def existing_files():
    img = volume("one")
    there, link = path_of("there"), path_of("link")
    with open(there, "w", encoding="utf-8") as f:
        f.write("mine")
    os.symlink("/nowhere/at/all", link)
    for path in there, link, img, "/dev/null", "/dev/zero":
        p = unchanged(img, backup, img, status=(4,), path=path)
        assert "exists already" in p.stderr, p.stderr
    assert read(there) == b"mine" and not os.path.exists(link)
    for path, word in (folder, "exists already"), (os.path.join(folder, "no", "file"), "folder"), \
            (folder + "/", "no name"):
        p = backup(img, status=(1, 4), path=path)
        assert word in p.stderr, p.stderr
    p = run(COFFER, "header", "backup", img, status=(2,))
    assert "--header-backup-file" in p.stderr, p.stderr


def names_of_files():
    img = volume("one")
    strange = os.path.join(folder, os.fsdecode(b"bad \xff\n name"))
    backup(img, path=strange)
    assert_opens(strange, ["one"])
    cwd = os.getcwd()
    os.chdir(folder)
    try:
        backup(img, path="here")
        restore(img, "here")
    finally:
        os.chdir(cwd)


def full_filesystem():
    img = volume("one")
    small = path_of("small")
    with open(small, "wb") as f:
        f.truncate(2 * MiB)
    run("mkfs.ext4", "-q", "-F", small)
    with block_devices(), loop(small) as dev, mounted(dev) as where:
        before = os.listdir(where)
        p = backup(img, status=(1,), path=os.path.join(where, "backup"))
        assert "No space left" in p.stderr, p.stderr
        assert os.listdir(where) == before, "something is left of it"
        run("mount", "-o", "remount,ro", where)
        p = backup(img, status=(1,), path=os.path.join(where, "backup"))
        assert "Read-only" in p.stderr, p.stderr


def other_filesystem(fs, *options):
    """Whatever calls give a file its name there."""
    if not shutil.which(f"mkfs.{fs}"):
        raise Skip(f"no mkfs.{fs}")
    img = volume("one")
    disk = path_of("fs")
    with open(disk, "wb") as f:
        f.truncate(120 * MiB)
    run(f"mkfs.{fs}", *options, disk)
    with contextlib.ExitStack() as own:
        own.enter_context(block_devices())
        dev = own.enter_context(loop(disk))
        try:
            where = own.enter_context(mounted(dev, fs))
        except AssertionError as e:
            raise Skip(f"this kernel mounts no {fs}") from e
        path = backup(img, path=os.path.join(where, "backup"))
        assert os.listdir(where).count("backup") == 1
        assert not [n for n in os.listdir(where) if n.startswith(".coffer")]
        restore(img, path)
        p = backup(img, status=(4,), path=path)
        assert "exists" in p.stderr


def on_the_device_itself():
    """A backup that burns with the house."""
    disk = path_of("self")
    with open(disk, "wb") as f:
        f.truncate(64 * MiB)
    run("mkfs.ext4", "-q", "-F", disk)
    with block_devices(), loop(disk) as dev, mounted(dev) as where:
        os.mkdir(os.path.join(where, "sub"))
        for path in os.path.join(where, "b"), os.path.join(where, "sub", "b"):
            for target in dev, disk:
                p = backup(target, status=(4,), path=path)
                assert "itself" in p.stderr, p.stderr
                assert not os.path.exists(path)


def cut_backups():
    """At each of its calls: the file is whole or not there."""
    img = volume("one")
    full = len(read(backup(img)))
    seen = set()
    for call in "openat", "write", "fsync", "renameat2", "close":
        for n in range(1, 200):
            path = path_of("cut")
            where = path + ".d"
            os.mkdir(where)
            path = os.path.join(where, "backup")
            cmd = [COFFER, "header", "backup", img, "--header-backup-file", path]
            p = coffer.inject(call, f"signal=KILL:when={n}", cmd)
            if os.path.exists(path):
                seen.add("whole")
                assert len(read(path)) == full
                restore(img, path, "--dry-run")
            else:
                seen.add("none")
            if p.returncode >= 0:
                break
    assert seen == {"whole", "none"}, seen


def failed_calls():
    """What cannot be written is no success, and leaves nothing."""
    img = volume("one")
    for call, n, error in ("write", 1, "ENOSPC"), ("fsync", 1, "EIO"), ("fsync", 2, "EIO"), \
            ("renameat2", 1, "EIO"):
        where = path_of("failed")
        os.mkdir(where)
        path = os.path.join(where, "backup")
        cmd = [COFFER, "header", "backup", img, "--header-backup-file", path]
        p = coffer.inject(call, f"error={error}:when={n}", cmd)
        assert p.returncode == 1, (call, n, p)
        assert os.listdir(where) == [], (call, n, os.listdir(where))
    # a filesystem without such a rename
    where = path_of("norename")
    os.mkdir(where)
    path = os.path.join(where, "backup")
    p = coffer.inject("renameat2", "error=EINVAL", [COFFER, "header", "backup", img,
                                                    "--header-backup-file", path], status=(0,))
    assert os.listdir(where) == ["backup"], os.listdir(where)
    restore(img, path, "--dry-run")


def flushes():
    """The file is flushed before it gets its name, its folder after."""
    img, where = volume("one"), path_of("flushed")
    os.mkdir(where)
    log, path = path_of("log"), os.path.join(where, "backup")
    run("strace", "-f", "-y", "-o", log, "-e", "trace=write,fsync,renameat2", COFFER, "header",
        "backup", img, "--header-backup-file", path)
    calls = []
    for line in read(log).decode(errors="replace").splitlines():
        m = re.search(r"\b(write|fsync|renameat2)\(\d+<([^>]*)>", line)
        if m and m[2].startswith(where):
            calls.append((m[1], "folder" if m[2] == where else "file"))
    while len(calls) > 1 and calls[0] == calls[1] == ("write", "file"):
        calls.pop(0)
    assert calls == [("write", "file"), ("fsync", "file"), ("renameat2", "folder"),
                     ("fsync", "folder")], calls


def unlocked():
    """Who may not take the lock reads until it was the same twice: no half of a keyslot."""
    img = volume("one", *"abcd")
    for slot in 1, 2, 3:
        kill(img, slot)
    first = areas(img)[0][0]
    last = sum(areas(img)[1]) - 4096
    assert first < 32768 + MiB <= last, "one read has both"
    with block_devices(), loop(img) as dev:
        mode = os.stat(dev).st_mode & 0o777
        try:
            where = path_of_folder("unlocked")
            os.chmod(folder, 0o755)
            os.chmod(where, 0o777)
            log = path_of("log")
            backup(dev, path=os.path.join(where, "traced"), program=COFFER,
                   prefix=["strace", "-f", "-y", "-o", log, "-e", "trace=pread64"])
            lines = re.findall(r"pread64\(.*", read(log).decode(errors="replace"))
            large = [n for n, line in enumerate(lines, 1)
                     if f"<{dev}" in line and re.search(rf" {MiB}, \d+\) = {MiB}$", line)]
            seen = []
            for n in large:
                path = os.path.join(where, f"backup-{n}")
                old = read(dev, first, 4096), read(dev, last, 4096)
                new = os.urandom(4096), os.urandom(4096)
                os.chmod(dev, 0o644)
                with coffer.paused("pread64", n, [*NOBODY, COFFER, "header", "backup", dev,
                                                  "--header-backup-file", path]):
                    write(dev, first, new[0])
                    write(dev, last, new[1])
                got = read(path, first, 4096), read(path, last, 4096)
                assert got in (old, new), f"pread64 {n}: a keyslot of each"
                seen.append(got == new)
            assert len(seen) > 3 and True in seen, (seen, lines)
        finally:
            os.chmod(dev, mode)


def during_a_conversion():
    box = Box(path_of_folder("box"))
    img = box.copy("converting")
    call, k, _ = phases(box)["steps"][20]
    kill_at(call, k, coffer.one_thread(img, box.key))
    p = unchanged(img, backup, img, "--json", status=(0, 9))
    report = json.loads(p.stdout)
    assert report["backup"]["conversion"] == "converting", report
    assert report["backup"]["pointer"] == coffer.pointer(img), report
    assert any("conversion" in n["text"] for n in report["notes"]), report
    path = report["file"]
    # nothing has moved: it may go back onto a torn disk; afterwards it may not
    torn = copy(img)
    write(torn, 16384 + 5000, b"\xaa" * 64)
    restore(torn, path)
    box.encrypt(torn)
    box.check(torn)
    refused(torn, path, "conversion")
    refused(torn, path, "conversion", args=("--allow", "geometry,keyslots,volume-key,uuid"))
    # one of the finished volume does not go onto a disk that is being converted
    finished = backup(torn)
    refused(img, finished, "conversion", args=("--allow", "geometry,keyslots,volume-key,uuid"))
    # no header is left: only on demand
    dead = copy(img)
    for at in 5000, 16384 + 5000:
        write(dead, at, b"\xaa" * 64)
    refused(dead, path, "conversion", "--allow geometry")
    restore(dead, path, "--allow", "geometry")
    box.encrypt(dead)
    box.check(dead)
    # under a transition block never
    marked = half = 0
    for call, k, _ in phases(box)["placement"][-14:]:
        placing = box.copy("placing")
        kill_at(call, k, coffer.one_thread(placing, box.key))
        if read(placing, 0, 14) == b"COFFER-TRANSIT":
            marked += 1
            # Bug: beside a coffer that was killed while it placed its header: status 6
            p = run(COFFER, "header", "backup", "--header-backup-file", path_of("none"), placing,
                    status=(0, 3))  # its second copy may be there already
            half += p.returncode == 3
            assert p.returncode == 0 or "half placed" in p.stderr, p.stderr
            refused(placing, finished, "unfinished conversion", "coffer repair",
                    args=("--allow", "geometry,keyslots,volume-key,uuid"))
    assert marked > 3 and half > 0, (marked, half)


def path_of_folder(name):
    path = path_of(name)
    os.mkdir(path)
    return path


def stock_reencrypt():
    """A backup of before a change of the volume key destroys the data."""
    img = volume("one")
    before = backup(img)
    cryptsetup("reencrypt", "--init-only", "--force-offline-reencrypt", "--resilience", "journal",
               *FAST, "--key-file", key("one"), img)
    refused(img, before, "conversion", args=("--allow", "geometry,keyslots,volume-key"))
    during = backup(img)
    assert trailer(during)["kind"] == 2
    area = [k for k in luks_metadata(img)["keyslots"].values() if k["type"] == "reencrypt"][0]
    at, n = int(area["area"]["offset"]), int(area["area"]["size"])
    assert read(during, at, n) == bytes(n), "a journal of content is in the backup"
    cryptsetup("reencrypt", "--resume-only", "--force-offline-reencrypt", "--key-file", key("one"),
               img)
    refused(img, before, "another volume key", args=("--allow", "keyslots"))
    refused(img, during, "conversion", args=("--allow", "geometry,keyslots,volume-key"))


# --- restore ---------------------------------------------------------------------------------------

def round_trip_ours_by_stock():
    img = volume("one", "two")
    path = backup(img)
    change(img, "one", "three")
    kill(img, 1)
    cryptsetup("luksHeaderRestore", img, "--header-backup-file", path)
    assert_opens(img, ["one", "two"], ["three"])
    n = trailer(path)["image_size"]
    assert read(img, 0, n) == read(path, 0, n), "stock did not take all of it"


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
        assert read(img, at, n) == read(stock, at, n)


def dead_header(how, make):
    """All that is left to go by is the device's size, and of a stock file not even that."""
    img = volume("one", "two")
    path = make(img)
    image = read(path, 0, 2 * 16384 + AREA)
    if how == "torn":
        for at in 5000, 16384 + 5000:
            write(img, at, b"\xaa" * 64)
    else:
        write(img, 0, bytes(OFFSET) if how == "zeros" else os.urandom(OFFSET))
    p = unchanged(img, restore, img, path, "no-yes", status=(3,))
    assert "no terminal" in p.stderr and "unchecked" in p.stderr, p.stderr
    restore(img, path)
    assert_opens(img, ["one", "two"])
    used = areas(img)
    assert read(img, 0, 2 * 16384) == image[:2 * 16384], "the header is not the file's"
    for at, n in used:
        assert read(img, at, n) == image[at:at + n]
    assert sum(b != 0 for b in read(img, 2 * 16384, AREA)) <= sum(n for _, n in used)


def torn_names():
    """Torn copies still name their volume, and how often it was changed."""
    img, other = volume("one", "two"), volume("one")
    path, stock, foreign = backup(img), stock_backup(img), backup(other)

    def torn(disk, at=5000):
        for place in 0, 16384:
            write(disk, place + at, bytes([read(disk, place + at, 1)[0] ^ 1]))
        return disk
    refused(torn(copy(img)), foreign, header(img)["uuid"], "--allow uuid")
    kill(img, 1)
    for file in path, stock:
        dead = torn(copy(img))
        refused(dead, file, "removed", "--allow keyslots", args=("--allow", "uuid,geometry"))
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
    assert f"LN_LUKS2-reencryption-{header(img)['uuid']}" in read(log).decode(errors="replace")
    # the size in block 0 is torn, too: the second copy is found where it lies
    dead = torn(copy(img))
    write(dead, 8, bytes(8))
    refused(dead, path, "removed", "--allow keyslots")


def zeroed_first_block():
    """The second copy is whole, nothing foreign is in front of it."""
    img = volume("one")
    path = backup(img)
    write(img, 0, bytes(4096))
    restore(img, path)
    assert_opens(img, ["one"])
    other = volume("one")
    write(other, 0, bytes(4096))
    refused(other, path, "volume")


def after_mkfs():
    """The usual accident. What mkfs left is in the way until somebody takes it away."""
    img = volume("one")
    path = backup(img)
    run("mkfs.ext4", "-q", "-F", img)
    refused(img, path, "ext4", "wipefs")
    refused(img, path, "ext4", args=("--allow", "uuid,geometry,keyslots,volume-key"))
    run("wipefs", "-q", "-a", img)
    restore(img, path)
    assert_opens(img, ["one"])


def foreign_content(make, word):
    img = volume("one")
    path = backup(img)
    other = path_of("other")
    with open(other, "wb") as f:
        f.truncate(SIZE)
    make(other)
    refused(other, path, word, args=("--allow", "uuid,geometry,keyslots,volume-key"))


def ext4(img):
    run("mkfs.ext4", "-q", "-F", img)


def gpt(img):
    run("sfdisk", "-q", "--label", "gpt", img, input="start=2048, size=4096\n")


def luks1(img):
    cryptsetup("luksFormat", "--type", "luks1", "--pbkdf-force-iterations", 1000, img, key("one"))


def torn_by_stock(img):
    """A filesystem whose head cryptsetup's header has half overwritten."""
    box = Box(path_of_folder("torn"))
    plain = box.copy("plain-disk")
    placed = box.copy("placed")
    run(*coffer.stock(placed, box.key, "--init-only"))
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
    text = refused(img, path, "volume", "--allow uuid")
    assert header(img)["uuid"] in text and header(other)["uuid"] in text
    refused(img, path, "another volume key", args=("--allow", "uuid,keyslots"))
    restore(img, path, "--allow", "uuid,keyslots,volume-key")
    assert header(img)["uuid"] == header(other)["uuid"]


def all_in_one():
    """Bug: of several reasons each named its own word, and who gave that one was refused again; and
    beside one that nothing lifts the others named theirs."""
    img, other = volume("one"), volume("two")
    path = backup(other)
    for args in (), ("--allow", "keyslots"):
        report = checks(img, path, *args, status=(4,))
        assert report["message"].endswith(
            "if all of that is what you want: --allow uuid,volume-key,keyslots; nothing was changed"
        ), report["message"]
    text = refused(img, path, ", and 2 more; if all of that")
    given = re.search(r"--allow (\S+);", text.splitlines()[-1])[1]
    half = copy(img)
    cryptsetup("reencrypt", "--init-only", "--force-offline-reencrypt", "--resilience", "journal",
               *FAST, "--key-file", key("one"), half)
    report = checks(half, path, status=(4,))
    assert {"conversion", "uuid", "keyslots"} <= {
        c["id"] for c in report["checks"] if c["verdict"] == "bad"}, report
    assert "--allow" not in json.dumps(report), report
    assert "--allow" not in refused(half, path, "a conversion is under way")
    restore(img, path, "--allow", given)


def one_by_one():
    """--allow allows what it names, and nothing else."""
    img, other = volume("one"), volume("two")
    path = backup(other)
    words = ["uuid", "volume-key", "keyslots"]
    for left_out in words:
        refused(img, path, f"--allow {left_out}",
                args=("--allow", ",".join(w for w in words if w != left_out)))
    for bad in "", "uuid,", ",uuid", "everything", "uuid geometry", "UUID":
        p = unchanged(img, restore, img, path, "--allow", bad, status=(2,))
        assert "--allow is" in p.stderr, p.stderr


def key_sets():
    img = volume("one", "two", "three")
    path = backup(img)
    seen = checks(img, path)
    assert not [c for c in seen["checks"] if c["verdict"] == "bad"] and seen["same"] is False
    kill(img, 1)
    refused(img, path, "keyslot 1: removed since", "--allow keyslots")
    change(img, "one", "uno")
    refused(img, path, r"keyslot 1: removed since.*keyslot 0: changed since")
    for word in "four", "five":
        add(img, "uno", word)
    refused(img, path, r"keyslots 0, 1: changed since.*keyslot 3: added since")
    restore(img, path, "--allow", "keyslots")
    assert_opens(img, ["one", "two", "three"], ["uno", "four", "five"])
    # what opened it in between opens nothing, should an old header come back
    p = restore(img, path)
    assert "nothing was to be done" in p.stderr, p.stderr


def same_slot_again():
    """A key of the same words in the same keyslot is another key all the same."""
    img = volume("one", "two")
    path = backup(img)
    kill(img, 1)
    add(img, "one", "two")
    refused(img, path, "keyslot 1: changed since")


def unbound_and_token():
    img = volume("one")
    path = backup(img)
    run("cryptsetup", "token", "add", "--key-description", "coffer-test", "--key-slot", 0, img)
    notes = checks(img, path)["checks"]
    assert [c for c in notes if c["id"] == "token" and c["verdict"] == "note"], notes
    restore(img, path)
    assert luks_metadata(img)["tokens"] == {}
    add(img, "one", "loose", "--unbound", "--key-size", 256)
    refused(img, path, "keyslot 1: added since")
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
    for what, word in ((["config", "--label", "a\x1bb", "--subsystem", ""], "label 'a"),
                       (["config", "--subsystem", "mine"], "subsystem 'mine' becomes ''"),
                       (["config", "--key-slot", 1, "--priority", "prefer"], "keyslot 1: the prio")):
        img = copy(plain)
        cryptsetup(*what, img)
        said = notes(img, path)
        assert len(said) == 1 and word in said[0], (what, said)
        assert len(notes(plain, backup(img))) == 1
        p = restore(img, path)
        assert word.replace("\x1b", "?") in p.stderr and "\x1b" not in p.stderr, p.stderr
        assert luks_metadata(img) == luks_metadata(path) and notes(img, path) == []
    # the flags need a mapping to be set by stock: as they lie on the disk
    img = copy(plain)
    for at in 0, 16384:
        meta = json.loads(read(img, at + 4096, 12288).split(b"\0")[0])
        meta["config"]["flags"] = ["allow-discards"]
        text = json.dumps(meta, separators=(",", ":")).encode()
        write(img, at + 4096, text.ljust(12288, b"\0"))
        write(img, at + 448, bytes(64))
        write(img, at + 448, hashlib.sha256(read(img, at, 16384)).digest())
    said = notes(img, path)
    assert len(said) == 1 and "allow-discards" in said[0], said


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
    assert re.search(r"note +keyslot +keyslot 1: on the disk", p.stderr), p.stderr
    p = restore(img, path, "--quiet")
    assert p.stdout == p.stderr == "", p
    assert_opens(img, ["one", "two"])
    # whose is damaged? Of a file without a checksum nobody knows.
    rotten = stock_backup(img)
    write(rotten, at + 8192, os.urandom(4096))
    refused(img, rotten, "keyslot 1", "--allow keyslots", args=("--allow", "uuid,geometry"))
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
    refused(cut, path, str(SIZE), "--allow geometry")
    restore(cut, path, "--allow", "geometry")
    for at in 5000, 16384 + 5000:
        write(cut, at, b"\xaa" * 64)
    refused(cut, path, str(SIZE), "--allow geometry")
    short = copy(img)
    os.truncate(short, OFFSET)
    refused(short, path, "ends at", "--allow geometry")
    os.truncate(short, MiB)
    refused(short, path, "header alone", args=("--allow", "geometry"))


def other_layout(options):
    """Copies of another size cannot take each other's place one by one: only on demand."""
    img = volume("one")
    path = backup(img)
    other = copy(img)
    cryptsetup("luksFormat", "--type", "luks2", *FAST, *options, "--uuid", header(img)["uuid"],
               other, key("two"))
    refused(other, path, "--allow geometry", args=("--allow", "volume-key,keyslots"))
    restore(other, path, "--allow", "geometry,volume-key,keyslots")
    assert_opens(other, ["one"], ["two"])
    assert luks_metadata(other)["segments"] == luks_metadata(img)["segments"]


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
    assert read(img, MiB, OFFSET - MiB) == bytes(OFFSET - MiB)
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
    refused(data, path, "lie elsewhere")
    refused(where, path, "lie elsewhere", "--allow geometry")
    restore(where, path, "--allow", "geometry")
    cryptsetup("open", "--test-passphrase", "--header", where, "--key-file", key("one"), data)


def no_room():
    small = path_of("small")
    with open(small, "wb") as f:
        f.write(os.urandom(SIZE))
    cryptsetup("luksFormat", "--type", "luks2", *FAST, "--luks2-keyslots-size", 258048, "--offset",
               OFFSET // 512, small, key("one"))
    path = backup(small)
    at, n = areas(small)[0]
    write(small, at, os.urandom(4096))
    refused(small, path, "too full", "luksKillSlot")


# --- files that are no good ------------------------------------------------------------------------

def bad_files():
    img = volume("one")
    path = backup(img)
    whole = read(path)
    size = len(whole)
    count = 0

    def judge(data, what):
        nonlocal count
        bad = path_of("bad")
        with open(bad, "wb") as f:
            f.write(data)
        p = unchanged(img, restore, img, bad, "--dry-run", status=(4,), program=COFFER)
        assert re.search("damaged|no backup|newer coffer|impossible|accept", p.stderr), \
            (what, p.stderr)
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
    whole = read(stock_backup(img))
    for at in 0, 16, 24, 168, 448, 5000, 16384, 16384 + 5000:
        bad = path_of("bad")
        flipped = bytearray(whole)
        flipped[at] ^= 1
        with open(bad, "wb") as f:
            f.write(flipped)
        refused(img, bad, "damaged|no backup")
    bad = path_of("bad")
    with open(bad, "wb") as f:
        f.write(whole[:-4096])
    refused(img, bad, "end is missing")
    found = checks(img, stock_backup(img))["checks"]
    assert [c for c in found if c["id"] == "backup" and c["verdict"] == "note"], found
    # ours without its trailer is one of these
    ours = path_of("cut")
    with open(ours, "wb") as f:
        f.write(read(backup(img))[:-TRAILER])
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
    whole = read(backup(img))
    image, block = whole[:-TRAILER], whole[-TRAILER:]

    def judge(data, word):
        bad = path_of("forged")
        with open(bad, "wb") as f:
            f.write(data)
        refused(img, bad, word)

    judge(seal(image, block[:16] + struct.pack(">I", 2) + block[20:]), "newer coffer")
    for at, value in (40, 99), (48, 32768), (64, 0), (120, 1):
        judge(seal(image, block[:at] + struct.pack(">Q", value) + block[at + 8:]), "another header")
    judge(seal(image, block[:20] + struct.pack(">I", 1) + block[24:]), "another header")
    judge(seal(image, block[:20] + struct.pack(">I", 7) + block[24:]), "damaged")
    judge(seal(image, block[:224] + b"x" * 256 + block[480:]), "damaged")
    judge(seal(bytes(len(image)), block), "no backup")

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
                 lambda m: m["keyslots"]["0"].pop("af"),
                 lambda m: m["digests"]["0"].pop("salt"),
                 lambda m: m["segments"]["0"].update(type="x")):
        judge(seal(with_json(edit), block), "metadata are wrong|impossible places")


def hostile_uuid():
    """What a disk or a file calls itself reaches no terminal as it is."""
    img = volume("one")
    name = b"\x1b]0;owned\x07\xff"
    for at in 0, 16384:
        write(img, at + 168, name.ljust(40, b"\0"))
        write(img, at + 448, bytes(64))
        write(img, at + 448, hashlib.sha256(read(img, at, 16384)).digest())
    path = path_of("hostile")
    p = backup(img, status=(0, 9), path=path)
    dead = copy(img)
    write(dead, 5000, b"\xaa" * 64)
    said = [p, restore(img, path, "--dry-run"), restore(img, path), restore(dead, path)]
    for p in said:
        assert "owned" in p.stderr + p.stdout, p
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", p.stderr + p.stdout), p
    assert "\ufffd" in checks(img, path)["backup"]["uuid"]


def odd_files():
    img = volume("one")
    path = backup(img)
    for bad, status, word in ((path_of("missing"), 1, "No such file"), (folder, 4, "regular file"),
                              ("/dev/null", 4, "regular file"), (img, 4, "no backup|damaged")):
        p = unchanged(img, restore, img, bad, status=(status,))
        assert re.search(word, p.stderr), p.stderr
    link = path_of("link")
    os.symlink(path, link)
    restore(img, link, "--dry-run")
    large = path_of("large")
    with open(large, "wb") as f:
        f.truncate(1 << 34)
    assert "no backup" in restore(img, large, status=(4,)).stderr
    fifo = path_of("fifo")
    os.mkfifo(fifo)
    assert "regular file" in restore(img, fifo, status=(4,), timeout=20).stderr
    p = run(COFFER, "header", "restore", img, status=(2,))
    assert "--header-backup-file" in p.stderr, p.stderr


# --- who asks, and who may -------------------------------------------------------------------------

def asks():
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")

    def on_terminal(answer):
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer)
            return subprocess.run([COFFER, "header", "restore", img, "--header-backup-file", path,
                                   "--allow", "keyslots"], stdin=theirs, capture_output=True,
                                  check=False, text=True, timeout=60)
        finally:
            os.close(ours)
            os.close(theirs)

    before = sha256(img)
    for answer in b"n\n", b"\n", b"x\n", b"\x04":
        p = on_terminal(answer)
        assert p.returncode == 3 and "Put this header" in p.stderr, p
        assert sha256(img) == before
    assert on_terminal(b"y\n").returncode == 0
    assert_opens(img, ["one"], ["two"])


def json_never_asks():
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    p = unchanged(img, restore, img, path, "--json", "--allow", "keyslots", "no-yes", status=(3,))
    assert json.loads(p.stdout)["changed"] is False and not p.stderr, p
    p = restore(img, path, "--json", "--allow", "keyslots")
    last = json.loads(p.stdout)
    assert last["changed"] and last["seqid_after"] == header(img)["seqids"][0], last


def quiet():
    img = volume("one")
    path = path_of("quiet")
    p = backup(img, "-q", status=(0, 9), path=path)
    assert p.stdout == p.stderr == "", p
    change(img, "one", "two")
    p = restore(img, path, "-q", "--allow", "keyslots")
    assert p.stdout == p.stderr == "", p


def ordinary_user():
    with tempdir() as d:
        os.chmod(d, 0o777)
        img = volume("one", "two")
        mine, path = os.path.join(d, "mine"), os.path.join(d, "file")
        run("cp", img, mine)
        run("chown", "65534:65534", mine)
        backup(mine, path=path, prefix=NOBODY)
        os.chmod(path, 0o444)
        kill(mine, 1)
        restore(mine, path, "--allow", "keyslots", prefix=NOBODY)
        assert_opens(mine, ["one", "two"])
        os.chmod(mine, 0o400)
        run("chown", "0:0", mine)
        p = unchanged(mine, restore, mine, path, status=(1, 4), prefix=NOBODY)
        assert "Permission denied" in p.stderr, p.stderr
        os.chmod(path, 0o000)
        run("chown", "0:0", path)
        p = restore(mine, path, status=(1,), prefix=NOBODY)
        assert "Permission denied" in p.stderr, p.stderr


def locks():
    """It waits for nobody who is at work, and holds what stock asks for."""
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    with block_devices(), loop(img) as dev:
        log = path_of("log")
        run("strace", "-f", "-y", "-o", log, "-e", "trace=flock,pwrite64", COFFER, "header",
            "restore", dev, "--header-backup-file", path, "--yes", "--allow", "keyslots")
        text = read(log).decode(errors="replace")
        held, seen = {}, False
        for name, how, _ in re.findall(r"flock\(\d+<([^>]*)>, (LOCK_EX|LOCK_SH|LOCK_UN)"
                                       r"|pwrite64\(\d+<(/dev/loop[^>]*)>", text):
            if not name:
                assert [n for n in held if "reencryption" in n], "written without the lock"
                assert "LOCK_EX" in [h for n, h in held.items() if "/L_" in n], held
                seen = True
            elif how == "LOCK_UN":
                held.pop(name, None)
            else:
                held[name] = how
        assert seen, text[-2000:]
    assert_opens(img, ["one"])


def another_coffer():
    img = volume("one")
    path = backup(img)
    with open(img, "r+b") as f:
        fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
        p = unchanged(img, restore, img, path, status=(4,))
        assert "at work" in p.stderr, p.stderr
        backup(img)


def block_device():
    img = volume("one")
    with block_devices(), loop(img) as dev:
        path = backup(dev)
        t = trailer(path)
        assert t["device"] == dev and t["device_size"] == SIZE, t
        change(dev, "one", "two")
        restore(dev, path, "--allow", "keyslots")
        assert_opens(dev, ["one"], ["two"])
        # through a loop device somebody else works on the image
        p = restore(img, path, status=(4,))
        assert "attached" in p.stderr, p.stderr


def held_by_others():
    """Nobody but a mapping of the volume lets its header be exchanged below itself."""
    img = volume("one")
    path = backup(img)
    write(img, 16384 + 5000, b"\xaa" * 64)
    with block_devices(), loop(img) as dev:
        held = os.open(dev, os.O_RDONLY | os.O_EXCL)  # as a RAID has its disks
        try:
            p = unchanged(img, restore, dev, path, "--allow",
                          "uuid,geometry,keyslots,volume-key", status=(4,))
            assert "in use" in p.stderr, p.stderr
        finally:
            os.close(held)
        restore(dev, path)
    assert header(img)["equal"]


def part_of_a_raid():
    """Of metadata at the end of the disk the header at its front knows nothing."""
    img = volume("one")
    path = backup(img)
    change(img, "one", "two")
    raid = struct.pack("<9I", 0xa92b4efc, 0, 90, 0, 0, 0x12345678, 1, 1, SIZE // 1024 - 64)
    at = SIZE - 65536
    before = read(img, at, 4096)
    for torn in False, True:
        disk = copy(img)
        write(disk, at, raid + bytes(4096 - len(raid)))
        if torn:
            write(disk, 5000, b"\xaa" * 64)
        refused(disk, path, "linux_raid_member",
                args=("--allow", "uuid,geometry,keyslots,volume-key"))
        write(disk, at, before)
        restore(disk, path, "--allow", "keyslots")


def mounted_filesystem():
    """In use, and not by a volume of ours."""
    img = volume("one")
    path = backup(img)
    disk = path_of("fs")
    with open(disk, "wb") as f:
        f.truncate(SIZE)
    run("mkfs.ext4", "-q", "-F", disk)
    with block_devices(), loop(disk) as dev, mounted(dev):
        p = restore(dev, path, "--allow", "uuid,geometry,keyslots,volume-key", status=(4,))
        assert "ext4" in p.stderr and "in-use" in p.stderr, p.stderr


def killed_restores():
    """SIGKILL at each write and flush of the program: it opens, and the same command ends it."""
    img = volume("one", "two")
    path = backup(img)
    change(img, "one", "uno")
    kill(img, 1)
    add(img, "uno", "due")
    now, then = ["uno", "due"], ["one", "two"]
    cuts = 0
    for call in "pwrite64", "fdatasync":
        for n in range(1, 100):
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
    assert cuts > 10, cuts


tap.run([
    ("backup: what is in it", what_is_in_it),
    ("backup: no key material of removed keyslots", no_dead_keys),
    ("backup: a torn copy", torn_copies),
    ("backup: zeros", no_header, "zeros", 3, "no LUKS2 header"),
    ("backup: an ext4", no_header, "ext4", 3, "no LUKS2 header"),
    ("backup: a LUKS1", no_header, "luks1", 3, "no LUKS2 header"),
    ("backup: no copy whole", no_header, "dead", 6, "coffer repair"),
    ("backup: files that are there", existing_files),
    ("backup: names of files", names_of_files),
    ("backup: a full filesystem, a read-only one", full_filesystem),
    ("backup: to a btrfs", other_filesystem, "btrfs", "-q"),
    ("backup: onto the device itself", on_the_device_itself),
    ("backup: killed at each call", cut_backups),
    ("backup: calls that fail", failed_calls),
    ("backup: what is flushed, and when", flushes),
    ("backup: without access to the lock", unlocked),
    ("a conversion of coffer's", during_a_conversion),
    ("a reencryption of stock's", stock_reencrypt),
    ("ours, restored by stock", round_trip_ours_by_stock),
    ("stock's, restored by us", round_trip_stock_by_ours),
    *((f"no header whole ({how}), {name}", dead_header, how, make)
      for how in ("torn", "zeros", "random")
      for name, make in (("ours", backup), ("stock's", stock_backup))),
    ("torn copies of another volume, or of later", torn_names),
    ("the first block zeroed", zeroed_first_block),
    ("after mkfs", after_mkfs),
    ("refused: a filesystem instead", foreign_content, ext4, "ext4"),
    ("refused: a partition table instead", foreign_content, gpt, "partition table"),
    ("refused: LUKS1 instead", foreign_content, luks1, "LUKS1"),
    ("refused: a head torn by stock", foreign_content, torn_by_stock, "torn head|conversion"),
    ("refused: another volume", other_volume),
    ("restore: several reasons", all_in_one),
    ("refused: one word of --allow missing", one_by_one),
    ("refused: other sets of keys", key_sets),
    ("refused: the same words, another key", same_slot_again),
    ("tokens and unbound keyslots", unbound_and_token),
    ("label, subsystem, flags, priorities", settings),
    ("a damaged keyslot", worn_keyslot),
    ("sizes of the device", sizes),
    ("refused: copies of another size", other_layout, ["--luks2-metadata-size", "64k",
                                                       "--luks2-keyslots-size", AREA, "--offset",
                                                       OFFSET // 512]),
    ("refused: another place of the data", other_layout, ["--luks2-keyslots-size", AREA, "--offset",
                                                          (OFFSET + MiB) // 512]),
    ("refused: another keyslots area", other_layout, ["--luks2-keyslots-size", 2 * MiB, "--offset",
                                                      OFFSET // 512]),
    ("a larger header before", larger_before),
    ("a detached header", detached),
    ("refused: no room for the keyslots", no_room),
    ("refused: damaged files", bad_files),
    ("refused: damaged stock files", bad_stock_files),
    ("refused: forged files", forged_files),
    ("a UUID that is none", hostile_uuid),
    ("refused: files of other kinds", odd_files),
    ("it asks", asks),
    ("--json asks nothing", json_never_asks),
    ("--quiet", quiet),
    ("an ordinary user", ordinary_user),
    ("locks are held", locks),
    ("another coffer at work", another_coffer),
    ("a block device", block_device),
    ("refused: in use by somebody else", held_by_others),
    ("refused: a part of a RAID", part_of_a_raid),
    ("a mounted filesystem", mounted_filesystem),
    ("killed at each write", killed_restores),
])
stack.close()
tap.done()
