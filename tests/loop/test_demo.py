# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the README promises of "make demo", on a small image."""
import os
import re

from disk import HANG, run
from tap import Tap

DEMO = os.path.join(os.path.dirname(__file__), "..", "demo.sh")
ROWS = {
    "killed in flight": r"coffer, SIGKILL at \d+ % +\d+ +\d+\.\d\d$",
    "resumed and finished": r"coffer again: resumed and finished +\d+ +\d+\.\d\d +\d+$",
    "free blocks left out": r"used by ext4; free blocks were left out +\d+$",
    "files compared": r"all \d+ files are what they were +\d+$",
    "timed": r"coffer, used blocks \(median of \d\) +\d+ +\d+\.\d\d +\d+$",
    "timed beside the stock tool": r"cryptsetup, all blocks \(median of \d\) +\d+ +\d+\.\d\d +\d+$",
    "verdict": r"PROVEN: killed at \d+ %",
}

tap = Tap()
p = run("bash", DEMO, status=None, timeout=HANG, env=dict(os.environ, COFFER_DEMO_MB="60"))
tap.ok(p.returncode == 0, "every proof holds", p.stdout + p.stderr)
for name, pattern in ROWS.items():
    tap.ok(re.search("^" + pattern, p.stdout, re.MULTILINE), f"table: {name}", p.stdout)
tap.ok(p.stderr == "", "no noise", p.stderr)
folder = re.search(r" in (/\S+)$", p.stdout, re.MULTILINE)
tap.ok(folder and not os.path.exists(folder[1]), "scratch folder is gone")
tap.done()
