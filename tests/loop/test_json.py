#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What --json writes: nothing but JSON lines, each valid by docs/report.schema.json, and together
they use every property of it. Without --json a person gets sentences: no JSON, no hexadecimal, no
errno name."""
import contextlib
import json
import os
import re

import jsonschema

import coffer
from coffer import COFFER, Box, kill_at, phases
from disk import MiB, block_devices, run, tempdir, write_at
from tap import Tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
with open(os.path.join(TOP, "docs/report.schema.json"), encoding="utf-8") as f:
    SCHEMA = json.load(f)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# Seen only where a machine or a moment is as no row here can make it.
RARE = {
    ("speed", "why"),  # test_plan: a folder that cannot be written
    ("holder", "device"),  # test_holders: partitions
    ("backup", "partuuid"),  # a partition, and a udev that names it
    ("backup", "id"),  # a device with a serial number
    ("status_report", "id"), ("doctor_report", "id"),  # a lock is held
}

tap = Tap()
tap.need_root()
seen = set()


def properties(schema, path=""):
    """(definition, property) of every property that the schema has."""
    for key, value in schema.get("properties", {}).items():
        yield path, key
        yield from properties(value, key)
        yield from properties(value.get("items", {}), key)


def note_seen(value, schema, path):
    """Remember the properties of a valid value."""
    while "$ref" in schema:
        path = schema["$ref"].rsplit("/", 1)[1]
        schema = SCHEMA["$defs"][path]
    if isinstance(value, list):
        for item in value:
            note_seen(item, schema["items"], path)
    elif isinstance(value, dict):
        for key, part in value.items():
            seen.add((path, key))
            sub = schema.get("properties", {}).get(key, {"type": "string"})
            note_seen(part, sub, key if "$ref" not in sub else path)


def kind(line):
    if line.get("event"):
        return line["event"]
    return "usage" if line["report"] == "usage" else line["report"].replace(" ", "_") + "_report"


def call(verb, *args, status):
    if verb != "doctor":
        return run(COFFER, *verb.split(), *args, status=status)
    with block_devices():
        return run(*coffer.OWN_RUN, COFFER, verb, *args, status=status)


def as_json(verb, status, *args):
    p = call(verb, *args, "--json", status=status)
    assert not p.stderr, f"text beside the JSON: {p.stderr}"
    lines = [json.loads(line) for line in p.stdout.splitlines()]
    assert lines, "no JSON at all"
    for line in lines:
        VALIDATOR.validate(line)
        note_seen(line, {"$ref": "#/$defs/" + kind(line)}, "")
    last = lines[-1]
    assert last["exit_code"] == p.returncode and ("message" in last) == (p.returncode != 0), last
    assert ("errno" in last) == (p.returncode != 0), last
    assert p.returncode not in (4, 6) or "id" in last, f"refused, and no id says what for: {last}"
    return last


FOR_PROGRAMS = {
    "an object": re.compile(r'\{"|"\}|\["'),
    "hexadecimal": re.compile(r"\b0x[0-9a-fA-F]+\b|(\b[0-9a-f]{2} ){8}"),
    "a bare errno name": re.compile(r"\bE(NO[A-Z]{2,}|INVAL|IO|BADMSG|UCLEAN|BUSY|PERM|ACCES|AGAIN|"
                                    r"INTR|XIST|OPNOTSUPP)\b"),
}


def as_text(verb, status, *args):
    p = call(verb, *args, status=status)
    text = p.stdout + p.stderr
    assert text.strip(), "nothing was said"
    for what, pattern in FOR_PROGRAMS.items():
        assert not pattern.search(text), f"{what} in: {text}"


def both(verb, status, img, *args):
    as_text(verb, status, *args, img)
    as_json(verb, status, *args, img)


with contextlib.ExitStack() as stack:
    folder = stack.enter_context(tempdir())
    box = Box(folder)
    key = ["--key-file", box.key]
    moments = phases(box)
    disks = {"plain": box.copy("plain-disk")}

    def cut(name, phase, n):
        img = disks[name] = box.copy(name)
        call, k, _ = moments[phase][n]
        kill_at(call, k, coffer.one_thread(img, box.key))

    cut("placing", "placement", -3)
    cut("converting", "steps", 20)
    cut("wiping", "end", 0)
    disks["encrypted"] = box.copy("encrypted")
    box.encrypt(disks["encrypted"])
    disks["torn"] = box.copy("torn")
    box.encrypt(disks["torn"])
    write_at(disks["torn"], 16384 + 100, os.urandom(100))
    disks["damaged"] = box.copy("damaged")
    box.encrypt(disks["damaged"])
    with open(disks["damaged"], "r+b") as f:
        for at in 100, 16384 + 100:
            f.seek(at)
            f.write(os.urandom(100))
    disks["garbage"] = os.path.join(folder, "garbage")
    with open(disks["garbage"], "wb") as f:
        f.write(os.urandom(4 * MiB))
    strange = os.path.join(folder, os.fsdecode(b"bad \xff name"))
    os.symlink(disks["converting"], strange)
    missing = os.path.join(folder, "missing")

    def fresh(name):
        run("cp", "--sparse=always", disks[name], os.path.join(folder, "fresh"))
        return os.path.join(folder, "fresh")

    def wrong_options(verb):
        as_json(verb, (2,), "--no-such-option")
        as_text(verb, (2,), "--no-such-option")

    def no_verb(*words):
        p = run(COFFER, *words, status=(2,))
        VALIDATOR.validate(json.loads(p.stdout))

    def encrypt_and_abort():
        img = fresh("plain")
        as_json("encrypt", (0,), *coffer.FAST, *coffer.SMALL, "--dry-run", img)
        as_json("encrypt", (0,), *coffer.FAST, *coffer.SMALL, *key, img)
        as_json("encrypt", (4,), *key, img)
        img = fresh("plain")
        run("debugfs", "-w", "-R", "feature needs_recovery", img)
        as_json("plan", (0,), "--no-speed", "--reduce-device-size", "2M", img)
        size = os.path.getsize(img)
        os.truncate(img, size + 100)
        last = as_json("plan", (4,), "--no-speed", "--reduce-device-size", "2M", img)
        os.truncate(img, size)
        assert last["id"] == "reserve" and last["errno"] == "EINVAL", last
        as_json("encrypt", (0,), *coffer.FAST, *coffer.SMALL, *key, img)
        as_json("abort", (3,), img)
        as_json("abort", (0,), fresh("placing"))
        as_json("encrypt", (0,), *key, fresh("converting"))
        as_json("encrypt", (1,), *key, missing)

    def repair(name, status):
        both("repair", status, disks[name], "--dry-run")
        as_json("repair", status, "--yes", *key, fresh(name))
        as_text("repair", status, "--yes", *key, fresh(name))

    def who_is_at_work():
        with open(disks["converting"], "r+b"):
            last = as_json("status", (0,), disks["converting"])
        assert any(u.get("writes") for u in last["devices"][0]["holders"]), last

    def plan(name, status):
        both("plan", status, disks[name], "--reduce-device-size", "2M")

    def verify(name, status):
        both("verify", status, disks[name])
        both("verify", status, disks[name], *key)

    def header_backup(name, status):
        for how in as_text, as_json:
            out = os.path.join(folder, f"backup-{how.__name__}-{name}")
            how("header backup", status, "--header-backup-file", out, disks[name])

    def header_restore():
        file = ["--header-backup-file", os.path.join(folder, "backup-as_json-encrypted")]
        both("header restore", (0,), disks["encrypted"], *file, "--dry-run")
        both("header restore", (4,), disks["converting"], *file, "--dry-run")
        both("header restore", (4,), disks["converting"], *file, "--yes")
        as_json("header restore", (1,), *file, missing)
        img = fresh("encrypted")
        with open(img, "r+b") as f:
            f.write(bytes(65536))
        as_json("header restore", (3,), *file, img)
        last = as_json("header restore", (0,), *file, "--yes", img)
        assert last["changed"] and last["seqid_after"], last

    def everything_was_seen():
        wanted = {(d, k) for d, s in SCHEMA["$defs"].items() for part, k in properties(s, d)
                  if part == d and k != "advice"}  # any report may have it: test_plan, test_refuse
        missing_ones = wanted - seen - RARE
        assert not missing_ones, f"properties that no row shows: {sorted(missing_ones)}"

    def a_wrong_report_is_found_out():
        good = as_json("status", (0,), disks["plain"])
        for bad in ({**good, "more": 1}, {**good, "outcome": "fine"}, {**good, "schema_version": 1},
                    {k: v for k, v in good.items() if k != "devices"}):
            assert not VALIDATOR.is_valid(bad), bad

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    rows = [("a wrong report is found out", a_wrong_report_is_found_out)]
    rows += [(f"wrong options: {verb}", wrong_options, verb)
             for verb in ("encrypt", "abort", "status", "doctor", "repair", "plan", "verify", "header check",
                          "header backup", "header restore")]
    rows += [("an unknown verb", no_verb, "frob", "--json"), ("no verb", no_verb, "--json"),
             ("half a verb", no_verb, "header", "--json")]
    rows += [("encrypt and abort", encrypt_and_abort)]
    rows += [(f"status: {name}", both, "status", (0,), img) for name, img in disks.items()]
    rows += [("status: all disks", as_json, "status", (0,)),
             ("status: a name that is not UTF-8", as_json, "status", (0,), strange),
             ("status: missing", both, "status", (1,), missing),
             ("status: who is at work", who_is_at_work)]
    rows += [(f"doctor: {name}", both, "doctor", status, disks[name]) for name, status in (
        ("plain", (0,)), ("placing", (3,)), ("converting", (3,)), ("wiping", (3,)),
        ("encrypted", (0,)), ("torn", (3,)), ("damaged", (3,)), ("garbage", (0,)))]
    rows += [("doctor: all disks", as_json, "doctor", (0, 3)),
             ("doctor: a name that is not UTF-8", as_json, "doctor", (3,), strange),
             ("doctor: missing", both, "doctor", (1,), missing)]
    rows += [(f"repair: {name}", repair, name, status) for name, status in (
        ("plain", (0,)), ("placing", (0,)), ("converting", (0,)), ("wiping", (0,)),
        ("encrypted", (0,)), ("torn", (0,)), ("damaged", (6,)), ("garbage", (0,)))]
    rows += [(f"plan: {name}", plan, name, status) for name, status in (
        ("plain", (0,)), ("placing", (0,)), ("converting", (0,)), ("wiping", (0,)),
        ("encrypted", (4,)), ("damaged", (6,)), ("garbage", (4,)))]
    rows += [(f"verify: {name}", verify, name, status) for name, status in (
        ("plain", (3,)), ("placing", (3,)), ("converting", (3,)), ("wiping", (3,)),
        ("encrypted", (0,)), ("torn", (3,)), ("damaged", (6,)), ("garbage", (3,)))]
    rows += [(f"header check: {name}", both, "header check", status, disks[name])
             for name, status in (("plain", (3,)), ("placing", (0,)), ("converting", (0,)),
                                  ("encrypted", (0,)), ("torn", (3,)), ("damaged", (6,)),
                                  ("garbage", (3,)))]
    rows += [(f"{verb}: missing", both, verb, (1,), missing)
             for verb in ("repair", "plan", "verify", "header check")]
    rows += [(f"header backup: {name}", header_backup, name, status) for name, status in (
        ("plain", (3,)), ("converting", (0,)), ("encrypted", (0,)), ("torn", (0,)),
        ("damaged", (6,)))]
    rows.append(("header restore", header_restore))
    rows.append(("every property of the schema was seen", everything_was_seen))
    tap.run(rows)
tap.done()
