#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not be left: plain content on the disk, a second copy of the key anywhere, a secret in
arguments, environment, output, core or swap."""
import contextlib
import functools
import os
import re
import signal
import subprocess
import time

import coffer
from coffer import COFFER, NOBODY, Box, one_thread
from disk import HANG, MiB, decrypt, luks_metadata, read_at, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
MARK = b"coffer-test-marker-7b1d0c-"
MAGICS = (b"LUKS\xba\xbe", b"SKUL\xba\xbe", b"COFFER-RECORD", b"COFFER-TRANSIT", b"COFFER")


def marked(size, first=0):
    """Bytes with a marker, different each time, in every 512 bytes."""
    return b"".join(MARK + b"%08d" % (first + i) + bytes(512 - len(MARK) - 8)
                    for i in range(size // 512))


# --- content -------------------------------------------------------------------------------------

@functools.cache
def marked_ext4():
    """Files, names, links and free blocks are full of markers; the journal and the reserve too."""
    box = Box(folder, name="marked", fill=0)
    tree = os.path.join(folder, "tree")
    os.makedirs(os.path.join(tree, MARK.decode()))
    for i in range(20):
        with open(os.path.join(tree, MARK.decode(), f"{MARK.decode()}{i}"), "wb") as f:
            f.write(marked(100000 // 512 * 512, i * 1000))
    os.symlink(MARK.decode(), os.path.join(tree, "link"))
    with open(box.plain, "wb") as f:  # below the filesystem everything is marked
        f.write(marked(box.size))
    run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0", "-d", tree,
        box.plain, box.end // 4096)
    assert read_at(box.plain).count(MARK) > 4000
    return box


@functools.cache
def marked_raw():
    box = Box(folder, fs="none", name="marked-raw", fill=0)
    with open(box.plain, "wb") as f:
        f.write(marked(box.end) + bytes(box.size - box.end))
    return box


def no_content_left(make, *args, before=None):
    """Nowhere in the image; the reserve's own old bytes in front of the moved-segment copy included, for
    the conversion writes there."""
    box = make()
    img = box.copy()
    cmd = one_thread(img, box.key, *args)
    if before:
        coffer.kill_at(*before, cmd)
    coffer.finish(img, box.key, *args)
    box.check(img)
    found = [m.start() for m in re.finditer(MARK, read_at(img))]
    assert not found, f"{len(found)} markers, the first at byte {found[0]} of {box.size}"


def head_copy_wiped():
    """Its place holds bytes that are neither zero nor the moved segment, different in every run."""
    img, digests = box.copy(), set()
    for _ in range(2):
        img = box.copy()
        box.encrypt(img)
        place = read_at(img, box.size - MiB, MiB)
        assert max(place.count(i) for i in range(256)) < 3 * MiB // 256, "not random"
        digests.add(place)
    assert len(digests) == 2, "the same bytes twice"


def gap_is_content():
    """[D-2S, D-S) is the end of the volume: it decrypts to the last S bytes of the content."""
    img = box.copy()
    box.encrypt(img)
    out = os.path.join(folder, "decrypted")
    n = decrypt(img, box.key, out)
    assert n == box.size - MiB, n
    assert sha256(out, box.end - MiB, MiB) == sha256(box.plain, box.end - MiB, MiB)
    assert sha256(out, 0, box.end) == sha256(box.plain, 0, box.end)


def stock_leftover():
    """A conversion that stock has all but finished: its moved-segment copy goes as well."""
    b = marked_raw()
    img = b.copy()
    coffer.stock_init(img, b.key)
    coffer.inject("fdatasync", "signal=KILL:when=10", coffer.stock_resume(img, b.key))
    coffer.finish(img, b.key)
    b.check(img)
    assert MARK not in read_at(img), "a marker is left"


# --- keys ------------------------------------------------------------------------------------------

def finished(before=None, then=None):
    img = box.copy()
    if before:
        coffer.kill_at(*before, one_thread(img, box.key))
    if then == "stock":
        run(*coffer.stock_resume(img, box.key))
    else:
        coffer.finish(img, box.key)
    box.check(img)
    return img


def magics_left(before=None, then=None):
    """Two header copies, and nothing else that could be taken for one."""
    img = finished(before, then)
    blob = read_at(img)
    size = coffer.header(img)["hdr_size"]
    for magic, wanted in zip(MAGICS, ([0], [size], [], [], [])):
        found = [m.start() for m in re.finditer(re.escape(magic), blob)]
        assert found == wanted, f"{magic}: {found}, not {wanted}"


def keyslot_once(before=None, then=None):
    """Each block of the keyslot lies at its place and nowhere else."""
    img = finished(before, then)
    area = luks_metadata(img)["keyslots"]["0"]["area"]
    start, size = int(area["offset"]), int(area["size"])
    blob = read_at(img)
    for at in range(start, start + 258048 // 4096 * 4096 - 4096, 4096):
        block = blob[at:at + 64]
        assert any(block), f"keyslot block at {at} is zero"
        found = [m.start() for m in re.finditer(re.escape(block), blob)]
        assert found == [at], f"keyslot block of byte {at}: {found}"
    assert size >= 258048


def during(moment):
    """While the conversion is under way, too, from the first commit on."""
    img = box.copy()
    coffer.kill_at(*moment, one_thread(img, box.key))
    blob = read_at(img)
    area = luks_metadata(img)["keyslots"]["0"]["area"]
    at = int(area["offset"])
    assert blob.count(blob[at:at + 4096]) == 1, "a second copy of the keyslot"
    assert blob.count(b"LUKS\xba\xbe") == blob.count(b"SKUL\xba\xbe") == 1


def after_change_of_key(before=None):
    """Then the old passphrase opens nothing, with any header that the disk could still hold."""
    img = finished(before)
    old = read_at(img)
    new = os.path.join(folder, "new-key")
    with open(new, "wb") as f:
        f.write(os.urandom(32))
    run("cryptsetup", "luksChangeKey", "--batch-mode", "--key-file", box.key, *coffer.FAST, img, new)
    test = ["cryptsetup", "open", "--test-passphrase", "--key-file"]
    run(*test, new, img)
    assert run(*test, box.key, img, status=None).returncode != 0, "the old key still opens it"
    blob = read_at(img)
    for magic in MAGICS[:2]:
        assert blob.count(magic) == 1, magic
    area = luks_metadata(img)["keyslots"]
    assert len(area) == 1, area
    # nothing of the old keyslot's area is anywhere
    at = 2 * coffer.header(img)["hdr_size"]
    for k in range(0, 258048 - 4096, 4096):
        assert old[at + k:at + k + 64] not in blob, f"block {k} of the old keyslot is left"


def after_abort():
    """What an abort gives back is the filesystem, and no header or keyslot beside it."""
    img = box.copy()
    coffer.kill_at(*moments["commit"][0][:2], one_thread(img, box.key))
    area = luks_metadata(img)["keyslots"]["0"]["area"]
    block = read_at(img, int(area["offset"]), 64)
    assert any(block)
    coffer.abort(img)
    blob = read_at(img)
    for secret in (*MAGICS, block):
        assert secret not in blob, secret
    assert not any(blob[box.end:]), "the reserve is not zero"


# --- arguments, environment, output ------------------------------------------------------------------

PASSPHRASE = "open sesame 4711 open"


def all_calls(how):
    """The passphrase is in no argument, no environment, and no output: of all calls only the read
    of it shows it, and the socket by which the helper gets it."""
    img = box.copy()
    log = os.path.join(folder, "calls")
    key = os.path.join(folder, "passphrase")
    with open(key, "w") as f:
        f.write(PASSPHRASE)
    where = {"key file": ["--key-file", key], "line": []}[how]
    cmd = [COFFER, "encrypt", *coffer.FAST, *coffer.SMALL, *where, img]
    p = run("strace", "-f", "-o", log, "-s", "65536", "-xx", "-v", *cmd,
            input=PASSPHRASE + "\n" if how == "line" else "")
    needle = "".join(f"\\x{c:02x}" for c in PASSPHRASE.encode())
    with open(log) as f:
        calls = [line.split(None, 1)[1] for line in f if needle in line or needle[:-4] in line]
    names = sorted(re.match(r"\w+", call).group() for call in calls)
    # a line is read byte by byte
    assert names == ["read"] * (how == "key file") + ["recvfrom", "sendto"], calls
    assert PASSPHRASE not in p.stdout + p.stderr
    with open(key, "wb") as f:
        f.write(PASSPHRASE.encode())
    run("cryptsetup", "open", "--test-passphrase", "--key-file", key, img)
    assert PASSPHRASE.encode() not in read_at(img)
    # nor does the volume key leave the process
    volume = os.path.join(folder, "volume-key")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(volume)
    run("cryptsetup", "luksDump", "--batch-mode", "--dump-volume-key", "--volume-key-file", volume,
        "--key-file", key, img)
    needle = "".join(f"\\x{c:02x}" for c in read_at(volume)[:16])
    with open(log) as f:  # but it comes from the kernel's random numbers
        calls = [line.split(None, 1)[1] for line in f if needle in line]
    assert all(re.match(r"(read|getrandom)\(", call) for call in calls), [c[:99] for c in calls]


def no_option_for_it():
    """No option takes a secret itself."""
    out = run(COFFER, "encrypt", "--help").stdout
    assert not re.search(r"--(passphrase|password|key|volume-key)\b(?!-)", out), out
    for option in "--passphrase=x", "--password=x", "--key=x":
        run(COFFER, "encrypt", option, box.copy(), status=(2,))


# --- memory -------------------------------------------------------------------------------------------

@contextlib.contextmanager
def running(prefix=(), program=COFFER):
    """coffer in the middle of its steps, held by a reader that does not read its events."""
    big = big_image()
    r, w = os.pipe()
    p = subprocess.Popen(
        [*prefix, program, "encrypt", "--json", *coffer.FAST, *coffer.SMALL, "--used-only=no",
         "--key-file", box.key, big], stdin=subprocess.DEVNULL, stdout=w, stderr=subprocess.DEVNULL)
    os.close(w)
    try:
        with os.fdopen(r, "rb", buffering=0) as f:
            while True:
                line = f.read(65536)
                assert line, "ended before it was looked at"
                if line.count(b'"convert"') > 0:
                    break
            end = time.monotonic() + HANG  # now the pipe fills, and coffer waits
            while status(p.pid)["State"][0] not in "S" or waiting(p.pid) != "pipe":
                assert time.monotonic() < end and p.poll() is None, "it does not wait for its reader"
                time.sleep(0.05)
            yield p
    finally:
        p.kill()
        p.wait(HANG)


def waiting(pid):
    with open(f"/proc/{pid}/wchan") as f:
        return "pipe" if "pipe" in f.read() else "other"


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def big_image():
    """Enough steps to fill a pipe with events; sparse, and so quickly read."""
    path = os.path.join(folder, "big")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    run("truncate", "-s", 1026 * MiB, path)
    run("mkfs.ext4", "-q", "-F", "-b", "4096", path, 1024 * MiB // 4096)
    os.chmod(path, 0o666)
    return path


def kib(text):
    return int(text.split()[0])


def in_memory(user):
    """Not dumpable, no core, keys locked, nobody of the same user may look in."""
    os.chmod(folder, 0o755)
    os.chmod(box.key, 0o644)
    program = os.path.join(folder, "coffer")
    coffer.install(program)
    with running(NOBODY if user else (), program) as p:
        s = status(p.pid)
        assert kib(s["VmLck"]) > 0, s["VmLck"]
        owner = os.stat(f"/proc/{p.pid}/mem").st_uid
        assert owner == 0, f"/proc/PID/mem belongs to {owner}: it is dumpable"
        with open(f"/proc/{p.pid}/limits") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"], core
        if user:
            assert s["Uid"].split()[0] == "65534"
            for name in "mem", "environ", "maps":
                q = run(*NOBODY, "head", "-c", "1", f"/proc/{p.pid}/{name}", status=None)
                assert q.returncode != 0, f"its own user can read /proc/PID/{name}"
        with open(f"/proc/{p.pid}/cmdline", "rb") as f, open(f"/proc/{p.pid}/environ", "rb") as g:
            shown = f.read() + g.read()
        assert read_at(box.key)[:8] not in shown


def aborted_without_core():
    """SIGABRT, with a limit on core files that would allow one: none is written."""
    where = os.path.join(folder, "cores")
    os.makedirs(where, exist_ok=True)
    img = box.copy()
    cmd = one_thread(img, box.key)
    p = coffer.inject("fdatasync", "signal=ABRT:when=15", ["prlimit", "--core=unlimited", *cmd],
                      cwd=where)
    assert p.returncode == -signal.SIGABRT, (p.returncode, p.stderr)
    assert not os.listdir(where), os.listdir(where)
    coffer.finish(img, box.key)
    box.check(img)


def peak(reserve, limit=128):
    """VmHWM of the engine over a large sparse image, keys, stacks and libraries included."""
    path = os.path.join(folder, "huge")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    run("truncate", "-s", 4096 * MiB, path)
    cmd = [COFFER, "encrypt", "--json", *coffer.FAST, "--key-file", box.key, "--reduce-device-size",
           reserve, "--device-size", str(4096 * MiB - int(reserve[:-1]) * MiB), path]
    most = 0
    with subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as p:
        try:
            seen = 0
            for line in p.stdout:
                if '"progress"' in line:
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):
                        most = max(most, kib(status(p.pid)["VmHWM"]))
                    seen += 1
                if seen > 20:
                    break  # by then every buffer was in use; the rest would only take time
        finally:
            p.kill()
    os.unlink(path)
    assert 0 < most < limit * 1024, f"{most} KiB"
    print(f"# peak with a reserve of {reserve}: {most} KiB")


with stack:
    box = Box(folder)
    moments = coffer.phases(box)
    half = moments["steps"][len(moments["steps"]) // 2][:2]
    ended = moments["end"]
    rows = [
        ("no content left: ext4", no_content_left, marked_ext4),
        ("no content left: raw", no_content_left, marked_raw, "--device-size", str(10 * MiB)),
    ]
    for name, moment in {"in the placement": moments["placement"][12][:2], "half way": half,
                         "before the end": ended[0][:2], "in the wipe": ended[1][:2],
                         "in the final header": ended[3][:2]}.items():
        rows.append((f"no content left: killed {name}", lambda moment=moment: no_content_left(
            marked_ext4, before=moment)))
    rows += [
        ("moved-segment copy is random bytes", head_copy_wiped),
        ("the gap holds the content's end", gap_is_content),
        ("no content left: begun by stock", stock_leftover),
    ]
    for name, args in {"one run": (), "killed in the placement": (moments["placement"][12][:2],),
                       "killed half way": (half,), "killed at the end": (ended[2][:2],),
                       "finished by stock": (half, "stock")}.items():
        rows += [(f"no magic left: {name}", magics_left, *args),
                 (f"keyslot lies once: {name}", keyslot_once, *args)]
    rows += [(f"keyslot lies once during: {what}", during, (call, n)) for call, n, what in
             (moments["commit"][0], moments["steps"][0], moments["steps"][9], ended[0])]
    rows += [
        ("old passphrase is dead after a change", after_change_of_key),
        ("old passphrase is dead after a change, killed in the placement", after_change_of_key,
         moments["placement"][12][:2]),
        ("old passphrase is dead after a change, killed half way", after_change_of_key, half),
        ("abort leaves no key", after_abort),
        ("passphrase in a key file stays there", all_calls, "key file"),
        ("passphrase on a line stays there", all_calls, "line"),
        ("no option takes a secret", no_option_for_it),
        ("SIGABRT leaves no core", aborted_without_core),
        ("memory is closed, root", in_memory, False),
        ("memory is closed, ordinary user", in_memory, True),
        ("peak memory, reserve 32M", peak, "32M"),
        ("peak memory, reserve 256M", peak, "256M"),
    ]
    tap.run(rows)
tap.done()
