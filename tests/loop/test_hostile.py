#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headers that somebody made to do harm, with right checksums, against every verb.

The verbs that only look must not fall over, change the image, take long, or end with a status that is
none of theirs; nor must those that write, on a copy: where they refuse, nothing is changed, and where
they say that they are done, the content is still right. The changes are the rows of luks2rows.py,
each by itself, and random ones. Without COFFER_DEEP a part of them, which COFFER_SEED chooses."""
import contextlib
import hashlib
import json
import os
import random
import shutil

import luks2hdr
from coffer import ASAN, COFFER, kill_before
from disk import MiB, decrypt, run, tempdir
from luks2hdr import OFFSET, Header
from luks2rows import (BLOCK, DECRYPTING, ENCRYPTING, REENCRYPTING, TEXT, VOLUME, change_something,
                       json_row, text_row)
from tap import DEEP, Tap

SEED = int(os.environ.get("COFFER_SEED", "1"))
RANDOM = 300 if DEEP else 2  # changes of each base
EACH = 1 if DEEP else 40  # n-th row
LIMIT = 60  # seconds of processor time for one run
PLAIN = 10 * MiB

tap = Tap()
tap.need_root()  # for the lock of a reencryption
stack = contextlib.ExitStack()
folder = os.path.abspath(stack.enter_context(tempdir()))
key = luks2hdr.key_file(folder)
content = bytearray(random.Random(7).randbytes(PLAIN))
# A swap area to libblkid: what nobody knows at the place of the copy is no copy to coffer.
content[1024:1032] = b"\1\0\0\0\xff\1\0\0"
content[4086:4096] = b"SWAPSPACE2"
content = bytes(content)
WORK = os.path.join(folder, "work")
BACKUP = os.path.join(folder, "backup")
BASES = {}

DONE, FAILED, USAGE, NO, REFUSED, INTERRUPTED, NEEDS_REPAIR = range(7)
LOOKING = [("status", "--json"), ("verify", "--json", "--key-file", key), ("header check", "--json"),
           ("plan", "--no-speed", "--json"), ("repair", "--dry-run", "--json"),
           ("encrypt", "--dry-run", "--json", "--key-file", key), ("abort", "--dry-run", "--json"),
           ("doctor", "--json"),
           ("header backup", "--json", "--header-backup-file", BACKUP)]
WRITING = [("encrypt", "--resume-only", "--key-file", key, "--threads", "1"),
           ("repair", "--yes", "--key-file", key), ("abort",)]


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def call(verb, *options):
    """coffer, with an exit status that is one of its own."""
    p = run("prlimit", f"--cpu={LIMIT}", ASAN, *verb.split(), *options, WORK, status=None)
    if os.path.exists(BACKUP):
        os.unlink(BACKUP)
    assert p.returncode in (DONE, FAILED, NO, REFUSED, INTERRUPTED, NEEDS_REPAIR), \
        f"{verb}: status {p.returncode}: {p.stderr}"
    assert p.stdout or p.stderr, f"{verb}: status {p.returncode}, and no word"
    if "--json" in options:
        for line in p.stdout.splitlines() if verb in ("encrypt", "abort", "repair") else [p.stdout]:
            json.loads(line or "null")
    return p


def look():
    before, stat = digest(WORK), os.stat(WORK)
    for verb, *options in LOOKING:
        call(verb, *options)
        assert digest(WORK) == before, f"{verb} has changed the image"
        assert os.stat(WORK).st_mtime_ns == stat.st_mtime_ns, f"{verb} has written to the image"


def is_plain(path):
    with open(path, "rb") as f:
        return f.read(PLAIN) == content


def is_volume(path):
    out = os.path.join(folder, "out")
    decrypt(path, key, out)
    return is_plain(out)


def data_of(path, base):
    """What of a volume without a conversion nobody may write to."""
    with open(path, "rb") as f:
        f.seek(0 if base in ("decrypting",) else OFFSET)
        return f.read()


def write(base, verb, *options):
    """One verb that writes, and whether it has kept its word."""
    before, data = digest(WORK), data_of(WORK, base)
    p = call(verb, *options)
    if p.returncode in (FAILED, NO, REFUSED, NEEDS_REPAIR):
        assert digest(WORK) == before, f"{verb}: status {p.returncode}, and the image is changed"
    if base not in ("placed", "half"):
        assert data_of(WORK, base) == data, f"{verb} has changed the data"
    elif verb == "encrypt" and p.returncode == DONE:
        assert is_volume(WORK), "encrypt is done, and the content is not there"
    elif verb == "abort" and p.returncode == DONE:
        assert is_plain(WORK), "abort is done, and the content is not there"
    elif verb == "repair" and p.returncode == DONE and digest(WORK) != before:
        p = call("encrypt", "--resume-only", "--key-file", key)
        assert p.returncode in (DONE, REFUSED, NO), f"after repair: {p.stderr}"
        if p.returncode == DONE:
            assert is_volume(WORK), "repair is done, and the content is not there"


def attack(base, edit):
    header = Header(BASES[base])
    edit(header)
    header.write(WORK)
    look()
    for verb, *options in WRITING:
        header.write(WORK)
        write(base, verb, *options)


def random_change(base, i):
    header = Header(BASES[base])
    rnd = random.Random(f"{SEED} {base} {i}")
    what = [change_something(header.json, rnd) for _ in range(rnd.choice((1, 1, 2, 3)))]

    def edit(h):
        h.json = header.json
        h.put_json(h.json)
    try:
        attack(base, edit)
    except AssertionError as e:
        raise AssertionError(f"seed {SEED}, {base}, change {i}: {what}: {e}") from e


def last_number(n):
    return lambda h: h.put(16, n.to_bytes(8, "big"))


def no_number_left(base):
    """header.c once committed to the number 0 after the last one, which is older than all others."""
    for n, left in (((1 << 64) - 1, False), ((1 << 64) - 2, False), (1 << 62, True)):
        header = Header(BASES[base])
        last_number(n)(header)
        header.write(WORK)
        before = digest(WORK)
        plan = json.loads(call("plan", "--no-speed", "--json").stdout)
        assert plan["possible"] == left, plan
        p = call("encrypt", "--resume-only", "--key-file", key, "--threads", "1")
        if left:
            assert p.returncode == DONE and is_volume(WORK), p.stderr
        else:
            assert p.returncode == REFUSED and "sequence number" in p.stderr, p.stderr
            assert digest(WORK) == before
    if base == "placed":
        header = Header(BASES[base])
        last_number((1 << 64) - 1)(header)
        header.write(WORK)
        assert call("abort").returncode == DONE and is_plain(WORK)


def make_half(img):
    """coffer resumes where stock began, and dies after its first steps."""
    half = os.path.join(folder, "half")
    shutil.copyfile(img, half)
    cmd = [COFFER, "encrypt", "--resume-only", "--key-file", key, "--threads", "1", half]
    assert kill_before("header 9", half, cmd)
    return half


with stack:
    BASES["volume"] = luks2hdr.formatted(folder, "volume")
    BASES["checksum"] = luks2hdr.reencrypting(folder, "checksum", "checksum")
    BASES["decrypting"] = luks2hdr.decrypting(folder, "decrypting")
    BASES["placed"] = luks2hdr.encrypting(folder, "placed", content)
    BASES["half"] = make_half(BASES["placed"])
    rows = []
    for base, table in (("volume", VOLUME), ("checksum", REENCRYPTING), ("placed", ENCRYPTING),
                        ("decrypting", DECRYPTING)):
        rows += [(f"{base}: {name}", attack, base, json_row(change)) for name, change, *_ in table]
    rows += [(f"text: {name}", attack, base, text_row(edit)) for name, edit, *_ in TEXT
             for base in ("volume", "half")]
    rows += [(f"block: {name}", attack, base, edit) for name, edit, *_ in BLOCK
             for base in ("volume", "half")]
    rows = [r for i, r in enumerate(rows) if i % EACH == SEED % EACH]
    rows += [(f"no number left: {base}", no_number_left, base) for base in ("placed", "half")]
    rows += [(f"as it is: {base}", attack, base, lambda h: None) for base in ("placed", "half")]
    rows += [(f"{base}: random change {i}, seed {SEED}", random_change, base, i)
             for base in ("volume", "placed", "half") for i in range(RANDOM)]
    tap.run(rows)
tap.done()
