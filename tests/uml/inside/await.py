#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""await.py DISK MOMENT PID - waits until the disk shows that a conversion has come so far. 1: the
process that converts it has ended before, or it took too long."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import cut

MIB = 1 << 20
LIMIT = 500


def moment(word, disk):
    name, _, value = word.partition("=")
    if name == "share":
        return cut.done(disk, float(value))
    if name == "tail":
        return cut.tail_written(disk, int(os.environ["SHIFT"]) * MIB)
    return {"hidden": cut.ext4_hidden, "placed": cut.header_placed}[name](disk)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main():
    disk, word, pid = sys.argv[1:]
    due, end = moment(word, disk), time.monotonic() + LIMIT
    while not due():
        if not is_alive(pid) or time.monotonic() > end:
            sys.exit(1)
        time.sleep(0.002)


main()
