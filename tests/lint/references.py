#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No dangling references: links, anchors, files, sections, tests and identifiers that documents and
comments name must exist. And no sentence of a finding that nothing says.

A check that cannot fail proves nothing, so each rule is also shown a tree that breaks it."""
import ast
import fnmatch
import functools
import io
import os
import re
import sys
import tokenize

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
from tap import Tap  # noqa: E402

FOLDERS = ("completion", "docs", "examples", "include", "man", "scripts", "src", "tests")
# Where a path in a comment or in backticks may begin.
ROOTS = ("", "src/", "include/", "tests/", "tests/lib/", "docs/")
SUFFIX = r"(?:c|cc|h|py|sh|md|scd|json|map|build|svg)"
NAMED_FOLDER = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*$")
NAMED_FILE = re.compile(rf"[\w.*-]+(?:/[\w.*-]+)*\.{SUFFIX}$")
IN_TEXT = re.compile(rf"(?<![\w./<*-])((?:[\w-]+/)*[\w-]+\.{SUFFIX})(?![\w/*])")
TEST = re.compile(r"(?<![\w/.])(?:(?:tests/)?(?:unit|loop|uml|vm)/)?(test_[a-z0-9_]+)(?![\w(]|\.\w)")
IDENTIFIER = re.compile(r"\bcoffer_[a-z0-9_]*[a-z0-9]\b")
ROW = re.compile(r"^(?:SAYS|REFUSES|FORBIDS|DAMAGED)\((\w+), (\w+),", re.M)
ID = re.compile(r"\bX\((\w+), \"")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
SECTION = re.compile(r'([\w/.-]+\.md), "([^"]+)"|"([^"]+)" in (?:\[)?([\w/.-]+\.md)')
# Files of other projects and of the kernel, and names that stand for any file.
FOREIGN = re.compile(r"(sys|linux|json-c|openssl|ext2fs|blkid|libmount)/|libcryptsetup\.h$|first\.c$"
                     r"|(assert|errno|endian|setjmp|unistd|signal|string|std\w+)\.h$|NAME|fs/(locks|proc/\w+)\.c$")


def prose_of_markdown(text):
    """Without fenced blocks, line by line as it was."""
    parts = re.split(r"^```.*$", text, flags=re.M)
    return "\n".join(p if i % 2 == 0 else "" for i, p in enumerate(parts))


def comments_of_c(text):
    bare = re.sub(r'"(?:\\.|[^"\\\n])*"', lambda m: m[0] if "*/" not in m[0] else '""', text)
    return [re.sub(r"\s*\n[ \t]*\*?[ \t]*", " ", c) for c in re.findall(r"/\*.*?\*/", bare, re.S)]


def comments_of_python(text):
    found = [" ".join(t.string.lstrip("# ") for t in group) for group in neighbours(
        t for t in tokenize.generate_tokens(io.StringIO(text).readline)
        if t.type == tokenize.COMMENT)]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            found.append(" ".join(ast.get_docstring(node).split()))
    return found


def neighbours(tokens):
    """Comments on lines that follow each other are one."""
    group, last = [], -1
    for t in tokens:
        if group and t.start[0] != last + 1:
            yield group
            group = []
        group.append(t)
        last = t.start[0]
    if group:
        yield group


def comments_of_shell(text):
    return [" ".join(line.lstrip("# ") for line in block.splitlines())
            for block in re.findall(r"(?:^[ \t]*#.*\n)+", text, re.M)]


class Tree:
    def __init__(self, files):
        self.files = files
        self.paths = set(files)
        for path in files:
            while path := os.path.dirname(path):
                self.paths.add(path)
        self.names = {os.path.basename(p) for p in files}
        self.stems = {os.path.splitext(n)[0] for n in self.names}
        self.words = set()
        for path, text in files.items():
            if path.endswith((".c", ".h", ".cc")):
                self.words.update(re.findall(r"\w+", re.sub(r"/\*.*?\*/", " ", text, flags=re.S)))

    @classmethod
    def of_disk(cls):
        files = {}
        for start in ("", *FOLDERS):
            for folder, folders, names in os.walk(os.path.join(TOP, start)):
                if not start:
                    folders.clear()
                folders[:] = [f for f in folders if not f.startswith((".", "__"))]
                for name in names:
                    path = os.path.relpath(os.path.join(folder, name), TOP)
                    try:
                        with open(os.path.join(TOP, path), encoding="utf-8") as f:
                            files[path] = f.read()
                    except UnicodeDecodeError:
                        files[path] = ""
        return cls(files)

    def has(self, path, beside=""):
        """Is there such a file or folder; in @beside's folder, or where paths may begin?"""
        path = path.rstrip("/")
        if "/" not in path and path in self.names:
            return True
        places = [os.path.normpath(r + path) for r in (os.path.dirname(beside) + "/", *ROOTS)]
        if "*" in path:
            return any(fnmatch.filter(self.paths, p) for p in places)
        return any(p in self.paths for p in places)

    def documents(self):
        return {p: t for p, t in self.files.items() if p.endswith(".md")}

    @functools.cached_property
    def comments(self):
        """[(path, comment)] of all sources."""
        return list(self.find_comments())

    def find_comments(self):
        for path, text in sorted(self.files.items()):
            if path.endswith((".c", ".h", ".cc")):
                found = comments_of_c(text)
            elif path.endswith(".py") or text.startswith("#!/usr/bin/python3"):
                found = comments_of_python(text)
            elif path.endswith((".sh", ".build", "Makefile")) or text.startswith("#!/bin/bash"):
                found = comments_of_shell(text)
            else:
                continue
            for comment in found:
                yield path, comment


def headings(text):
    return re.findall(r"^#+ (.*?)\s*$", prose_of_markdown(text), re.M)


def anchors(text):
    """As GitHub makes them of headings."""
    found = set()
    for title in headings(text):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower())
        slug = slug.replace(" ", "-")
        n = 0
        while (name := f"{slug}-{n}" if n else slug) in found:
            n += 1
        found.add(name)
    return found


def links(tree):
    bad = []
    for path, text in tree.documents().items():
        for target in LINK.findall(prose_of_markdown(text)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if file not in tree.paths:
                bad.append(f"{path}: {target}")
            elif anchor and anchor not in anchors(tree.files.get(file, "")):
                bad.append(f"{path}: {target}: no such heading")
    return bad


def paths(tree):
    """Files and folders in backticks."""
    bad = []
    for path, text in tree.documents().items():
        for span in re.findall(r"`([^`\n]+)`", prose_of_markdown(text)):
            for word in span.split():
                word = word.strip(",;:()")
                named = NAMED_FOLDER.match(word) or NAMED_FILE.match(word)
                if named and not FOREIGN.search(word) and not tree.has(word, path):
                    bad.append(f"{path}: {word}")
    return bad


def identifiers(tree):
    bad = []
    for path, text in tree.documents().items():
        for span in re.findall(r"`([^`\n]+)`", prose_of_markdown(text)):
            bad += [f"{path}: {word}" for word in IDENTIFIER.findall(span)
                    if word not in tree.words]
    return bad


def files(tree):
    """Files that comments name."""
    return [f"{path}: {name}" for path, comment in tree.comments
            for name in IN_TEXT.findall(comment)
            if not FOREIGN.search(name) and not tree.has(name, path)]


def sections(tree):
    """Sections of a document that comments or documents name."""
    bad = []
    texts = [*tree.comments, *((p, prose_of_markdown(t)) for p, t in tree.documents().items())]
    for path, text in texts:
        for one, title, other, file in SECTION.findall(text):
            name, title = (one, title) if one else (file, other)
            found = [t for p, t in tree.documents().items()
                     if p in (name, "docs/" + name) or os.path.basename(p) == name]
            if not any(title in headings(t) for t in found):
                bad.append(f'{path}: {name}, "{title}"')
    return bad


def tests(tree):
    """Tests that comments or documents name."""
    bad = []
    texts = [*tree.comments, *((p, prose_of_markdown(t)) for p, t in tree.documents().items())]
    for path, text in texts:
        bad += [f"{path}: {name}" for name in TEST.findall(text)
                if name not in tree.stems and name not in tree.words]
    return bad


def findings(tree):
    """Rows of the tables of findings that no code adds, and ids that nothing has."""
    used, ids = set(), set()
    for path, text in tree.files.items():
        if path.startswith("src/"):
            used.update(re.findall(r"COFFER_(?:TEXT|FINDING)_\w+", text))
            ids.update(id for _, id in ROW.findall(text) if path.endswith("_table.h"))
    bad = [f"{path}: {name}" for path, text in tree.files.items() if path.endswith("_table.h")
           for name, _ in ROW.findall(text) if f"COFFER_TEXT_{name}" not in used]
    return bad + [f"{path}: {id}" for path, text in tree.files.items()
                  if path.endswith("/finding_id.h")
                  for id in ID.findall(text) if id not in ids and f"COFFER_FINDING_{id}" not in used]


def main():
    tap = Tap()
    rules = [(links, "links and anchors lead somewhere"),
             (paths, "files in backticks exist"),
             (identifiers, "identifiers in backticks exist"),
             (files, "files that comments name exist"),
             (sections, "sections that are named exist"),
             (tests, "tests that are named exist"),
             (findings, "each row of the findings is used, and each id")]
    tree = Tree.of_disk()
    for rule, name in rules:
        bad = sorted(set(rule(tree)))
        tap.ok(not bad, name, "\n".join(bad))

    def found(name, rule, sources):
        tap.ok(len(rule(Tree(sources))) == 1, f"found out: {name}", rule(Tree(sources)))

    def accepted(name, sources):
        bad = [b for rule, _ in rules for b in rule(Tree(sources))]
        tap.ok(not bad, f"accepted: {name}", bad)

    found("a link to nothing", links, {"a.md": "[x](b.md)"})
    found("an anchor that is not there", links, {"a.md": "[x](docs/b.md#c-d)", "docs/b.md": "# c\n"})
    found("an anchor of its own", links, {"a.md": "# b\n[x](#c)"})
    found("a path", paths, {"a.md": "see `src/x/y.c`", "src/x/z.c": ""})
    found("a folder", paths, {"a.md": "see `src/y/`", "src/x/z.c": ""})
    found("a path below src/", paths, {"a.md": "see `x/y.c`", "src/x/z.c": ""})
    found("a name", paths, {"a.md": "see `y.py`", "tests/loop/z.py": ""})
    found("an identifier", identifiers, {"a.md": "`coffer_gone(x)`", "src/x/z.c": "coffer_here"})
    found("a document in a comment", files, {"src/a.c": "/* see docs/b.md */"})
    found("a header in a comment", files, {"src/a.c": "/* see luks2/b.h */", "src/luks2/c.h": ""})
    found("a file in a docstring", files, {"tests/a.py": '"""See tests/b.py."""'})
    found("a file in a script", files, {"tests/a.sh": "# see tests/b.sh\n"})
    found("a section", sections, {"src/a.c": '/* b.md,\n * "C" */', "docs/b.md": "# D\n"})
    found("a section of a document", sections, {"a.md": '"C" in b.md', "b.md": "# D\n"})
    found("a test", tests, {"src/a.c": "/* test_gone does */", "tests/unit/test_here.c": ""})
    found("a test of a tier", tests, {"a.md": "`loop/test_gone`", "tests/loop/test_here.py": ""})
    found("a sentence that nothing says", findings, {
        "src/a_table.h": "SAYS(A, I, OK, \"a\", NULL)\nREFUSES(B, I, EIO,\n\t\"b\", NULL)",
        "src/a.c": "f(COFFER_TEXT_A)"})
    found("an id that nothing has", findings, {
        "src/a_table.h": "SAYS(A, I, OK, \"a\", NULL)", "src/a.c": "COFFER_TEXT_A COFFER_FINDING_K",
        "include/coffer/finding_id.h": 'X(I, "i") X(J, "j") X(K, "k")'})
    accepted("what is there", {
        "README.md": "# A b\n[x](docs/b.md#c-d) [y](#a-b) `src/x/*.c`, `x/z.c`, `z.c`, `loop/test_a`, `coffer_z`",
        "docs/b.md": "# C: `d`\n```\n[x](gone.md) `src/gone.c`\n```\n\"A b\" in README.md",
        "src/x/z.c": '/* see docs/b.md, "C: `d`", x/z.c and test_a */ int coffer_z;',
        "tests/loop/test_a.py": '"""x/z.c"""\n# docs/b.md\n'})
    tap.done()


if __name__ == "__main__":
    main()
