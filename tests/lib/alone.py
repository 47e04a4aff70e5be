# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test that leaves nothing behind, however it ends."""
import contextlib
import os
import sys

from disk import loop, run

MARK = "COFFER_TEST_ALONE"


def begin():
    """Starts this program once more in namespaces of its own: when it ends, be it by SIGKILL, all
    processes below it are ended, too, and all that they mounted is gone, with the loop devices of
    "mount -o loop". For root; before anything is made."""
    if os.environ.get(MARK) == "1":
        return
    os.environ[MARK] = "1"
    sys.stdout.flush()
    os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--mount-proc",
                          "--kill-child=KILL", "--", sys.executable, *sys.argv])


@contextlib.contextmanager
def scratch(folder):
    """Temporary files and mount points lie below folder, and no mount stands in the way of who
    removes it."""
    os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        with open("/proc/self/mounts") as f:
            below = [line.split()[1] for line in f if line.split()[1].startswith(folder + "/")]
        for where in reversed(below):
            run("umount", "--lazy", where, status=None)


@contextlib.contextmanager
def passing_loop(path):
    """As disk.loop(), but the device goes with this process."""
    with contextlib.ExitStack() as stack:
        with loop(path) as dev:
            fd = os.open(dev, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, fd)
        # It is detached by now, which means: as soon as nobody has it open.
        yield dev
