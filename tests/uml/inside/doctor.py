#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""doctor.py SPARE - coffer doctor beside mappings of device-mapper: $DEV is encrypted, the disk SPARE
is empty. Each row names what must be found, with its verdict, and the exit status: 3 if something
is bad, 0 if not."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import traceback

DEV, KEY, COFFER, SPARE = os.environ["DEV"], os.environ["KEY"], os.environ["COFFER"], sys.argv[1]
FAST = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]


def run(*argv, allowed=(0,)):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=900,
                          check=False)
    assert done.returncode in allowed, f"{argv}: exit {done.returncode}: {done.stderr[-300:]}"
    return done


class Doctor:
    """One look. Its exit status must follow from its verdicts."""

    def __init__(self, *disks):
        done = run(COFFER, "doctor", "--json", *disks, allowed=(0, 3))
        self.report = json.loads(done.stdout)
        self.machine = self.report["machine"]
        self.disks = {d["device"]: d["checks"] for d in self.report["disks"]}
        bad = [c for checks in (self.machine, *self.disks.values()) for c in checks
               if c["verdict"] == "bad"]
        want = 3 if bad else 0
        assert done.returncode == self.report["exit_code"] == want, f"{done.returncode}: {bad}"

    def finds(self, where, name, verdict, **arguments):
        """A finding whose arguments match these patterns; it is returned."""
        found = [c for c in where if c["id"] == name and c["verdict"] == verdict]
        for c in found:
            given = c.get("arguments", {})
            if all(re.search(p, str(given.get(a, ""))) for a, p in arguments.items()):
                return c
        raise AssertionError(f"no {verdict} {name} with {arguments}: "
                             f"{[c for c in where if c['id'] == name]}")

    def bad(self):
        return sorted({c["id"] for checks in (self.machine, *self.disks.values()) for c in checks
                       if c["verdict"] == "bad"})


@contextlib.contextmanager
def opened(device, name="plain"):
    run("cryptsetup", "open", "--key-file", KEY, device, name)
    try:
        yield "/dev/mapper/" + name
    finally:
        run("cryptsetup", "close", name)


@contextlib.contextmanager
def mapped(name, table):
    run("dmsetup", "create", name, "--table", table)
    try:
        yield "/dev/mapper/" + name
    finally:
        run("dmsetup", "remove", "--retry", name)


def sectors(device):
    return int(run("blockdev", "--getsz", device).stdout)


def kernel():
    d = Doctor()
    d.finds(d.machine, "dm-crypt", "ok")
    d.finds(d.machine, "udev", "ok")
    d.finds(d.machine, "locks", "ok")
    assert list(d.disks) == [DEV] and not d.bad(), d.report


def open_volume():
    """The mapping is no disk that needs care of its own, and the disk below is well."""
    with opened(DEV):
        d = Doctor()
        assert list(d.disks) == [DEV] and not d.bad(), d.report
        d.finds(d.disks[DEV], "conversion", "ok")


def swap_beside_it():
    run("mkswap", SPARE)
    run("swapon", SPARE)
    d = Doctor()
    d.finds(d.machine, "swap", "ok")
    with opened(DEV):
        d = Doctor()
        d.finds(d.machine, "swap", "note", swap=f"^{SPARE}$")
    run("swapoff", SPARE)


def swap_on_dm_crypt():
    run("wipefs", "-qa", SPARE)
    run("cryptsetup", "open", "--type", "plain", "--cipher", "aes-xts-plain64", "--key-size", "256",
        "--key-file", "/dev/urandom", SPARE, "swap")
    run("mkswap", "/dev/mapper/swap")
    run("swapon", "/dev/mapper/swap")
    with opened(DEV):
        d = Doctor()
        d.finds(d.machine, "swap", "ok")
    run("swapoff", "/dev/mapper/swap")
    run("cryptsetup", "close", "swap")


def volume_on_a_mapping():
    """Found under the name that people know it by, and once: not again as the disk below."""
    with mapped("linear", f"0 {sectors(SPARE) - 2048} linear {SPARE} 2048") as device:
        run("cryptsetup", "luksFormat", "-q", "--type", "luks2", *FAST, "--key-file", KEY, device)
        d = Doctor()
        assert sorted(d.disks) == sorted([DEV, device]) and not d.bad(), list(d.disks)


def no_key_left():
    """While it is open, there is a way out."""
    run("cryptsetup", "luksFormat", "-q", "--type", "luks2", *FAST, "--key-file", KEY, SPARE)
    with opened(SPARE, "spare"):
        run("cryptsetup", "erase", "-q", SPARE)
        d = Doctor(SPARE)
        while_open = d.finds(d.disks[SPARE], "keyslot", "bad")["advice"]
    d = Doctor(SPARE)
    assert d.finds(d.disks[SPARE], "keyslot", "bad")["advice"] != while_open, d.report
    run("wipefs", "-qa", SPARE)


def convert(device):
    return subprocess.Popen(["coffer_run", device], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "RATE": "256K"})


def until(process, device, moment):
    run(sys.executable, os.path.join(os.path.dirname(__file__), "await.py"), device, moment,
        str(process.pid))


def stopped_on_a_mapping():
    """Who holds the lock is named and so is its volume; then it is killed, and only its lock file is
    left, and a disk that is not done."""
    run("mkfs.ext4", "-q", "-F", SPARE, str((sectors(SPARE) - 8192) // 2))
    with mapped("low", f"0 {sectors(SPARE)} linear {SPARE} 0") as device:
        process = convert(device)
        try:
            until(process, SPARE, "placed")
            os.kill(process.pid, signal.SIGSTOP)
            d = Doctor()
            lock = d.finds(d.machine, "lock", "bad", holder=f"process {process.pid} ",
                           object=f"dm-{os.minor(os.stat(device).st_rdev)}$")
            assert lock["remedy"] == ["kill", "-CONT", str(process.pid)], lock
            assert sorted(d.disks) == sorted([DEV, device]), list(d.disks)
            d.finds(d.disks[device], "conversion", "note", pid=f"^{process.pid}$")
        finally:
            process.kill()
            process.wait()
        d = Doctor()
        d.finds(d.machine, "locks", "ok")
        d.finds(d.disks[device], "conversion", "bad")
        assert d.bad() == ["conversion"], d.bad()
        run("coffer_run", device)
        d = Doctor()
        d.finds(d.disks[device], "conversion", "ok")
        assert not d.bad(), d.bad()


def main():
    for row in (kernel, open_volume, swap_beside_it, swap_on_dm_crypt, volume_on_a_mapping,
                no_key_left, stopped_on_a_mapping):
        name = row.__name__.replace("_", " ")
        try:
            row()
            print(f"@ok {name}", flush=True)
        except Exception:
            told = " ".join(traceback.format_exc().split())
            print(f"@no {name} :: {told[-900:]}", flush=True)


main()
