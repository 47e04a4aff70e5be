#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backup and restore of the header below a volume that is open, with a real dm-crypt on it."""

import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

import uml
from disk import tempdir
from tap import Tap


def main():
    tap = Tap()
    if reason := uml.why_not():
        tap.skip_all(reason)
    with tempdir() as folder:
        disk = uml.blank(os.path.join(folder, "disk"), 64)
        boot = uml.boot(["header_open", "header_restore_open", "header_lost",
                         "header_other_holder", "header_other_volume", "header_close"], [disk], MORE="header")
        boot.report(tap, "an open volume")
    tap.done()


main()
