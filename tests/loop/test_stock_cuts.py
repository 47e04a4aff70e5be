#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock's encryption in place, cut by a power failure: what stock itself gets back, and what coffer
does. Prints the table of docs/reliability.md.

COFFER_DEEP=1 takes all cut points and more random states; the quick set some of each class.
"""
import collections
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import coffer
import stockcuts
from cuts import SECTOR, Cuts, record
from disk import MiB, memory_dir, run
from stockcuts import CLASSES, COPY, Disk, Job, Verdict, classify, missing, newest
from tap import DEEP, Tap, few

# name: filesystem, its size, further options of a Job; seeds, and those of the deep run
JOBS = {
    "ext4": ("ext4", 10 * MiB, {"block_size": 1024}, 1, 20),
    "ext4, one group, zeros in the reserve": ("ext4", 6 * MiB, {"reserve": "zeros"}, 1, 20),
    "xfs, stale copy in the reserve": ("xfs", 16 * MiB, {"reserve": "stale"}, 1, 20),
    "btrfs": ("btrfs", 110 * MiB, {"S": 16 * MiB, "fill": 4 * MiB}, 1, 5),
}
# States in which no program can know what the truth is.
GONE = "lost", "lost, header", "halves", "unseen"
# States that look as if "coffer encrypt" could begin, or go on.
LOOK_PLAIN = "torn", "hidden", "second", "keyslot", "mixed"

tap = Tap()
tap.need_root()  # for the lock folder of cryptsetup


# --- the recorder ----------------------------------------------------------------------------------

CALLS = """
import fcntl, os, sys
a = os.open(sys.argv[1], os.O_RDWR)
b, c = os.dup(a), os.open(sys.argv[1], os.O_WRONLY)
other = os.open(sys.argv[2], os.O_WRONLY)
os.lseek(a, 512, os.SEEK_SET)
os.write(b, b"1" * 512)
os.write(a, b"2" * 512)
os.pwrite(c, b"3" * 512, 0)
os.fsync(c)
os.write(other, b"4" * 512)
os.fsync(other)
os.writev(c, [b"5" * 100, b"6" * 412])
os.pwritev(a, [b"7" * 512], 8192)
os.fdatasync(a)
"""


def every_call():
    img, other = (os.path.join(folder, n) for n in ("calls", "other"))
    for path in img, other:
        with open(path, "wb") as f:
            f.truncate(MiB)
    r = record([sys.executable, "-c", CALLS, img, other], img)
    want = [[(512, b"1" * 512), (1024, b"2" * 512), (0, b"3" * 512)],
            [(0, b"5" * 100), (100, b"6" * 412), (8192, b"7" * 512)]]
    assert r.epochs == want, r.epochs


def not_understood(call):
    """A log that is incomplete is refused."""
    img = os.path.join(folder, "unknown")
    with open(img, "wb") as f:
        f.truncate(MiB)
    try:
        record([sys.executable, "-c", f"import mmap, os, sys\nf = open(sys.argv[1], 'r+b')\n{call}",
                img], img)
    except AssertionError as e:
        assert "incomplete" in str(e) or "misses writes" in str(e), e
    else:
        raise AssertionError("it was accepted")


def as_strace_sees(job):
    """The calls of a second run of the job, by strace: the same ones in the same order."""
    img = job.box.copy("traced")
    log = os.path.join(job.folder, "strace")
    run("strace", "-f", "-y", "-s", "0", "-o", log, "-e",
        "trace=write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,sync,syncfs,"
        "ftruncate,fallocate,io_submit,io_uring_setup,copy_file_range,splice,sendfile",
        *job.command(img), cwd=job.folder)
    seen = []
    with open(log) as f:
        for line in f:
            m = re.match(r"\d+ +(\w+)\((?:\d+<([^>]*)>)?.*\) += (\d+)", line)
            if m and (m[2] == img or m[1] in ("sync", "io_submit", "io_uring_setup")):
                seen.append(int(m[3]) if m[1] == "write" else m[1])
    want = []
    for epoch in job.recording.epochs:
        want += [len(data) for _, data in epoch] + ["flush"]
    assert [x if isinstance(x, int) else "flush" if x in ("fsync", "fdatasync") else x
            for x in seen] == want, (seen, want)


# --- the table ---------------------------------------------------------------------------------------

class Count:
    """What became of the states of one class. back: the data are back. left: they are not, and the
    disk is as it was. on: they are not, the disk was changed, no further byte is lost. less: bytes
    that were on the disk are gone."""

    def __init__(self):
        self.states = self.there = self.untouched = self.silent = 0
        # that stock cannot open, and are no plain disk: all, back by coffer, told by status 6
        self.shut = {"all": 0, "back": 0, "told": 0}
        self.stock, self.coffer = ({"back": 0, "left": 0, "on": 0, "less": 0} for _ in range(2))
        self.wrong = []  # states that coffer should have treated otherwise, and why

    def add(self, other):
        self.states += other.states
        self.there += other.there
        self.untouched += other.untouched
        self.silent += other.silent
        for mine, others in ((self.stock, other.stock), (self.coffer, other.coffer),
                             (self.shut, other.shut)):
            for k in mine:
                mine[k] += others[k]

    def judge(self, job, state, what, verdicts, disk):
        before = len(missing(job, state.image))
        none, stock, ours = (verdicts[t] for t in ("none", "stock", "coffer"))
        became = outcome(before, ours)
        self.states += 1
        self.there += before == 0
        self.untouched += none.recovered
        self.stock[outcome(before, stock)] += 1
        self.coffer[became] += 1
        if not none.recovered and not can_open(job, state.image):
            self.shut["all"] += 1
            self.shut["back"] += became == "back"
            self.shut["told"] += became != "back" and ours.status == 6
        why = list(complaints(job, state.image, what, became, stock, ours))
        if NOT_TOLD in why and nothing_tells(job, state, what, became, disk):
            why.remove(NOT_TOLD)
            self.silent += 1
        self.wrong += [f"{state}: {x}; status {ours.status}, {ours.said}" for x in why]
        back = verdicts.get("abort")
        if back and outcome(before, back) == "less":
            self.wrong.append(f"{state}: harmed by 'coffer abort', status {back.status}, {back.said}")
        if back and not back.recovered and back.changed and back.status == 0 and \
                not nothing_tells(job, state, what, "on", disk, "abort"):
            self.wrong.append(f"{state}: 'coffer abort' says that the filesystem is back")
        again = verdicts.get("encrypt")
        if again and outcome(before, again) not in ("back", "left"):
            self.wrong.append(f"{state}: harmed by 'coffer encrypt', status {again.status}")


def outcome(before, verdict):
    if verdict.recovered:
        return "back"
    if verdict.missing > before:
        return "less"
    return "on" if verdict.changed else "left"


def can_open(job, image):
    """Can stock open it? A header copy is whole, and so is its keyslot."""
    slot, size = job.slot
    return newest(image) and image.has(job.header[slot:slot + size], slot)


def is_text(sector):
    """What the metadata of a header are, whose copies may be large; zeros follow, or are all."""
    return all(b" " <= bytes((c,)) < b"\x7f" for c in sector.rstrip(b"\0"))


def is_ambiguous(job, image):
    """Somewhere the moved segment differs from what lies at the end, by bytes that a header may have;
    and who does not know the original cannot tell which of them are right."""
    head, copy = image[:job.S], image[job.copy_at:job.copy_at + job.S]
    return any(head[x:x + SECTOR] != copy[x:x + SECTOR] and
               (len(set(head[x:x + SECTOR])) >= 160 or x < 2 * COPY or
                is_text(head[x:x + SECTOR]))
               for x in range(0, job.S, SECTOR))


NOT_TOLD = "stock cannot even open it, and coffer does not say so"


def complaints(job, image, what, became, stock, ours):
    """What is not as it must be."""
    if stock.recovered and became != "back":
        yield "stock gets it back and coffer does not"
    if what == "untouched":
        if ours.changed or ours.status not in (0, 6):
            yield "nothing was to be done"
        if ours.status == 6 and not is_ambiguous(job, image):
            yield "nothing is ambiguous"
        return
    if what not in GONE and became != "back":
        yield f"not recovered: {became}"
    elif became == "less" or became == "on" and what == "unseen":
        yield f"not recovered, but changed: {became}"
    if became != "back" and not can_open(job, image) and ours.status != 6:
        yield NOT_TOLD


CHECKERS = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n", "-o", "force_geometry"],
            "btrfs": ["btrfs", "check", "--readonly", "--check-data-csum"]}


def nothing_tells(job, state, what, became, disk, tool="coffer"):
    """Parts of files are gone, and no byte on the disk says so: the filesystem is sound as it is, or
    with the moved-segment copy put back (what is overwritten then is kept)."""
    if what not in ("lost", "lost, header", "halves") or \
            what == "lost, header" and tool != "abort":
        return False
    disk.put(state.image)
    if became == "on":
        stockcuts.TOOLS[tool](job, disk.path)
    sound = run(*CHECKERS[job.box.fs], disk.path, status=None).returncode == 0
    disk.look()
    return sound and became in ("left", "on")


def chosen(job, states):
    """(class, state)"""
    if DEEP:
        yield from ((classify(job, s), s) for s in states)
        return
    found = collections.defaultdict(list)
    for state in states:
        found[classify(job, state)].append(state)
    for what, some in found.items():
        yield from ((what, s) for s in few(some, 5 if job.name == "ext4" else 2))


def measure(job, epochs, seeds):
    """Counts by class. One state after the other: all have the same UUID, so the lock of one would
    be in the way of another."""
    table = collections.defaultdict(Count)
    disk = Disk(os.path.join(job.folder, "work"))
    for what, state in chosen(job, job.cuts(seeds).states(epochs)):
        verdicts = {t: Verdict(job, state, t, disk) for t in stockcuts.TOOLS
                    if (t != "encrypt" or what in LOOK_PLAIN) and
                    (t != "abort" or state.epoch == 0 and newest(state.image))}
        table[what].judge(job, state, what, verdicts, disk)
    return table


def measure_all(folder):
    """(job, counts) of each job; the deep run works at several jobs at once."""
    with ThreadPoolExecutor(os.cpu_count() if DEEP else 1) as pool:
        running = []
        for name, (fs, length, options, quick, deep) in JOBS.items():
            job = Job(folder, name, fs, length, fine=DEEP, **options)
            epochs = [0]
            if DEEP or name == "ext4":
                epochs = [*job.begin, *(job.end if fs != "btrfs" else [])]
            running.append((job, pool.submit(measure, job, epochs, deep if DEEP else quick)))
        for job, counts in running:
            yield job, counts.result()


# Bug: undo-stock-placement overwrote what cryptsetup's copy had lost
def repair_cut(job, what, seeds):
    """The repair of a state of this class, cut at each of its own writes, and run again."""
    disk = Disk(os.path.join(job.folder, "repaired"))
    disk.put(next(s.image for s in job.cuts(2).states([0]) if classify(job, s) == what))
    done = record(coffer.command("repair", disk.path, job.key, "--yes", "--quiet"), disk.path)
    disk.look()
    states = list(Cuts(done, job.points, seeds).states(range(len(done.epochs))))
    for state in few(states, 12):
        again = Verdict(job, state, "coffer", disk)
        assert again.recovered, f"{state}: status {again.status}, {again.said}"
    print(f"# {job.name}: the repair of '{what}', cut at each write: {len(states)} states")
    assert len(states) > 50, len(states)


def show(title, table, explain=False):
    """A table as a document wants it."""
    rows = [(c, table[c]) for c in CLASSES if c in table]
    total = Count()
    for _, n in rows:
        total.add(n)
    heads = ["class", *(["on the disk"] if explain else []), "states", "all bytes there",
             "untouched", "stock: back", "left", "on", "less", "coffer: back", "left", "on", "less",
             "silent"]
    print(f"#\n# {title}\n#\n# | " + " | ".join(heads) + " |")
    print("# |" + "---|" * len(heads))
    for name, n in [*rows, ("all", total)]:
        cells = [name, *([CLASSES.get(name, "")] if explain else []), n.states, n.there,
                 n.untouched, *n.stock.values(), *n.coffer.values(), n.silent]
        print("# | " + " | ".join(map(str, cells)) + " |")
    print("# Stock cannot open {all} of them; coffer gets {back} back, and says of {told} with status 6 "
          "what is where.".format(**total.shut))


def as_it_must_be(count):
    assert not count.wrong, "\n".join(count.wrong[:20])


with memory_dir() as folder:
    tap.run([("recorder: every call", every_call),
             ("recorder: a shared mapping", not_understood, "mmap.mmap(f.fileno(), 4096)[0] = 1"),
             ("recorder: a truncation", not_understood, "os.ftruncate(f.fileno(), 4096)"),
             ("recorder: O_SYNC", not_understood,
              "os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_SYNC), b'1')"),
             ("recorder: a call it does not know", not_understood,
              "os.sendfile(f.fileno(), os.open(sys.executable, os.O_RDONLY), 0, 4096)")])
    everything = collections.defaultdict(Count)
    for job, table in measure_all(folder):
        show(f"{job.name}, {job.length // MiB} MiB, S of {job.S // MiB} MiB", table)
        for c in table:
            everything[c].add(table[c])
        tap.run([(f"{job.name}: {c} ({n.states} states, stock {n.stock['back']}, "
                  f"coffer {n.coffer['back']})", as_it_must_be, n) for c, n in table.items()])
        if DEEP or job.name == "ext4":
            tap.run([("recorder: as strace sees it", as_strace_sees, job)])
            tap.run([(f"{job.name}: the repair itself, cut: {what}", repair_cut, job, what,
                      10 * DEEP) for what in (LOOK_PLAIN[:4] if DEEP else ("torn", "second"))])
    version = run("cryptsetup", "--version").stdout.split(" flags")[0].strip()
    show(f"all of them, {version}", everything, explain=True)
    tap.ok(set(everything) == set(CLASSES), "each class occurs", set(CLASSES) - set(everything))
    # the judge can say yes and no
    for c in "between", "hotzone", "commit torn":
        tap.ok(everything[c].stock["back"] == everything[c].states > 0, f"stock recovers: {c}")
    tap.ok(everything["torn"].stock["left"] == everything["torn"].states > 0, "stock is lost: torn")
    tap.ok(everything["lost"].coffer["back"] == 0 < everything["lost"].states, "nobody can: lost")
tap.done()
