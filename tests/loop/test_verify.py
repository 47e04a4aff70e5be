#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer verify on volumes that are in order and on damaged headers: what it says, its exit code, and
that it changes nothing. Stock tools make the volumes and the damage; blkid tells what is in them."""
import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess

import coffer
from coffer import ASAN, COFFER, FAST, NOBODY, Box
from disk import HANG, MiB, block_devices, loop, luks_metadata, read_at, run, tempdir, write_at
from tap import Skip, Tap
from verifying import (expect, expect_bad, expect_filesystem, reseal, state_of, texts, verdicts,
                       verify, xor)

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
SIZE, END, S = 12 * MiB, 10 * MiB, MiB  # of the small disks


# --- volumes that are in order ---------------------------------------------------------------------

SOUND = dict(header_primary="ok", header_secondary="ok", metadata="ok", conversion="ok",
             keyslot="ok", digest="ok", volume_key="ok", segment="ok", record="ok", moved_segment_copy="ok")


def healthy(box, make, program=ASAN):
    img = make(box)
    report = verify(img, key=box.key, program=program)
    expect(report, "encrypted", **SOUND)
    expect_filesystem(report, box.plain, box.end)
    assert set(verdicts(report)) == {"ok"}, report["checks"]
    # without a key all that needs none
    report = verify(img, program=program)
    expect(report, "encrypted", header_primary="ok", header_secondary="ok", metadata="ok",
           keyslot="unchecked", digest="unchecked", volume_key="unchecked",
           filesystem="unchecked", filesystem_end="", record="ok", moved_segment_copy="ok")
    os.unlink(img)


def by_coffer(*args):
    def make(box):
        img = box.copy()
        box.encrypt(img, *args)
        return img
    return make


def by_stock(*args):
    def make(box):
        img = box.copy()
        run(*coffer.stock(img, box.key, *args), cwd=folder)
        return img
    return make


def formatted(*args):
    """An empty volume of luksFormat: random to look at, through the key too."""
    img = os.path.join(folder, "formatted")
    with open(img, "wb") as f:
        f.write(os.urandom(20 * MiB))
    run("cryptsetup", "luksFormat", "-q", *FAST, "--key-file", small.key, *args, img)
    return img


def empty(*args):
    report = verify(formatted("--type", "luks2", *args), key=small.key)
    expect(report, "encrypted", **dict(SOUND, record=""), filesystem="note",
           filesystem_end="unchecked")


def foreign(text, *args):
    """Encrypted as coffer does not do it: what it cannot read it says, and goes on."""
    report = verify(formatted("--type", "luks2", *args), key=small.key)
    expect(report, "encrypted", metadata="ok", keyslot="ok", digest="ok", volume_key="ok",
           filesystem="unchecked")
    assert text in texts(report, "filesystem"), report["checks"]


def luks1():
    """Bug: exit status 0 with any key, although no keyslot was tried."""
    img = formatted("--type", "luks1", "--pbkdf-force-iterations", "1000")
    for key in (None, small.key, key_file("wrong", "no")):
        report = verify(img, key=key, status=3)
        expect(report, "encrypted", metadata="unchecked")
        assert len(report["checks"]) == 1, report["checks"]
        assert coffer.why(report) == "metadata EOPNOTSUPP", report


def on_block_device(*options):
    img = by_coffer()(small)
    with block_devices(), loop(img, *options) as dev:
        report = verify(dev, img=img, key=small.key)
    expect(report, "encrypted", **SOUND)
    expect_filesystem(report, small.plain, END)


def as_nobody():
    """Who may only read: no locks, no write access, and no trace either."""
    img, key = by_coffer()(small), os.path.join(folder, "readable-key")
    run("cp", small.key, key)
    os.chmod(img, 0o444)
    os.chmod(key, 0o444)
    os.chmod(folder, 0o755)
    report = verify(img, key=key, prefix=NOBODY, program=COFFER)
    expect(report, "encrypted", **SOUND)
    expect_filesystem(report, small.plain, END)
    with open(img, "r+b") as f:  # and one that stock would repair at once
        f.seek(5000)
        f.write(b"x")
    report = verify(img, key=key, prefix=NOBODY, program=COFFER, status=3)
    expect_bad(report, "header-primary")
    os.chmod(folder, 0o700)


# --- keys --------------------------------------------------------------------------------------------

def key_file(name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def many_keys():
    """A keyslot that another key opens is no error; a key that opens none is one."""
    second, wrong = key_file("second", "2nd"), key_file("wrong", "no")
    img = roomy.copy()
    roomy.encrypt(img, "--reduce-device-size", "8M")
    run("cryptsetup", "luksAddKey", "-q", *FAST, "--key-file", small.key, "--key-slot", "5", img,
        second)
    run("cryptsetup", "luksAddKey", "-q", *FAST, "--key-file", small.key, "--unbound",
        "--key-slot", "2", "--key-size", "256", img, second)
    run("cryptsetup", "config", "--key-slot", "5", "--priority", "ignore", img)
    report = verify(img, key=small.key)
    expect(report, "encrypted", keyslot="ok note note", digest="ok note", volume_key="ok")
    report = verify(img, key=second)
    expect(report, "encrypted", keyslot="note ok ok", digest="ok note", volume_key="ok",
           filesystem="ok")
    assert re.search(r"keyslot 2 .*pbkdf2", texts(report, "keyslot")), report["checks"]
    report = verify(img, key=wrong, status=3)
    expect(report, "encrypted", keyslot="note note note bad", digest="unchecked note",
           volume_key="unchecked", filesystem="unchecked")
    expect_bad(report, "keyslot")
    # by a descriptor, a part of a file, and a typed line
    both = key_file("both", "xxx2nd,and more")
    for args in (["--key-file", both, "--keyfile-offset", "3", "--keyfile-size", "3"],):
        expect(verify(img, *args), "encrypted", keyslot="note ok ok")
    with open(second) as f:
        expect(verify(img, "--key-fd", str(f.fileno()), pass_fds=(f.fileno(),)), "encrypted",
               keyslot="note ok ok")
    expect(verify(img, "--ask", input="2nd\n"), "encrypted", keyslot="note ok ok")


def meanwhile():
    """Somebody adds and removes a key all the time: what is seen is one moment or another."""
    # An image of its own: a cryptsetup that was told to end may still write to it for a while.
    img, second = roomy.copy("meanwhile"), key_file("second", "2nd")
    roomy.encrypt(img, "--reduce-device-size", "8M")
    change = f"""while cryptsetup luksAddKey -q {' '.join(FAST)} --key-file {small.key} {img} {second} &&
                 cryptsetup luksKillSlot -q --key-file {small.key} {img} 1; do :; done"""
    seen = set()
    with subprocess.Popen(["sh", "-c", change], start_new_session=True) as p:
        try:
            for _ in range(40):
                report = json.loads(run(COFFER, "verify", "--json", "--key-file", second, img,
                                        status=(0, 3)).stdout)
                seen.add(" ".join(verdicts(report, "keyslot")))
                assert set(verdicts(report, "header-primary", "header-secondary", "metadata",
                                    "segment", "record")) == {"ok"}, report["checks"]
            assert p.poll() is None, "it has stopped by itself"
        finally:
            os.killpg(p.pid, signal.SIGTERM)
    assert seen == {"note ok", "note bad"}, seen  # with the second keyslot, and without


def no_keyslot():
    img = by_coffer()(small)
    run("cryptsetup", "luksKillSlot", "-q", "--key-file", small.key, img, "0")
    report = verify(img, key=small.key, status=3)
    expect(report, "encrypted", keyslot="bad", metadata="ok", volume_key="unchecked")


def overwritten_keyslot():
    """Text in the middle of a keyslot: no key opens it any more, and that can be seen without one."""
    img = by_coffer()(small)
    area = luks_metadata(img)["keyslots"]["0"]["area"]
    write_at(img, int(area["offset"]) + 100 * 512, b"root:x:0:0:root:/root:/bin/bash\n" * 48)
    for key in (None, small.key):
        report = verify(img, key=key, status=3)
        expect_bad(report, "keyslot")
        assert str(int(area["offset"]) + 51200) in texts(report, "keyslot"), report


def add_key(description, payload):
    """A key in this session's keyring, where luks2-keyring tokens look."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(248, b"user", description.encode(), payload, len(payload), -3) < 0:
        raise Skip("no kernel keyring here")


def tokens():
    img = by_coffer()(small)
    with open(small.key, "rb") as f:
        add_key("coffer-test-right", f.read())
    add_key("coffer-test-wrong", b"wrong")
    for i, name in enumerate(("right", "wrong")):
        run("cryptsetup", "token", "add", "--key-description", "coffer-test-" + name, "--key-slot",
            "0", "--token-id", i, img)
    expect(verify(img), "encrypted", token="unchecked unchecked")
    # the token alone proves as much as a key
    run("cryptsetup", "token", "remove", "--token-id", "1", img)
    report = verify(img, "--tokens")
    expect(report, "encrypted", token="ok", keyslot="unchecked", volume_key="ok")
    expect_filesystem(report, small.plain, END)
    run("cryptsetup", "token", "import", "--token-id", "7", "--json-file", "-", img,
        input='{"type":"of-nobody","keyslots":["0"]}')
    run("cryptsetup", "token", "import", "--token-id", "8", "--json-file", "-", img,
        input='{"type":"../../../tmp/evil","keyslots":[]}')
    report = verify(img, "--tokens", status=3)
    expect(report, "encrypted", token="ok unchecked note")
    assert coffer.why(report) == "token EOPNOTSUPP", report
    run("cryptsetup", "token", "add", "--key-description", "coffer-test-wrong", "--key-slot",
        "0", "--token-id", "1", img)
    report = verify(img, "--tokens", status=3)
    expect_bad(report, "token")


def hostile(edit, id_, verdict, status):
    """One number of a header is changed so that trying its keyslot would take the machine down."""
    img = by_coffer()(small)
    reseal(img, edit)
    # the sanitizers take what the kernel refuses for an error of the program
    report = verify(img, key=small.key, program=COFFER, status=status, timeout=HANG)
    expect(report, "encrypted", **{id_: verdict})


def endless():
    """A key derivation of days: the first signal ends it."""
    img = by_coffer()(small)
    reseal(img, lambda m: m["keyslots"]["0"]["kdf"].update(iterations=4294967295))
    before = state_of(img)
    with subprocess.Popen([ASAN, "verify", "--key-file", small.key, img], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(1)
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=HANG)
    assert p.returncode == 5 and "nothing was changed" in err and out == "", (p.returncode, out, err)
    assert state_of(img) == before


def helper_dies():
    """Bug: a helper that was killed was a BAD digest. It could not be asked: unchecked."""
    img = by_coffer()(small)
    helper = os.environ.get("COFFER_HELPER") or os.path.join(os.path.dirname(ASAN), "coffer-helper")
    script, calls = os.path.join(folder, "helper"), os.path.join(folder, "calls")
    with open(script, "w") as f:
        f.write(f"#!/bin/sh\necho >>{calls}\n[ $(wc -l <{calls}) = $DIES ] && kill -KILL $$\n"
                f'exec {helper} "$@"\n')
    os.chmod(script, 0o755)
    dead = set()
    for n in range(1, 9):
        with open(calls, "w"):
            pass
        p = run(ASAN, "verify", "--json", "--key-file", small.key, img, status=(0, 1, 3),
                env={**os.environ, "COFFER_HELPER": script, "DIES": str(n)})
        with open(calls) as f:
            called = len(f.readlines())
        report = json.loads(p.stdout)
        for c in report.get("checks", ()):
            assert c["verdict"] != "bad" or called < n, c
            if c["verdict"] == "unchecked" and called >= n:
                dead.add(c["id"])
    assert "digest" in dead and "keyslot" in dead, dead


# --- damaged headers ---------------------------------------------------------------------------------










def damaged_header(damage, first, second, status, stage="encrypted", **checks):
    """damage gets the image, the size of a header copy, and both copies as they were before a key
    was added, so as they would be if that had never reached them."""
    img = by_coffer()(small)
    size = coffer.header(img)["hdr_size"]
    old = read_at(img, 0, size), read_at(img, size, size)
    run("cryptsetup", "luksAddKey", "-q", *FAST, "--key-file", small.key, img,
        key_file("second", "2nd"))
    damage(img, size, old)
    report = verify(img, key=small.key, status=status)
    expect(report, stage, header_primary=first, header_secondary=second, **checks)
    for c in report["checks"]:
        if c["id"].startswith("header-") and c["verdict"] == "bad" and stage == "encrypted":
            assert c["advice"].startswith(f"run 'coffer repair --dry-run {img}'"), c
    # what is left is read as if nothing were wrong
    if stage == "encrypted" and not checks:
        expect(report, stage, metadata="ok", keyslot="ok note", digest="ok")
        expect_filesystem(report, small.plain, END)





def no_metadata(edit):
    """A header with right checksums that makes no sense to libcryptsetup."""
    img = by_coffer()(small)
    reseal(img, edit)
    run("cryptsetup", "luksDump", "--header", img, img, status=(1,))
    report = verify(img, key=small.key, status=6)
    expect(report, "damaged", header_primary="bad", header_secondary="bad", metadata="", keyslot="")
    assert "coffer header check" in report["message"], report["message"]


def wrong_digest():
    """The digest of the volume key exchanged for another one's: no keyslot fits it any more."""
    img = by_coffer()(small)
    reseal(img, lambda m: m["digests"]["0"].update(salt="A" * 43 + "="))
    report = verify(img, key=small.key, status=3)
    expect(report, "encrypted", metadata="ok", keyslot="note bad", volume_key="unchecked")


def segment_too_far():
    img = by_coffer()(small)
    os.truncate(img, S)
    report = verify(img, key=small.key, status=3)
    expect(report, "encrypted", segment="bad", filesystem="")


def too_small():
    """A device that ends before its filesystem."""
    img = by_coffer()(small)
    os.truncate(img, END)
    report = verify(img, key=small.key, status=3)
    expect(report, "encrypted", segment="ok", filesystem="ok", filesystem_end="bad")


# --- how it is said, and how it looks -----------------------------------------------------------------------




def as_text():
    img = by_coffer()(small)
    write_at(img, 5000, b"x")
    p = run(ASAN, "verify", img, status=(3,))
    assert p.stdout.startswith(f"{img}: encrypted"), p.stdout
    assert re.search(r"^  FAIL +header-primary ", p.stdout, re.M), p.stdout
    assert f"'coffer repair --dry-run {img}'" in p.stdout and "--key-file" in p.stdout, p.stdout
    assert p.stderr.startswith("coffer: ") and img in p.stderr, p.stderr
    p = run(ASAN, "verify", "--quiet", img, status=(3,))
    assert len(p.stdout.splitlines()) == 7, p.stdout  # the heading, BAD with its remedy, unchecked
    whole = by_coffer()(small)
    p = run(ASAN, "verify", "--quiet", "--key-file", small.key, whole)
    assert p.stdout == p.stderr == "", (p.stdout, p.stderr)


def quiet_unchecked():
    """Bug: silent, although no key was given or the filesystem was not checked."""
    img = by_coffer()(small)
    p = run(ASAN, "verify", "--quiet", img)
    assert re.search(r"^  skip +keyslot ", p.stdout, re.M) and "  ok " not in p.stdout, p.stdout
    p = run(ASAN, "verify", "--quiet", "--check-filesystem", img, status=(3,))
    assert re.search(r"^  skip +check-filesystem ", p.stdout, re.M), p.stdout
    assert "check-filesystem" in p.stderr, p.stderr


def control_characters():
    """A label that would paint the terminal."""
    img = os.path.join(folder, "label")
    run("cp", small.plain, img)
    run("tune2fs", "-L", "a\x1b[31mb", img)
    p = run(ASAN, "verify", img, status=(3,))
    assert "\x1b" not in p.stdout and "'a?[31mb'" in p.stdout, p.stdout


def usage(args, text):
    p = run(ASAN, "verify", *args, status=(2,))
    assert text in p.stderr, p.stderr


def little_locked_memory(kib, status, why):
    """Bug: only "Cannot allocate memory"."""
    img, key = by_coffer()(small), os.path.join(folder, "readable-key")
    run("cp", small.key, key)
    for path, mode in (img, 0o444), (key, 0o444), (folder, 0o755):
        os.chmod(path, mode)
    report = verify(img, key=key, program=COFFER, status=status,
                    prefix=[*NOBODY, "prlimit", f"--memlock={kib * 1024}"])
    os.chmod(folder, 0o700)
    assert coffer.why(report) == why and "ulimit -l" in json.dumps(report), report
    if status == 3:  # and a key that was not tried was called one that opens nothing
        assert verdicts(report, "keyslot") == ["unchecked"], report


def key_file_missing():
    img = by_coffer()(small)
    p = run(ASAN, "verify", "--json", "--key-file", "/nonexistent", img, status=(1,))
    report = json.loads(p.stdout)
    assert coffer.why(report) == "ENOENT" and "/nonexistent" in report["message"], report


with stack:
    small = Box(folder, SIZE, end=END)
    small_512 = Box(folder, SIZE, end=END, name="k1", block_size=1024)
    roomy = Box(folder, 16 * MiB, end=8 * MiB, name="roomy")
    xfs = Box(folder, 40 * MiB, "xfs", 38 * MiB, name="xfs")
    btrfs = Box(folder, 128 * MiB, "btrfs", 126 * MiB, name="btrfs", fill=MiB)
    tap.run([
        ("ext4, by coffer", healthy, small, by_coffer()),
        ("ext4 with small blocks, by coffer", healthy, small_512, by_coffer()),
        ("ext4, by coffer, 128-bit AES", healthy, small, by_coffer("--key-size", "256")),
        ("xfs, by coffer", healthy, xfs, by_coffer()),
        ("btrfs, by coffer", healthy, btrfs, by_coffer(), COFFER),
        ("ext4, by stock", healthy, small, by_stock()),
        ("ext4, by stock, 4096-byte sectors", healthy, small, by_stock("--sector-size", "4096")),
        ("xfs, by stock", healthy, xfs, by_stock()),
        ("luksFormat, nothing in it", empty),
        ("luksFormat, 4096-byte sectors", empty, "--sector-size", "4096"),
        ("luksFormat, large header copies", empty, "--luks2-metadata-size", "1m"),
        ("luksFormat, another cipher", foreign, "aes-cbc-essiv:sha256", "--cipher",
         "aes-cbc-essiv:sha256"),
        ("Bug: LUKS1 was called verified", luks1),
        ("a loop device", on_block_device),
        ("a read-only loop device", on_block_device, "--read-only"),
        ("as nobody, read-only", as_nobody),

        ("keyslots with different keys", many_keys),
        ("keys come and go meanwhile", meanwhile),
        ("no keyslot at all", no_keyslot),
        ("a keyslot is overwritten", overwritten_keyslot),
        ("tokens", tokens),
        ("a keyslot that wants 4 TiB of memory", hostile,
         lambda m: m["keyslots"]["0"].update(kdf=dict(
             type="argon2id", time=4, cpus=1, memory=4294967295, salt="A" * 43 + "=")),
         "keyslot", "unchecked", 3),
        ("a keyslot that takes days", endless),
        ("Bug: the helper dies", helper_dies),

        ("first copy: one bit of text", damaged_header,
         lambda img, n, old: xor(img, 4200), "bad", "ok", 3),
        ("first copy: one bit of its salt", damaged_header,
         lambda img, n, old: xor(img, 120), "bad", "ok", 3),
        ("first copy: gone", damaged_header,
         lambda img, n, old: write_at(img, 6, bytes(n - 6)), "bad", "ok", 3),
        ("first copy: torn in a sector", damaged_header,
         lambda img, n, old: write_at(img, 512, old[0][512:]), "bad", "ok", 3),
        ("first copy: out of date", damaged_header,
         lambda img, n, old: write_at(img, 0, old[0]), "bad", "ok", 3),
        ("second copy: one bit of text", damaged_header,
         lambda img, n, old: xor(img, n + 4200), "ok", "bad", 3),
        ("second copy: gone", damaged_header,
         lambda img, n, old: write_at(img, n, bytes(n)), "ok", "bad", 3),
        ("second copy: torn in a sector", damaged_header,
         lambda img, n, old: write_at(img, n, old[1][:4608]), "ok", "bad", 3),
        ("second copy: out of date", damaged_header,
         lambda img, n, old: write_at(img, n, old[1]), "ok", "bad", 3),
        ("second copy: says something else", damaged_header,
         lambda img, n, old: reseal(img, lambda m: m["config"].update(x="y"), copies=(1,)),
         "ok", "bad", 3),
        ("both copies: one bit of text", damaged_header,
         lambda img, n, old: (xor(img, 4200), xor(img, n + 4200)), "bad", "bad", 6, "damaged"),
        ("both copies: their JSON is none", damaged_header,
         lambda img, n, old: (write_at(img, 4096, b"["), write_at(img, n + 4096, b"[")), "bad", "bad", 6,
         "damaged"),
        ("right checksum, a digest of no keyslot", no_metadata,
         lambda m: m["digests"]["0"].update(keyslots=["17"])),
        ("right checksum, a keyslot beyond its area", no_metadata,
         lambda m: m["keyslots"]["0"]["area"].update(offset="999424000")),
        ("right checksum, an absurd keyslots area", no_metadata,
         lambda m: m["config"].update(keyslots_size="9223372036854771712")),
        ("right checksum, another digest", wrong_digest),
        ("the device ends with the header", segment_too_far),
        ("the device ends before the filesystem", too_small),

        ("for people", as_text),
        ("Bug: --quiet hid what was unchecked", quiet_unchecked),
        ("a label with control characters", control_characters),
        ("usage: two ways to a key", usage, ["--ask", "--key-file", "x", "y"], "--ask"),
        ("usage: no device", usage, [], "DEVICE"),
        ("a key file that is not there", key_file_missing),
        ("Bug: no memory for a passphrase may be locked", little_locked_memory, 16, 1, "ENOMEM"),
        ("Bug: no memory for a key may be locked", little_locked_memory, 40, 3, "keyslot EOPNOTSUPP"),
    ])
tap.done()
