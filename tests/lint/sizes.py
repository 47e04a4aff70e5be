#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file has one job: it is short, and its second line names the file and the job."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
from tap import Tap  # noqa: E402

MOST = 600
TABLE = "_table.h"  # nothing but rows: as long as it takes
CODE = re.compile(r"(src|include|examples|tests|scripts)/.*(\.(c|cc|h|py|sh)|/run)$")


def files():
    """What is in git or would be with "git add"; a release tarball has no git."""
    if os.path.exists(os.path.join(TOP, ".git")):
        names = subprocess.run(["git", "-c", "safe.directory=*", "-C", TOP, "ls-files", "-co",
                                "--exclude-standard"], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(folder, n), TOP)
                 for start in ("src", "include", "examples", "tests", "scripts")
                 for folder, _, found in os.walk(os.path.join(TOP, start)) for n in found]
    return {n: text(n) for n in names if CODE.match(n) and os.path.isfile(os.path.join(TOP, n))}


def text(name):
    with open(os.path.join(TOP, name), encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()


def too_long(tree):
    for name, lines in sorted(tree.items()):
        if len(lines) > MOST and not name.endswith(TABLE):
            yield f"{name}: {len(lines)} lines, not {MOST}: split it by subject"


def without_job(tree):
    for name, lines in sorted(tree.items()):
        if name.endswith((".c", ".h")):
            names = os.path.basename(name), name.removeprefix("include/")
            if not any(len(lines) > 1 and lines[1].startswith(f"/* {n} - ") for n in names):
                yield f"{name}: the second line is not '/* {names[0]} - its job'"


def main():
    tap, tree = Tap(), files()
    for name, rule in (("files are short", too_long),
                       ("files name their job", without_job)):
        found = list(rule(tree))
        tap.ok(tree and not found, name, "\n".join(found))
    bad = {"src/a.c": ["/* SPDX */", "/* b.c - x */"], "src/b.c": ["", "/* b.c - x */"] + MOST * [""]}
    tap.ok(len(list(too_long(bad))) == 1, "a long file is found")
    tap.ok(len(list(without_job(bad))) == 1, "a file without its job is found")
    tap.done()


main()
