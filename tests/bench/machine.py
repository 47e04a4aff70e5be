# SPDX-License-Identifier: LGPL-2.1-or-later
"""What this machine is, and how a command is timed on it. Standard library only."""
import contextlib
import datetime
import os
import re
import select
import shutil
import subprocess
import time

KiB, MiB, GiB = 1 << 10, 1 << 20, 1 << 30


class Failed(Exception):
    """The benchmark cannot go on, or a result was wrong."""


def run(*cmd, timeout=900, **kw):
    """Runs cmd and returns what it printed; any other status than 0 is an error."""
    p = subprocess.run([str(c) for c in cmd], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, errors="replace", timeout=timeout,
                       check=False, **kw)
    if p.returncode != 0:
        raise Failed(f"{' '.join(map(str, cmd))}: status {p.returncode}\n"
                     f"{p.stdout[-2000:]}{p.stderr[-2000:]}")
    return p.stdout


def settle(folder, drop=True):
    """Nothing of the last run is left to write, and nothing of the next one's is read already."""
    run("sync", "-f", folder)
    if drop and os.geteuid() == 0:
        with contextlib.suppress(OSError), open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")


def timed(cmd, log, timeout=1800):
    """Runs cmd once; what it prints goes to the file log. Seconds of the wall clock, of both kinds
    of processor time, and the peak of its memory. A child starts with the peak of the process that
    made it, so the last is this program's own at least."""
    cmd = [str(c) for c in cmd]
    with open(log, "wb") as out:
        begin = time.monotonic()
        p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        try:
            end, status, usage = _wait(p, begin + timeout)
        except BaseException:
            p.kill()
            raise
    p.returncode = os.waitstatus_to_exitcode(status)  # reaped here and not by subprocess
    if p.returncode != 0:
        with open(log, errors="replace") as f:
            raise Failed(f"{' '.join(cmd)}: status {p.returncode}\n{f.read()[-2000:]}")
    return {"seconds": end - begin, "user": usage.ru_utime, "system": usage.ru_stime,
            "max_rss": usage.ru_maxrss * KiB}


def _wait(p, deadline):
    """A pidfd wakes this program at the moment the child ends; asking in turns would not."""
    fd = os.pidfd_open(p.pid)
    try:
        if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            raise Failed(f"{p.args[0]} did not end in time")
        end = time.monotonic()
        _, status, usage = os.wait4(p.pid, 0)
        return end, status, usage
    finally:
        os.close(fd)


def allocated(path):
    return os.stat(path).st_blocks * 512


def need_room(folder, wanted):
    free = shutil.disk_usage(folder).free
    if free < wanted + 2 * GiB:
        raise Failed(f"{folder} has {free >> 20} MiB free, and this case needs up to "
                     f"{(wanted >> 20) + 2048}; --folder takes another place")


def facts(folder, coffer):
    """What somebody must know who compares these figures with others."""
    def first(*cmd):
        return run(*cmd).splitlines()[0].strip()
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.MULTILINE)
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"^MemTotal:\s*(\d+)", f.read(), re.MULTILINE)[1]) * KiB
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model[1] if model else os.uname().machine,
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory,
        "kernel": os.uname().release,
        "folder": run("findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", folder).strip(),
        "coffer": first(coffer, "--version"),
        "cryptsetup": first("cryptsetup", "--version"),
        "load": os.getloadavg()[0],
    }
