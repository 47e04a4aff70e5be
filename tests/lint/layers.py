#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The include rule. A folder of src/ is a subject, arrows between them go down only, and what is
marked pure decides without a system call. ARCHITECTURE.md has the map.

A check that cannot fail proves nothing, so each rule is also shown a tree that breaks it."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
from tap import Tap  # noqa: E402

FOLDERS = ["base", "io", "block", "fs", "luks2", "convert", "header", "report", "rescue"]
# Public headers that only name things; every folder may use them. The others are contracts of calls:
# the folders that fulfil them and cli include them.
WORDS = {"err", "finding", "holder", "operation", "repair_action", "stage"}
FULFIL = {"public", "cli", "convert", "header", "report", "rescue"}
VENDOR = re.compile(r"(libcryptsetup\.h|libdevmapper\.h|blkid/|libmount|libfdisk|json-c/|openssl/"
                    r"|ext2fs/|tss2/)")
PURE_SYSTEM = {"assert", "endian", "errno", "inttypes", "limits", "stdarg", "stdbool", "stddef",
               "stdint", "stdio", "stdlib", "string"}
# base/cleanup.h closes descriptors; io/device_id.h and the public holder.h name numbers of devices.
PURE_TYPES = {"unistd", "sys/types", "sys/stat"}
PURE_VENDOR = {"base/crypto.c", "base/json.c"}
# Locked memory for keys: the one thing that pure code asks of the kernel.
PURE_MEMORY = {"base/secret.c": {"unistd", "sys/mman"}}
# What pure code may ask of the C library: nothing that reaches outside the process.
PURE_CALLS = re.compile(
    r"(__)?(mem\w+|str(?!error_r|signal)\w+|v?snprintf|isoc\w+|malloc|calloc|realloc|reallocarray"
    r"|free|posix_memalign|qsort|bsearch|ctype_\w+|errno_location|stack_chk_fail|assert_fail|abs|explicit_bzero"
    r"|gmtime_r|strftime|tolower|toupper)(_chk)?$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


class Tree:
    """path below src/ or include/ -> [(quote, header)]; and which .c files are marked pure."""

    def __init__(self, files, pure):
        self.includes = {p: [m.groups() for m in INCLUDE.finditer(t)] for p, t in files.items()}
        self.pure = pure

    @classmethod
    def of_disk(cls):
        files, pure = {}, set()
        for start in "src", "include":
            for folder, _, names in os.walk(os.path.join(TOP, start)):
                for name in names:
                    path = os.path.join(folder, name)
                    with open(path) as f:
                        text = f.read()
                    rel = os.path.relpath(path, os.path.join(TOP, start))
                    if name.endswith((".c", ".h")):
                        files[rel] = text
                    elif name == "meson.build":
                        for block in re.findall(r"pure_sources \+= files\((.*?)\)", text, re.S):
                            pure |= {os.path.join(os.path.dirname(rel), c)
                                     for c in re.findall(r"'([^']+)'", block)}
        return cls(files, pure)


def folder_of(path):
    head = path.split("/")[0]
    return "public" if head == "coffer" else head


def strangers(tree):
    known = [*FOLDERS, "public", "cli"]
    return [p for p in tree.includes if p.count("/") != 1 or folder_of(p) not in known]


def upward(tree):
    rank = {f: i for i, f in enumerate(FOLDERS)}
    bad = []
    for path, includes in tree.includes.items():
        me = folder_of(path)
        for quote, header in includes:
            other = folder_of(header)
            if quote == "<":
                continue
            if other == "public":
                ok = header[len("coffer/"):-2] in WORDS or me in FULFIL
            elif me == "cli":
                ok = other in ("base", "cli")
            else:
                ok = me in rank and other in rank and rank[other] <= rank[me]
            if not ok:
                bad.append(f"{path} includes {header}")
    return bad


def circles(tree):
    """Circles between files; a .c and its .h are one."""
    edges = {}
    for path, includes in tree.includes.items():
        stem = os.path.splitext(path)[0]
        edges.setdefault(stem, set()).update(
            os.path.splitext(h)[0] for q, h in includes if q == '"' and not h.startswith(stem + "."))
    done, bad = set(), []

    def walk(stem, way):
        if stem in way:
            bad.append(" -> ".join([*way[way.index(stem):], stem]))
        elif stem not in done:
            for other in sorted(edges.get(stem, ())):
                walk(other, [*way, stem])
            done.add(stem)

    for stem in sorted(edges):
        walk(stem, [])
    return bad


def vendors(tree):
    homes, bad = {}, []
    for path, includes in sorted(tree.includes.items()):
        for quote, header in includes:
            m = VENDOR.match(header) if quote == "<" else None
            if m and path.endswith(".h"):
                bad.append(f"{path} includes {header}")
            elif m and homes.setdefault(m[1], path) != path:
                bad.append(f"{path} includes {header}, which belongs to {homes[m[1]]}")
    return bad


def reached(tree, path):
    """Headers that a file takes in, directly or not."""
    seen, todo = {}, [path]
    while todo:
        at = todo.pop()
        for quote, header in tree.includes.get(at, ()):
            if (quote, header) not in seen:
                seen[quote, header] = at
                if quote == '"':
                    todo.append(header)
    return seen


def impure(tree):
    bad = []
    for path in sorted(tree.pure):
        if path not in tree.includes:
            bad.append(f"{path} is marked pure and not there")
        for (quote, header), at in reached(tree, path).items():
            name = header.removesuffix(".h")
            if quote == '"' or name in PURE_SYSTEM or name in PURE_MEMORY.get(path, ()):
                continue
            if at.endswith(".h") and name in PURE_TYPES:
                continue
            if not (VENDOR.match(header) and path in PURE_VENDOR):
                bad.append(f"{path} takes in <{header}> by {at}")
    return bad


def unlisted():
    """Every .c is listed by its folder, and every folder has its line in the map."""
    bad = []
    with open(os.path.join(TOP, "ARCHITECTURE.md")) as f:
        architecture = f.read()
    for folder in [*FOLDERS, "cli"]:
        with open(os.path.join(TOP, "src", folder, "meson.build")) as f:
            listed = sorted(re.findall(r"'([a-z0-9_]+\.c)'", f.read()))
        there = sorted(n for n in os.listdir(os.path.join(TOP, "src", folder)) if n.endswith(".c"))
        bad += [f"src/{folder}/meson.build: {n}" for n in set(listed) ^ set(there)]
        if not re.search(rf"^\| `{folder}` \|", architecture, re.M):
            bad.append(f"ARCHITECTURE.md has no line for {folder}")
    return bad


def calls(library):
    """What the pure library asks of anybody else."""
    bad = []
    out = subprocess.run(["nm", "-A", "--format=posix", library], capture_output=True, text=True,
                         check=True).stdout
    rows = [line.rsplit(": ", 1) for line in out.splitlines()]
    names = [(re.split(r"[\[/]", where.rstrip("]"))[-1], *rest.split()[:2])
             for where, rest in rows]
    defined = {name for _, name, kind in names if kind != "U"}
    for where, name, kind in names:
        door = where.startswith(("src_base_crypto", "src_base_json", "src_base_secret"))
        if kind != "U" or name in defined or door or name == "_GLOBAL_OFFSET_TABLE_":
            continue
        if not PURE_CALLS.match(name):
            bad.append(f"{where} calls {name}")
    return sorted(set(bad))


def examples():
    bad = []
    good = re.compile(r"coffer/[a-z_]+\.h$|(errno|inttypes|signal|stdbool|stdio|stdlib|string)\.h$")
    for name in sorted(os.listdir(os.path.join(TOP, "examples"))):
        if name.endswith((".c", ".h")):
            with open(os.path.join(TOP, "examples", name)) as f:
                bad += [f"{name} includes {h}" for _, h in INCLUDE.findall(f.read())
                        if not good.match(h)]
    return bad


def main():
    tap = Tap()

    def check(name, findings):
        tap.ok(not findings, name, "\n".join(findings))

    def found(name, rule, files, pure=()):
        tap.ok(rule(Tree(files, set(pure))), f"found out: {name}", "nothing was found")

    tree = Tree.of_disk()
    check("every source lies in a folder that is known", strangers(tree))
    check("arrows go down", upward(tree))
    check("no circles between files", circles(tree))
    check("a vendor's header: one .c, no .h", vendors(tree))
    check("pure files take in nothing that makes system calls", impure(tree))
    check("each folder lists its files, and the map has it", unlisted())
    check("examples: public headers and libc only", examples())
    library = os.path.join(os.environ.get("COFFER_BUILD", os.path.join(TOP, "build")),
                           "libcoffer-pure.a")
    if os.path.exists(library):
        check("the pure library calls nothing outside", calls(library))
    else:
        tap.ok(False, "the pure library calls nothing outside", f"{library} is not built")

    found("a new folder", strangers, {"misc/x.c": ""})
    found("a sub-folder", strangers, {"base/deep/x.c": ""})
    found("an arrow that goes up", upward, {"io/x.c": '#include "fs/fsck.h"'})
    found("a contract in a low folder", upward, {"io/x.c": '#include "coffer/encrypt.h"'})
    found("cli behind the library's back", upward, {"cli/x.c": '#include "luks2/header.h"'})
    found("a circle", circles, {"io/a.c": '#include "io/b.h"', "io/b.h": '#include "io/a.h"'})
    found("a vendor in a header", vendors, {"io/a.h": "#include <blkid/blkid.h>"})
    found("a vendor in two files", vendors,
          {"io/a.c": "#include <blkid/blkid.h>", "fs/b.c": "#include <blkid/blkid.h>"})
    found("a system call by a header", impure,
          {"io/a.c": '#include "io/b.h"', "io/b.h": "#include <sys/ioctl.h>"}, ["io/a.c"])
    found("a pure file that is gone", impure, {}, ["io/a.c"])
    tap.done()


if __name__ == "__main__":
    main()
