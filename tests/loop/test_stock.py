#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same image, converted by coffer and by stock cryptsetup with the same options: both headers
say the same, field by field, at the end and half way. Only random values and where the areas lie
may differ."""
import contextlib

import coffer
from coffer import Box, header, pointer
from disk import MiB, luks_metadata, run, tempdir
from tap import Tap

tap = Tap()
tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
UUID = "3b2ab5b0-5a3c-4a51-8a3c-0b4e8f3f1c11"
COMMON = ["--cipher", "aes-xts-plain64"]


def without(o, *names):
    return {k: v for k, v in o.items() if k not in names}


def comparable(meta, shape_only=False):
    """The metadata without what may differ. The order of the backup segments may, too: stock
    itself numbers them in two ways."""
    m = {}
    numbers = sorted(meta["segments"], key=int)
    backup = [k for k in numbers if any(f.startswith("backup")
                                        for f in meta["segments"][k].get("flags", []))]
    m["regular"] = [meta["segments"][k] for k in numbers if k not in backup]
    m["backup"] = sorted((meta["segments"][k] for k in backup), key=lambda s: s["flags"])
    m["keyslots"] = {}
    for name, slot in meta["keyslots"].items():
        slot = dict(slot, area=without(slot["area"], "offset"))
        if "kdf" in slot:
            slot["kdf"] = without(slot["kdf"], "salt")
        m["keyslots"][name] = slot
    m["digests"] = {}
    for name, d in meta["digests"].items():
        covered = sorted(str(meta["segments"][k]) for k in d["segments"])
        # the iterations of the digest over the reencryption are not the user's to choose
        m["digests"][name] = dict(without(d, "salt", "digest"), segments=covered)
    m["config"] = without(meta["config"], "json_size", "keyslots_size")
    m["tokens"] = meta["tokens"]
    m["other"] = without(meta, "segments", "keyslots", "digests", "config", "tokens")
    return m


def assert_same(ours, theirs):
    a, b = (comparable(luks_metadata(img)) for img in (ours, theirs))
    for part in b:
        assert a[part] == b[part], f"{part}:\ncoffer {a[part]}\nstock  {b[part]}"
    assert a.keys() == b.keys()
    for field in "label", "uuid", "checksum", "subsystem", "magics":
        assert header(ours)[field] == header(theirs)[field], field


def commands(box, reserve, options):
    """The two commands, and fresh images for them."""
    ours, theirs = box.copy("ours"), box.copy("theirs")
    options = [*COMMON, "--uuid", UUID, *options]
    mine = coffer.command("encrypt", ours, box.key, *options, "--reduce-device-size", reserve,
                          "--threads", "1")
    return ours, mine, theirs, coffer.stock(theirs, box.key, *options, reserve=reserve)


def at_the_end(box, reserve, *options):
    ours, mine, theirs, stock = commands(box, reserve, options)
    run(*mine)
    run(*stock)
    assert_same(ours, theirs)
    box.check(ours)
    box.check(theirs)


def half_way(box, reserve, steps, *options):
    """Both stopped by SIGTERM during a step, so both stand after it."""
    ours, mine, theirs, stock = commands(box, reserve, options)
    shift = int(reserve[:-1]) * MiB // 2
    # stock: the fdatasync of step n is its n-th; coffer: those before the first step are many
    p = coffer.inject("fdatasync", f"signal=TERM:when={steps}", stock)
    assert pointer(theirs) == box.end - steps * shift, (pointer(theirs), p.stderr)
    calls = [c for c in coffer.trace([*mine[:-1], box.copy("count")])]
    writes = [i for i, c in enumerate(calls) if c[0] == "pwrite64" and c[1] == box.end -
              (steps - 1) * shift and c[2] == min(shift, MiB)]
    # the last write to this place is the step's; earlier ones belong to the placement
    n = sum(c[0] == "pwrite64" for c in calls[:writes[-1] + 1])
    p = coffer.inject("pwrite64", f"signal=TERM:when={n}", mine)
    assert p.returncode == 5 and pointer(ours) == pointer(theirs), (pointer(ours), p.stderr)
    assert_same(ours, theirs)


def before_the_first_step(box, reserve, *options):
    ours, mine, theirs, stock = commands(box, reserve, options)
    run(*stock[:-1], "--init-only", theirs)
    calls = coffer.trace([*mine[:-1], box.copy("count")])
    copies = [i for i, c in enumerate(calls) if c[0] == "pwrite64" and c[1] == 0]
    # transition block, first header, and then the commit of the same state
    n = sum(c[0] == "fdatasync" for c in calls[:copies[2]])
    coffer.kill_at("fdatasync", n + 1, mine)
    assert pointer(ours) == pointer(theirs) == box.end
    assert_same(ours, theirs)


with stack:
    small = Box(folder)
    large = Box(folder, 72 * MiB, end=40 * MiB, name="large")
    one = Box(folder, 11 * MiB + 4096, end=9 * MiB + 4096, name="one")
    kinds = {
        "sectors of 512": ["--sector-size", "512"],
        "sectors of 4096": ["--sector-size", "4096"],
        "key of 256 bits": ["--sector-size", "512", "--key-size", "256"],
        "key of 512 bits": ["--sector-size", "512", "--key-size", "512"],
        "label": ["--sector-size", "512", "--label", "a label"],
        "hash sha512": ["--sector-size", "512", "--hash", "sha512"],
        "all of it": ["--sector-size", "4096", "--key-size", "256", "--label", "x", "--hash",
                      "sha512"],
    }
    rows = [(f"end, {name}", at_the_end, small, "2M", *options) for name, options in kinds.items()]
    for name in "sectors of 512", "all of it":
        rows += [(f"end, S of 16 MiB, {name}", at_the_end, large, "32M", *kinds[name]),
                 (f"end, odd size, {name}", at_the_end, one, "2M", *kinds[name])]
    for name in "sectors of 512", "sectors of 4096", "hash sha512":
        options = kinds[name]
        rows += [(f"before the first step, {name}", before_the_first_step, small, "2M", *options),
                 (f"after one step, {name}", half_way, small, "2M", 1, *options),
                 (f"half way, {name}", half_way, small, "2M", 5, *options),
                 (f"before the last step, {name}", half_way, small, "2M", 9, *options)]
    rows.append(("half way, S of 16 MiB", half_way, large, "32M", 1, "--sector-size", "512"))
    tap.run(rows)
tap.done()
