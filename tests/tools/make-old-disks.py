#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make-old-disks.py COFFER COMMIT - make half-converted disks of an older coffer, as test data

COFFER is a program of that version, built from COMMIT. For each family of disks this writes
tests/data/old-disks/NAME.tar.xz, which holds the plain disk and what interrupted runs left of it,
and manifest.json, which says what is in the archives and what COFFER itself does with each disk. It
needs root, and librecordio.so from the build. Afterwards loop/test_old_disks must pass, with COFFER
in the environment and with today's program.

Each disk is what SIGKILL leaves of a run with one thread. A program's writes are recorded; a disk
holds the first so many of them, and perhaps a part of the next one. The last write is found by its
offset and its first bytes. All disks of one run share its random bytes, so xz stores these once.

One thing differs from the recording: the wipe of the moved-segment copy at the end writes as many
random bytes as the shift. Nothing reads them, so the first 4096 of them stand for all.
"""
import hashlib
import io
import json
import lzma
import os
import sys
import tarfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if len(sys.argv) != 3:
    sys.exit(__doc__)
os.environ["COFFER"] = os.path.abspath(sys.argv[1])
os.environ.setdefault("COFFER_BUILD", os.path.join(TOP, "build"))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))

# pylint: disable=wrong-import-position
import coffer
import cuts
from disk import KiB, MiB, make_image, run, sha256, tempdir

OUT = os.path.join(TOP, "tests/data/old-disks")
S = MiB  # coffer.SMALL
COPY = 16 * KiB  # one header copy, for this S
KEY = "the key of the old disks"
BLOCK = 4096
SMALLER = ["--key-size", "256"]  # the keyslot is half as large: it is all that xz cannot shrink


# --- the plain disks ------------------------------------------------------------------------------

PLAINTEXT = "what the filesystem holds"  # in each file that stays, and nowhere else


def text(name, what, size):
    line = f"{name}: {what}, line after line\n".encode()
    return (line * (size // len(line) + 1))[:size]


def plain(folder, fs, end, files, removed=(), **make):
    """A filesystem of end bytes with these files {path: size}, and a reserve full of text. Files in
    removed are deleted again, which leaves gaps between those that stay."""
    img, tree = os.path.join(folder, "plain"), os.path.join(folder, "tree")
    for path, size in files.items():
        os.makedirs(os.path.dirname(os.path.join(tree, path)), exist_ok=True)
        with open(os.path.join(tree, path), "wb") as f:
            f.write(text(path, "what was removed" if path in removed else PLAINTEXT, size))
    make_image(img, end + 2 * S, fs, end, tree, **make)
    for path in removed:
        run("debugfs", "-w", "-R", f"rm /{path}", img)
    with open(img, "r+b") as f:
        f.seek(end)
        f.write(text("reserve", "what nobody needs", 2 * S))
    return img


# --- recorded runs --------------------------------------------------------------------------------

class Run:
    """The writes of one run to one disk, in their order, as (offset, bytes)."""

    def __init__(self, img, cmd, **kw):
        self.size = os.path.getsize(img)
        log = cuts.record(cmd, img, **kw)
        self.base = log.base
        self.writes = [self._thin(*w) for epoch in log.epochs for w in epoch]

    def _thin(self, at, data):
        """The first block of a wipe stands for all of it."""
        is_wipe = at == self.size - S and data != self.base[:len(data)]
        return at, data[:BLOCK] * (len(data) // BLOCK) if is_wipe else data

    def all(self, at, begins=b""):
        return [n for n, (offset, data) in enumerate(self.writes)
                if offset == at and data.startswith(begins)]

    def first(self, at, begins=b"", after=-1):
        return next(n for n in self.all(at, begins) if n > after)

    def commit(self, k, copy=0):
        """The write of a header copy. 0 places the header, 1 commits that state again, 2 commits
        the first step, -2 the last one, and -1 is the final header."""
        header = self.all(0, b"LUKS")[k]
        return header if copy == 0 else self.first(COPY, after=header)

    def until(self, n, part=1.0):
        """The disk after write n, or after this part of it."""
        at, data = self.writes[n]
        keep = int(len(data) * part) // 512 * 512
        return self.base.patched([*self.writes[:n], (at, data[:keep])])


# Offsets in the reserve, counted back from the end of the disk.
UNDO_RECORD, SEGMENT_COPY, PLACE_RECORD = S + BLOCK, S, 2 * S

ENCRYPT = {
    "saving": ("the save record and half of the moved-segment copy are there",
               lambda r: r.until(r.first(r.size - SEGMENT_COPY), 1 / 2)),
    "saved": ("moved-segment copy, image and both records are there, nothing is placed",
              lambda r: r.until(r.first(r.size - PLACE_RECORD))),
    "transition-torn": ("three sectors of the transition block are there",
                        lambda r: r.until(r.first(0, b"COFFER-TRANSIT"), 3 / 8)),
    "transition": ("the transition block is there",
                   lambda r: r.until(r.first(0, b"COFFER-TRANSIT"))),
    "body-half": ("half of the body is placed", lambda r: r.until(r.first(2 * COPY), 1 / 2)),
    "second-copy": ("the second header copy is there, block 0 is the transition block",
                    lambda r: r.until(r.first(COPY))),
    "first-copy": ("both header copies are there, the records are not erased",
                   lambda r: r.until(r.commit(0))),
    "placed": ("the header is placed, no step began", lambda r: r.until(r.commit(1) - 1)),
    "step-1-written": ("the data of the first step are there, without a commit",
                       lambda r: r.until(r.commit(2) - 1)),
    "step-1-one-copy": ("one header copy has the first commit",
                        lambda r: r.until(r.commit(2))),
    "step-1": ("the first step is committed", lambda r: r.until(r.commit(2, 1))),
    "step-2-first-torn": ("the second commit tore the first header copy",
                          lambda r: r.until(r.commit(3), 1 / 2)),
    "step-2-second-torn": ("the second commit tore the second header copy",
                           lambda r: r.until(r.commit(3, 1), 1 / 2)),
    "step-2": ("two steps are committed", lambda r: r.until(r.commit(3, 1))),
    "step-3": ("three steps are committed", lambda r: r.until(r.commit(4, 1))),
    "converted": ("all steps are committed, the moved-segment copy is not wiped",
                  lambda r: r.until(r.commit(-2, 1))),
    "wipe-torn": ("half of the moved-segment copy is wiped",
                  lambda r: r.until(r.all(r.size - SEGMENT_COPY)[-1], 1 / 2)),
    "final-one-copy": ("one header copy is the final one", lambda r: r.until(r.commit(-1))),
    "encrypted": ("the conversion is finished", lambda r: r.until(r.commit(-1, 1))),
}
ABORT = {
    "abort-recorded": ("abort: the undo record is there, the header is whole",
                       lambda r: r.until(r.first(r.size - UNDO_RECORD))),
    "abort-transition": ("abort: the transition block replaces block 0 of the header",
                         lambda r: r.until(r.first(0, b"COFFER-TRANSIT"))),
    "abort-body-half": ("abort: half of the moved segment is back",
                        lambda r: r.until(r.first(BLOCK), 1 / 2)),
    "abort-masked": ("abort: all is back but block 0 and the masked superblocks",
                     lambda r: r.until(r.all(0, b"COFFER-TRANSIT")[-1])),
    "abort-erasing": ("abort: the filesystem is back, a part of the reserve is erased",
                      lambda r: r.until(r.first(r.size - PLACE_RECORD), 1 / 2)),
}
STOCK_BEGUN = {
    "stock-placed": ("cryptsetup placed the header", lambda r: r.until(len(r.writes) - 1)),
}
STOCK_STEP = {
    "stock-step-half": ("half of the data of cryptsetup's first step is there",
                        lambda r: r.until(r.first(2 * S), 1 / 2)),
    "stock-one-copy": ("one header copy has cryptsetup's first commit",
                       lambda r: r.until(r.first(COPY, after=r.first(2 * S)) - 1)),
    "stock-step-1": ("cryptsetup committed its first step",
                     lambda r: r.until(r.first(COPY, after=r.first(COPY, after=r.first(2 * S))))),
}
AFTER_STOCK = {
    "stock-then-coffer": ("cryptsetup placed the header, coffer committed the first step",
                          lambda r: r.until(r.commit(1, 1))),
}
ABORT_STOCK = {
    "stock-abort-half": ("cryptsetup placed the header; abort: half of the moved segment is back",
                         lambda r: r.until(r.first(BLOCK), 1 / 2)),
}


def pick(moments, names):
    return {name: moments[name] for name in names.split()}


# --- the families ---------------------------------------------------------------------------------

class Family:
    """A plain disk, and what interrupted runs left of it: {name: (sentence, image)}."""

    def __init__(self, name, folder, img, fs, used_only):
        self.name, self.folder, self.plain, self.fs = name, folder, img, fs
        self.size, self.used_only = os.path.getsize(img), used_only
        self.key, self.states, self.backups = os.path.join(folder, "key"), {}, []
        self.plaintext = PLAINTEXT
        with open(self.key, "w", encoding="ascii") as f:
            f.write(KEY)

    def work(self, state=None):
        img = os.path.join(self.folder, "work")
        if state:
            self.states[state][1].write(img)
        else:
            run("cp", self.plain, img)
        return img

    def record(self, moments, img, cmd, **kw):
        done = Run(img, cmd, **kw)
        for name, (what, moment) in moments.items():
            self.states[name] = (what, moment(done))

    def encrypt(self, moments, state=None):
        img = self.work(state)
        used = "yes" if self.used_only else "no"
        self.record(moments, img, coffer.one_thread(img, self.key, *SMALLER, "--used-only", used))

    def abort(self, moments, state="placed"):
        img = self.work(state)
        self.record(moments, img, coffer.command("abort", img))


def ext4_used(folder):
    """Four short files, more than S apart, so each takes a step of its own."""
    kept = {f"{n}-kept": 14 * KiB for n in range(1, 5)}
    gone = {f"{n}-removed": 1200 * KiB for n in range(1, 4)}
    img = plain(folder, "ext4", 5 * MiB, kept | gone, gone,
                options=["-O", "^has_journal,^resize_inode", "-N", 32, "-m", 0])
    f = Family("ext4-used", folder, img, "ext4", True)
    f.encrypt(ENCRYPT)
    f.abort(ABORT)
    f.backups = ["step-3", "encrypted"]
    return f


def ext4_journal(folder):
    """The fingerprint of the stored used map covers the journal."""
    img = plain(folder, "ext4", 6 * MiB, {"first": 14 * KiB, "big": 1600 * KiB, "last": 14 * KiB},
                ["big"], options=["-O", "^resize_inode", "-N", 32, "-m", 0, "-J", "size=1"],
                block_size=1024)
    f = Family("ext4-journal", folder, img, "ext4", True)
    f.encrypt(pick(ENCRYPT, "first-copy step-1"))
    return f


def ext4_all(folder):
    """All blocks move. The first step is short, so the archive is small."""
    img = plain(folder, "ext4", MiB + 64 * KiB, {"a/file": 300 * KiB, "another": 70 * KiB},
                options=["-O", "^has_journal,^resize_inode", "-N", 32, "-m", 0], block_size=1024)
    f = Family("ext4-all", folder, img, "ext4", False)
    f.encrypt(pick(ENCRYPT, "saved transition body-half second-copy first-copy placed "
                            "step-1-written step-1-one-copy step-1"))
    f.abort(pick(ABORT, "abort-transition abort-body-half"))
    return f


def xfs_used(folder):
    """The log lies in the middle, so the first step moves what is after it, and little else."""
    img = plain(folder, "xfs", 48 * MiB, {f"d{n}/file": 14 * KiB for n in range(3)},
                options=["-d", "agcount=3"])
    f = Family("xfs-used", folder, img, "xfs", True)
    f.encrypt(pick(ENCRYPT, "transition first-copy step-1-written step-1 placed"))
    f.abort(pick(ABORT, "abort-masked"))
    del f.states["placed"]
    return f


def btrfs_used(folder):
    """The superblock lies at 64 KiB, not in block 0, so it is masked."""
    img = plain(folder, "btrfs", 20 * MiB, {"file": 40 * KiB, "d/another": 20 * KiB},
                options=["--mixed"])
    f = Family("btrfs-used", folder, img, "btrfs", True)
    f.encrypt(pick(ENCRYPT, "transition body-half first-copy placed step-1-written step-1 step-2"))
    f.abort(pick(ABORT, "abort-body-half abort-masked"))
    return f


def stock(folder):
    """cryptsetup began. It takes the same steps: the first one is short here, too."""
    img = plain(folder, "ext4", MiB + 64 * KiB, {"a/file": 900 * KiB, "another": 70 * KiB},
                options=["-O", "^has_journal,^resize_inode", "-N", 32, "-m", 0], block_size=1024)
    f = Family("stock", folder, img, "ext4", False)
    work = f.work()
    # cryptsetup fills the keyslots area with random bytes, so a small one is cheaper. After it, up
    # to the shift, plain bytes stay.
    f.plaintext = None
    f.record(STOCK_BEGUN, work, coffer.stock(work, f.key, "--init-only", *SMALLER,
                                             "--luks2-keyslots-size", "256K"), cwd=folder)
    work = f.work("stock-placed")
    f.record(STOCK_STEP, work, coffer.stock_resume(work, f.key), cwd=folder)
    f.encrypt(AFTER_STOCK, "stock-placed")
    f.abort(ABORT_STOCK, "stock-placed")
    return f


# --- what COFFER itself does with a disk ----------------------------------------------------------

def said(p):
    return json.loads(p.stdout.splitlines()[-1])


def describe(family, name):
    img = family.work(name)
    row = {"name": name, "what": family.states[name][0], "sha256": sha256(img)}
    device, = said(run(coffer.COFFER, "status", "--json", img))["devices"]
    row["stage"] = device["stage"]
    if "bytes_converted" in device:
        row["pointer"] = device["data_size"] - device["bytes_converted"]
    used = "yes" if family.used_only else "no"
    row["encrypt"] = coffer.encrypt(img, family.key, "--used-only", used,
                                    status=(0, 4)).returncode
    img = family.work(name)
    row["abort"] = coffer.abort(img, status=(0, 3, 4)).returncode
    img = family.work(name)
    repaired = said(run(coffer.COFFER, "repair", "--yes", "--json", "--key-file", family.key, img))
    row["repair"] = [a["action"] for a in repaired["actions"]]
    row["repaired"] = repaired.get("stage_after", device["stage"])
    return row


def backup(family, name, folder):
    path = os.path.join(folder, f"{name}.header")
    run(coffer.COFFER, "header", "backup", family.work(name), "--header-backup-file", path)
    with open(path, "rb") as f:
        return f.read()


# --- files ----------------------------------------------------------------------------------------

def pack(path, members):
    """An archive of (name, bytes). The same members give the same archive."""
    with lzma.open(path, "wb", preset=9 | lzma.PRESET_EXTREME) as out, \
            tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def make(builder):
    with tempdir() as folder:
        family = builder(folder)
        with open(family.plain, "rb") as f:
            members = [("plain", f.read())]
        members += [(name, image[:]) for name, (_, image) in family.states.items()]
        assert len({data for _, data in members}) == len(members), "two disks are equal"
        backups = [(f"{name}.header", backup(family, name, folder)) for name in family.backups]
        archive = os.path.join(OUT, family.name + ".tar.xz")
        pack(archive, members + backups)
        print(f"{family.name}: {len(family.states)} disks, {os.path.getsize(archive)} bytes")
        return {"name": family.name, "filesystem": family.fs, "used_only": family.used_only,
                "device_size": family.size, "shift": S, "reserve": 2 * S,
                "content_size": family.size - 2 * S, "plain_sha256": sha256(family.plain),
                "plaintext": family.plaintext,
                "disks": [describe(family, name) for name in family.states],
                "header_backups": [{"name": name, "sha256": hashlib.sha256(data).hexdigest()}
                                   for name, data in backups]}


def main():
    os.makedirs(OUT, exist_ok=True)
    manifest = {
        "made_by": run(coffer.COFFER, "--version").stdout.strip(), "commit": sys.argv[2],
        "stock": run("cryptsetup", "--version").stdout.strip(), "key": KEY,
        "families": [make(b) for b in (ext4_used, ext4_journal, ext4_all, xfs_used, btrfs_used,
                                       stock)]}
    with open(os.path.join(OUT, "manifest.json"), "w", encoding="ascii") as f:
        json.dump(manifest, f, indent=1)
        f.write("\n")


main()
