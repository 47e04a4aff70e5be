#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where it is not certain what is used: with auto everything is encrypted and the reason is told, yes
refuses and changes nothing. And where it only looks as if it were not."""
import os

import alone
import coffer
import fsfree
import fsgen
from disk import MiB, check_fs, memory_dir, run, sha256
from tap import Tap

KINDS = {
    "ext4": (16 * MiB, ["-b", 4096]),
    "xfs": (48 * MiB, ["-b", "size=4096", "-s", "size=4096", "-d", f"size={48 * MiB}"]),
    "btrfs": (112 * MiB, ["-d", "single", "-m", "dup"]),
}


class Subject:
    """A filesystem with files and holes: plain, as it is when unmounted, and dirty, as a power cut
    leaves it."""

    def __init__(self, folder, kind, device=0):
        self.folder, self.kind = folder, kind
        self.size, options = KINDS[kind]
        self.plain, self.dirty = (os.path.join(folder, f"{kind}.{n}") for n in ("plain", "dirty"))
        self.key, self.out = (os.path.join(folder, n) for n in ("key", "out"))
        self.fs = fsgen.Fs(self.plain, kind, 1, self.size, device or self.size + 2 * MiB, options,
                           "defaults")
        with open(self.key, "wb") as f:
            f.write(os.urandom(32))
        with open(self.plain, "wb") as f:
            f.truncate(self.fs.device)
        fsgen.mkfs(self.fs)
        with fsgen.mount(self.plain, self.fs) as where:
            for n in range(40):
                self._write(where, f"f{n}", 100000)
            run("sync", "-f", where)
            for n in range(0, 40, 2):
                os.unlink(os.path.join(where, f"f{n}"))
            self._write(where, "last", 5000)
            run("cp", "--sparse=always", self.plain, self.dirty)
        with fsgen.mount(self.plain, self.fs, "ro") as where:
            self.manifest = fsgen.manifest(where)

    @staticmethod
    def _write(where, name, size):
        with open(os.path.join(where, name), "xb", buffering=0) as f:
            f.write(os.urandom(size))
            os.fsync(f.fileno())

    def copy(self, path=None):
        img = os.path.join(self.folder, "work")
        run("cp", "--sparse=always", path or self.plain, img)
        return img

    def encrypt(self, img, how, status=(0,)):
        """The last event of a run."""
        p = run(*coffer.command("encrypt", img, self.key, "--used-only", how, "--json"),
                status=status)
        return coffer.events(p)[-1]

    def check(self, img):
        coffer.assert_final(img)
        coffer.volume_file(img, self.key, self.size, self.out)
        check_fs(self.out, self.kind)
        with fsgen.mount(self.out, self.fs, "ro") as where:
            gone = fsgen.differences(self.manifest, fsgen.manifest(where))
        assert not gone, gone


def refuses(s, img, *args):
    before = sha256(img)
    for dry in [], ["--dry-run"]:
        p = run(*coffer.command("encrypt", img, s.key, "--used-only", "yes", "--json", *dry, *args),
                status=(4,))
        assert coffer.why(coffer.summary(p)).startswith("used-only "), p.stdout
    assert sha256(img) == before, "refused, but it has changed the image"


def dirty(s):
    """What the journal or log would still do nobody can tell; every byte is moved as it is, and the
    filesystem recovers as it would have without coffer."""
    img = s.copy(s.dirty)
    refuses(s, img)
    last = s.encrypt(img, "auto")
    assert last["finished"] and not last["used_only"], last
    assert last["all_because"].startswith(s.kind + ": "), last
    coffer.assert_final(img)
    coffer.volume_file(img, s.key, s.size, s.out)
    assert sha256(s.out, 0, s.size) == sha256(s.dirty, 0, s.size), "the content differs"
    with fsgen.mount(s.out, s.fs):  # recovers
        pass
    check_fs(s.out, s.kind)
    with fsgen.mount(s.out, s.fs, "ro") as where:
        found = fsgen.manifest(where)
    assert {"f1", "f39", "last"} <= set(found), sorted(found)


def twin(s):
    """A copy of it, with the same UUID, is mounted all the time, and stays as it is."""
    other = os.path.join(s.folder, "twin")
    run("cp", "--sparse=always", s.plain, other)
    img = s.copy()
    with fsgen.mount(other, s.fs) as where:
        last = s.encrypt(img, "auto")
        assert fsgen.manifest(where).keys() == s.manifest.keys(), "the mounted twin has changed"
        s._write(where, "still alive", 100000)
    assert last["finished"] and last["used_only"] != bool(last.get("all_because")), last
    # the kernel knows a btrfs by its UUID, so it cannot be asked about a second one
    assert last["used_only"] or s.kind == "btrfs", last
    print(f"# {s.kind}: beside a mounted twin used_only is {last['used_only']} "
          f"{last.get('all_because') or ''}")
    s.check(img)
    check_fs(other, s.kind)


def much_smaller(folder, kind):
    """A device of three times the size: what lies after the filesystem's end is free."""
    s = Subject(folder, kind, 3 * KINDS[kind][0])
    img = s.copy()
    last = s.encrypt(img, "yes")
    assert last["finished"] and last["used_only"], last
    assert last["bytes_used"] < s.size, last
    most = fsfree.allocated(s.plain) + 2 * last["bytes_used"] + 4 * MiB
    assert fsfree.allocated(img) <= most, "the image is not sparse any more"
    s.check(img)


def unknown(folder):
    img, key = os.path.join(folder, "unknown"), os.path.join(folder, "key")
    with open(img, "wb") as f:
        f.write(os.urandom(8 * MiB))
    before = sha256(img)
    for extra in ([], ["--dry-run"]), (["--device-size", "6M"], ["--dry-run"]):
        for dry in [], extra[1]:
            p = run(*coffer.command("encrypt", img, key, "--used-only", "yes", *extra[0], *dry),
                    status=(4,))
            assert p.stderr, "it says nothing"
    assert "unrecognized content" in p.stderr, p.stderr
    assert sha256(img) == before, "refused, but it has changed the image"


def main():
    tap = Tap()
    tap.need_root()
    alone.begin()
    with memory_dir() as folder, alone.scratch(folder):
        for kind in KINDS:
            s = Subject(folder, kind)
            tap.run([
                (f"{kind}: as a power cut leaves it", dirty, s),
                (f"{kind}: a twin is mounted", twin, s),
                (f"{kind}: much smaller than its device", much_smaller, folder, kind),
            ])
        tap.run([("unknown content, and yes", unknown, folder)])
    tap.done()


main()
