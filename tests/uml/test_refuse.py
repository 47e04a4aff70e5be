#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk somebody uses is refused with exit code 4 and left as it is; let go of, it is taken. And the
names of those who use it."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml


def rows(tap, folder):
    disks = [uml.blank(os.path.join(folder, name), 64) for name in ("disk", "spare")]
    boot = uml.boot(["prepare", "holders", "refuse", "encrypt", "verify"], disks,
                    MORE="refuse,holders", SPARE="/dev/ubdb")
    boot.report(tap, "disk in use")


uml.test(rows, uml.why_not())
