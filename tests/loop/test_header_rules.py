#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Metadata of LUKS2, one change each to a header that stock cryptsetup made, with right checksums.
coffer goes by libcryptsetup's word: a row proves that the word arrives, under which id, and which of
coffer's own rules speaks up. Where coffer refuses what libcryptsetup loads the row tells why. Then
random changes: stock and coffer agree on each."""
import contextlib
import json
import os
import random
import re

import luks2hdr
from coffer import ASAN
from disk import run, tempdir
from luks2hdr import Header, stock_accepts
from luks2rows import (BLOCK, DECRYPTING, DETACHED, ENCRYPTING, REENCRYPTING, TEXT, VOLUME,
                       change_something, json_row, order_of_text, text_row)
from tap import DEEP, Tap

SEED = int(os.environ.get("COFFER_SEED", "1"))
RANDOM = 4000 if DEEP else 15  # changes of each header

tap = Tap()
tap.need_root()  # for the lock of a reencryption
stack = contextlib.ExitStack()
folder = os.path.abspath(stack.enter_context(tempdir()))
BASES = {}


# --- judges --------------------------------------------------------------------------------------

def judge(path):
    """coffer's exit status and report; the file stays as it is."""
    before = os.stat(path)
    with open(path, "rb") as f:
        content = f.read()
    p = run(ASAN, "header", "check", "--json", path, status=(0, 3, 6))
    after = os.stat(path)
    with open(path, "rb") as f:
        assert f.read() == content, "the check has changed the file"
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    return p.returncode, json.loads(p.stdout)


def told(report, verdict):
    return {c["id"]: c for c in report["checks"] if c["verdict"] == verdict}


def check_row(base, change, level, id_, why=""):
    header = Header(BASES[base])
    change(header)
    path = header.write(os.path.join(folder, "work"))
    loads = stock_accepts(path)
    status, report = judge(path)
    usable = "counts" in report
    what = "\n".join(f"{c['verdict']}: {c['id']}: {c['text']}" for c in report["checks"])
    assert bool(why) == (level == "strict"), "the row tells why coffer is stricter, if it is"
    assert loads == (level != "refused"), f"libcryptsetup {'loads' if loads else 'refuses'} it"
    assert usable == (level in ("ok", "note", "bad")), f"usable: {usable}\n{what}"
    # a volume without any magic is no LUKS2 volume
    gone = not any(c["found"] for c in report["copies"])
    wanted = {"ok": 0, "note": 0, "bad": 3}.get(level, 3 if gone else 6)
    assert status == wanted, f"exit status {status}, not {wanted}\n{what}"
    bad, notes = told(report, "bad"), told(report, "note")
    if level in ("ok", "note"):
        assert not bad and bool(notes) == (level == "note"), what
    if id_:
        assert id_ in (notes if level == "note" else bad), what
    if level == "refused" and id_ == "header-primary" and not gone:
        assert re.search(r": (refused by libcryptsetup: .{10,}|(torn|invalid) \(.*\)|missing)$",
                         bad[id_]["text"]), bad[id_]
    if not gone:
        assert all(c.get("advice") for c in bad.values()), bad


# --- random changes ------------------------------------------------------------------------------

def random_changes(base):
    rnd = random.Random(f"{SEED} {base}")
    n = {True: 0, False: 0}
    for i in range(RANDOM):
        header = Header(BASES[base])
        what = [change_something(header.json, rnd) for _ in range(rnd.choice((1, 1, 1, 2, 3)))]
        header.put_json(header.json)
        path = header.write(os.path.join(folder, "work"))
        loads = stock_accepts(path)
        _, report = judge(path)
        n[loads] += 1
        if loads != ("counts" in report):
            bad = [c["text"] for c in report["checks"] if c["verdict"] == "bad"]
            raise AssertionError(f"seed {SEED}, change {i}: {what}: libcryptsetup "
                                 f"{'loads' if loads else 'refuses'} it; coffer: {bad}")
    assert n[True] > RANDOM // 20 and n[False] > RANDOM // 4, n


with stack:
    BASES["volume"] = luks2hdr.formatted(folder, "volume")
    BASES["checksum"] = luks2hdr.reencrypting(folder, "checksum", "checksum")
    BASES["journal"] = luks2hdr.reencrypting(folder, "journal", "journal")
    BASES["encrypting"] = luks2hdr.encrypting(folder, "encrypting")
    BASES["decrypting"] = luks2hdr.decrypting(folder, "decrypting")
    BASES["detached"] = luks2hdr.detached(folder, "detached")
    rows = []
    for base, table in (("volume", VOLUME), ("checksum", REENCRYPTING), ("encrypting", ENCRYPTING),
                        ("detached", DETACHED), ("decrypting", DECRYPTING)):
        rows += [(f"{base}: {name}", check_row, base, json_row(change), *rest)
                 for name, change, *rest in table]
    rows.append(("journal: as it is", check_row, "journal", lambda h: None, "note", "reencryption"))
    rows += [(f"text: {name}", check_row, "volume", text_row(edit), *rest)
             for name, edit, *rest in TEXT]
    rows.append(("text: backups in front of a regular segment", check_row, "checksum", order_of_text,
                 "note", "reencryption"))
    rows += [(f"block: {name}", check_row, "volume", edit, *rest) for name, edit, *rest in BLOCK]
    rows += [(f"{RANDOM} random changes: {base}, seed {SEED}", random_changes, base)
             for base in ("volume", "checksum", "encrypting", "decrypting")]
    tap.run(rows)
tap.done()
