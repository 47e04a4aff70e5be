#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No function of the tests is written twice: what two files need is in tests/lib.

Two functions are the same when they differ in nothing but the names of their variables. Those of
one or two statements are left aside."""
import ast
import glob
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
from tap import Tap  # noqa: E402

FEWEST = 3  # statements, with those inside others


class Renamed(ast.NodeTransformer):
    """Variables are called by the order in which they come."""

    def __init__(self, function):
        own = {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
        own |= {n.id for n in ast.walk(function)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.names = dict.fromkeys(own)
        self.known = 0

    def visit_Name(self, node):
        if node.id in self.names:
            if self.names[node.id] is None:
                self.names[node.id] = f"v{self.known}"
                self.known += 1
            node.id = self.names[node.id]
        return node


def body_of(function):
    """What it does, without its name, its text and its own names; "" when that is little."""
    body = function.body[ast.get_docstring(function) is not None:]
    if sum(isinstance(n, ast.stmt) for b in body for n in ast.walk(b)) < FEWEST:
        return ""
    rename = Renamed(function)
    return "\n".join(ast.dump(rename.visit(b)) for b in body)


def copies(files):
    """Functions of files, {name: text}, that do the same."""
    seen = {}
    for name, text in sorted(files.items()):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and (body := body_of(node)):
                seen.setdefault(body, []).append(f"{name}:{node.lineno} {node.name}")
    return [" = ".join(places) for places in seen.values() if len(places) > 1]


def main():
    tap, files = Tap(), {}
    for path in glob.glob(TOP + "/tests/**/*.py", recursive=True) + [TOP + "/tests/run"]:
        with open(path, encoding="utf-8") as f:
            files[os.path.relpath(path, TOP)] = f.read()
    found = copies(files)
    tap.ok(len(files) > 100 and not found, "no function is written twice", "\n".join(found))
    one = 'def read(a, n):\n    "Text."\n    with open(a) as f:\n        f.seek(n)\n        return f\n'
    two = "def get(path, at):\n    with open(path) as g:\n        g.seek(at)\n        return g\n"
    tap.ok(len(copies({"a": one, "b": two})) == 1, "found: a copy with other names")
    tap.ok(not copies({"a": one, "b": two.replace("at)\n", "0)\n")}), "left aside: another constant")
    tap.done()


main()
