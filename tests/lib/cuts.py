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
import tempfile

from disk import run

SECTOR = 512
RECORDIO = os.path.join(os.environ["COFFER_BUILD"], "tests/librecordio.so")
WRITE, FLUSH, UNKNOWN = 1, 2, 3


class Image:
    """The bytes of a disk. Copies share what is equal, so thousands of them are cheap."""
    CHUNK = 256 << 10

    def __init__(self, size, chunks):
        self.size, self.chunks = size, chunks

    @classmethod
    def read(cls, path, like=None):
        """The content of a file, which shares chunks with another image."""
        chunks, buffer = [], bytearray(cls.CHUNK)
        with open(path, "rb", buffering=0) as f:
            while n := f.readinto(buffer):
                found = buffer if n == cls.CHUNK else buffer[:n]
                old = like.chunks[len(chunks)] if like else None
                chunks.append(old if old == found else bytes(found))
            return cls(f.tell(), chunks)

    def write(self, path, over=None):
        """Makes this the content of a file, which now holds over."""
        with open(path, "r+b" if over else "wb", buffering=0) as f:
            for n, chunk in enumerate(self.chunks):
                if not over or over.chunks[n] is not chunk:
                    f.seek(n * self.CHUNK)
                    f.write(chunk)

    def patched(self, patches):
        """A copy with the bytes of each (offset, bytes) in it."""
        chunks = list(self.chunks)
        for offset, data in patches:
            for n in range(offset // self.CHUNK, -(-(offset + len(data)) // self.CHUNK)):
                if isinstance(chunks[n], bytes):
                    chunks[n] = bytearray(chunks[n])
                begin = n * self.CHUNK
                low, high = max(offset, begin), min(offset + len(data), begin + self.CHUNK)
                chunks[n][low - begin:high - begin] = data[low - offset:high - offset]
        return Image(self.size, [old if old == new else bytes(new)
                                 for old, new in zip(self.chunks, chunks)])

    def __getitem__(self, s):
        low, high, _ = s.indices(self.size)
        if low >= high:
            return b""
        first = low // self.CHUNK
        chunks = self.chunks[first:-(-high // self.CHUNK)]
        joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return joined[low - first * self.CHUNK:high - first * self.CHUNK]

    def __eq__(self, other):
        return isinstance(other, Image) and self.chunks == other.chunks

    def __len__(self):
        return self.size

    def part(self, at, size):
        """These bytes, as an image of their own."""
        return Image(size, [self[at + x:at + min(x + self.CHUNK, size)]
                            for x in range(0, size, self.CHUNK)])

    def has(self, data, at=0):
        """Do these bytes, or those of another image, lie here?"""
        return all(self[at + x:at + min(x + self.CHUNK, len(data))] == data[x:x + self.CHUNK]
                   for x in range(0, len(data), self.CHUNK))

    def digest(self, known):
        """A digest of all bytes. known has those of some chunks, by identity."""
        whole = hashlib.sha1()
        for chunk in self.chunks:
            whole.update(known.get(id(chunk)) or hashlib.sha1(chunk).digest())
        return whole.digest()


class Recording:
    """The writes of one run to one image. epochs[i] are the writes (offset, bytes) after i flushes;
    base and final are the images before and after."""

    def __init__(self, base, log, final):
        self.base, self.final, self.epochs = base, final, [[]]
        at = 0
        while at < len(log):
            kind, _, offset, length = struct.unpack_from("=IIQQ", log, at)
            data = log[at + 24:at + 24 + length]
            at += 24 + length
            assert kind in (WRITE, FLUSH), f"the log is incomplete: {data!r}"
            if kind == WRITE:
                self.epochs[-1].append((offset, data))
            else:
                self.epochs.append([])
        if not self.epochs[-1]:
            self.epochs.pop()
        replayed = base
        for writes in self.epochs:
            replayed = replayed.patched(writes)
        assert replayed == final, "the log misses writes"


def record(cmd, img, **kw):
    """Runs cmd and records what it writes to img. Fails unless the log explains the outcome."""
    base = Image.read(img)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(img)) as where:
        log = os.path.join(where, "log")
        env = {"LD_PRELOAD": RECORDIO, "RECORDIO_FILE": img, "RECORDIO_LOG": log}
        run(*cmd, env=dict(os.environ, **env), **kw)
        with open(log, "rb") as f:
            return Recording(base, f.read(), Image.read(img, base))


class State:
    """One state of the disk: after so many flushes, and what has arrived since then."""

    def __init__(self, epoch, name, image):
        self.epoch, self.name, self.image = epoch, name, image

    def __str__(self):
        return f"{self.epoch} flushes, then {self.name}"


class Cuts:
    """The states of a recording, each only once. points(write) gives the lengths at which a write
    is torn; seeds is the number of random choices for each cut."""

    def __init__(self, recording, points, seeds):
        self.recording, self.points, self.seeds = recording, points, seeds
        self.seen = set()

    def states(self, epochs):
        durable, done = self.recording.base, 0
        for epoch in sorted(set(epochs)):
            for writes in self.recording.epochs[done:epoch]:
                durable = durable.patched(writes)
            done = epoch
            known = {id(c): hashlib.sha1(c).digest() for c in durable.chunks}
            writes = self.recording.epochs[epoch]
            for issued in range(len(writes) + 1):
                for name, patches in self._cut(writes[:issued]):
                    image = durable.patched(patches)
                    digest = image.digest(known)
                    if digest not in self.seen:
                        self.seen.add(digest)
                        yield State(epoch, name, image)

    def _cut(self, issued):
        """(name, patches): what may have arrived of the issued writes of an epoch."""
        if not issued:
            yield "nothing arrived", []
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
        for unit in (SECTOR, 8 * SECTOR, 128 * SECTOR):
            for seed in range(self.seeds):
                which = f"units of {unit}, random {seed}"
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
