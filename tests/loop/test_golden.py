#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each verb prints for people, in whole: tests/golden/VERB-CASE.txt has the command, standard
output, standard error and the exit status. All other tests compare ids, exit statuses and JSON.

COFFER_GOLDEN=write writes the files anew; read the difference before you commit it. Whatever differs
from run to run or from machine to machine is replaced."""
import contextlib
import os
import re

import coffer
from coffer import COFFER, Box
from disk import MiB, make_image, run, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")
WRITE = os.environ.get("COFFER_GOLDEN") == "write"
VERBS = ["plan", "encrypt", "abort", "status", "doctor", "repair", "verify", "header check",
         "header backup", "header restore"]
VARIES = [
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC\b", "DATE"),
    (r"\bcoffer \d+\.\d+\.\d+\S*", "coffer VERSION"),
    (r"\b\d+(\.\d+)? ([KMGT]i)?B(/s)?\b", r"SIZE\3"),
    (r"\b\d+(\.\d+)? s\b", "TIME"),
    (r"\b\d+ of \d+ bytes\b", "N of N bytes"),
    (r"\b\d+ (bytes|steps|flushes)\b", r"N \1"),
    (r"\bbyte \d+\b", "byte N"),
    (r"\b\d{5,}\b", "N"),
    (r"\b\d+ %", "N %"),
    (r"\bsequence number \d+\b", "sequence number N"),
    (r"\b(measured +in) \S+", r"\1 FOLDER"),
    # not all processes are visible where the test runs in a container
    (r"(note|ok  )(  exclusive +no holders found).*", r"ok  \2"),
    (r"  note      not all processes are visible( without root)?\n", ""),
    # a line each for progress, five percent apart
    (r"(\S+: +N %, SIZE of SIZE.*\n)+", "PROGRESS\n"),
]


def replaced(text):
    text = text.replace(folder + "/", "")
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    return text


def whole(text):
    return text


def disks_of(text):
    """Of doctor what it says of disks: the machine is another one each time."""
    return text[text.index("d.img:"):]


def fails_at_a_flush(cmd):
    return coffer.inject("fdatasync", "error=EIO:when=18", cmd)


def compare(name, words, status=0, make=None, only=whole, how=lambda cmd: run(*cmd, status=None)):
    """The output of coffer with these words, run in the folder, is that of the file."""
    for old in os.listdir(folder):
        if old.startswith("d."):
            os.unlink(old)
    if make:
        make()
    p = how([COFFER, *words])
    assert p.returncode == status, (p.returncode, p.stdout, p.stderr)
    shown = "".join(f"--- {what} ---\n{text}" for what, text in
                    (("stdout", only(p.stdout)), ("stderr", p.stderr)) if text)
    shown = replaced(f"$ coffer {' '.join(words)}\n{shown}--- exit status {status} ---\n")
    path = os.path.join(GOLDEN, name + ".txt")
    if WRITE:
        with open(path, "w", encoding="utf-8") as f:
            f.write(shown)
    with open(path, encoding="utf-8") as f:
        wanted = f.read()
    assert shown == wanted, f"{path} has:\n{wanted}\nprinted:\n{shown}"


# --- the disk d.img of each case ------------------------------------------------------------------

def plain():
    box.copy("d.img")


def journal():
    plain()
    run("debugfs", "-w", "-R", "feature needs_recovery", "d.img")


def no_reserve():
    make_image("d.img", 12 * MiB, "ext4", 12 * MiB)


def converting():
    plain()
    coffer.kill_at("fdatasync", 18, coffer.one_thread("d.img", "key"))


def placed():
    plain()
    coffer.kill_at(*moments["commit"][0][:2], coffer.one_thread("d.img", "key"))


def encrypted():
    plain()
    coffer.encrypt("d.img", "key")


def torn():
    encrypted()
    with open("d.img", "r+b") as f:
        f.seek(4096)
        f.write(b"torn")


def backup():
    encrypted()
    run(COFFER, "header", "backup", "--quiet", "--header-backup-file", "d.hdr", "d.img")


RUN = ["--key-file", "key", *coffer.FAST, *coffer.SMALL]
HELP = [("help", ["--help"]), ("header-help", ["header", "--help"]),
        *((v.replace(" ", "-") + "-help", [*v.split(), "--help"]) for v in VERBS)]
FILE = ["--header-backup-file", "d.hdr"]
CASES = [
    *HELP,
    ("usage-no-verb", ["frobnicate"], 2),
    ("usage-operands", ["encrypt", "a", "b"], 2),
    ("usage-value", ["encrypt", "--reduce-device-size", "1M", "d.img"], 2),
    ("plan-possible", ["plan", *RUN[2:], "d.img"], 0, plain),
    ("plan-no-reserve", ["plan", "d.img"], 4, no_reserve),
    ("plan-resume", ["plan", "--no-speed", "d.img"], 0, converting),
    ("encrypt-done", ["encrypt", *RUN, "d.img"], 0, plain),
    ("encrypt-dry-run", ["encrypt", "--dry-run", *RUN, "d.img"], 0, plain),
    ("encrypt-filled", ["encrypt", "--free-space=fill", *RUN, "d.img"], 0, plain),
    ("encrypt-everything", ["encrypt", "--used-only=no", *RUN, "d.img"], 0, plain),
    ("encrypt-journal", ["encrypt", *RUN, "d.img"], 0, journal),
    ("encrypt-journal-refused", ["encrypt", "--used-only=yes", *RUN, "d.img"], 4, journal),
    ("encrypt-no-reserve", ["encrypt", *RUN, "d.img"], 4, no_reserve),
    ("encrypt-interrupted", ["encrypt", "--threads", "1", *RUN, "d.img"], 5, plain, whole,
     fails_at_a_flush),
    ("encrypt-resumed", ["encrypt", *RUN, "d.img"], 0, converting),
    ("encrypt-again", ["encrypt", *RUN, "d.img"], 4, encrypted),
    ("encrypt-wrong-key", ["encrypt", "--key-file", "wrong", "d.img"], 1, converting),
    ("abort-done", ["abort", "d.img"], 0, placed),
    ("abort-too-late", ["abort", "d.img"], 4, converting),
    ("abort-nothing", ["abort", "d.img"], 3, plain),
    ("status-plain", ["status", "d.img"], 0, no_reserve),
    ("status-reserved", ["status", "d.img"], 0, plain),
    ("status-placed", ["status", "d.img"], 0, placed),
    ("status-converting", ["status", "d.img"], 0, converting),
    ("status-encrypted", ["status", "d.img"], 0, encrypted),
    ("verify-no-key", ["verify", "d.img"], 0, encrypted),
    ("verify-key", ["verify", "--key-file", "key", "d.img"], 0, encrypted),
    ("verify-torn", ["verify", "d.img"], 3, torn),
    ("verify-plain", ["verify", "d.img"], 3, plain),
    ("header-check-intact", ["header", "check", "d.img"], 0, encrypted),
    ("header-check-torn", ["header", "check", "d.img"], 3, torn),
    ("header-backup-done", ["header", "backup", *FILE, "d.img"], 0, encrypted),
    ("header-restore-dry-run", ["header", "restore", "--dry-run", *FILE, "d.img"], 0, backup),
    ("repair-nothing", ["repair", "d.img"], 0, encrypted),
    ("repair-dry-run", ["repair", "--dry-run", "d.img"], 0, torn),
    ("repair-done", ["repair", "--yes", "d.img"], 0, torn),
    ("doctor-disk", ["doctor", "d.img"], 0, encrypted, disks_of),
]

with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempdir())
    box = Box(folder, 12 * MiB, fill=4 * MiB)
    moments = coffer.phases(box)
    os.chdir(folder)
    with open("wrong", "w", encoding="utf-8") as f:
        f.write("wrong")
    tap.run([(case[0], compare, *case) for case in CASES])
    unknown = {n[:-4] for n in os.listdir(GOLDEN)} - {case[0] for case in CASES}
    tap.ok(not unknown, "every file has a case", unknown)
tap.done()
