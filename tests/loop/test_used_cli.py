#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a run reports of used blocks and of the others: in the summary, in a dry run, in a refusal;
and one measure of progress everywhere."""
import contextlib
import json
import os
import re
import shlex
import subprocess
import time

import coffer
from coffer import ASAN, COFFER, NOBODY, Box
from disk import HANG, MiB, make_image, mounted, run, sha256, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
AUTO = ["--used-only", "auto"]


def dirty():
    img = box.copy("dirty")
    run("debugfs", "-w", "-R", "feature needs_recovery", img)
    return img


def unknown():
    img = os.path.join(folder, "unknown")
    with open(img, "wb") as f:
        f.write(os.urandom(8 * MiB))
    return img


def reports(make, args, used_only, free_space=None, because=""):
    """What the summary says was left out, what became of it, and why nothing was."""
    own = [] if "--used-only" in args else AUTO
    last = coffer.summary(coffer.encrypt(make(), box.key, "--json", *own, *args))
    assert last["used_only"] == used_only and last.get("free_space") == free_space, last
    assert (last["bytes_used"] < last["data_size"]) == used_only, last
    assert last.get("all_because", "").startswith(because) and \
        bool(because) == ("all_because" in last), last
    assert (last.get("bytes_filled", 0) > 0) == (free_space == "fill"), last


def dry_run(how):
    img = box.copy("dry")
    before = sha256(img)
    last = coffer.summary(coffer.encrypt(img, box.key, "--dry-run", "--json", *AUTO,
                                         "--free-space", how))
    assert last["dry_run"] and last["filesystem"] == "ext4" and last["free_space"] == how, last
    assert last["used_only"] and last["bytes_used"] < last["data_size"], last
    assert sha256(img) == before


def refused(make, *args, prefix=(), program=COFFER):
    img = make()
    os.chmod(img, 0o666)
    before = sha256(img)
    for dry in [], ["--dry-run"]:
        p = coffer.encrypt(img, box.key, "--used-only", "yes", "--json", *dry, *args, status=(4,),
                           prefix=prefix, program=program)
        last = coffer.summary(p)
        assert coffer.why(last) == "used-only EOPNOTSUPP", last
        assert "--used-only=auto" in last["advice"], last
    assert sha256(img) == before, "refused, but the device was changed"


def interrupted():
    """The command that resumes has the options that count for each run, and all others."""
    img = box.copy("interrupted")
    cmd = coffer.one_thread(img, box.key, *AUTO, "--free-space", "fill", "--verify", "--max-rate",
                            "1G")
    p = coffer.inject("pwrite64", "error=EIO:when=20+", cmd)
    assert p.returncode == 5, (p.returncode, p.stderr)
    assert f" coffer {shlex.join(cmd[1:])}\n" in p.stderr, p.stderr
    coffer.finish(img, box.key)
    coffer.assert_final(img)


def progress_of(img):
    """(converted, total) as status reports them; the line for people has the same percentage."""
    s, = json.loads(run(ASAN, "status", "--json", img).stdout)["devices"]
    assert s["stage"] == "converting", s
    done, total = s["bytes_converted"], s["bytes_total"]
    text = run(COFFER, "status", img).stdout
    assert f": converting, {done * 100 // total} %\n" in text, text
    assert re.search(r"progress  \S+ \S+ of \S+ \S+\n", text), text
    return done, total


def one_measure(used_only, spoil=None):
    """Bug: status, dry run, repair, plan and abort each had another number for one progress. They
    and the run that resumes count the same bytes."""
    img = box.copy("measure")
    coffer.kill_at("fdatasync", 26, coffer.one_thread(img, box.key, "--used-only", used_only))
    all_ = box.end - coffer.pointer(img), box.end
    done, total = progress_of(img)
    assert 0 < done < total <= box.end, (done, total)
    assert (used_only == "no") == (total == box.end), total
    if spoil:
        spoil(img)
        assert progress_of(img) == all_, "a map that no run can follow measures nothing"
        done, total = all_
    shown = re.search(r"progress +(.+)\n", run(COFFER, "status", img).stdout)[1]
    for verb, *words in (["abort"], ["repair", "--dry-run"], ["plan", "--no-speed"],
                         ["encrypt", "--dry-run"]):
        p = run(COFFER, verb, *words, img, status=(4,) if verb == "abort" else (0,))
        assert f" {shown}" in p.stdout + p.stderr, (shown, p.stdout, p.stderr)
    dry = coffer.events(coffer.encrypt(img, box.key, *AUTO, "--dry-run", "--json"))[-1]
    assert (dry["bytes_converted"], dry["bytes_used"]) == (done, total), dry
    events = coffer.events(coffer.encrypt(img, box.key, *AUTO, "--json", program=ASAN))
    first = next(e for e in events if e.get("phase") == "convert")
    assert (first["done"], first["total"]) == (done, total), (first, done, total)
    assert events[-1]["bytes_converted"] == events[-1]["bytes_used"] == total, events[-1]
    box.check_used(img)


def tear_map(img):
    """One byte of the used map's second block, which lies after the keyslots area."""
    with open(img, "r+b") as f:
        head = f.read(MiB)
        at = head.index(b"COFFER-USEDMAP") + 4096
        f.seek(at)
        f.write(bytes([head[at] ^ 1]))


def nobody():
    """xfs tells an ordinary user nothing."""
    img = os.path.join(folder, "xfs")
    make_image(img, 34 * MiB, "xfs", 32 * MiB)
    return img


def while_it_asks(use, why):
    """The image is used while the run waits for its key: its map is out of date."""
    img = box.copy("asks")
    with subprocess.Popen(coffer.command("encrypt", img, None, *AUTO, "--json", "--key-file", "-"),
                          text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        try:
            until_it_reads(p)
            with contextlib.ExitStack() as held:
                use(img, held)
                before = sha256(img)
                out = p.communicate("secret", timeout=HANG)[0]
                assert p.returncode == 4, (p.returncode, out)
                assert coffer.why(json.loads(out.splitlines()[-1])) == why, out
                assert sha256(img) == before, "it has written to the image"
        finally:
            p.kill()


def until_it_reads(p):
    end = time.monotonic() + HANG
    while True:
        with open(f"/proc/{p.pid}/wchan") as f:
            if "poll" in f.read():  # for its standard input
                return
        assert p.poll() is None and time.monotonic() < end, "it does not ask for a key"
        time.sleep(0.02)


def used_meanwhile(img, held):
    with mounted(img, "ext4", "loop") as at, open(os.path.join(at, "new"), "wb") as f:
        f.write(os.urandom(3 * MiB))


def still_mounted(img, held):
    held.enter_context(mounted(img, "ext4", "loop"))


with stack:
    box = Box(folder, 40 * MiB, fill=8 * MiB)
    os.chmod(folder, 0o755)
    os.chmod(box.key, 0o644)
    mine = os.path.join(folder, "coffer")
    coffer.install(mine)
    tap.run([
        ("keep", reports, lambda: box.copy("keep"), [], True, "keep"),
        ("fill", reports, lambda: box.copy("fill"), ["--free-space", "fill"], True, "fill"),
        ("discard", reports, lambda: box.copy("discard"), ["--free-space", "discard"], True,
         "discard"),
        ("everything as asked", reports, lambda: box.copy("no"), ["--used-only", "no"], False),
        ("everything: dirty journal", reports, dirty, [], False, None, "ext4: "),
        ("everything: unknown content", reports, unknown, ["--device-size", "6M"], False, None,
         "unrecognized content"),
        *((f"dry run: {how}", dry_run, how) for how in ("keep", "discard", "fill")),
        ("refused: dirty journal", refused, dirty),
        ("refused: unknown content", refused, unknown, "--device-size", "6M"),
        ("refused: xfs and an ordinary user", lambda: refused(nobody, prefix=NOBODY, program=mine)),
        ("interrupted: the command that resumes", interrupted),
        ("one measure of progress: used blocks", one_measure, "auto"),
        ("one measure of progress: everything", one_measure, "no"),
        ("one measure of progress: a damaged map", one_measure, "auto", tear_map),
        ("used while it asks for a key", while_it_asks, used_meanwhile,
         "changed EBUSY"),
        # Bug: an image was encrypted by a map from before it was mounted
        ("mounted while it asks for a key", while_it_asks, still_mounted,
         "exclusive EBUSY"),
    ])
tap.done()
