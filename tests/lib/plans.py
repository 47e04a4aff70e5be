# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans as JSON: what holds for every one, first of all that it changes nothing."""
import json
import os

import coffer
from coffer import ASAN, COFFER, Box
from disk import MiB, make_image, run, sha256
from scratch import folder, path_of
from tap import Tap

tap = Tap()
tap.need_root()
box = Box(folder)
ALL = ["--used-only", "no"]
AUTO = ["--used-only", "auto"]
PREFLIGHT = ["exclusive", "writable", "locks", "state", "content", "filesystem", "single-device",
             "reserve",
          "sector-size", "header"]


def command(target, *args, program=COFFER):
    own = [] if "--reduce-device-size" in args else coffer.SMALL
    return [program, "plan", *own, *args, target]


def plan(target, *args, status=(0,), disk=None, prefix=(), program=None, speed=False, **kw):
    """The plan as JSON, by both builds; the disk is the same before and after, to the byte."""
    disk = disk or target
    before = sha256(disk)
    reports = []
    for prog in [program] if program else [ASAN, COFFER]:
        cmd = command(target, "--json", *([] if speed else ["--no-speed"]), *args, program=prog)
        p = run(*prefix, *cmd, status=status, **kw)
        lines = p.stdout.splitlines()
        assert len(lines) == 1, p.stdout
        report = json.loads(lines[0])
        assert report["report"] == "plan" and report["exit_code"] == p.returncode, report
        assert p.stderr == "", p.stderr
        reports.append(report)
    assert sha256(disk) == before, "the plan has changed the device"
    for report in reports:
        check_shape(report)
    if not speed:
        # new-header makes a header of its own each time, but says the same
        assert reports[0] == reports[-1], f"two plans differ: {reports}"
    return reports[-1]


def check_shape(report):
    if "preflight" not in report:
        return
    verdicts = {g["id"]: g["verdict"] for g in report["preflight"]}
    assert len(verdicts) == len(report["preflight"]), "an id occurs twice"
    assert report["possible"] == ("bad" not in verdicts.values()), report
    assert report["possible"] == (report["exit_code"] == 0), report
    for g in report["preflight"]:
        assert g["text"] and not g["text"].endswith("."), g
    for s in report["phases"]:
        assert s["does"] and s["worst"] and s["bytes"] > 0, s
    if report["phases"]:
        assert sum(s["bytes"] for s in report["phases"]) == report["to_write"], report


def verdicts(report, *ids):
    found = {g["id"]: g["verdict"] for g in report["preflight"]}
    return [found.get(i) for i in ids] if ids else found


def all_ok(report, *but):
    """Nobody may be seen here who uses it, and yet not everybody be visible."""
    for i, v in verdicts(report).items():
        assert i in but or v == "ok" or (i, v) == ("exclusive", "note"), report["preflight"]


def refusal(report, id_):
    [g] = [g for g in report["preflight"] if g["id"] == id_]
    assert g["verdict"] == "bad", report["preflight"]
    return g


def holes(fs, size=64 * MiB, end=62 * MiB):
    """A filesystem with 8 MiB in files."""
    img, tree = path_of(fs), path_of("tree")
    os.mkdir(tree)
    for n in range(8):
        with open(os.path.join(tree, f"f{n}"), "wb") as f:
            f.write(os.urandom(MiB))
    make_image(img, size, fs, end, tree)
    return img


def cut_after(img, flushes):
    coffer.kill_at("fdatasync", flushes,
                   coffer.command("encrypt", img, box.key, "--threads", "1", *ALL))
