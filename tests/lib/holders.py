# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holders of a device or image file, as tests/tools/holders.c finds them, and processes that hold one."""
import contextlib
import json
import os
import subprocess
import sys

from disk import MiB, loop, make_image, run
from scratch import path_of

INIT_PID_NS = 0xEFFFFFFC
PLAIN_TOOL = os.path.join(os.environ["COFFER_BUILD"], "tests/holders")
TOOL = os.path.join(os.environ["COFFER_ASAN_BUILD"], "tests/holders")
if not os.access(TOOL, os.X_OK):
    TOOL = PLAIN_TOOL



def short(dev):
    return os.path.basename(dev)


def is_ours(pid):
    """This process, or one below it."""
    while pid != os.getpid():
        try:
            with open(f"/proc/{pid}/stat") as f:
                pid = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == 0:
            return False
    return True


def find_holders(target, volume="", prefix=(), tool=TOOL):
    """What the tool reports: the holders, and whether these are all. Left out are processes of others,
    say of another test: coffer, losetup and udev look at every block device of the machine."""
    lines = [json.loads(s) for s in run(*prefix, tool, target, volume).stdout.splitlines()]
    return ([u for u in lines[:-1] if u["kind"] != "process" or is_ours(u["pid"])],
            lines[-1]["complete"])


def assert_holders(target, *want, volume="", prefix=(), tool=TOOL):
    """The holders of target are these and no others; each as (kind, name[, on]) or, for a process,
    (kind, name, on, pid, writes)."""
    got = []
    for u in find_holders(target, volume, prefix, tool)[0]:
        row = (u["kind"], u["name"], u["device"])
        got.append(row + (u["pid"], u["writes"]) if u["pid"] or u["writes"] else row)
    want = [w if len(w) > 2 else (*w, "") for w in want]
    assert got == want, f"{target} is held by\n  {got}, not by\n  {want}"


def image(fs="ext4", size=12 * MiB):
    path = path_of("image")
    make_image(path, size, fs, size)
    return path


@contextlib.contextmanager
def process(*cmd, **kw):
    """cmd, until it is no longer needed; it says a line when it has everything open."""
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, **kw) as p:
        try:
            assert p.stdout.readline(), f"{cmd} ended with {p.wait()}"
            yield p.pid
        finally:
            p.kill()


def opener(*files, name="opener"):
    """A process called name that has files open: pairs of a path and how os.open takes it."""
    opens = "".join(f"os.open({path!r}, os.{how}); " for path, how in files)
    code = (f"import os, time; open('/proc/self/comm', 'w').write({name!r}); {opens}"
            "print('ready', flush=True); time.sleep(86400)")
    return process(sys.executable, "-c", code)


@contextlib.contextmanager
def on(block, img):
    """img, or a loop device over it."""
    if not block:
        yield img
        return
    with loop(img) as dev:
        yield dev


def everything_is_readable():
    """Whether this process may see all others, asked in its own way."""
    if os.stat("/proc/self/ns/pid").st_ino != INIT_PID_NS:
        return False
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            os.stat(f"/proc/{pid}/ns/mnt")
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    os.stat(f"/proc/{pid}/fd/{fd}")
        except (FileNotFoundError, ProcessLookupError):
            pass
        except PermissionError:
            return False
    return True
