# SPDX-License-Identifier: LGPL-2.1-or-later
"""uml - boot user-mode Linux on disk files and run steps inside it.

A real Linux kernel as an ordinary process: device-mapper, ext4, xfs and btrfs with no
need of the host's kernel. Its root is the host's tree, read-only, so the tools inside
are the installed ones. See guest.py for what it says and inside/ for what it does."""

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

import guest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from disk import tempdir  # noqa: E402
from tap import Tap  # noqa: E402

INSIDE = os.path.join(HERE, "inside")
BUILD = os.environ.get("COFFER_BUILD", os.path.join(HERE, "..", "..", "build"))
XSTATE = os.path.realpath(os.path.join(BUILD, "tests/libxstate.so"))
# Its kernel knows fewer registers than some processors have; xstate.c adds them.
KERNEL = ["env", f"LD_PRELOAD={XSTATE}", "linux.uml"]
MIB = 1 << 20


def program():
    """The coffer under test."""
    default = os.path.join(HERE, "..", "..", "build", "coffer")
    path = os.path.realpath(os.environ.get("COFFER", default))
    if not os.access(path, os.X_OK):
        raise SystemExit(f"no program at {path}: build it, or set COFFER")
    return path


def test(rows, reason=None):
    """A whole test program: rows(tap, folder), or a skip for this reason."""
    tap = Tap()
    if reason:
        tap.skip_all(reason)
    with tempdir() as folder:
        rows(tap, folder)
    tap.done()


def why_not():
    """A reason not to run here, or None."""
    if shutil.which(KERNEL[-1]) is None:
        return "no linux.uml (package user-mode-linux)"
    if os.geteuid() != 0:
        return "needs root: a guest's root is its owner on the host"
    return broken_here()


def broken_here():
    """Where user-mode Linux cannot set the processor's registers, it starts no program at all: it
    says so within a second, and then never ends. So a guest without a test is tried."""
    if not os.access(XSTATE, os.R_OK):
        return f"no library at {XSTATE}: build it"
    says = b"ptrace set fp regs failed"
    with tempfile.TemporaryDirectory(prefix="coffer-uml-") as state:
        argv = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--", *KERNEL, "mem=64M",
                "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "init=/bin/true",
                "con=null", "con0=null,fd:1", "panic=-1", f"uml_dir={state}", "umid=probe"]
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        seen, end = b"", time.monotonic() + 600
        while says not in seen and b"Attempted to kill init" not in seen and time.monotonic() < end:
            if select.select([p.stdout], [], [], 1)[0]:
                data = os.read(p.stdout.fileno(), 65536)
                if not data:
                    break
                seen += data
        p.kill()
        p.wait()
    return "linux.uml starts no program on this processor (" + says.decode() + ")" \
        if says in seen else None


def blank(path, mib):
    with open(path, "wb") as f:
        f.truncate(mib * MIB)
    return path


def boot(steps, disks, limit=90, cut=None, **env):
    """Boot on @disks (files: /dev/ubda, /dev/ubdb, ...), run @steps, return an Outcome.
    @env goes to the steps; capital letters, no blanks."""
    env = {"DEV": "/dev/ubda", "SHIFT": 1, "FS": "ext4", **env}
    with tempfile.TemporaryDirectory(prefix="coffer-uml-") as state:
        # A process namespace of its own: when the kernel's process dies, so do its helpers,
        # even if this test was killed and can no longer see to it.
        argv = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--",
                *KERNEL, "mem=640M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                f"init={INSIDE}/uml-init", "con=null", "con0=null,fd:1", "quiet", "panic=-1",
                # without these it would leave a folder in $HOME
                f"uml_dir={state}", "umid=guest",
                f"HOST_INSIDE={INSIDE}", f"HOST_COFFER={program()}",
                "STEPS=" + ",".join(steps)]
        argv += [f"ubd{n}={path}" for n, path in enumerate(disks)]
        argv += [f"{key}={value}" for key, value in env.items()]
        return guest.run(argv, limit, cut)


if __name__ == "__main__":
    why = why_not()
    print(why or "user-mode Linux runs here")
    sys.exit(why is not None)
