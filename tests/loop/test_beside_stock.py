#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer and stock cryptsetup at the same disk at the same time, many rounds: both convert, look, add
and remove keys, and either is killed at any moment. After each round everything is there: the
content, each key that was added, none that was removed, two equal header copies, and no lock.

Seeded: COFFER_SEED=N begins with that round's number. COFFER_DEEP=1 runs many more rounds."""
import contextlib
import os
import random
import re
import threading
import time
from collections import Counter

import coffer
from beside import (Program, assert_copies_equal, copies_in, held_locks, locked, metadata_lock_path,
                    run_lock_path, target)
from coffer import COFFER, Box
from disk import HANG, KiB, MiB, run, sha256, tempdir
from tap import DEEP, Tap

SEED = int(os.environ.get("COFFER_SEED", "1"))
ROUNDS = 100 if DEEP else 2  # of each sort and kind of disk
LIMIT = HANG

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())

# What stock says when it refuses for a good reason.
REFUSALS = [
    ("converting", r"reencryption|[Rr]equirements"),
    ("running", r"already running|in-progress"),
    ("busy", r"in use|busy|still in use|Cannot exclusively open|in exclusive mode"),
    ("not LUKS", r"not a valid LUKS|is not LUKS"),
    ("no such key", r"No key available"),
    ("full", r"No space for new keyslot|All key slots full"),  # killed ones may have left theirs
    ("overtaken", r"concurrent|Failed to (acquire|get) .*lock"),
]

TEST = ["open", "--test-passphrase", "--key-file"]


class Key:
    """A key file. where: is it "in" the volume, "out" of it, or has a kill left that open: "?"."""

    def __init__(self, name):
        self.path = os.path.join(folder, name)
        self.where = "out"
        with open(self.path, "wb") as f:
            f.write(os.urandom(32))


class Round:
    """One disk, and the workers around it."""

    def __init__(self, kind, seed, img, where):
        self.kind, self.seed, self.img, self.where = kind, seed, img, where
        self.keys = [Key(f"key{i}") for i in range(2)]
        self.over = threading.Event()
        self.failures, self.sampled, self.lock = [], [], threading.Lock()

    def run(self, cmd, rnd, kill=0.0, slowest=0.3):
        """(status or "killed", what it said); kill is the chance of being killed on the way."""
        p = Program(cmd, cwd=folder)
        try:
            if rnd.random() < kill:
                end = time.monotonic() + rnd.random() * slowest
                while p.is_alive() and time.monotonic() < end:
                    time.sleep(0.002)
                if p.is_alive():
                    p.kill()
                    return "killed", ""
            return p.wait(LIMIT)
        finally:
            p.kill()
            p.out.close()
            p.err.close()

    def note(self, who, outcome):
        with self.lock:
            counts[self.kind, who, outcome] += 1

    def work(self, name, job):
        rnd = random.Random(f"{self.seed} {name}")
        try:
            while not self.over.is_set():
                job(self, rnd)
        except Exception as e:  # told by the row
            self.failures.append(f"seed {self.seed}, {name}: {type(e).__name__}: {e}")
            self.over.set()

    # --- what is watched all the time ---

    def sample(self):
        """Under the shared lock: a plain filesystem or at least one whole copy, and the newest one
        is never older than the newest before. A killed program may have left the other one torn."""
        with locked(metadata_lock_path(self.where)):
            with open(self.img, "rb") as f:
                data = f.read(64 * KiB)
        found = [c for c in copies_in(data) if c]
        if not found:
            assert not self.sampled, "the header is gone"
            return
        seqid = max(c.seqid for c in found)
        assert not self.sampled or seqid >= self.sampled[-1], (
            f"the header went back from {self.sampled[-1]} to {seqid}")
        if not self.sampled or seqid > self.sampled[-1]:
            self.sampled.append(seqid)


# --- workers -------------------------------------------------------------------------------------

def stock(r, rnd, who, cmd, kill=0.1, wanted=()):
    """One command of stock; wanted are refusals that it may give."""
    status, said = r.run(["cryptsetup", *cmd], rnd, kill, 0.08)
    if status in (0, "killed"):
        r.note(who, "done" if status == 0 else "killed")
        return status
    for name, pattern in REFUSALS:
        if name in wanted and re.search(pattern, said):
            r.note(who, "refused: " + name)
            return status
    raise AssertionError(f"{who}: status {status}: {said.strip()}")


# coffer's verbs that look and work beside anything: name, arguments, statuses. One line for a verb.
LOOKS = [
    ("status", ["status", "--json"], (0,)),
    ("verify", ["verify", "--json", "--key-file", "KEY"], (0, 3)),
    ("plan", ["plan", "--json", "--no-speed"], (0, 3, 4)),
    ("repair --dry-run", ["repair", "--json", "--dry-run"], (0, 3, 4)),
    ("header check", ["header", "check", "--json"], (0, 3)),
    ("header backup", ["header", "backup", "--json", "--header-backup-file", "NEW"], (0, 3)),
]


# Bug: a header that cryptsetup was just writing looked torn
def look(r, rnd):
    """coffer looks. Also at the moments when nobody keeps a lock, it knows what it sees."""
    name, args, good = rnd.choice(LOOKS)
    new = os.path.join(folder, f"backup-{threading.get_ident()}")
    words = {"KEY": box.key, "NEW": new}
    status, said = r.run([COFFER, *(words.get(a, a) for a in args), r.where], rnd, 0.1, 0.08)
    if os.path.exists(new):  # it appears whole, or not at all
        assert status in (0, "killed"), said
        run("cryptsetup", "luksDump", "--disable-locks", new)
        os.unlink(new)
    if status == "killed":
        r.note(f"coffer {name}", "killed")
        return
    assert status in good, f"coffer {name}: status {status}: {said}"
    assert "damaged" not in said, f"coffer {name}: {said}"
    r.note(f"coffer {name}", "done")


def read(r, rnd):
    """Stock looks, or tries a key."""
    if rnd.random() < 0.5:
        stock(r, rnd, "stock luksDump", ["luksDump", r.where], wanted=("not LUKS",))
    else:
        stock(r, rnd, "stock open", [*TEST, box.key, r.where],
              wanted=("not LUKS", "converting", "running", "busy"))
    r.sample()


def change_keys(index):
    """Each worker of this kind has a key of its own."""
    def job(r, rnd):
        key = r.keys[index]
        if key.where == "?":  # the one that was killed is gone, so this is certain
            status = stock(r, rnd, "stock open", [*TEST, key.path, r.where], 0,
                           ("no such key", "not LUKS", "converting", "running", "busy"))
            if status in (0, 2):
                key.where = "in" if status == 0 else "out"
            return
        if key.where == "in":
            who, cmd, after = "stock luksRemoveKey", [r.where, key.path], "out"
        else:
            who, after = "stock luksAddKey", "in"
            cmd = [*coffer.FAST, "--key-file", box.key, r.where, key.path]
        status = stock(r, rnd, who, [who.split()[1], "--batch-mode", *cmd],
                       wanted=("not LUKS", "converting", "busy", "full", "overtaken"))
        if status in (0, "killed"):
            key.where = after if status == 0 else "?"
    return job


def convert(r, rnd):
    """coffer resumes, or stock does; whoever comes second is refused. Until it is done."""
    with open(r.img, "rb") as f:
        block = f.read(6)
    begun = block == b"LUKS\xba\xbe"
    tool = rnd.choice(("coffer", "coffer", "coffer repair", "stock resume", "stock resume",
                       "stock repair"))
    if tool == "coffer" or not begun:
        cmd = coffer.command("encrypt", r.where, box.key, "--key-size", "256", "--max-rate",
                             rnd.choice(("5M", "10M", "60M")))
        coffer_works(r, rnd, "coffer encrypt", cmd)
    elif tool == "coffer repair":
        coffer_works(r, rnd, tool, [COFFER, "repair", "--yes", "--key-file", box.key, r.where])
    elif tool == "stock resume":
        stock(r, rnd, tool, coffer.stock_resume(r.where, box.key)[1:], 0.3,
              ("converting", "running", "busy", "overtaken"))
    else:
        stock(r, rnd, tool, ["repair", "--batch-mode", "--key-file", box.key, r.where], 0.1,
              ("converting", "running", "busy", "overtaken"))
    with contextlib.suppress(AssertionError, TypeError, ValueError):  # while somebody writes it
        if coffer.is_final(r.img) or r.seed % 3 == 2 and coffer.pointer(r.img) < box.end // 2:
            r.over.set()


def coffer_works(r, rnd, who, cmd):
    status, said = r.run(cmd, rnd, 0.7, 0.5)
    if status == "killed":
        r.note(who, "killed")
    elif status == 0:
        r.note(who, "done")
    elif status == 4:
        what = next((w for w in ("nothing to encrypt", "already running", "locked by", "in use",
                                 "open alone") if w in said), None)
        assert what, f"{who} refuses for no good reason: {said}"
        r.note(who, "refused: " + what)
        time.sleep(0.02)
    else:
        raise AssertionError(f"{who}: status {status}: {said}")


def go_on_with_nothing(r, rnd):
    """coffer's writing verbs on a finished volume."""
    verb = rnd.choice(("encrypt", "abort", "repair"))
    args = {"encrypt": coffer.command("encrypt", r.where, box.key),
            "abort": [COFFER, "abort", r.where],
            "repair": [COFFER, "repair", "--yes", r.where]}[verb]
    status, said = r.run(args, rnd, 0.1, 0.05)
    assert status in ("killed", 0, 3, 4), f"coffer {verb}: status {status}: {said}"
    r.note(f"coffer {verb}, finished volume",
           "killed" if status == "killed" else "done" if status == 0 else "refused")


# --- rounds ----------------------------------------------------------------------------------------

def begin(r, jobs, seconds):
    """The jobs side by side, until one of them says that it is over."""
    workers = [threading.Thread(target=r.work, args=(f"{i}", job)) for i, job in enumerate(jobs)]
    for w in workers:
        w.start()
    if not r.over.wait(seconds):
        r.over.set()
    for w in workers:
        w.join(2 * LIMIT)
        if w.is_alive():
            r.failures.append("a worker does not come to its end")
    assert not r.failures, "\n".join(r.failures)


def settle(r):
    """Everything is there, and nobody holds anything. What is left of a conversion is stock's to do,
    where it can, else coffer's."""
    if coffer.pointer(r.img):
        p = run(*coffer.stock_resume(r.where, box.key), status=None)
        counts[r.kind, "stock resume", "done" if p.returncode == 0 else "not possible"] += 1
    coffer.finish(r.where, box.key, "--key-size", "256")
    run("cryptsetup", "luksDump", r.where)  # repairs what a kill has left
    header = assert_copies_equal(r.img)
    assert not r.sampled or header.seqid >= r.sampled[-1], (header.seqid, r.sampled)
    for key in r.keys:
        opens = run("cryptsetup", *TEST, key.path, r.where, status=(0, 2)).returncode == 0
        assert key.where == "?" or opens == (key.where == "in"), f"{key.path}: {key.where}, {opens}"
        counts[r.kind, "keys", "?" if key.where == "?" else "in" if opens else "out"] += 1
    left = held_locks(run_lock_path(header.uuid), metadata_lock_path(r.where))
    assert not left, f"{left} are still locked"
    meta = header.meta
    assert not coffer.requirements(meta) and len(meta["segments"]) == 1, meta["segments"]
    assert {k["type"] for k in meta["keyslots"].values()} == {"luks2"}, meta["keyslots"]
    assert coffer.volume_sha256(r.img, box.key, box.end) == content, "the content differs"


def conversion(kind, seed):
    img = box.copy("work")
    with target(kind, img) as where:
        r = Round(kind, seed, img, where)
        begin(r, [convert, convert, read, look, change_keys(0)], 4 * LIMIT)
        settle(r)
        counts[kind, "headers seen", "in conversions"] += len(r.sampled)


def finished(kind, seed):
    img = box.copy("work")
    run("cp", os.path.join(folder, "final"), img)
    with target(kind, img) as where:
        r = Round(kind, seed, img, where)
        begin(r, [change_keys(0), change_keys(1), read, look, go_on_with_nothing],
              3 if DEEP else 2)
        settle(r)
        counts[kind, "headers seen", "finished"] += len(r.sampled)


def stock_finishes(kind, seed):
    """What coffer has begun, killed once; by chance the rounds may never come to that."""
    img = box.copy("work")
    coffer.inject("fdatasync", "signal=KILL:when=15",
                  coffer.one_thread(img, box.key, "--key-size", "256"))
    assert coffer.pointer(img) > 0
    with target(kind, img) as where:
        coffer.kill_at("fsync", 3, coffer.stock_resume(where, box.key))
        counts[kind, "stock resume", "killed"] += 1
        settle(Round(kind, seed, img, where))


# What must have happened at least once on each kind of disk, or nothing was proven.
HAPPENED = [
    ("coffer encrypt", "done"), ("coffer encrypt", "killed"),
    ("stock resume", "done"), ("stock resume", "refused: running"), ("stock resume", "killed"),
    ("stock luksDump", "done"), ("stock open", "done"),
    ("stock luksAddKey", "done"), ("stock luksAddKey", "killed"),
    ("stock luksAddKey", "refused: converting"), ("stock luksRemoveKey", "done"),
    ("coffer encrypt, finished volume", "refused"),
    ("headers seen", "in conversions"), ("headers seen", "finished"),
    ("keys", "in"), ("keys", "out"),
    *((f"coffer {name}", "done") for name, _, _ in LOOKS),
]


def missing(kind):
    found = [h for h in HAPPENED if counts[kind, *h] == 0]
    if not any(counts[kind, "coffer encrypt", f"refused: {w}"] for w in ("locked by", "in use")):
        found.append("a second coffer was refused")
    return found


def happened(kind):
    """All of it. Chance and the machine's speed decide, so what has not come yet gets more rounds."""
    stock_finishes(kind, SEED)
    for seed in range(SEED + ROUNDS, SEED + ROUNDS + 12):
        if missing(kind):
            (conversion if seed % 4 else finished)(kind, seed)
    for (k, who, outcome), n in sorted(counts.items()):
        if k == kind:
            print(f"# {kind}: {who}, {outcome}: {n}")
    assert not missing(kind), f"never happened: {missing(kind)}"


with stack:
    box = Box(folder, 12 * MiB)
    content = sha256(box.plain, 0, box.end)
    final = box.copy("final")
    coffer.encrypt(final, box.key, "--key-size", "256")
    counts = Counter()
    rows = []
    for kind in "image", "block":
        for seed in range(SEED, SEED + ROUNDS):
            rows += [(f"conversion, {kind}, seed {seed}", conversion, kind, seed),
                     (f"finished volume, {kind}, seed {seed}", finished, kind, seed)]
    tap.run(rows)
    for kind in "image", "block":
        tap.run([(f"each kind of thing has happened, {kind}", happened, kind)])
tap.done()
