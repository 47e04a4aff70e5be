#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups of a LUKS2 header: what is in the file, how it comes into being, and what is refused.
COFFER_DEEP=1 kills a backup at each of its calls."""
import contextlib
import hashlib
import json
import os
import re
import shutil

import coffer
from backups import (AREA, OFFSET, SIZE, TRAILER, add, areas, assert_opens, backup, copy,
                     cryptsetup, key, kill, path_of_folder, refused, restore, stock_backup, trailer,
                     unchanged, volume, why_of, write)
from coffer import ASAN, COFFER, FAST, NOBODY, Box, header, kill_at, phases
from disk import MiB, block_devices, loop, luks_metadata, mounted, read_at, run
from scratch import folder, path_of, stack
from tap import DEEP, Skip, Tap

tap = Tap()
tap.need_root()


def what_is_in_it():
    img = volume("one", "two")
    path = unchanged(img, backup, img)
    t, stock = trailer(path), stock_backup(img)
    image = read_at(path)[:-TRAILER]
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
    want = bytearray(read_at(stock))
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
    old = read_at(img, at + n, n)
    add(img, "one", "two")
    material = read_at(img, at + n, n)
    kill(img, 1)
    write(img, at + n, material)  # as a flash that keeps what was to be overwritten
    path = backup(img)
    assert read_at(path, at + n, n) == bytes(n) and material != old
    stock = stock_backup(img)
    assert read_at(stock, at + n, n) == material
    restore(img, stock, "--allow", "keyslots")
    assert read_at(img, at + n, n) == bytes(n), "old key material is left on the disk"


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
        assert {n["id"] for n in notes} == {"metadata"}, notes
        assert_opens(path, ["one"])
        restore(torn, path)
        assert header(torn)["equal"]
        assert_opens(torn, ["one"])


def no_header(what, status, why):
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
    elif what == "first":
        os.unlink(img)
        img = volume("one")
        write(img, 0, bytes(4096))
    path = path_of("none")
    p = unchanged(img, backup, img, "--json", status=(status,), path=path)
    assert why_of(p) == why, p.stdout
    assert not os.path.exists(path)


def existing_files():
    img = volume("one")
    there, link = path_of("there"), path_of("link")
    with open(there, "w", encoding="utf-8") as f:
        f.write("mine")
    os.symlink("/nowhere/at/all", link)
    for path in there, link, img, "/dev/null", "/dev/zero":
        p = unchanged(img, backup, img, "--json", status=(4,), path=path)
        assert why_of(p) == "EEXIST", p.stdout
    assert read_at(there) == b"mine" and not os.path.exists(link)
    for path, status, why in (folder, 4, "EEXIST"), (os.path.join(folder, "no", "file"), 1, "ENOENT"), \
            (folder + "/", 1, "EISDIR"):
        p = backup(img, "--json", status=(status,), path=path)
        assert why_of(p) == why, p.stdout
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
        p = backup(img, "--json", status=(1,), path=os.path.join(where, "backup"))
        assert why_of(p) == "ENOSPC", p.stdout
        assert os.listdir(where) == before, "something is left of it"
        run("mount", "-o", "remount,ro", where)
        p = backup(img, "--json", status=(1,), path=os.path.join(where, "backup"))
        assert why_of(p) == "EROFS", p.stdout


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
        p = backup(img, "--json", status=(4,), path=path)
        assert why_of(p) == "EEXIST", p.stdout


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
                p = backup(target, "--json", status=(4,), path=path)
                assert why_of(p) == "EXDEV", p.stdout
                assert not os.path.exists(path)


def cut_backups():
    """At its calls: the file is whole or not there."""
    img = volume("one")
    full = len(read_at(backup(img)))
    seen = set()
    for call in "openat", "write", "fsync", "renameat2", "close":
        for n in range(1, 200, 1 if DEEP or call in ("fsync", "renameat2") else 17):
            path = path_of("cut")
            where = path + ".d"
            os.mkdir(where)
            path = os.path.join(where, "backup")
            cmd = [COFFER, "header", "backup", img, "--header-backup-file", path]
            p = coffer.inject(call, f"signal=KILL:when={n}", cmd)
            if os.path.exists(path):
                seen.add("whole")
                assert len(read_at(path)) == full
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
    for line in read_at(log).decode(errors="replace").splitlines():
        m = re.search(r"\b(write|fsync|renameat2)\(\d+<([^>]*)>", line)
        if m and m[2].startswith(where):
            calls.append((m[1], "folder" if m[2] == where else "file"))
    while len(calls) > 1 and calls[0] == calls[1] == ("write", "file"):
        calls.pop(0)
    assert calls == [("write", "file"), ("fsync", "file"), ("renameat2", "folder"),
                     ("fsync", "folder")], calls


def checked(path, status):
    """What header check says of it: verdicts and advices by id."""
    p = unchanged(path, run, ASAN, "header", "check", "--json", path, status=(status,))
    checks = json.loads(p.stdout)["checks"]
    return {c["id"]: c["verdict"] for c in checks}, {c["id"]: c.get("advice") for c in checks}


def damaged_backups():
    """Bug: header check passed backups that header restore refuses."""
    img = volume("one")
    path = backup(img)
    assert checked(path, 0)[0]["backup"] == "ok"
    assert "backup" not in checked(stock_backup(img), 0)[0] | checked(img, 0)[0]
    image = len(read_at(path)) - TRAILER
    for name, at, n in ("a keyslot", areas(img)[0][0], 1), ("the date", image + 79, 1), \
            ("the trailer's magic", image + 3, 1), \
            ("the end", image + TRAILER, 8), ("a copy", 5000, 1):
        bad = copy(path)
        write(bad, at, bytes(255 - b for b in read_at(bad, at, n).ljust(n, b"\0")))
        verdicts, advices = checked(bad, 3)
        assert verdicts["backup"] == "bad" and "another backup" in advices["backup"], (name, advices)
        restore(img, bad, "--dry-run", status=(4,))
    os.truncate(bad := copy(path), image + 1000)
    os.chmod(bad, 0o600)
    assert checked(bad, 3)[0]["backup"] == "bad"
    restore(img, bad, "--dry-run", status=(4,))


def unlocked():
    """Who may not take the lock reads until it was the same twice: no half of a keyslot."""
    img = volume("one", *"abcd")
    for slot in 1, 2, 3:
        kill(img, slot)
    first = areas(img)[0][0]
    last = sum(areas(img)[1]) - 4096
    with block_devices(), loop(img) as dev:
        mode = os.stat(dev).st_mode & 0o777
        try:
            where = path_of_folder("unlocked")
            os.chmod(folder, 0o755)
            os.chmod(where, 0o777)
            log = path_of("log")
            backup(dev, path=os.path.join(where, "traced"), program=COFFER,
                   prefix=["strace", "-f", "-y", "-o", log, "-e", "trace=pread64"])
            lines = re.findall(r"pread64\(.*", read_at(log).decode(errors="replace"))
            large = [n for n, line in enumerate(lines, 1)
                     if f"<{dev}" in line and re.search(rf" {AREA}, \d+\) = {AREA}$", line)]
            seen = []
            for n in large:
                path = os.path.join(where, f"backup-{n}")
                old = read_at(dev, first, 4096), read_at(dev, last, 4096)
                new = os.urandom(4096), os.urandom(4096)
                os.chmod(dev, 0o644)
                with coffer.paused("pread64", n, [*NOBODY, COFFER, "header", "backup", dev,
                                                  "--header-backup-file", path]):
                    write(dev, first, new[0])
                    write(dev, last, new[1])
                got = read_at(path, first, 4096), read_at(path, last, 4096)
                assert got in (old, new), f"pread64 {n}: a keyslot of each"
                seen.append(got == new)
            assert set(seen) == {True, False}, (seen, lines)
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
    assert {n["id"] for n in report["notes"]} == {"conversion"}, report
    path = report["file"]
    # Bug: header check named 'coffer status FILE', which says "shrunk"
    assert checked(path, 0)[1]["reencryption"] == "back up the header again after the conversion"
    assert "coffer status" in checked(img, 0)[1]["reencryption"]
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
    refused(dead, path, "conversion", "geometry")
    restore(dead, path, "--allow", "geometry")
    box.encrypt(dead)
    box.check(dead)
    # under a transition block never
    marked = half = 0
    for call, k, _ in phases(box)["placement"][-14:]:
        placing = box.copy("placing")
        kill_at(call, k, coffer.one_thread(placing, box.key))
        if read_at(placing, 0, 14) == b"COFFER-TRANSIT":
            marked += 1
            # Bug: beside a coffer that was killed while it placed its header: status 6
            p = run(COFFER, "header", "backup", "--header-backup-file", path_of("none"), placing,
                    status=(0, 3))  # its second copy may be there already
            half += p.returncode == 3
            refused(placing, finished, "content", "coffer repair",
                    args=("--allow", "geometry,keyslots,volume-key,uuid"))
    assert marked > 3 and half > 0, (marked, half)


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
    assert read_at(during, at, n) == bytes(n), "a journal of content is in the backup"
    cryptsetup("reencrypt", "--resume-only", "--force-offline-reencrypt", "--key-file", key("one"),
               img)
    refused(img, before, "geometry", args=("--allow", "keyslots"))
    refused(img, during, "conversion", args=("--allow", "geometry,keyslots,volume-key"))


tap.run([
    ("backup: what is in it", what_is_in_it),
    ("backup: no key material of removed keyslots", no_dead_keys),
    ("backup: a torn copy", torn_copies),
    ("backup: zeros", no_header, "zeros", 3, "header-primary ENODATA"),
    ("backup: an ext4", no_header, "ext4", 3, "header-primary ENODATA"),
    ("backup: a LUKS1", no_header, "luks1", 3, "header-primary ENODATA"),
    ("Bug: a missing first copy was no header at all", no_header, "first", 6,
     "header-copies EUCLEAN"),
    ("backup: no copy whole", no_header, "dead", 6, "header-copies EUCLEAN"),
    ("backup: files that are there", existing_files),
    ("backup: names of files", names_of_files),
    ("backup: a full filesystem, a read-only one", full_filesystem),
    ("backup: to a btrfs", other_filesystem, "btrfs", "-q"),
    ("backup: onto the device itself", on_the_device_itself),
    ("backup: killed at its calls", cut_backups),
    ("backup: calls that fail", failed_calls),
    ("backup: what is flushed, and when", flushes),
    ("Bug: backup: damaged, and header check passed it", damaged_backups),
    ("backup: without access to the lock", unlocked),
    ("a conversion of coffer's", during_a_conversion),
    ("a reencryption of stock's", stock_reencrypt),
])
stack.close()
tap.done()
