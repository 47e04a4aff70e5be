# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs of coffer doctor in a mount namespace of their own with an empty /run. What else of the machine
a row changes (/proc/meminfo, /lib/modules) is a file of the row's own, mounted over it there."""
import contextlib
import fcntl
import json
import os
import re
import shlex
import sys
import time

from coffer import ASAN, Box
from disk import HANG, MiB, run, sha256
from tap import Tap

tap = Tap()
tap.need_root()
if "COFFER_TEST_DOCTOR" not in os.environ:
    # No hibernated system of another test as long as this one lasts, but for one row: the lock of
    # disk.block_devices() is inherited, since /run will be another folder.
    lock = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock, True)
    os.environ["COFFER_TEST_DOCTOR"] = str(lock)
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--",
                          sys.executable, *sys.argv])
from scratch import folder  # noqa: E402  its folder is made once

LOCKS = "/run/cryptsetup"
run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
os.chmod(folder, 0o755)  # for an ordinary user


def path(name):
    return os.path.join(folder, name)


def write(name, text, mode=0o644):
    with open(path(name), "w") as f:
        f.write(text)
    os.chmod(path(name), mode)
    return path(name)


@contextlib.contextmanager
def over(target, source):
    """source in the place of target, a file or folder, in this mount namespace."""
    run("mount", "--bind", source, target)
    try:
        yield
    finally:
        run("umount", target)


@contextlib.contextmanager
def lock_dir(mode=0o700, owner=0):
    os.mkdir(LOCKS)
    os.chmod(LOCKS, mode)
    os.chown(LOCKS, owner, owner)
    try:
        yield
    finally:
        run("rm", "-rf", LOCKS)


def doctor(*targets, status=(0,), prefix=(), program=ASAN, **kw):
    """The report, as JSON; what people are told says the same."""
    p = run(*prefix, program, "doctor", "--json", *targets, status=status, **kw)
    assert p.stdout.count("\n") == 1 and p.stderr == "", (p.stdout, p.stderr)
    report = json.loads(p.stdout)
    assert report["report"] == "doctor" and report["exit_code"] == p.returncode, report
    everything = [*report["machine"], *(c for d in report["disks"] for c in d["checks"])]
    if p.returncode in (0, 3):
        assert (p.returncode == 3) == any(c["verdict"] == "bad" for c in everything), report
    return report


def find(checks, id_, verdict=None):
    """The checks of this id, and of this verdict."""
    return [c for c in checks if c["id"] == id_ and verdict in (None, c["verdict"])]


def command_of(c):
    """The command that helps, for a shell."""
    return " ".join(w if w == "&&" else shlex.quote(w) for w in c["remedy"])


def machine(id_, verdict, facts="", advice="", status=None, **kw):
    """One finding of the machine, with these facts (a pattern) in its arguments."""
    status = (3 if verdict == "bad" else 0,) if status is None else status
    return one(find(doctor(healthy, status=status, **kw)["machine"], id_), verdict, facts, advice)


def facts_of(c):
    return " ".join(str(v) for v in c.get("arguments", {}).values())


def one(found, verdict, facts, advice):
    c = next((c for c in found if re.search(facts, facts_of(c))), None)
    assert c, f"no '{facts}' in {found}"
    assert c["verdict"] == verdict, c
    assert re.search(advice, c.get("advice", "") + " " + " ".join(c.get("remedy", []))), c
    return c


def disk(img, id_, verdict, facts="", advice="", status=None, **kw):
    """One finding of a disk. Of what is healthy there is no BAD."""
    before = sha256(img)
    status = (3 if verdict == "bad" else 0,) if status is None else status
    d, = doctor(img, status=status, **kw)["disks"]
    assert sha256(img) == before, "it has changed the disk"
    return one(find(d["checks"], id_), verdict, facts, advice)


def follow(finding):
    """Run the command that the finding names."""
    run("sh", "-c", command_of(finding))


def waits_for_state(pid, state):
    end = time.monotonic() + HANG
    while True:
        with open(f"/proc/{pid}/stat") as f:
            if f.read().rpartition(")")[2].split()[0] == state:
                return
        assert time.monotonic() < end, f"process {pid} does not come to {state}"
        time.sleep(0.01)


def luks_format(name, *options):
    with open(path(name), "wb") as f:
        f.truncate(24 * MiB)
    run("cryptsetup", "luksFormat", "--batch-mode", *options, path(name), box.key)
    return path(name)


box = Box(folder)
healthy = box.copy("healthy")
box.encrypt(healthy)
run("rm", "-rf", LOCKS)
