#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer header check on whole headers: copies that are torn, old or of somebody else, signatures of
other programs, devices in every state. What it advises is done, and then all must be well; what it
looks at stays as it was. The metadata are test_header_rules.py's."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import time

import coffer
import luks2hdr
from coffer import ASAN, COFFER, NOBODY, Box, kill_at, phases
from disk import HANG, MiB, block_devices, loop, make_image, read_at, run, tempdir, write_at
from luks2hdr import COPY, KEYSLOTS, OFFSET, Header, put
from tap import Tap
from verifying import state_of, xor

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = os.path.abspath(stack.enter_context(tempdir()))


def check(target, status, *args, img=None, program=ASAN, prefix=()):
    """The report; the device stays as it is, to the byte and to its times."""
    before = state_of(img or target)
    p = run(*prefix, program, "header", "check", "--json", *args, target, status=(status,))
    assert state_of(img or target) == before, "the check has changed the device"
    report = json.loads(p.stdout)
    assert report["exit_code"] == status and not p.stderr, p
    return report


def bad(report):
    return {c["id"]: c for c in report["checks"] if c["verdict"] == "bad"}


def notes(report):
    return {c["id"]: c["text"] for c in report["checks"] if c["verdict"] == "note"}


def volume(name="work"):
    path = os.path.join(folder, name)
    shutil.copyfile(BASE, path)
    return path


def opens(img):
    run("cryptsetup", "open", "--test-passphrase", "--key-file", luks2hdr.key_file(folder), img)


def obey(command):
    """Run a remedy."""
    run(*[ASAN if w == "coffer" else {"LABEL": "new", "NAME": "new"}.get(w, w) for w in command],
        input="YES\n", cwd=folder, env={**os.environ, "HOME": folder})  # wipefs --backup writes there


def repair(target):
    run(ASAN, "repair", "--yes", target)


# --- copies --------------------------------------------------------------------------------------

def with_key_added(h):
    """The header as it would be after one more change."""
    h.json["tokens"]["5"] = {"type": "of-nobody", "keyslots": []}
    seqid = int.from_bytes(h.all[16:24], "big") + 1
    return seqid.to_bytes(8, "big")


def newer(copy):
    def damage(h):
        h.put(16, with_key_added(h), (copy,))
        h.put_json(h.json, (copy,))
    return damage


def flip(at):
    def damage(h):
        h.all[at] ^= 1
    return damage


def zeros(at, n):
    def damage(h):
        h.all[at:at + n] = bytes(n)
    return damage


def refused(copy):
    def damage(h):
        put("keyslots/0/key_size", "64")(h.json)
        h.put_json(h.json, (copy,))
    return damage


def at_one_sequence_number(h):
    with_key_added(h)
    h.put_json(h.json, (1,))


def twice_in_one(h):
    h.put_area(h.text().replace(b'"config":{', b'"config":{"json_size":"1",', 1))


def of_another_volume(h):
    h.put(168, b"12345678-1234-1234-1234-123456789abc", (1,))


BOTH = {"header-primary", "header-secondary"}
LOOK = "run 'coffer repair --dry-run "
COPIES = [
    # name, damage, ids that are BAD, which copy counts, how the remedy begins
    ("a bit of the first one's metadata", flip(5000), {"header-primary"}, 1, LOOK),
    ("a bit of the second one's metadata", flip(COPY + 5000), {"header-secondary"}, 0,
     LOOK),
    ("a bit of the first one's checksum", flip(450), {"header-primary"}, 1, LOOK),
    ("a bit of the first one's size", flip(8 + 6), {"header-primary"}, 1, LOOK),
    ("the first one's size another possible one", lambda h: h.all.__setitem__(14, 0x80),
     {"header-primary"}, 1, LOOK),
    ("the second one's size another possible one", lambda h: h.all.__setitem__(COPY + 14, 0x80),
     {"header-secondary"}, 0, LOOK),
    ("the second one's magic", zeros(COPY, 6), {"header-secondary"}, 0, LOOK),
    ("the second one is gone", zeros(COPY, COPY), {"header-secondary"}, 0, LOOK),
    ("the first one is gone", zeros(0, COPY), {"header-primary"}, 1, LOOK),
    ("the first one's block is gone", zeros(0, 4096), {"header-primary"}, 1, LOOK),
    ("the second one is old", newer(0), {"header-secondary"}, 0, LOOK),
    ("the first one is old", newer(1), {"header-primary"}, 1, LOOK),
    ("one sequence number, two texts", at_one_sequence_number, {"header-secondary"}, 0,
     LOOK),
    ("the second one has another label", lambda h: h.put(24, b"other", (1,)),
     {"header-secondary"}, 0, LOOK),
    ("the second one has another UUID", of_another_volume, {"header-secondary"}, 0, LOOK),
    ("the second one is of another volume", lambda h: (at_one_sequence_number(h),
     of_another_volume(h)), {"header-secondary"}, 0, LOOK),
    ("the second one is of another volume, and newer", lambda h: (newer(1)(h),
     of_another_volume(h)), {"header-primary"}, 1, LOOK),
    ("the first one is refused", refused(0), {"header-primary"}, 1, LOOK),
    ("the second one is refused", refused(1), {"header-secondary"}, 0, LOOK),
    ("a member twice", twice_in_one, {"json"}, 0, "any change by cryptsetup "),
]


def says_like_the_others(img, report, c):
    """Bug: for the same copy verify and doctor named another command, one that was refused; and repair
    gave a torn copy another id."""
    if c["id"] not in BOTH or LOOK not in c["advice"]:
        return
    text = run(ASAN, "verify", "--json", img, status=(3, 6)).stdout
    others = {x["id"]: x for x in json.loads(text)["checks"]}
    assert others[c["id"]]["advice"] == c["advice"], (others[c["id"]], c)
    text = run(ASAN, "repair", "--dry-run", "--json", img).stdout
    assert [c["text"]] == [x["text"] for x in json.loads(text)["findings"] if x["id"] in BOTH] or \
        not report["copies"][0]["found"], text
    foreign = c["id"] == "header-primary" and not report["copies"][0]["found"] and \
        any(read_at(img, 0, 4096))
    assert ("something else" in c["advice"]) == foreign, c


def copies(damage, ids, counts, remedy):
    img = volume()
    h = Header(img)
    damage(h)
    h.write(img)
    report = check(img, 3)
    assert set(bad(report)) == ids, report["checks"]
    assert report["counts"] == ("primary", "secondary")[counts], report
    for c in bad(report).values():
        assert c["advice"].startswith(remedy), c
        says_like_the_others(img, report, c)
    if LOOK in c["advice"]:
        assert "1. recover-header-copy" in run(ASAN, "repair", "--dry-run", img).stdout
        repair(img)
    else:
        obey(c.get("remedy", ["cryptsetup", "config", "--label", "new", img]))
    assert not bad(check(img, 0))
    opens(img)
    os.unlink(img)


def of_an_earlier_volume():
    """A second copy that an earlier volume has left elsewhere, beside a torn first one. Stock goes by
    it; coffer does not without being told."""
    img = volume()
    old = luks2hdr.make(folder, "old", 2 * MiB)
    run("cryptsetup", "luksFormat", "-q", *luks2hdr.CHEAP, "--luks2-metadata-size", "32k",
        "--luks2-keyslots-size", 512 << 10, "--offset", OFFSET // 512, old, luks2hdr.key_file(folder))
    write_at(img, 32768, read_at(old, 32768, 32768))
    check(img, 0)
    xor(img, 5000)
    xor(img, COPY + 5000)
    report = check(img, 3)
    assert report["counts"] == "secondary" and report["copies"][1]["offset"] == 32768, report
    assert bad(report)["header-secondary"]["text"].endswith("of another volume"), report
    before = state_of(img)
    run(ASAN, "repair", "--yes", img, status=(6,))
    assert state_of(img) == before, "coffer repair has taken another volume's header"
    run("cryptsetup", "repair", "-q", img)
    check(img, 0)


def both_torn(*damages):
    img = volume()
    h = Header(img)
    for damage in damages:
        damage(h)
    h.write(img)
    report = check(img, 6)
    assert "counts" not in report and not any(c["usable"] for c in report["copies"]), report
    for c in bad(report).values():
        assert c["remedy"][:4] == ["coffer", "header", "restore", img], c
    os.unlink(img)


def metadata_sizes(size):
    """The second copy is found at each of its nine places without the first."""
    img = luks2hdr.make(folder, "sizes", 16 * MiB)
    run("cryptsetup", "luksFormat", "-q", *luks2hdr.CHEAP, "--luks2-metadata-size", size,
        "--luks2-keyslots-size", 512 << 10, "--offset", (12 * MiB) // 512, img,
        luks2hdr.key_file(folder))
    report = check(img, 0)
    assert [c["offset"] for c in report["copies"]] == [0, size], report["copies"]
    write_at(img, 0, bytes(8192))
    report = check(img, 3)
    assert set(bad(report)) == {"header-primary"} and report["copies"][1]["offset"] == size
    os.unlink(img)


# --- signatures ----------------------------------------------------------------------------------

def leftover(at, magic_at, kind, killed=False):
    """The superblock of a filesystem that was there before, or was made by mistake."""
    made = os.path.join(folder, "made")
    make_image(made, 128 * MiB, kind, 120 * MiB)
    img = volume()
    if killed:  # its area is nobody's then
        run("cryptsetup", "luksKillSlot", "-q", img, "0")
    write_at(img, at, read_at(made, at, 4096 - at % 4096))
    os.unlink(made)
    report = check(img, 3)
    found = bad(report)
    assert found["signature"]["arguments"] == {"signature": kind, "offset": magic_at}, found
    return img, found


def btrfs_beside():
    img, found = leftover(65536, 65600, "btrfs", killed=True)
    assert set(found) == {"signature"}, found
    # what stock makes of it when a copy is torn as well
    xor(img, 5000)
    p = run("cryptsetup", "luksDump", img, status=(1,))
    assert "ambiguous signatures" in p.stderr, p.stderr
    xor(img, 5000)
    obey(found["signature"]["remedy"])
    check(img, 0)
    opens(img)


def ext4_over_the_first():
    img, found = leftover(1024, 1080, "ext4")
    assert set(found) == {"signature", "header-primary"}, found
    for c in found.values():
        assert c["advice"].startswith(f"{LOOK}{img}'"), c
    repair(img)
    check(img, 0)
    opens(img)


def in_the_gap():
    """Between the keyslots area and the data, where nothing is."""
    img = luks2hdr.make(folder, "gap", 4 * MiB)
    run("cryptsetup", "luksFormat", "-q", *luks2hdr.CHEAP, *luks2hdr.SMALL, "--offset",
        (2 * MiB) // 512, img, luks2hdr.key_file(folder))
    write_at(img, MiB, b"\x0d\xd0\x01\xc0" + bytes(508))
    report = check(img, 3)
    c = bad(report)["signature"]
    assert "VMFS_volume_member" in c["text"], c
    assert c["remedy"] == ["wipefs", "--backup", "--offset", str(MiB), img], c
    obey(c["remedy"])
    check(img, 0)
    opens(img)


def among_the_data():
    """A partition table's copy at the end is no concern; a RAID's superblock is."""
    img = volume()
    with open(img, "r+b") as f:
        f.truncate(8 * MiB)
    at = 8 * MiB - 65536  # version 0.90
    uuid = os.urandom(16)
    sb = (0xa92b4efc).to_bytes(4, "little") + (0).to_bytes(4, "little") + (90).to_bytes(4, "little")
    write_at(img, at, sb + bytes(8) + uuid[:4] + bytes(40))
    report = check(img, 3)
    c = bad(report)["signature"]
    assert "linux_raid_member" in c["text"] and "among keyslots or data" in c["advice"], c
    assert c["remedy"] == ["wipefs", img], c


# --- what a header may lie on --------------------------------------------------------------------

def backup_file():
    img = volume()
    path = os.path.join(folder, "backup")
    run("cryptsetup", "luksHeaderBackup", img, "--header-backup-file", path)
    report = check(path, 0)
    assert report["only_header"] and not report["block_device"], report
    assert [c["id"] for c in report["checks"] if c["verdict"] == "unchecked"] == ["size"]
    xor(path, 5000)
    report = check(path, 3)
    assert bad(report)["header-primary"]["advice"] == f"{LOOK}{path}'", report
    repair(path)
    check(path, 0)
    os.truncate(path, 2 * COPY + KEYSLOTS - 1)
    report = check(path, 6)
    assert not report["copies"][0]["usable"], report
    assert path in report["message"] and set(bad(report)) == {"size"}, report
    run("cryptsetup", "isLuks", "--type", "luks2", "--disable-locks", path, status=(1,))
    os.truncate(path, COPY + 8000)
    report = check(path, 6)
    assert "header-secondary" in bad(report), report
    os.truncate(path, COPY + 100)
    report = check(path, 6)
    assert set(bad(report)) >= {"header-secondary", "size"}, report
    os.unlink(path)


def a_device(*options):
    img = volume()
    with block_devices(), loop(img, *options) as dev:
        report = check(dev, 0, img=img)
        assert report["block_device"] and report["locked"] and not report["only_header"], report


def a_device_that_shrank():
    img = luks2hdr.formatted(folder, "shrunk", size=4 * MiB)
    h = Header(img)
    put("segments/0/size", str(3 * MiB))(h.json)
    h.put_json(h.json)
    h.write(img)
    with block_devices(), loop(img, "--sizelimit", 2 * MiB) as dev:
        report = check(dev, 3, img=img)
        assert "old size" in bad(report)["segment"]["advice"], report
    with block_devices(), loop(img, "--sizelimit", MiB) as dev:
        report = check(dev, 3, img=img)
        assert set(bad(report)) == {"segment"}, report
    with block_devices(), loop(img, "--sizelimit", 512 << 10) as dev:
        report = check(dev, 6, img=img)
        assert bad(report)["size"]["advice"].startswith("enlarge the device"), report


def in_use():
    """Somebody has it for himself alone, and another one holds an opened volume of it."""
    img = volume()
    with block_devices(), loop(img) as dev:
        fd = os.open(dev, os.O_RDONLY | os.O_EXCL)
        try:
            check(dev, 0, img=img)
        finally:
            os.close(fd)


def waits_for_the_lock():
    """A change that is under way is waited for, as stock waits."""
    img = volume()
    with open(img, "r+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        xor(img, 5000)  # half of a change
        p = subprocess.Popen([ASAN, "header", "check", "-q", img], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(1)
        assert p.returncode is None, "it has not waited"
        xor(img, 5000)
        fcntl.flock(f, fcntl.LOCK_UN)
        out, _ = p.communicate(timeout=HANG)
    assert p.returncode == 0 and not out, out


def while_it_changes():
    """Stock changes the header all the time meanwhile: never is a half of two moments seen."""
    img = volume()
    end = time.monotonic() + 4
    seen = set()
    writer = subprocess.Popen(["sh", "-c", f"while :; do cryptsetup config {img} --label a$((++n)) "
                               "|| exit 1; done"], stderr=subprocess.PIPE)
    try:
        while time.monotonic() < end or len(seen) <= 3 and time.monotonic() < end + HANG:
            p = run(COFFER, "header", "check", "--json", img)
            seen.add(json.loads(p.stdout)["copies"][0]["sequence"])
    finally:
        writer.kill()
        writer.communicate()
    assert len(seen) > 3, f"it has not changed: {seen}"
    run("cryptsetup", "luksDump", img)


def as_nobody():
    img = volume()
    os.chmod(img, 0o444)
    os.chmod(folder, 0o755)
    report = check(img, 0, prefix=NOBODY, program=COFFER)
    assert report["locked"], report
    xor(img, 5000)
    report = check(img, 3, prefix=NOBODY, program=COFFER)
    assert set(bad(report)) == {"header-primary"}, report
    xor(img, 5000)
    with block_devices(), loop(img, "--read-only") as dev:
        os.chmod(dev, 0o664)
        try:
            report = check(dev, 0, img=img, prefix=NOBODY, program=COFFER)
        finally:
            os.chmod(dev, 0o660)
    assert not report["locked"] and "locks" in notes(report), report
    os.chmod(folder, 0o700)


def no_header(name, make, text):
    path = os.path.join(folder, name)
    make(path)
    report = check(path, 3)
    assert "counts" not in report, report
    assert text in report["checks"][0]["text"], report
    p = run(ASAN, "header", "check", path, status=(3,))
    assert p.stdout.startswith(f"{path}: 1 check, "), p.stdout  # Bug: "1 checks"
    os.unlink(path)


def luks1(path):
    luks2hdr.make(folder, os.path.basename(path), 4 * MiB)
    run("cryptsetup", "luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", path,
        luks2hdr.key_file(folder))


def write(data):
    def make(path):
        with open(path, "wb") as f:
            f.write(data)
    return make


def half_placed():
    """Where coffer was interrupted while it put the header there, the way on is told."""
    box = Box(folder, name="half")
    img = box.copy("half-placed")
    seen = set()
    for call, k, _ in phases(box)["placement"][::-1]:
        run("cp", box.plain, img)
        kill_at(call, k, coffer.one_thread(img, box.key))
        if read_at(img, 0, 14) != b"COFFER-TRANSIT":
            continue
        second = read_at(img, COPY, 4) == b"SKUL"  # it is written before the first one
        seen.add(second)
        report = check(img, 3)
        assert bad(report)["state"]["remedy"] == ["coffer", "status", img], report
        if seen == {True, False}:
            break
    assert seen == {True, False}, seen


def cannot_be_read():
    none = os.path.join(folder, "none")
    p = run(ASAN, "header", "check", none, status=(1,))
    assert p.stderr.startswith(f"coffer: {none}: "), p.stderr  # Bug: "coffer: find NAME: "
    p = run(ASAN, "header", "check", folder, status=(4,))
    p = run(ASAN, "header", "check", "--json", folder, status=(4,))
    assert "checks" not in json.loads(p.stdout), p.stdout


# --- how it is said, and how it is called --------------------------------------------------------

def as_text():
    img = volume()
    p = run(ASAN, "header", "check", img)
    lines = p.stdout.splitlines()
    assert lines[0] == f"{img}: 10 checks, 0 failed, 0 skipped" and not p.stderr, p
    assert lines[-1].startswith("  current   first header copy, UUID "), lines
    p = run(ASAN, "header", "check", "-q", img)
    assert not p.stdout and not p.stderr, p
    xor(img, 5000)
    p = run(ASAN, "header", "check", "--quiet", img, status=(3,))
    assert re.search(r"^  FAIL +header-primary ", p.stdout, re.M), p
    assert f"{LOOK}{img}'" in p.stdout and "  ok " not in p.stdout, p
    assert p.stderr.startswith("coffer: ") and img in p.stderr, p.stderr


def control_characters():
    img = volume()
    h = Header(img)
    h.json["keyslots"]["0"]["kdf"]["hash"] = "\x1b[31m"
    h.put(24, b"\x1b[31m\xff")
    h.put_json(h.json)
    h.write(img)
    p = run(ASAN, "header", "check", img)
    assert "\x1b" not in p.stdout and "'?[31m'" in p.stdout, p.stdout
    report = check(img, 0)
    assert report["copies"][0]["label"] == "\x1b[31m\ufffd", report


def usage(args, text, status=2):
    p = run(ASAN, *args, status=(status,))
    assert text in (p.stderr if status else p.stdout), p


with stack:
    BASE = luks2hdr.formatted(folder, "base")
    assert OFFSET == MiB
    tap.run([
        *[(f"copies: {name}", copies, *rest) for name, *rest in COPIES],
        ("copies: one of an earlier volume", of_an_earlier_volume),
        ("copies: both are torn", both_torn, flip(5000), flip(COPY + 5000)),
        ("copies: torn and gone", both_torn, flip(5000), zeros(COPY, COPY)),
        ("copies: torn and refused", both_torn, refused(1), flip(5000)),
        ("copies: both are refused", both_torn, refused(0), refused(1)),
        *[(f"header copies of {16 << i} KiB", metadata_sizes, 16384 << i) for i in range(9)],
        ("a btrfs that was there before", btrfs_beside),
        ("an ext4 over the first copy", ext4_over_the_first),
        ("a signature in the gap", in_the_gap),
        ("a RAID's superblock among the data", among_the_data),
        ("a backup of the header", backup_file),
        ("a loop device", a_device),
        ("a read-only loop device", a_device, "--read-only"),
        ("a device that shrank", a_device_that_shrank),
        ("a device in use", in_use),
        ("waits for the lock", waits_for_the_lock),
        ("while stock changes it", while_it_changes),
        ("as nobody", as_nobody),
        ("no header: LUKS1", no_header, "luks1", luks1, "LUKS1"),
        ("no header: ext4", no_header, "plain", lambda p: make_image(p, 8 * MiB, "ext4", 8 * MiB),
         "no LUKS2 header found"),
        ("no header: an empty file", no_header, "empty", write(b""), "no LUKS2 header found"),
        ("no header: 100 bytes", no_header, "short", write(b"LUKS" * 25), "no LUKS2 header"),
        ("no header: random bytes", no_header, "random", write(os.urandom(MiB)), "no LUKS2 header"),
        ("a placement that was interrupted", half_placed),
        ("what cannot be read", cannot_be_read),
        ("as text", as_text),
        ("control characters", control_characters),
        ("usage: one word", usage, ["header"], "'header'"),
        ("usage: another second word", usage, ["header", "chekc"], "'header chekc'"),
        ("usage: an option between", usage, ["header", "-q", "check"], "'header'"),
        ("usage: one word of two", usage, ["check", "x"], "'check'"),
        ("usage: no device", usage, ["header", "check"], "DEVICE"),
        ("usage: two devices", usage, ["header", "check", "a", "b"], "DEVICE"),
        ("usage: an unknown option", usage, ["header", "check", "--yes", "a"],
         "'coffer header check --help'"),
        ("help: of the verb", usage, ["header", "check", "--help"], "--json", 0),
        ("help: of the verb, by its name", usage, ["help", "header", "check"], "--json", 0),
        ("help: of the first word", usage, ["header", "--help"], "  header check  ", 0),
        ("help: of the first word, by its name", usage, ["help", "header"], "header check  ", 0),
        ("Bug: help: of another second word", usage, ["help", "header", "foo"], "'header foo'"),
        ("help: lists the verb", usage, ["--help"], "  header check  ", 0),
    ])
tap.done()
