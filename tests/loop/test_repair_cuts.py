#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer repair, cut: at each write and at the last flush. The next repair finishes what the first
one began. COFFER_DEEP=1 takes every call, and the repairs of a large btrfs; unit/test_crash has them
in any case."""
import os

import coffer
from coffer import ASAN, COFFER
from disk import check_fs, copy_to, read_at
from repairs import (btrfs, content, grown_mark, has_nothing_to_do, image_lost, is_plain,
                     marked, names, record_left, report, small, tap, torn, torn_segment, use)
from scratch import folder, stack
from tap import few


def cut(make, good, box):
    start = copy_to(make(), os.path.join(folder, "cut"))
    img = os.path.join(folder, "work")

    def command(path):
        return [COFFER, "repair", "--yes", "--threads", "1", "--key-file", box.key, path]
    calls = []
    for name, *_ in coffer.trace(command(copy_to(start, img))):
        calls.append((name, 1 + sum(c[0] == name for c in calls)))
    good(img)
    assert len(calls) >= 4, f"only {len(calls)} calls"
    for name, n in few(coffer.kills(calls), 5):
        copy_to(start, img)
        coffer.kill_at(name, n, command(img))
        r = report(img, "--yes", key=box.key, program=ASAN)
        assert all(a["done"] for a in r["actions"]), r
        try:
            good(img)
            has_nothing_to_do(img)
        except AssertionError as e:
            raise AssertionError(f"killed at {name} {n}, then {names(r)}") from e
    os.unlink(start)


def cut_block_0():
    img = marked(btrfs(), 8)
    files = use(img, "btrfs")

    def good(path):
        assert read_at(path, 0, 4096) == read_at(btrfs().plain, 0, 4096), "block 0 is not back"
        check_fs(path, "btrfs")
        assert content(copy_to(path, os.path.join(folder, "look")), "btrfs") == files
    cut(lambda: img, good, btrfs())


def cut_mark():
    img, files = grown_mark()

    def good(path):
        assert read_at(path, 0, 4096) == bytes(4096), "something is left of the transition block"
        check_fs(path, "btrfs")
        assert content(copy_to(path, os.path.join(folder, "look")), "btrfs") == files
    cut(lambda: img, good, btrfs())


with stack:
    tap.run([
        ("cut: recover-header-copy", cut, lambda: torn(1), lambda img: small.check(img), small),
        ("cut: recover-header-copy of the first copy", cut, lambda: torn(0),
         lambda img: small.check(img), small),
        ("cut: undo-placement", cut, image_lost, is_plain, small),
        ("cut: undo-stock-placement", cut, torn_segment, is_plain, small),
        ("cut: erase-record", cut, record_left, is_plain, small),
        *few([("cut: undo-block-0", cut_block_0), ("cut: erase-transition-block", cut_mark)], 0),
    ])
tap.done()
