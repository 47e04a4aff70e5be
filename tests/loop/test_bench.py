#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmark, with sizes that measure nothing: its report has each value of each run, and a
coffer that is fast and wrong ends it without a report."""
import json
import os
import stat
import sys
import xml.etree.ElementTree

from coffer import COFFER
from disk import run, tempdir
from tap import Tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/bench"))
from plot import even_ticks  # noqa: E402
BENCH = os.path.join(TOP, "tests/bench/bench.py")
NAMES = ("benchmarks.md", "benchmarks.svg", "benchmarks.json")
ALL_ROWS = {"random": 1, "stock": 1, "growth": 2, "used": 2, "small": 1}  # with one filesystem

# Ends like coffer, with some of the volume changed, 64 blocks of 4096 bytes.
WRONG = """#!/bin/sh
for last; do :; done
"{coffer}" "$@" || exit
[ "$1" = encrypt ] || exit 0
head -c 262144 /dev/urandom | dd of="$last" bs=4096 seek={at} conv=notrunc \\
	iflag=fullblock status=none
"""
FAILING = "#!/bin/sh\n[ \"$1\" = --version ] && echo coffer\n"


def bench(folder, *args, status=(0,), coffer=COFFER):
    out = os.path.join(folder, "out")
    p = run(BENCH, "--scale", "tiny", "--pairs", "1", "--out", out, "--folder", folder, *args,
            status=status, env=dict(os.environ, COFFER=coffer))
    left = sorted(set(os.listdir(folder)) - {"out", "coffer"})
    assert left == [], f"left behind: {left}"
    return out, p


def whole_report():
    with tempdir() as folder:
        out, _ = bench(folder, "--fs", "ext4", "--case", "random,stock,used,small")
        with open(os.path.join(out, NAMES[2]), encoding="utf-8") as f:
            first = json.load(f)
        bench(folder, "--fs", "ext4", "--case", "growth,used", "--update")
        texts = {}
        for name in NAMES:
            with open(os.path.join(out, name), encoding="utf-8") as f:
                texts[name] = f.read()
    result = json.loads(texts["benchmarks.json"])
    assert {n: len(rows) for n, rows in result["cases"].items()} == ALL_ROWS, result["cases"]
    for rows in result["cases"].values():
        for row in rows:
            assert row["checked"], row
            for what, runs in row["runs"].items():
                assert len(runs) == 1 and runs[0]["seconds"] > 0, (what, runs)
                assert f"{runs[0]['seconds']:.2f}" in texts["benchmarks.md"], (row["name"], what)
            assert all(r["summary"]["finished"] for r in row["runs"]["coffer"]), row
    assert set(result["later"]) == {"growth", "used"}, result["later"]
    assert "measured again: growth, ext4" in texts["benchmarks.md"]
    for name, rows in first["cases"].items():
        assert (rows == result["cases"][name]) == (name != "used"), name
    random = result["cases"]["random"][0]["runs"]
    assert set(random) == {"coffer", "stock", "mover", "read", "write"}, random
    for fact in ("date", "cpu", "kernel", "cryptsetup"):
        assert result["facts"][fact] in texts["benchmarks.md"], fact
    assert "measures nothing" in texts["benchmarks.md"]
    names = [e.tag.split("}")[1] for e in xml.etree.ElementTree.fromstring(
        texts["benchmarks.svg"]).iter()]
    # as many dots as medians: two sizes, three of cryptsetup, two contents
    assert names.count("circle") == 7, names


def ticks():
    for digits in range(1, 100):
        for power in (0.001, 0.1, 1.0, 100.0):
            n = len(even_ticks(digits * power, ""))
            assert 3 <= n <= 11, (digits * power, n)


def wrong_result(case, at, words):
    """at: the first block that is changed."""
    with tempdir() as folder:
        no_report(folder, case, WRONG.format(coffer=COFFER, at=at), words)


def failing():
    with tempdir() as folder:
        no_report(folder, "random", FAILING, "status 1")


def no_report(folder, case, script, words):
    program = os.path.join(folder, "coffer")
    with open(program, "w") as f:
        f.write(script)
    os.chmod(program, stat.S_IRWXU)
    out, p = bench(folder, "--case", case, "--fs", "ext4", status=(1,), coffer=program)
    assert words in p.stderr, p.stderr
    assert not os.path.exists(out), os.listdir(out)


tap = Tap()
tap.need_root()
run("ninja", "-C", os.environ["COFFER_BUILD"], "tests/bench/mover")
tap.run([
    ("the report has every value of every run", whole_report),
    ("axes have some ticks and not too many", ticks),
    ("wrong bytes are no result", wrong_result, "random", 5000, "the content is not what it was"),
    ("a wrong file is no result", wrong_result, "small", 4096 + 33300, "files are not what they were"),
    ("a coffer that fails is no result", failing),
])
tap.done()
