# SPDX-License-Identifier: LGPL-2.1-or-later
"""guest - run one virtual machine, listen to its console, cut its power.

What user-mode Linux and QEMU tests share. A guest is a command line that prints its
console on stdout. Inside, inside/init.sh runs a list of steps and talks in lines:

    @ok NAME                 a check held
    @no NAME :: DETAIL       a check failed
    @val KEY=VALUE           something the host wants to know
    @at NAME                 a step begins (a place to cut the power)
    @end                     all steps ran

Everything else on the console is kept for the report of a failure.
"""

import ctypes
import os
import select
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 20  # limits are for an idle machine and catch what hangs; a busy one gets so much more


class Outcome:
    """What one boot said: checks [(held, name, detail)], values, and how it ended."""

    def __init__(self):
        self.checks = []
        self.values = {}
        self.ended = False      # the guest said @end
        self.cut = False        # the power was cut
        self.timed_out = False
        self.seconds = 0.0
        self.console = []

    def hear(self, line):
        self.console.append(line)
        word, _, rest = line.partition(" ")
        if word == "@ok":
            self.checks.append((True, rest, ""))
        elif word == "@no":
            name, _, detail = rest.partition(" :: ")
            self.checks.append((False, name, detail))
        elif word == "@val":
            key, _, value = rest.partition("=")
            self.values[key] = value
        elif word == "@end":
            self.ended = True

    def tail(self, lines=25):
        return "\n".join(self.console[-lines:])

    def report(self, tap, row):
        """One TAP line per check; a guest that died silently is a failure too."""
        for check, name, detail in self.checks:
            tap.ok(check, f"{row}: {name}", detail)
        if self.timed_out:
            end = f"no end after {self.seconds:.0f} s\n{self.tail()}"
        else:
            end = f"died\n{self.tail()}"
        tap.ok(self.ended, f"{row}: guest ran to its end", end)


def on_line(pattern):
    """A cut for run(): the power goes when a console line contains @pattern."""
    return lambda lines: any(pattern in line for line in lines)


def when(predicate):
    """A cut for run(): the power goes when predicate(), asked every few ms, is true.
    Looking at the disk file from outside hits a stage whatever the machine's speed."""
    return lambda lines: predicate()


def _end(proc):
    """Kill the guest with all its helpers and wait until none of them is left: one that
    still writes would touch the disk of the next boot. The helpers of a dead parent become
    children of this process, which must therefore have no others."""
    try:
        os.killpg(proc.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    proc.returncode = 0         # reaped above; keeps Popen from looking for it
    proc.stdout.close()


def run(argv, limit, cut=None):
    """Run a guest until it powers off, @cut is due or many times @limit seconds have passed.
    @cut is called with the console lines new since the last call."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    out = Outcome()
    begin = time.monotonic()
    # setpriv: the guest must not outlive a test that is killed. (SIGTERM is an exception in
    # every test that has a Tap, so that the clean-up below runs.)
    proc = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + argv,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)
    tick = 0.001 if cut else 0.2
    pending = b""
    try:
        while True:
            ready, _, _ = select.select([proc.stdout], [], [], tick)
            lines = []
            if ready:
                data = os.read(proc.stdout.fileno(), 65536)
                if not data:
                    break
                *whole, pending = (pending + data).split(b"\n")
                lines = [w.decode("utf-8", "replace").strip("\r") for w in whole]
                for line in lines:
                    out.hear(line)
            if cut and not out.ended and cut(lines):
                out.cut = True
                break
            if time.monotonic() - begin > limit * PATIENCE:
                out.timed_out = True
                break
    finally:
        _end(proc)
        out.seconds = time.monotonic() - begin
    return out
