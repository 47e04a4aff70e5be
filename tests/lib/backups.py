# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUKS2 volumes with a keyslot for each word, backups of their headers by coffer and by stock, and
restores."""
import hashlib
import json
import os
import struct

import coffer
from coffer import ASAN, FAST
from disk import NO_LOCKS, MiB, copy_to, luks_metadata, read_at, run, sha256, write_at
from scratch import path_of

TRAILER = 4096
SIZE = 8 * MiB
AREA = 3 * MiB  # of the keyslots; the data begin at 4 MiB
OFFSET = 4 * MiB

keys = {}


def path_of_folder(name):
    path = path_of(name)
    os.mkdir(path)
    return path


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
    return copy_to(path, path_of("copy"))


def write(path, at, what):
    os.chmod(path, 0o600)
    write_at(path, at, what)


def areas(img):
    """The keyslots' places, [(offset, size)]."""
    return [(int(k["area"]["offset"]), int(k["area"]["size"]))
            for k in luks_metadata(img)["keyslots"].values()]


def trailer(path):
    """The fields of a backup's last block, read by the format's description alone."""
    block = read_at(path)[-TRAILER:]
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


def refused(img, path, why, *facts, args=(), status=4):
    """Both a dry run and a real one, for this id (and errno, if it is not EPERM). facts are in the
    arguments of the finding, or in its remedy. Returns the report."""
    p = unchanged(img, restore, img, path, "--dry-run", "--json", *args, status=(status,))
    assert why_of(p).removesuffix(" EPERM") == why, p.stdout
    report = coffer.summary(p)
    p = unchanged(img, restore, img, path, "--json", *args, status=(status,))
    assert why_of(p).removesuffix(" EPERM") == why, p.stdout
    bad = [c for c in report.get("checks", ()) if c["verdict"] == "bad" and c["id"] == why]
    said = [str(x) for c in bad for x in (*c.get("arguments", {}).values(),
                                          " ".join(c.get("remedy", ())))]
    for fact in facts:
        assert any(fact in s for s in said), f"no '{fact}' in: {said}"
    return report


def why_of(p):
    return coffer.why(coffer.events(p)[-1])


def checks(img, path, *args, status=(0,)):
    p = unchanged(img, restore, img, path, "--dry-run", "--json", *args, status=status)
    return json.loads(p.stdout)
