#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random filesystems with random histories, encrypted with random options, interrupted at random
moments: every used block, every file and every name is what it was, the filesystem's checker finds
nothing, and it goes on working with whatever the free space holds now.

    test_generated.py [--seed N] [--count N] [--kind KIND] [--keep FOLDER]

repeats one case, or begins at another one. COFFER_DEEP=1 runs thousands, for some hours
on two processors.
"""
import argparse
import collections
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import traceback

if "COFFER" not in os.environ:  # tests/run sets these
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, os.path.join(top, "tests/lib"))
    os.environ["PYTHONPATH"] = sys.path[0]  # this program starts itself again
    os.environ["COFFER_BUILD"] = os.path.join(top, "build")
    os.environ["COFFER"] = os.path.join(top, "build/coffer")
    os.environ["COFFER_ASAN"] = os.path.join(top, "build-asan/coffer")

import alone
import coffer
import fsfree
import fsgen
from coffer import ASAN, COFFER, NOBODY
from disk import MiB, block_devices, check_fs, memory_dir, run, sha256
from tap import DEEP, Tap

COUNT = 4000 if DEEP else 48
WAYS = {
    "in one go": 5,
    "killed": 4,
    "killed, stock resumes": 4,
    "killed twice": 2,
    "killed, stock killed": 2,
    "killed, aborted": 1,
    "stopped": 2,
}


class Case:
    """One filesystem, how it is encrypted, and what became of it."""

    def __init__(self, folder, seed, kind=None):
        self.rnd = rnd = random.Random(f"policy {seed}")
        self.seed, self.folder = seed, folder
        kind = kind or fsgen.KINDS[seed % 3]
        self.reserve = rnd.choice((2, 2, 2, 4)) * MiB
        self.way = rnd.choices(list(WAYS), list(WAYS.values()))[0]
        self.target = rnd.choices(("image", "loop", "nobody"), (8, 3, 2 if kind == "ext4" else 0))[0]
        self.free_space = rnd.choice(("keep", "keep", "discard", "fill"))
        self.args = ["--free-space", self.free_space,
                     "--used-only", rnd.choice(("yes", "yes", "yes", "auto")),
                     "--threads", str(rnd.choice((1, 2, 4)))]
        self.args += rnd.choice(([], [], ["--verify"])) + rnd.choice(([], [], [], ["--sector-size",
                                                                                   "512"]))
        self.kind, self.fs = kind, None
        self.interrupted, self.used_only, self.because = 0, None, ""

    def __str__(self):
        return (f"seed {self.seed}: {self.way}, {self.target}, reserve {self.reserve // MiB}M, "
                f"{' '.join(self.args)}; {self.fs or self.kind}")

    def run(self):
        plain, self.img = (os.path.join(self.folder, n) for n in ("plain", "work"))
        self.key = os.path.join(self.folder, "key")
        with open(self.key, "wb") as f:
            f.write(self.rnd.randbytes(32))
        os.chmod(self.key, 0o644)
        self.fs = fs = fsgen.make(plain, self.seed, self.kind, self.reserve)
        check_fs(plain, fs.kind)
        self.used = fsfree.used_ranges(plain, fs.kind, fs.size)
        self.n_used = sum(b - a for a, b in self.used)
        run("cp", "--sparse=always", plain, self.img)
        self._settle()
        self._convert(plain)
        coffer.assert_final(self.img)
        if self.used_only and self.free_space != "fill" and "stock" not in self.way:
            now = fsfree.allocated(self.img)
            # where it was, scrubbed or not, and where it is now
            most = fsfree.allocated(plain) + 2 * max(self.n_used, self.told) + self.reserve + MiB
            assert now <= most, f"not sparse any more: {now} bytes, {self.told} used, {self.n_used}"
        out = coffer.volume_file(self.img, self.key, fs.size, os.path.join(self.folder, "out"))
        lost = fsfree.differing(plain, out, self.used)
        assert not lost, f"used bytes differ, at {lost} ..."
        check_fs(out, fs.kind)
        with fsgen.mount(out, fs, "ro") as where:
            gone = fsgen.differences(fs.manifest, fsgen.manifest(where))
        assert not gone, gone
        if self.rnd.random() < 0.4:
            self._live_on(out)

    # -- the conversion

    def _settle(self):
        """Where even --used-only=yes cannot be had, it refuses and changes nothing."""
        if self.args[3] != "yes":
            return
        p = self._coffer("--dry-run", status=(0, 4))
        if p.returncode == 4:
            self.because = p.stderr.strip().split("\n")[0]
            before = sha256(self.img)
            p = self._coffer(status=(0, 4))
            assert p.returncode == 4, f"the dry run was refused, the run was not: {self.because}"
            assert sha256(self.img) == before, "refused, but it has changed the device"
            self.args[3] = "auto"

    def _command(self, target, *args, program=COFFER, verb="encrypt"):
        if verb != "encrypt":
            return self._prefix() + [program, verb, target]
        return self._prefix() + coffer.command(
            "encrypt", target, self.key, "--reduce-device-size", str(self.reserve), *self.args,
            *args, program=program)

    def _prefix(self):
        return NOBODY if self.target == "nobody" else []

    @contextlib.contextmanager
    def _at(self):
        """What coffer is called with."""
        if self.target == "loop":
            with block_devices(), alone.passing_loop(self.img) as dev:
                yield dev
            return
        if self.target == "nobody":
            os.chown(self.img, 65534, 65534)
        yield self.img

    def _coffer(self, *args, status=(0,), program=COFFER):
        with self._at() as target:
            return run(*self._command(target, *args, program=program), status=status)

    def _kill(self, what, done=(0,)):
        with self._at() as target:
            hit = coffer.kill_before(what, target, self._command(target), done=done)
        self.interrupted += hit
        return hit

    def _moment(self, first=1):
        """A flush, or a commit, anywhere."""
        steps = 2 + self.n_used * 2 // self.reserve
        if self.rnd.random() < 0.5:
            return f"flush {self.rnd.randrange(first, first + 12 + 3 * steps)}"
        torn = self.rnd.choice(("", "", " torn"))
        return f"header {self.rnd.randrange(1, 3 + steps)}{torn}"

    def _finish(self):
        """coffer resumes until it is done."""
        program = ASAN if self.rnd.random() < 0.15 and self.target != "nobody" else COFFER
        p = self._coffer("--json", status=(0, 4), program=program)
        last = coffer.events(p)[-1]
        if p.returncode == 4:
            assert coffer.why(last) == "content EEXIST", last
            coffer.header(self.img)
            run("cryptsetup", "luksDump", self.img)  # repairs a torn second copy
            return
        assert last["finished"], last
        self._note(last)

    def _note(self, summary):
        self.used_only, self.told = summary["used_only"], summary["bytes_used"]
        self.because = self.because or summary.get("all_because") or ""
        if summary["operation"] in ("finalize", "sync-final"):  # all was moved before, and the map may be gone
            self.used_only = None
        elif self.args[3] == "yes":
            assert self.used_only, summary

    def _convert(self, plain):
        way = self.way
        if way == "in one go":
            self._finish()
            return
        if way == "stopped":
            self._stop()
        elif way == "killed, aborted":
            self._abort(plain)
        else:
            hit = self._kill(self._moment())
            if hit and way == "killed twice":
                self._kill(self._moment(), done=(0, 4))  # 4: nothing was left to do
            elif hit and way.startswith("killed, stock"):
                self._stock(way.endswith("killed"))
        self._finish()

    def _stop(self):
        part = self.rnd.random()
        with self._at() as target:
            status, seen, err = coffer.signal_at(
                self._command(target, "--json"), signal.SIGTERM,
                lambda e: e["event"] == "progress" and e["done"] > part * e["total"])
        assert status in (0, 5), (status, seen[-1:], err)
        self.interrupted += status == 5

    def _abort(self, plain):
        hit = self._kill(f"flush {self.rnd.randrange(1, 14)}")
        if not hit:
            return
        with self._at() as target:
            p = run(*self._command(target, verb="abort"), status=(0, 3, 4))
        if p.returncode != 4:  # not too late
            end = self.fs.size
            assert sha256(self.img, 0, end) == sha256(plain, 0, end), "abort: the content differs"

    def _stock(self, killed):
        """Stock goes on, where it can: a header that says so, and not in its state without end."""
        with open(self.img, "rb") as f:
            if f.read(6) != b"LUKS\xba\xbe" or coffer.is_final(self.img):
                return
        if not coffer.pointer(self.img):
            return
        cmd = coffer.stock_resume(self.img, self.key)
        if killed:
            what = f"flush {self.rnd.randrange(1, 30)}"
            self.interrupted += coffer.kill_before(what, self.img, cmd)
            return
        run(*cmd)

    # -- afterwards

    def _live_on(self, out):
        """The filesystem is used: what was free is taken, inode tables that were never written
        among it."""
        before, fresh = None, random.Random(self.seed)
        with fsgen.mount(out, self.fs) as where:
            new = os.path.join(where, "new")
            with contextlib.suppress(OSError):  # a full one
                os.mkdir(new)
                for n in range(300):
                    with open(os.path.join(new, f"{n}"), "xb", buffering=0) as f:
                        f.write(fresh.randbytes(fresh.choice((0, 10, 3000, 5000, 50000))))
                    if n % 7 == 3:
                        os.unlink(os.path.join(new, f"{n - 2}"))
        with fsgen.mount(out, self.fs, "ro") as where:
            before = fsgen.manifest(where)
        check_fs(out, self.fs.kind)
        for name in list(before):
            if name == "." or name == "new" or name.startswith("new/"):
                del before[name]
        want = {k: v for k, v in self.fs.manifest.items() if k != "."}
        assert not fsgen.differences(want, before), fsgen.differences(want, before)


def one(job):
    """(name, what is wrong or None, kind, used only, because, interruptions)"""
    seed, folder, kind, keep = job
    where = os.path.join(folder, str(seed))
    os.mkdir(where)
    os.chmod(where, 0o755)
    wrong, case = None, Case(where, seed, kind)
    try:
        case.run()
    except Exception:
        wrong = (f"{traceback.format_exc()}\nagain: tests/loop/test_generated.py --seed {seed}"
                 f"{' --kind ' + kind if kind else ''} --keep /var/tmp/case-{seed}")
        if keep:
            shutil.copytree(where, keep, dirs_exist_ok=True)
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return str(case), wrong, case.kind, case.used_only, case.because, case.interrupted


def all_of(args, tap, folder):
    os.chmod(folder, 0o755)
    jobs = [(n, folder, args.kind, args.keep) for n in range(args.seed, args.seed + args.count)]
    told, only = collections.Counter(), collections.Counter()
    reasons, interrupted = collections.Counter(), 0
    with multiprocessing.Pool(min(len(os.sched_getaffinity(0)), args.count)) as pool:
        for name, wrong, kind, used_only, because, cuts in pool.imap_unordered(one, jobs):
            tap.ok(wrong is None, name, wrong or "")
            if used_only is not None:
                told[kind] += 1
                only[kind] += used_only
                reasons[f"{kind}: {because}"] += not used_only
            interrupted += cuts > 0
        pool.close()
        pool.join()
    for why, n in (+reasons).items():
        print(f"# everything counted as used in {n} cases of {why}")
    print(f"# {interrupted} of {args.count} cases were interrupted")
    if args.count >= COUNT:  # else it could be chance
        for kind in told:
            tap.ok(only[kind] >= 0.9 * told[kind], f"{kind}: only what is used was encrypted",
                   f"{only[kind]} of {told[kind]} cases")
        tap.ok(interrupted > args.count / 3, "many cases were interrupted", interrupted)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int)
    ap.add_argument("--count", type=int)
    ap.add_argument("--kind", choices=fsgen.KINDS)
    ap.add_argument("--keep", help="folder for the files of a case that fails")
    args = ap.parse_args()
    args.count = args.count or (COUNT if args.seed is None else 1)
    args.seed = args.seed or 0
    tap = Tap()
    tap.need_root()
    alone.begin()
    with memory_dir() as folder, alone.scratch(folder):
        all_of(args, tap, folder)
    tap.done()


main()
