#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library as an installer meets it: installed somewhere, found by pkg-config, linked by programs
outside of the tree. Each example is built and does its work on an image; a C++ program with threads
converts two at once."""
import contextlib
import glob
import json
import os
import re

import coffer
from coffer import Box
from disk import MiB, block_devices, run, sha256, tempdir, write_at
from tap import Tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["COFFER_BUILD"]
CC, CXX = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
FLAGS = ["-Wall", "-Wextra", "-Werror", "-O1"]

tap = Tap()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
root = os.path.join(folder, "root")
key = os.path.join(folder, "key")


# --- what is installed -----------------------------------------------------------------------------

def installed(pattern):
    """The one installed file that fits."""
    found = glob.glob(os.path.join(root, "**", pattern), recursive=True)
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def lib_folder():
    return os.path.dirname(installed("libcoffer.so"))


def environment():
    pc = os.path.dirname(installed("libcoffer.pc"))
    system = run("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip()
    return dict(os.environ, PKG_CONFIG_PATH=f"{pc}:{system}", PKG_CONFIG_SYSROOT_DIR=root,
                LD_LIBRARY_PATH=lib_folder(), COFFER_HELPER=installed("coffer-helper"))


def pkg_config(*args):
    return run("pkg-config", *args, "libcoffer", env=environment()).stdout.strip()


def install():
    """All that a caller needs and nothing that it must not have."""
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root)
    headers = os.path.dirname(installed("encrypt.h"))
    assert headers.endswith("/include/coffer"), headers
    assert sorted(os.listdir(headers)) == sorted(os.listdir(os.path.join(TOP, "include/coffer")))
    for name in os.listdir(headers):
        run("cmp", os.path.join(headers, name), os.path.join(TOP, "include/coffer", name))
    assert not glob.glob(os.path.join(root, "**/*.a"), recursive=True), "a static library"
    assert not glob.glob(os.path.join(root, "**/example*"), recursive=True), "an example"
    names = [os.path.basename(p) for p in glob.glob(os.path.join(lib_folder(), "libcoffer.*"))]
    version = pkg_config("--modversion")
    assert sorted(names) == ["libcoffer.so", "libcoffer.so.0", f"libcoffer.so.{version}"], names
    said = run(bin_coffer(), "--version").stdout.split()
    assert said == ["coffer", version], said


def bin_coffer():
    return installed("bin/coffer")


def dynamic(path):
    return re.findall(r"\((NEEDED|SONAME)\).*\[(.*)\]", run("readelf", "-d", path).stdout)


def linkage():
    library = dynamic(os.path.join(lib_folder(), "libcoffer.so.0"))
    assert ("SONAME", "libcoffer.so.0") in library, library
    assert ("NEEDED", "libcryptsetup.so.12") in library, library
    assert "libcoffer.so.0" not in dict(map(reversed, dynamic(bin_coffer()))), \
        "the program needs the library: one file is no longer enough"


def flags():
    """A caller links libcoffer and nothing that it did not ask for."""
    assert pkg_config("--libs-only-l") == "-lcoffer", pkg_config("--libs-only-l")
    libs = pkg_config("--libs").split()
    assert libs == [f"-L{lib_folder()}", "-lcoffer"], libs
    private = pkg_config("--print-requires-private").split()
    assert {"libcryptsetup", "blkid", "mount", "json-c", "libcrypto"} <= set(private), private


# --- programs ----------------------------------------------------------------------------------------

def build(source, compiler=CC, *args):
    """A program from what is installed, in a folder that knows nothing of the tree."""
    out = os.path.join(folder, os.path.splitext(os.path.basename(source))[0])
    text = os.path.join(folder, os.path.basename(source))
    run("cp", os.path.join(TOP, source), text)
    p = run(compiler, *FLAGS, *args, "-o", out, text, *pkg_config("--cflags", "--libs").split(),
            cwd=folder, env=environment())
    assert p.stderr == "", p.stderr
    assert ("NEEDED", "libcoffer.so.0") in dynamic(out), dynamic(out)
    return out


def build_example(name):
    programs[name] = build(f"examples/{name}.c")
    with open(os.path.join(folder, name + ".c")) as f:
        head = f.read().split("*/")[1]
    assert f"cc -o {name} {name}.c $(pkg-config --cflags --libs libcoffer)" in head, \
        "its first comment does not say how to build it"


def readme():
    """The program in docs/library.md, as it stands there."""
    with open(os.path.join(TOP, "docs/library.md")) as f:
        text = re.search(r"^```c\n(.*?)^```$", f.read(), re.MULTILINE | re.DOTALL)[1]
    source = os.path.join(folder, "first.c")
    with open(source, "w") as f:
        f.write(text)
    p = run(CC, "-Wall", "-Werror", "-o", os.path.join(folder, "first"), source,
            *pkg_config("--cflags", "--libs").split())
    p = run(os.path.join(folder, "first"), folder, status=(4,), env=environment())
    assert "neither a block device nor an image" in p.stderr, p.stderr
    # Without an argument it hands NULL to the library, as many a first program will.
    p = run(os.path.join(folder, "first"), status=(1,), env=environment())
    assert p.stderr == "the name of the device or image is empty\n", p.stderr


def no_passphrase():
    """Bug: a NULL passphrase callback was called. It is an error, and nothing is written."""
    with open(os.path.join(folder, "first.c")) as f:
        text = f.read()
    source = os.path.join(folder, "none.c")
    with open(source, "w") as f:
        f.write(text.replace(".passphrase = passphrase", ".passphrase = passphrase ? NULL : NULL"))
    run(CC, "-o", os.path.join(folder, "without"), source, *pkg_config("--cflags", "--libs").split())
    img = copy("none")
    before = sha256(img)
    run(os.path.join(folder, "without"), img, status=(1,), env=environment())
    assert sha256(img) == before


def program(name, *args, status=(0,), **kw):
    return run(programs[name], *args, status=status, env=environment(), **kw)


def copy(name="work"):
    return box.copy(name)


def check(img):
    """libcryptsetup opens it, and every byte that the filesystem uses is as it was."""
    box.check_used(img)


def cut(img, n):
    coffer.kill_at("fdatasync", n, [programs["encrypt"], img, key], env=environment())


def encrypt():
    img = copy()
    p = program("encrypt", img, key)
    assert p.stdout.strip() == coffer.header(img)["uuid"], p.stdout
    for phase in "prepare", "derive", "place", "convert    0 %", "convert  100 %", "finalize":
        assert phase in p.stderr, p.stderr
    check(img)
    p = program("encrypt", img, key, status=(4,))
    assert "already a LUKS volume" in p.stderr, p.stderr


def resume():
    img = copy()
    p = program("encrypt", "-r", img, key, status=(3,))
    assert "nothing to resume" in p.stderr, p.stderr
    run("cmp", img, box.plain)
    cut(img, 20)
    left = coffer.pointer(img)
    assert left and left < box.end, left
    p = program("encrypt", img, os.path.join(folder, "missing"), status=(1,))
    assert "no key in" in p.stderr, p.stderr
    run("cp", img, half)
    program("encrypt", "-r", img, key)
    check(img)


def stopped():
    """SIGTERM: the outcome is the exit code, and the disk tells how far it came."""
    img = copy()
    run("cp", half, img)
    p = coffer.inject("fdatasync", "signal=TERM:when=4", [programs["encrypt"], img, key],
                      env=environment())
    assert p.returncode == 5, (p.returncode, p.stderr)
    disk = json.loads(run(coffer.COFFER, "status", "--json", img).stdout)["devices"][0]
    done = f"{disk['bytes_converted']} of {disk['bytes_total']} bytes are encrypted"
    assert disk["stage"] == "converting" and done in p.stderr, (done, p.stderr)
    program("encrypt", img, key)
    check(img)


def status():
    p = program("status", box.plain, half, os.path.join(folder, "work"))
    want = [rf"{box.plain}: reserved", rf"\tnext: coffer encrypt .*{box.plain}",
            rf"{half}: converting, \d+ %", rf"\tnext: coffer encrypt .*{half}",
            rf"{folder}/work: encrypted"]
    lines = iter(p.stdout.splitlines())
    for w in want:
        assert any(re.fullmatch(w, line) for line in lines), f"no '{w}' in: {p.stdout}"
    p = program("status", os.path.join(folder, "missing"), status=(1,))
    assert "missing" in p.stderr and p.stdout == "", p.stderr


def plan():
    """In full, what is left of an interrupted run, and what cannot be."""
    done = os.path.join(folder, "work")
    left = coffer.pointer(half)
    for img, most, status, words in [
            (box.plain, box.end, 0, [r"about \d+ s, between \d+",
                            r"^ok +filesystem +.*ext4", r"power cut at 'convert': "]),
            (half, left, 0, []),
            (done, None, 4, [r"^bad +state +.*already a LUKS volume"]),
            (key, None, 4, [r"^bad +filesystem +"])]:
        before = sha256(img)
        p = program("plan", img, status=(status,))
        for word in words:
            assert re.search(word, p.stdout, re.MULTILINE), f"{img}: no '{word}' in: {p.stdout}"
        moves = re.search(r"^(\d+) bytes to move in (\d+) steps$", p.stdout, re.MULTILINE)
        assert bool(moves) == (status == 0), p.stdout
        if moves:
            used = sum(min(b, most) - min(a, most) for a, b in box.used())
            assert used <= int(moves[1]) <= used + MiB, (used, moves[1])
            assert int(moves[2]) == -(-most // (16 * MiB)), (moves[2], most)
        assert sha256(img) == before, f"{img} was changed"


def verify():
    """Only a finished volume is one; a key proves more, a wrong one is found out."""
    wrong, done = os.path.join(folder, "wrong"), os.path.join(folder, "work")
    with open(wrong, "w") as f:
        f.write("wrong")
    for args, status, words in [
            ([done], 0, [r"^ok +header-secondary ", r"^unchecked +keyslot "]),
            ([done, key], 0, [r"^ok +keyslot .*opens with the given key", r"^ok +filesystem-end "]),
            ([done, wrong], 3, [r"^bad +keyslot ", r"checks failed"]),
            ([half, key], 3, [r"^bad +conversion ", r"not completely encrypted"]),
            ([box.plain], 3, [r"not encrypted"])]:
        before = sha256(args[0])
        p = program("verify", *args, status=(status,))
        for word in words:
            assert re.search(word, p.stdout + p.stderr, re.MULTILINE), \
                f"{args}: no '{word}' in: {p.stdout} {p.stderr}"
        assert sha256(args[0]) == before, f"{args[0]} was changed"


def header():
    """Of a whole header, of one with a torn copy, of none at all."""
    img = os.path.join(folder, "torn-header")
    run("cp", os.path.join(folder, "work"), img)
    p = program("header", img)
    assert re.fullmatch(r"[0-9a-f-]{36}, sequence number \d+, copy at byte 0\n", p.stdout), p.stdout
    write_at(img, 5000, b"x")
    before = sha256(img)
    p = program("header", img, status=(3,))
    assert re.search(r"^bad +header-primary .*torn", p.stdout, re.MULTILINE), p.stdout
    assert f"'coffer repair --dry-run {img}'" in p.stdout and "at byte 65536\n" in p.stdout, p.stdout
    assert sha256(img) == before, "it was changed"
    p = program("header", box.plain, status=(3,))
    assert "no LUKS2 header found" in p.stderr, p.stderr


def doctor():
    """What needs care, and nothing else: of a finished volume there is nothing, of a torn one the
    command that repairs it."""
    torn = os.path.join(folder, "torn")
    run("cp", os.path.join(folder, "work"), torn)
    write_at(torn, 4200, os.urandom(64))
    before = sha256(torn)
    alone = coffer.OWN_RUN if os.geteuid() == 0 else []
    with block_devices():
        p = run(*alone, programs["doctor"], os.path.join(folder, "work"),
                env=environment())
        assert p.stdout == "" and p.stderr == "", p
        p = run(*alone, programs["doctor"], torn, status=(3,), env=environment())
    assert re.fullmatch(rf"{torn}: header-primary: .*torn.*\n\trun 'coffer repair --dry-run {torn}'\n",
                        p.stdout), p
    assert "1 finding needs attention" in p.stderr, p.stderr
    assert sha256(torn) == before, "it was changed"


def repair():
    img = copy()
    cut(img, 6)
    before = sha256(img)
    p = program("repair", img, status=(3,), input="no\n")
    assert "redo-placement: " in p.stdout and "Do it?" in p.stdout, p.stdout
    assert sha256(img) == before, "it was changed"
    p = program("repair", img, input="yes\n")
    assert "1 of 1 done, now: placed" in p.stdout, p.stdout
    assert coffer.pointer(img) == box.end
    p = program("repair", img, input="")
    assert "nothing to repair" in p.stdout and "Do it?" not in p.stdout, p.stdout


def cpp():
    """Two conversions at the same time, each in its own thread, and a third that is in their way."""
    with open(os.path.join(TOP, "tests/tools/use-library.cc")) as f:
        included = re.findall(r"#include <coffer/(.*)>", f.read())
    assert included == sorted(os.listdir(os.path.join(TOP, "include/coffer"))), included
    use = build("tests/tools/use-library.cc", CXX, "-std=c++17", "-Wpedantic", "-pthread")
    password = os.path.join(folder, "password")
    with open(password, "w") as f:
        f.write("open sesame")
    images = [small.copy("one"), small.copy("two")]
    p = run(use, *images, env=environment())
    assert p.stderr == "", p.stderr
    uuids = dict(line.split() for line in p.stdout.splitlines())
    assert len(set(uuids.values())) == 2, p.stdout
    for img in images:
        assert uuids[img] == coffer.header(img)["uuid"], p.stdout
        small.check_used(img, password)


def out_of_the_library(name):
    """What an example does not find in the library it cannot be linked with."""
    text = os.path.join(folder, "wrong.c")
    with open(os.path.join(TOP, f"examples/{name}.c")) as f, open(text, "w") as out:
        out.write(f.read() + "\nint coffer_disk_examine(void);\nint (*use)(void) = coffer_disk_examine;\n")
    p = run(CC, "-o", os.path.join(folder, "wrong"), text, env=environment(), status=None,
            *pkg_config("--cflags", "--libs").split())
    assert p.returncode and "coffer_disk_examine" in p.stderr, "an internal call could be linked"


def backup():
    img, file = small.copy("backed-up"), os.path.join(folder, "backed-up.header")
    small.encrypt(img)
    p = run(programs["backup"], img, file, env=environment())
    assert "the header of the volume" in p.stdout and not p.stderr, p
    with open(img, "r+b") as f:
        f.write(bytes(65536))
    assert not coffer.is_final(img)
    run(programs["backup"], "--restore", img, file, env=environment())
    small.check(img)
    p = run(programs["backup"], img, file, status=(4,), env=environment())
    assert " exists; " in p.stderr, p.stderr


# The examples take the default argon2id, whose cost is what so many processors do in two seconds.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with stack:
    box = Box(folder, 112 * MiB, end=80 * MiB, fill=56 * MiB)
    small = Box(folder, 12 * MiB, name="small")
    half = os.path.join(folder, "half")
    programs = {}
    tap.run([
        ("installed", install),
        ("linkage", linkage),
        ("pkg-config", flags),
        *((f"build example: {os.path.basename(path)}", build_example,
           os.path.splitext(os.path.basename(path))[0])
          for path in sorted(glob.glob(os.path.join(TOP, "examples/*.c")))),
        ("build the program of docs/library.md", readme),
        ("Bug: no passphrase callback", no_passphrase),
        ("internal calls cannot be linked", out_of_the_library, "encrypt"),
        ("example encrypt: begins and ends", encrypt),
        ("example encrypt: goes on, begins nothing", resume),
        ("example encrypt: stopped", stopped),
        ("example status", status),
        ("example plan", plan),
        ("example verify", verify),
        ("example header", header),
        ("example doctor", doctor),
        ("example repair", repair),
        ("example backup", backup),
        ("C++, two at the same time", cpp),
    ])
tap.done()
