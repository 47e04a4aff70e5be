# SPDX-License-Identifier: LGPL-2.1-or-later
"""What coffer calls free in a filesystem, and the proof: garbage over all of it harms nothing."""
import contextlib
import hashlib
import json
import os
import random
import stat

from disk import MiB, loop, mounted, run, sha256, write_at

PLAIN = os.path.join(os.environ["COFFER_BUILD"], "tests/fsmap")
ASAN = os.path.join(os.environ["COFFER_ASAN_BUILD"], "tests/fsmap")
if not os.access(ASAN, os.X_OK):
    ASAN = PLAIN


def ask(path, *options, tool=ASAN):
    """The tool's answer, with lists of (start, end)."""
    answer = json.loads(run(tool, *options, path, status=(0, 1)).stdout)
    for name in ("free", "fixed", "prints"):
        if name in answer:
            answer[name] = [tuple(r) for r in answer[name]]
    return answer


def loops_over(path):
    return run("losetup", "--noheadings", "--output", "NAME", "--associated", path).stdout.split()


def ask_unharmed(path, *options, tool=ASAN):
    """ask() of an image, which it must leave as it is, with nothing around it."""
    before = sha256(path), os.stat(path).st_mtime_ns, loops_over(path)
    answer = ask(path, *options, tool=tool)
    after = sha256(path), os.stat(path).st_mtime_ns, loops_over(path)
    assert before == after, f"{options}: {before} became {after}"
    check_order(answer)
    return answer


def check_order(answer):
    for name in ("free", "fixed", "prints"):
        for start, end in answer.get(name, ()):
            assert 0 <= start < end, f"{name}: {start} {end}"
    for start, end in answer.get("prints", ()):
        assert start % 512 == 0 and end % 512 == 0, f"prints: {start} {end}"
    assert len(answer.get("prints", ())) <= 1024
    if "fixed" in answer:
        assert not minus([(0, 69632)], answer["fixed"]), "the first bytes are not fixed"
        assert not both(answer["prints"], free(answer)), "a print lies in what is free"


# --- lists of ranges ---------------------------------------------------------------------------

def merge(ranges):
    out = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        elif start < end:
            out.append((start, end))
    return out


def minus(a, b):
    """What a has and b has not."""
    out, b = [], merge(b)
    k = 0
    for start, end in merge(a):
        while k and b[k - 1][1] > start:
            k -= 1
        while k < len(b) and b[k][1] <= start:
            k += 1
        i = k
        while i < len(b) and b[i][0] < end:
            if b[i][0] > start:
                out.append((start, b[i][0]))
            start = max(start, b[i][1])
            i += 1
        if start < end:
            out.append((start, end))
    return out


def both(a, b):
    return minus(a, minus(a, b))


def total(ranges):
    return sum(end - start for start, end in ranges)


def free(answer):
    """What may be lost: free, and not fixed."""
    return minus(answer["free"], answer["fixed"])


# --- files -------------------------------------------------------------------------------------

def populate(where, seed=1, size=12 * MiB, files=150):
    """A filesystem with a past: files made, deleted, cut, punched, preallocated, cloned."""
    rnd = random.Random(seed)
    pool = rnd.randbytes(4 * MiB)
    names = []
    for i in range(files):
        sub = os.path.join(where, f"d{rnd.randrange(9)}")
        os.makedirs(sub, exist_ok=True)
        name = os.path.join(sub, f"f{i}" + "x" * rnd.choice((0, 5, 90)))
        length = rnd.choice((0, 1, 50, 511, 4096, 5000, 70000, 300000))
        at = rnd.randrange(len(pool) - length)
        try:
            with open(name, "wb") as f:
                if rnd.random() < 0.2:
                    f.seek(rnd.randrange(1 * MiB))  # a hole
                f.write(pool[at:at + length])
                if rnd.random() < 0.3:
                    f.flush()
                    os.fsync(f.fileno())
        except OSError:  # full: that is a filesystem, too
            break
        names.append(name)
        if rnd.random() < 0.1:
            with contextlib.suppress(OSError):
                os.setxattr(name, "user.test", pool[i:i + rnd.choice((5, 80, 900))])
        _age(rnd, where, names, pool)
    with contextlib.suppress(OSError):
        os.symlink("a" * 200, os.path.join(where, "long"))
        os.symlink("short", os.path.join(where, "brief"))
    os.makedirs(os.path.join(where, "many"), exist_ok=True)
    with contextlib.suppress(OSError):
        for i in range(files):
            with open(os.path.join(where, "many", f"{i:05}" + "y" * 60), "wb"):
                pass


def _age(rnd, where, names, pool):
    name = rnd.choice(names)
    dice = rnd.random()
    with contextlib.suppress(OSError):
        if dice < 0.1:
            names.remove(name)
            os.unlink(name)
            if not names:
                names.append(os.path.join(where, "first"))
                open(names[0], "wb").close()
        elif dice < 0.2:
            os.truncate(name, rnd.randrange(200000))
        elif dice < 0.3:
            run("fallocate", "--punch-hole", "--offset", rnd.randrange(100000), "--length",
                rnd.randrange(1, 100000), name, status=None)
        elif dice < 0.4:
            run("fallocate", "--length", rnd.randrange(1, 400000), name, status=None)
        elif dice < 0.5:
            run("cp", "--reflink=always", name, name + ".clone", status=None)
        elif dice < 0.6:
            write_at(name, rnd.randrange(100000), pool[:rnd.randrange(1, 60000)])
        elif dice < 0.63:
            fd = os.open(where, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)


def tree(where):
    """Path, kind, size, content, extended attributes of everything in it, in one digest each."""
    found = {}
    for folder, dirs, files in os.walk(where):
        for name in dirs + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [stat.S_IFMT(st.st_mode), st.st_mode, st.st_nlink]
            if stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                what += [st.st_size, sha256(path)]
                what += [(a, os.getxattr(path, a)) for a in sorted(os.listxattr(path))]
            found[os.path.relpath(path, where)] = hashlib.sha256(repr(what).encode()).hexdigest()
    return found


def tree_of(path, fs, options="ro"):
    with loop(path) as dev, mounted(dev, fs, options) as where:
        return tree(where)


# --- the proof ---------------------------------------------------------------------------------

CHECKERS = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n", "-o", "force_geometry"],
            "btrfs": ["btrfs", "check", "--readonly", "--check-data-csum"]}


def fsck(path, fs):
    with loop(path) as dev:  # some geometries they take from devices only
        run(*CHECKERS[fs], dev)


def garbage(path, ranges, seed=7):
    """Random bytes over all the ranges."""
    noise = random.Random(seed).randbytes(MiB + 4096)
    with open(path, "r+b") as f:
        for start, end in ranges:
            f.seek(start)
            while start < end:
                n = min(MiB, end - start)
                f.write(noise[start % 4096:start % 4096 + n])
                start += n


def prove(path, fs, answer, options="defaults"):
    """On a copy: with garbage over all that is free the checker is quiet, each file is as it was,
    and the filesystem can be used on."""
    copy = path + ".copy"
    try:
        run("cp", "--sparse=always", path, copy)
        before = tree_of(copy, fs)
        garbage(copy, free(answer))
        fsck(copy, fs)
        after = tree_of(copy, fs)
        assert before == after, set(before.items()) ^ set(after.items())
        with loop(copy) as dev:
            with mounted(dev, fs, options) as where:
                populate(os.path.join(where), seed=99, files=60)
                new = tree(where)
            with mounted(dev, fs, "ro") as where:
                assert tree(where) == new, "what was written afterwards"
        fsck(copy, fs)
    finally:
        if os.path.exists(copy):
            os.unlink(copy)
