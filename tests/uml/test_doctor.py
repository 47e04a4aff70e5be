#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""coffer doctor beside a real device-mapper: volumes that are open, swap on dm-crypt, a disk below a
mapping, and a conversion that is stopped and killed. inside/doctor.py has the rows."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml


def rows(tap, folder):
    disks = [uml.blank(os.path.join(folder, name), mib)
             for name, mib in (("disk", 48), ("spare", 32))]
    boot = uml.boot(["prepare", "encrypt", "doctor"], disks, limit=300, MORE="doctor",
                    SPARE="/dev/ubdb")
    boot.report(tap, "doctor")


uml.test(rows, uml.why_not())
