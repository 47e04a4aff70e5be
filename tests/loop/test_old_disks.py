#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks that coffer 0.1.0 left half-converted, each interrupted at another write. status, encrypt,
abort and repair do with each what 0.1.0 did, as the manifest has it. The disks come from
tests/tools/make-old-disks.py."""
import contextlib
import fcntl
import hashlib
import json
import lzma
import mmap
import os
import tarfile

import coffer
import fsfree
from coffer import COFFER, command, events, stock_resume
from disk import KiB, MiB, check_fs, memory_dir, read_at, run, sha256
from tap import Skip, Tap

# Words of 0.1.0 for a stage or an action, and what takes their place. All others are the same.
WORDS = {
    "restoring": "undoing",
    "redo-restore": "finish-undo",
    "sync-header": "recover-header-copy",
}
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data/old-disks")
# Exactly these disks must be there.
DISKS = {
    "ext4-used": ["saving", "saved", "transition-torn", "transition", "body-half", "second-copy",
                  "first-copy", "placed", "step-1-written", "step-1-one-copy", "step-1",
                  "step-2-first-torn", "step-2-second-torn", "step-2", "step-3", "converted",
                  "wipe-torn", "final-one-copy", "encrypted", "abort-recorded",
                  "abort-transition", "abort-body-half", "abort-masked", "abort-erasing"],
    "ext4-journal": ["first-copy", "step-1"],
    "ext4-all": ["saved", "transition", "body-half", "second-copy", "first-copy", "placed",
                 "step-1-written", "step-1-one-copy", "step-1", "abort-transition",
                 "abort-body-half"],
    "xfs-used": ["transition", "first-copy", "step-1-written", "step-1", "abort-masked"],
    "btrfs-used": ["transition", "body-half", "first-copy", "placed", "step-1-written", "step-1",
                   "step-2", "abort-body-half", "abort-masked"],
    "stock": ["stock-placed", "stock-step-half", "stock-one-copy", "stock-step-1",
              "stock-then-coffer", "stock-abort-half"],
}
ZEROS = bytes(256 * KiB)



@contextlib.contextmanager
def one_at_a_time():
    """Locks and the kernel know the volumes and filesystems by their UUIDs, so the same test in
    another checkout waits."""
    fd = os.open("/run/lock", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


tap = Tap()
stack = contextlib.ExitStack()
stack.enter_context(one_at_a_time())
folder = stack.enter_context(memory_dir())


# --- the disks ------------------------------------------------------------------------------------

class Family:
    """A plain disk, and what interrupted runs left of it."""

    def __init__(self, facts, key):
        self.name, self.fs, self.key = facts["name"], facts["filesystem"], key
        self.used_only, self.end = facts["used_only"], facts["content_size"]
        self.shift, self.plaintext = facts["shift"], facts["plaintext"]
        self.digests = {"plain": facts["plain_sha256"]} | \
            {d["name"]: d["sha256"] for d in [*facts["disks"], *facts["header_backups"]]}
        self.said = {d["name"]: d for d in facts["disks"]}
        self.folder = os.path.join(folder, self.name)
        self.unpacked = False

    def unpack(self):
        """Fills the folder; each file is sparse, since most of a disk is zeros."""
        os.makedirs(self.folder, exist_ok=True)
        left = list(self.digests)
        with lzma.open(os.path.join(DATA, self.name + ".tar.xz")) as archive, \
                tarfile.open(fileobj=archive, mode="r|", bufsize=MiB) as tar:
            for member in tar:
                digest = copy_sparse(tar.extractfile(member), self.path(member.name), member.size)
                assert digest == self.digests[member.name], f"{member.name} is not what was packed"
                left.remove(member.name)
        assert not left, f"not in the archive: {left}"
        self.used = fsfree.used_ranges(self.path("plain"), self.fs, self.end) \
            if self.used_only else [(0, self.end)]
        self.unpacked = True

    def path(self, name):
        return os.path.join(self.folder, name)

    def disk(self, name):
        """A fresh copy of it."""
        if not self.unpacked:
            self.unpack()
        img = os.path.join(folder, "work")
        run("cp", "--sparse=always", self.path(name), img)
        return img

    def is_encrypted(self, img):
        """The volume is finished and holds every used byte, of which none is left in plain."""
        coffer.assert_final(img)
        out = os.path.join(folder, "volume")
        run(coffer.LUKS_CAT, img, self.key, out)
        lost = fsfree.differing(self.path("plain"), out, self.used)
        assert not lost, f"the content differs, at {lost} ..."
        check_fs(out, self.fs)
        os.unlink(out)
        self.has_no_record(img)
        if self.plaintext:
            with open(img, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as whole:
                assert whole.find(self.plaintext.encode()) < 0, "a file is still there in plain"

    def has_no_record(self, img):
        """Neither the header area nor the reserve holds one."""
        with open(img, "rb") as f:
            head = f.read(self.shift)
            f.seek(self.end)
            for part in head, f.read():
                for magic in b"COFFER-RECORD", b"COFFER-TRANSIT":
                    assert magic not in part, f"{magic} is left"

    def is_plain(self, img):
        lost = fsfree.differing(self.path("plain"), img, self.used)
        assert not lost, f"the plain filesystem differs, at {lost} ..."
        check_fs(img, self.fs)


def copy_sparse(source, path, size):
    """Copies source to a sparse file and returns its digest."""
    h = hashlib.sha256()
    with open(path, "wb") as f:
        while piece := source.read(len(ZEROS)):
            h.update(piece)
            if piece == ZEROS[:len(piece)]:
                f.seek(len(piece), os.SEEK_CUR)
            else:
                f.write(piece)
        f.truncate(size)
    return h.hexdigest()


def means(word, old):
    """Does word say today what old said in 0.1.0? The program under test may be 0.1.0 itself."""
    return word in (WORDS.get(old, old), old)


def stage_of(img):
    device, = json.loads(run(COFFER, "status", "--json", img).stdout)["devices"]
    return device["stage"]


# --- every disk, every verb -----------------------------------------------------------------------

def complete(family):
    assert list(family.said) == DISKS[family.name], list(family.said)
    family.unpack()


def status(family, name):
    img, said = family.disk(name), family.said[name]
    device, = json.loads(run(COFFER, "status", "--json", img).stdout)["devices"]
    assert means(device["stage"], said["stage"]), device
    assert device["can_abort"] == (said["abort"] == 0), device
    assert sha256(img) == family.digests[name], "it has changed the disk"


def encrypt(family, name):
    """With --used-only=yes the run refuses a stored map that it does not trust."""
    img, said = family.disk(name), family.said[name]
    begins_anew = said["stage"] == "reserved" or name.startswith("abort")
    if begins_anew and family.fs != "ext4" and os.geteuid() != 0:
        raise Skip("needs root to ask the kernel what is free")
    used_only = "yes" if family.used_only else "no"
    last = events(coffer.encrypt(img, family.key, "--json", "--used-only", used_only,
                                 status=(said["encrypt"],)))[-1]
    assert last["exit_code"] == said["encrypt"] and last["finished"], last
    if said["encrypt"] != 0:
        assert sha256(img) == family.digests[name] and not last["changed"], last
    elif said.get("pointer") != 0 and said["stage"] != "encrypted":
        assert last["used_only"] == family.used_only, last
        assert last["bytes_used"] < family.end or not family.used_only, last
    family.is_encrypted(img)


def abort(family, name):
    img, said = family.disk(name), family.said[name]
    last = events(coffer.abort(img, "--json", status=(said["abort"],)))[-1]
    assert last["exit_code"] == said["abort"] and last["aborted"] == (said["abort"] == 0), last
    if said["abort"] != 0:
        assert sha256(img) == family.digests[name] and not last["changed"], last
    else:
        family.has_no_record(img)
    if said["abort"] == 0 or said["stage"] == "reserved":
        family.is_plain(img)


def repair(family, name):
    img, said = family.disk(name), family.said[name]
    last = events(run(*command("repair", img, family.key, "--yes", "--json")))[-1]
    done = [a["action"] for a in last["actions"] if a["done"]]
    assert len(done) == len(last["actions"]) == len(said["repair"]), last
    assert all(map(means, done, said["repair"])), last
    assert last["exit_code"] == 0 and last["changed"] == bool(said["repair"]), last
    assert means(stage_of(img), said["repaired"]), last
    if said["repaired"] == "encrypted":
        family.is_encrypted(img)
    else:
        family.is_plain(img)
    assert said["repair"] or sha256(img) == family.digests[name], "it has changed the disk"


def stock_resumes(family, name):
    if os.geteuid() != 0:
        raise Skip("cryptsetup needs root for its locks")
    img = family.disk(name)
    run(*stock_resume(img, family.key), cwd=folder)
    family.is_encrypted(img)


# --- header backups -------------------------------------------------------------------------------

def restore(img, backup, *args, status=0):
    before = sha256(img)
    p = run(COFFER, "header", "restore", img, "--header-backup-file", backup, "--json", *args,
            status=(status,))
    last = json.loads(p.stdout)
    assert last["exit_code"] == status and last["changed"] == (sha256(img) != before), last
    assert last["backup"]["sealed"] and last["backup"]["version"] == "0.1.0", last["backup"]
    return last


def without_header(family, name):
    """Both header copies and all keyslots are zeros."""
    img = family.disk(name)
    with open(img, "r+b") as f:
        f.write(bytes(512 * KiB))
    return img


def same_header(family, name):
    """The disk has this header: nothing to do."""
    last = restore(family.disk(name), family.path(name + ".header"), "--yes")
    assert last["same"] and not last["changed"], last


def restored(family, name):
    img, backup = without_header(family, name), family.path(name + ".header")
    assert restore(img, backup, "--yes")["changed"]
    assert read_at(img, 0, 512 * KiB) == read_at(family.path(name), 0, 512 * KiB), "it is another header"
    family.is_encrypted(img)


def restored_half_way(family, name):
    """The backup of a conversion under way goes back only with --allow. Then the run resumes."""
    img, backup = without_header(family, name), family.path(name + ".header")
    last = restore(img, backup, "--yes", status=4)
    assert last["backup"]["pointer"] == family.said[name]["pointer"], last
    restore(img, backup, "--yes", "--allow", "geometry")
    assert means(stage_of(img), family.said[name]["stage"])
    last = events(coffer.encrypt(img, family.key, "--json", "--used-only", "yes"))[-1]
    assert last["resumed"] and last["used_only"], last
    family.is_encrypted(img)


with stack:
    with open(os.path.join(DATA, "manifest.json"), encoding="ascii") as manifest_file:
        manifest = json.load(manifest_file)
    key_file = os.path.join(folder, "key")
    with open(key_file, "w", encoding="ascii") as f:
        f.write(manifest["key"])
    families = {facts["name"]: Family(facts, key_file) for facts in manifest["families"]}
    tap.ok(list(families) == list(DISKS), "the manifest has every family", list(families))

    rows = []
    for family in families.values():
        rows.append((f"{family.name}: every disk is there", complete, family))
        for disk in DISKS[family.name]:
            rows += [(f"{family.name}, {disk}: {f.__name__}", f, family, disk)
                     for f in (status, encrypt, abort, repair)]
    rows += [(f"{name}, {disk}: stock resumes", stock_resumes, families[name], disk)
             for name, disk in (("ext4-used", "step-1"), ("ext4-all", "step-1"),
                                ("stock", "stock-then-coffer"))]
    used = families["ext4-used"]
    rows += [
        ("header backup, encrypted: the header is the same", same_header, used, "encrypted"),
        ("header backup, step-3: the header is the same", same_header, used, "step-3"),
        ("header backup, encrypted: restored", restored, used, "encrypted"),
        ("header backup, step-3: restored, and resumed", restored_half_way, used, "step-3"),
    ]
    tap.run(rows)
tap.done()
