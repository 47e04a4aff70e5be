# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs of coffer and of stock cryptsetup, and how to stop either at a chosen system call.

Where the moment matters a run has one thread and strace counts its calls, so a row hits the same
write each time; trace() tells which call is which, so no row knows a number by heart.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import fsfree
from disk import (HANG, NO_LOCKS, MiB, check_fs, copy_to, luks_metadata, make_image, make_tree, run,
                  sha256, tempdir, write_at)

COFFER = os.environ["COFFER"]
ASAN = os.environ.get("COFFER_ASAN", COFFER)
if not os.access(ASAN, os.X_OK):
    ASAN = COFFER
RECORDIO = os.path.join(os.environ["COFFER_BUILD"], "tests/librecordio.so")
LUKS_CAT = os.path.join(os.environ["COFFER_BUILD"], "tests/luks-cat")

FAST = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
SMALL = ["--reduce-device-size", "2M"]  # S = 1 MiB
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


# A look at the whole machine sees the locks of other tests too: this one has a /run of its own.
OWN_RUN = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
           'mount -t tmpfs tmpfs /run && exec "$0" "$@"']


# --- something to encrypt ----------------------------------------------------------------------

class Box:
    """A folder with a key and a plain image, from which every row takes a fresh copy.

    The filesystem is full of random bytes and so is the reserve after it: a block that is lost,
    moved or left over is seen."""

    def __init__(self, folder, size=12 * MiB, fs="ext4", end=None, name="plain", options=(),
                 fill=40 * MiB, **make):
        self.folder, self.fs, self.size = folder, fs, size
        self.end = size - 2 * MiB if end is None else end
        self.key = os.path.join(folder, "key")
        if not os.path.exists(self.key):
            with open(self.key, "wb") as f:
                f.write(os.urandom(32))
        self.plain = os.path.join(folder, name)
        tree = os.path.join(folder, name + ".tree")
        os.mkdir(tree)
        make_tree(tree, max(0, min(self.end * 3 // 4 - 4 * MiB, fill)), seed=size)
        if fs == "none":
            with open(self.plain, "wb") as f:
                f.write(os.urandom(size))
        else:
            make_image(self.plain, size, fs, self.end, tree, options=options, **make)
            write_at(self.plain, self.end, os.urandom(min(size - self.end, 4 * MiB)))
        run("rm", "-rf", tree)

    def copy(self, name="work"):
        return copy_to(self.plain, os.path.join(self.folder, name))

    def encrypted(self, name="encrypted"):
        img = self.copy(name)
        self.encrypt(img)
        return img

    def encrypt(self, img, *args, **kw):
        return encrypt(img, self.key, *args, **kw)

    def check(self, img, end=None, plain=None):
        """The volume is finished and holds every byte of the original."""
        assert_final(img)
        want = sha256(plain or self.plain, 0, end or self.end)
        got = volume_sha256(img, self.key, end or self.end)
        assert got == want, f"{img}: the content differs"

    def used(self):
        """What the filesystem uses, [(start, end)], by its own tools."""
        return fsfree.used_ranges(self.plain, self.fs, self.end)

    def check_used(self, img, key=None):
        """The volume is finished and holds every byte that the filesystem used; the rest may be
        anything after a run that left free blocks out."""
        assert_final(img)
        out = volume_file(img, key or self.key, self.end, os.path.join(self.folder, "volume"))
        try:
            lost = fsfree.differing(self.plain, out, self.used())
            assert not lost, f"{img}: used bytes differ, at {lost} ..."
            check_fs(out, self.fs)
        finally:
            os.unlink(out)


def volume_sha256(img, key, size):
    cat = f'"$0" "$1" "$2" | head -c {size} | sha256sum'
    return run("sh", "-c", cat, LUKS_CAT, img, key).stdout.split()[0]


def volume_file(img, key, size, out):
    """The decrypted content as a file, for the filesystem's checker."""
    run("sh", "-c", f'"$0" "$1" "$2" | head -c {size} >"$3"', LUKS_CAT, img, key, out)
    return out


# --- coffer -------------------------------------------------------------------------------------

def install(target, program=COFFER):
    """A copy of the program, with its helper beside it, where others may run it."""
    run("cp", program, os.path.join(os.path.dirname(program), "coffer-helper"),
        target if os.path.isdir(target) else os.path.dirname(target))
    made = os.path.join(os.path.dirname(target), os.path.basename(program))
    if not os.path.isdir(target) and made != target:
        os.rename(made, target)


def command(verb, img, key=None, *args, program=COFFER):
    """Everything is converted unless the row says otherwise: then every byte of the content can be
    asked for. Rows about used space say so."""
    own = FAST if "--reduce-device-size" in args else FAST + SMALL
    if not any(a.startswith("--used-only") for a in map(str, args)):
        own = [*own, "--used-only=no"]
    if verb != "encrypt":
        own = []
    return [program, verb, *own, *(["--key-file", key] if key else []), *args, img]


def encrypt(img, key, *args, program=COFFER, status=(0,), prefix=(), **kw):
    return run(*prefix, *command("encrypt", img, key, *args, program=program), status=status, **kw)


def abort(img, *args, program=COFFER, status=(0,), prefix=(), **kw):
    return run(*prefix, *command("abort", img, None, *args, program=program), status=status, **kw)


def finish(img, key, *args, **kw):
    """Runs coffer until the volume is finished. A run that was stopped after its last write has
    left nothing to do, which the next one says with status 4."""
    p = encrypt(img, key, *args, status=(0, 4), **kw)
    if p.returncode == 4:
        assert is_final(img), p.stderr
        run("cryptsetup", "luksDump", *NO_LOCKS, img)  # repairs a torn second copy
    return p


def events(p):
    """The JSON lines of a run with --json."""
    return [json.loads(line) for line in p.stdout.splitlines()]


def summary(p):
    """The last JSON line of a run with --json."""
    return events(p)[-1]


def why(report):
    """Id and errno of what a JSON report or summary says went wrong: "reserve ENOSPC"."""
    return " ".join(report[name] for name in ("id", "errno") if name in report)


# --- stock cryptsetup ----------------------------------------------------------------------------

def stock(img, key, *args, reserve="2M"):
    """The command that encrypts like coffer does."""
    return ["cryptsetup", "reencrypt", "--encrypt", "--type", "luks2", "--batch-mode",
            "--force-offline-reencrypt", *FAST, "--reduce-device-size", reserve,
            "--key-file", key, *args, img]


def stock_init(img, key, *args, **kw):
    """Its header is placed, and nothing is encrypted yet."""
    run(*stock(img, key, "--init-only", *args, **kw), cwd=os.path.dirname(img))
    return img


def stock_resume(img, key):
    return ["cryptsetup", "reencrypt", "--resume-only", "--batch-mode",
            "--force-offline-reencrypt", "--key-file", key, img]


# --- headers --------------------------------------------------------------------------------------

def header(img):
    """The fields of both binary headers, and whether their JSON areas are equal."""
    with open(img, "rb") as f:
        first = f.read(4096)
        size = int.from_bytes(first[8:16], "big")
        json_1 = f.read(size - 4096)
        second = f.read(4096)
        json_2 = f.read(size - 4096)

    def text(block, at, n):
        return block[at:at + n].split(b"\0")[0].decode()
    return {"magics": (first[:6], second[:6]), "hdr_size": size,
            "seqids": (int.from_bytes(first[16:24], "big"), int.from_bytes(second[16:24], "big")),
            "label": text(first, 24, 48), "checksum": text(first, 72, 32),
            "uuid": text(first, 168, 40), "subsystem": text(first, 208, 48),
            "equal": json_1 == json_2}


def regular(meta):
    """The segments that map something, in their order."""
    all_ = [meta["segments"][k] for k in sorted(meta["segments"], key=int)]
    return [s for s in all_ if not any(f.startswith("backup") for f in s.get("flags", []))]


def requirements(meta):
    return meta["config"].get("requirements", {}).get("mandatory", [])


def pointer(img):
    """Bytes that are still plain; None when the volume is no conversion (any more)."""
    meta = luks_metadata(img)
    if not requirements(meta):
        return None
    return sum(int(s["size"]) for s in regular(meta) if s["type"] == "linear")


def is_final(img):
    with open(img, "rb") as f:
        if f.read(6) != b"LUKS\xba\xbe":
            return False
    return not requirements(luks_metadata(img))


def assert_final(img):
    meta = luks_metadata(img)
    assert not requirements(meta), meta["config"]
    segments = list(meta["segments"].values())
    assert len(segments) == 1 and segments[0]["type"] == "crypt", segments
    assert segments[0]["size"] == "dynamic" and "flags" not in segments[0], segments
    assert [k["type"] for k in meta["keyslots"].values()] == ["luks2"], meta["keyslots"]
    assert len(meta["digests"]) == 1, meta["digests"]
    h = header(img)
    assert h["magics"] == (b"LUKS\xba\xbe", b"SKUL\xba\xbe"), h
    assert h["seqids"][0] == h["seqids"][1] and h["equal"], h


# --- the chosen moment ----------------------------------------------------------------------------

def trace(cmd, calls="pwrite64,fdatasync", **kw):
    """Runs cmd; its main thread's calls as (name, offset or None, size or None, text)."""
    found = []
    with tempdir() as folder:
        log = os.path.join(folder, "log")
        run("strace", "-o", log, "-s", "16", "-e", "trace=" + calls, *cmd, **kw)
        with open(log, errors="replace") as f:
            for line in f:
                m = re.match(r"(\w+)\(.*\) += +\S+", line)
                n = re.search(r", (\d+), (\d+)\) += ", line)
                if m:
                    found.append((m[1], int(n[2]) if n else None, int(n[1]) if n else None, line))
    return found


def inject(call, what, cmd, log="/dev/null", status=None, **kw):
    """Runs cmd with strace's injection, e.g. inject("pwrite64", "signal=KILL:when=3", cmd)."""
    return run("strace", "-f", "-qq", "-o", log, "-e", "trace=" + call,
               "-e", f"inject={call}:{what}", *cmd, status=status, **kw)


def kill_at(call, n, cmd, **kw):
    """SIGKILLs cmd at the entry of its n-th call; an error when it never came that far."""
    p = inject(call, f"signal=KILL:when={n}", cmd, **kw)
    assert p.returncode == -signal.SIGKILL, (
        f"not killed at {call} {n}, but status {p.returncode}: {p.stdout} {p.stderr}")


def kill_before(what, img, cmd, done=(0,), **kw):
    """SIGKILLs cmd before its n-th flush of img, write to it, or write of its header ("flush 3",
    "write 7", "header 2"; "header 2 torn": after one half of it). False: it came to its end first,
    with a status of done. Much faster than kill_at(), and counts what all threads do; not for a
    program with sanitizers."""
    env = dict(os.environ, LD_PRELOAD=RECORDIO, RECORDIO_FILE=img, RECORDIO_KILL=what)
    p = run(*cmd, env=env, status=(*done, -signal.SIGKILL), **kw)
    return p.returncode == -signal.SIGKILL


@contextlib.contextmanager
def paused(call, n, cmd, timeout=HANG):
    """cmd, stopped by SIGSTOP at the entry of its n-th call; afterwards it goes on to its end, which
    must be a good one."""
    with tempdir() as folder:
        yield from _paused(call, n, cmd, timeout, os.path.join(folder, "log"))


def _paused(call, n, cmd, timeout, log):
    p = subprocess.Popen(["strace", "-f", "-o", log, "-e", "trace=" + call,
                          "-e", f"inject={call}:signal=STOP:when={n}", *cmd],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    pid = None
    try:
        end = time.monotonic() + timeout
        while pid is None:
            assert p.poll() is None, f"ended before it was stopped: {p.stdout.read()}"
            assert time.monotonic() < end, f"{cmd} was not stopped in {timeout} s"
            time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError), open(log, errors="replace") as f:
                m = re.search(r"^(\d+) +--- stopped by SIGSTOP", f.read(), re.MULTILINE)
                pid = int(m[1]) if m else None
        yield pid
        os.kill(pid, signal.SIGCONT)
        out = p.communicate(timeout=timeout)[0]
        assert p.returncode == 0, f"after SIGCONT status {p.returncode}: {out}"
    finally:
        if p.poll() is None:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                p.terminate()
            p.communicate(timeout=timeout)


def signal_at(cmd, sig, wanted, timeout=HANG, **kw):
    """Starts cmd, which must have --json, and sends it sig at the first event that wanted() likes.
    Returns (status, events, stderr); the status is 0 when it was done before."""
    seen, sent = [], False
    with subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **kw) as p:
        try:
            end = time.monotonic() + timeout
            for line in p.stdout:
                assert time.monotonic() < end, f"{cmd} took more than {timeout} s"
                seen.append(json.loads(line))
                if not sent and wanted(seen[-1]):
                    p.send_signal(sig)
                    sent = True
            err = p.stderr.read()
            p.wait(timeout)
        except BaseException:
            p.kill()
            raise
    return p.returncode, seen, err


PHASES = ("placement", "commit", "steps", "end")


def phases(box, *args):
    """The calls of a whole run of one thread, by phase: lists of (call, n, what), where n counts the
    calls of that name from the start. "placement" ends before the first commit, which says once
    more where the conversion stands; "end" begins when the last step is durable. For S = 1 MiB."""
    img = box.copy("phases")
    calls = trace(one_thread(img, box.key, *args))
    os.unlink(img)
    headers = [i for i, c in enumerate(calls) if c[0] == "pwrite64" and c[1] == 0
               and "LUKS" in c[3]]
    commit = headers[1]
    steps = min(i for i, c in enumerate(calls) if i > commit and c[2] == MiB)
    last = max(i for i, c in enumerate(calls) if c[1] == MiB and c[2] == MiB)
    end = min(i for i in headers if i > last) + 4  # two copies and their flushes
    found = {p: [] for p in PHASES}
    count = {}
    for i, (name, at, size, _) in enumerate(calls):
        count[name] = count.get(name, 0) + 1
        phase = PHASES[(i >= commit) + (i >= steps) + (i >= end)]
        what = f"{phase}, {name} {count[name]}" + (f" ({size} at {at})" if at is not None else "")
        found[phase].append((name, count[name], what))
    return found


def kills(calls):
    """Of (call, n, ...) those whose kills leave different disks. SIGKILL loses nothing that was written:
    before a flush the disk is what it is before the next write. The last call stays in any case."""
    return [c for c in calls if c[0] != "fdatasync" or c is calls[-1]]


def one_thread(img, key, *args, **kw):
    return command("encrypt", img, key, "--threads", "1", *args, **kw)
