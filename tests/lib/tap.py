# SPDX-License-Identifier: LGPL-2.1-or-later
"""TAP for tests in Python.

    tap = Tap()
    tap.ok(1 + 1 == 2, "sums")
    tap.run([("row name", function, argument...), ...])   # an exception is a "not ok"
    tap.done()

COFFER_ROWS=REGEX runs only the rows whose names match. A row that takes a second or more is
followed by a comment that says so.
"""
import os
import re
import signal
import sys
import time
import traceback

DEEP = os.environ.get("COFFER_DEEP") == "1"


def few(rows, n):
    """All rows in the deep set, else n of them: the first, the last, and evenly between them."""
    rows = list(rows)
    if DEEP or len(rows) <= n:
        return rows
    return [rows[i * (len(rows) - 1) // max(n - 1, 1)] for i in range(n)]


class Skip(Exception):
    """Raised inside a row: this machine cannot run it, and why."""


class Tap:
    def __init__(self):
        self.n = 0
        self.failed = 0
        self.rows = os.environ.get("COFFER_ROWS", "")
        # The runner's time limit comes as SIGTERM; as an exception it lets every "with" clean up.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))

    def ok(self, cond, name, detail=""):
        self.n += 1
        if not cond:
            self.failed += 1
            for line in str(detail).splitlines():
                print("# " + line)
        print(f"{'ok' if cond else 'not ok'} {self.n} - {name}", flush=True)
        return bool(cond)

    def skip(self, name, reason):
        self.n += 1
        print(f"ok {self.n} - {name} # SKIP {reason}", flush=True)

    def run(self, rows):
        for name, function, *arguments in rows:
            if not re.search(self.rows, name):
                continue
            start = time.monotonic()
            try:
                function(*arguments)
            except Skip as e:
                self.skip(name, e)
            except Exception:
                self.ok(False, name, traceback.format_exc())
            else:
                self.ok(True, name)
            if (seconds := time.monotonic() - start) >= 1:
                print(f"# {seconds:.1f} s", flush=True)

    def need_root(self):
        if os.geteuid() != 0:
            self.skip_all("needs root for loop devices and mounts")

    def skip_all(self, reason):
        print(f"1..0 # SKIP {reason}")
        sys.exit(0)

    def done(self):
        print(f"1..{self.n}")
        sys.exit(self.failed != 0)
