#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backup and restore of the header below a volume that is open, with a real dm-crypt on it."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml


def rows(tap, folder):
    disk = uml.blank(os.path.join(folder, "disk"), 64)
    boot = uml.boot(["header_open", "header_restore_open", "header_lost",
                     "header_other_holder", "header_other_volume", "header_close"], [disk],
                    MORE="header")
    boot.report(tap, "an open volume")


uml.test(rows, uml.why_not())
