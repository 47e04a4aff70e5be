# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a power cut may leave of a recorded program's writes.

The model is a disk with a volatile cache: what was written before a flush is durable once the
flush has returned; of what was written after the last one, each sector of 512 bytes may have
arrived or not, in any order. A sector is whole.
"""
import hashlib
import os
import random
import struct

from disk import run

SECTOR = 512
RECORDIO = os.path.join(os.environ["COFFER_BUILD"], "tests/librecordio.so")
WRITE, FLUSH, UNKNOWN = 1, 2, 3


class Recording:
    """The writes of one run to one image: epochs[i] are the writes (offset, bytes) between the
    flushes i - 1 and i; base and final are the images before and after."""

    def __init__(self, base, log, final):
        self.base, self.final, self.epochs = base, final, [[]]
        at = 0
        while at < len(log):
            kind, _, offset, length = struct.unpack_from("=IIQQ", log, at)
            data = log[at + 24:at + 24 + length]
            at += 24 + length
            assert kind in (WRITE, FLUSH), f"the log is no full story: {data!r}"
            if kind == WRITE:
                self.epochs[-1].append((offset, data))
            else:
                self.epochs.append([])
        assert not self.epochs.pop(), "writes behind the last flush"
        self.writes = sum(len(e) for e in self.epochs)
        self.flushes = len(self.epochs)

    def before(self, epoch):
        """The image at the flush that began this epoch."""
        image = bytearray(self.base)
        for writes in self.epochs[:epoch]:
            apply(image, writes)
        return image


def record(cmd, img, **kw):
    """Runs cmd and records what it writes to img. Fails unless the log explains the outcome."""
    log = img + ".log"
    with open(img, "rb") as f:
        base = f.read()
    run(*cmd, env=dict(os.environ, LD_PRELOAD=RECORDIO, RECORDIO_FILE=img, RECORDIO_LOG=log), **kw)
    with open(img, "rb") as f, open(log, "rb") as g:
        r = Recording(base, g.read(), f.read())
    os.unlink(log)
    assert r.before(r.flushes) == r.final, "the log misses writes"
    return r


def apply(image, writes):
    for offset, data in writes:
        image[offset:offset + len(data)] = data


class State:
    """One state of the disk. begun: how many writes of the epoch were issued before the cut."""

    def __init__(self, epoch, begun, name, image):
        self.epoch, self.begun, self.name, self.image = epoch, begun, name, image


class Cuts:
    """The states of a recording, each only once. points(write) gives the lengths at which a write
    is torn; seeds is the number of random states for each cut, of sectors and of 4 KiB each."""

    def __init__(self, recording, points, seeds):
        self.recording, self.points, self.seeds = recording, points, seeds
        self.seen = set()
        self.built = 0

    def states(self, epochs):
        durable, done = bytearray(self.recording.base), 0
        for epoch in sorted(epochs):
            for writes in self.recording.epochs[done:epoch]:
                apply(durable, writes)
            done = epoch
            writes = self.recording.epochs[epoch]
            for begun in range(len(writes) + 1):
                for name, patches in self._cut(epoch, writes[:begun]):
                    image = bytearray(durable)
                    apply(image, patches)
                    self.built += 1
                    if self._is_new(image):
                        yield State(epoch, begun, name, image)

    def _is_new(self, image):
        digest = hashlib.sha1(image).digest()
        new = digest not in self.seen
        self.seen.add(digest)
        return new

    def _cut(self, epoch, issued):
        """(name, patches): what may have arrived of the issued writes of an epoch."""
        yield "nothing arrived", []
        if not issued:
            return
        *earlier, last = issued
        n = len(issued)
        yield f"write {n} done", issued
        yield f"only write {n} arrived", [last]
        for i in range(n - 1):
            yield f"write {n} done, write {i + 1} lost", issued[:i] + issued[i + 1:]
        offset, data = last
        for p in self.points(last):
            head, tail = (offset, data[:p]), (offset + p, data[p:])
            yield f"write {n} up to {p}", [*earlier, head]
            yield f"write {n} from {p}", [*earlier, tail]
            if earlier:
                yield f"only write {n}, up to {p}", [head]
                yield f"only write {n}, from {p}", [tail]
                yield f"writes 1 to {n}, each up to {p}", [(o, d[:p]) for o, d in issued]
                yield f"writes 1 to {n}, each from {p}", [(o + p, d[p:]) for o, d in issued]
        for unit in (SECTOR, 8 * SECTOR):
            for seed in range(self.seeds):
                which = f"random units of {unit}, seed {seed}"
                yield f"write {n}, {which}", [*earlier, *scatter([last], unit, which)]
                if earlier:
                    yield f"writes 1 to {n}, {which}", scatter(issued, unit, which)


def scatter(writes, unit, seed):
    """Some units of the writes; which, and how many of them, the seed says."""
    rnd = random.Random(seed)
    share = rnd.choice((0.02, 0.5, 0.98))
    patches = []
    for offset, data in writes:
        for at in range(0, len(data), unit):
            if rnd.random() < share:
                patches.append((offset + at, data[at:at + unit]))
    return patches
