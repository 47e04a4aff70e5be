#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer beside stock cryptsetup, a mover without crypto, and the raw disk.

Writes docs/benchmarks.md, docs/benchmarks.svg and docs/benchmarks.json (--out takes another
folder). Needs root for filesystems; "--case random" does not. Let nothing else run meanwhile."""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time

from cases import ON_REQUEST, ROWS, SCALES, Bench, measure
from machine import Failed, facts
from plot import plot
from report import report

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILESYSTEMS = ("ext4", "xfs", "btrfs")
QUICK_PAIRS = 2


def options(argv):
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--pairs", type=int, help="rounds of each case (7; with --quick 2)")
    ap.add_argument("--pairs-large", type=int, help="of the one with the large images (as --pairs)")
    ap.add_argument("--case", default=",".join(n for n in ROWS if n not in ON_REQUEST),
                    help="comma-separated: %(default)s")
    ap.add_argument("--fs", default=",".join(FILESYSTEMS), help="comma-separated: %(default)s")
    ap.add_argument("--scale", choices=SCALES, help="sizes (full; with --quick quick)")
    ap.add_argument("--quick", action="store_true", help="small and few, while developing; the "
                    "report goes to build/bench, since its figures are no measurement")
    ap.add_argument("--folder", help="where images are made (a new one in /var/tmp)")
    ap.add_argument("--keep", action="store_true", help="leave the plain images in --folder")
    ap.add_argument("--update", action="store_true", help="keep what the report in --out has of "
                    "other cases, and of other filesystems; it tells which were measured when")
    ap.add_argument("--out", help="folder of the report (docs)")
    args = ap.parse_args(argv)
    args.scale = args.scale or ("quick" if args.quick else "full")
    args.pairs = args.pairs or (QUICK_PAIRS if args.quick else 7)
    args.pairs_large = args.pairs_large or args.pairs
    args.out = args.out or os.path.join(TOP, "build/bench" if args.quick else "docs")
    args.case = args.case.split(",")
    args.fs = args.fs.split(",")
    if args.keep and not args.folder:
        ap.error("--keep needs --folder")
    for wanted, known in ((args.case, ROWS), (args.fs, FILESYSTEMS)):
        if set(wanted) - set(known):
            ap.error(f"known are {', '.join(known)}")
    if min(args.pairs, args.pairs_large) < 1:
        ap.error("one pair at least")
    if os.geteuid() != 0 and set(args.case) - {"random", "queue"}:
        ap.error("filesystems are mounted to fill them: run it as root, or with --case random")
    return args


def programs():
    build = os.environ.get("COFFER_BUILD", os.path.join(TOP, "build"))
    found = {"coffer": os.environ.get("COFFER", os.path.join(build, "coffer")),
             "mover": os.path.join(build, "tests/bench/mover"),
             "luks-cat": os.path.join(build, "tests/luks-cat")}
    for path in found.values():
        if not os.access(path, os.X_OK):
            raise Failed(f"{path} is not there: make bench builds it")
    return found


def whole_run(args, folder, begin):
    tools = programs()

    def say(text):
        print(f"[{time.monotonic() - begin:7.1f}] {text}", flush=True)
    bench = Bench(folder, tools, args.scale, args.fs, say)
    result = {"facts": facts(folder, tools["coffer"]), "scale": args.scale, "pairs": args.pairs,
              "pairs_large": args.pairs_large, "arguments": sys.argv[1:], "cases": {}}
    try:
        for name in (n for n in ROWS if n in args.case):
            n = args.pairs_large if name == "stock" else args.pairs
            result["cases"][name] = measure(bench, name, n, args.keep)
    finally:
        bench.close()
    result["minutes"] = (time.monotonic() - begin) / 60
    return result


def update(folder, result):
    """What is not measured anew stays in the report; in "later" is which cases were, and when."""
    with open(os.path.join(folder, "benchmarks.json"), encoding="utf-8") as f:
        old = json.load(f)
    if old["scale"] != result["scale"]:
        raise Failed(f"the report in {folder} is of another scale")
    for name, rows in result["cases"].items():
        new = {row["fs"] for row in rows}
        kept = [row for row in old["cases"].get(name, []) if row["fs"] not in new]
        old["cases"][name] = rows + kept
        old.setdefault("later", {})[name] = {
            "fs": sorted(fs or "random" for fs in new), "pairs": result["pairs"],
            **{key: result["facts"][key] for key in ("date", "load", "coffer")}}
    return old


def write(folder, result):
    """Only at the end: a run that broke leaves the report before it as it was."""
    os.makedirs(folder, exist_ok=True)
    texts = {"benchmarks.json": json.dumps(result, indent=1) + "\n",
             "benchmarks.svg": plot(result), "benchmarks.md": report(result)}
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
        print("wrote " + os.path.join(folder, name))


def main():
    args = options(sys.argv[1:])
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    os.environ["LC_ALL"] = "C.UTF-8"
    # As an exception it lets every mount and file be given back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended by SIGTERM"))
    begin = time.monotonic()
    folder = args.folder or tempfile.mkdtemp(prefix="coffer-bench-", dir="/var/tmp")
    os.makedirs(folder, exist_ok=True)
    try:
        result = whole_run(args, folder, begin)
        write(args.out, update(args.out, result) if args.update else result)
    except Failed as e:
        sys.exit(f"bench: {e}")
    finally:
        if not args.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
