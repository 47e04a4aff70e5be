#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Documents, manual pages, public headers and sources use the words of the glossary in ARCHITECTURE.md
and none of those that they replace; and the first three that a person opens are short.

Of code only comments and strings count, of documents not what is in backticks and fenced blocks. A
check that cannot fail proves nothing, so each pattern is also shown a sentence that breaks it."""
import glob
import io
import os
import re
import sys
import tokenize

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests/lib"))
from tap import Tap  # noqa: E402

# What to avoid, what to write, and a sentence that is found.
WORDS = [
    (r"\bhead(s|'s)?\b", "moved segment", "copy the head"),
    (r"\bveil(s|ed)?\b", "masked block", "zero the veils"),
    (r"\bcoffer's mark\b|\bthe mark\b", "transition block",
     "the mark is left"),
    (r"\briddles?\b|\bdoubts?\b", "ambiguous", "that is a riddle"),
    (r"\bhopeless\b", "no safe repair", "it is hopeless"),
    (r"\bleftovers?\b", "remains", "erase the leftovers"),
    (r"\bguards?\b", "preflight check", "every guard passed"),
    (r"\b(un)?mend(s|ed|ing)?\b", "repair, recover", "stock tools would mend it"),
    (r"\btak(e|es|en|ing) (it |them )?back\b", "undo", "an abort takes it back"),
    (r"\bcrews?\b", "threads", "the crew waits"),
    (r"\bthe story\b", "operations", "the story goes on"),
    (r"\bwhoever\b|\bwhatever\b|\bwhichever\b", "a person or a thing", "whoever installs"),
    (r"\bof which\b", "a sentence of its own", "a head of which nothing is known"),
    (r"\bthat tells\b|\btells (of|whether|which|where|what)\b|\b(is|are) told\b", "report",
     "nothing tells which"),
    (r"(?<!\bthere )\b(is|are) (?-i:no)\b(?! longer)", "is not", "that is no proof"),
    (r"\bnobody is\b|\bis seen\b|\bto be seen\b|\blooked at\b|\blooks? at\b", "read, found",
     "nobody is seen"),
    (r"\bwhat becomes? of\b|\bbecame of\b", "handling", "what becomes of free space"),
    (r"\bat work (on|at)\b|\bstands? on\b", "has it open, is stacked on", "who is at work on it"),
    (r"\b(is|was|were|are|be) cut\b|\bcut off\b|\ba cut\b(?! run| abort)", "interrupted, power cut",
     "a run that was cut"),
    (r"\bbehind\b", "after, beyond", "the reserve behind it"),
    # not the text in the transition block, which is a part of the format
    (r"(?<!this device to )\bgo(es)? on\b(?! all)|\bhalf (done|placed)\b",
     "resume, interrupted, partly placed", "it goes on"),
    (r"\block folder\b", "lock directory", "the lock folder"),
    (r"(?<!-)\broom\b", "space", "there is room for it"),
    (r"\bshall\b", "must", "it shall be whole"),
    (r"\bwhole (header|copy)\b|\b(header|copy|copies|none) (is|are|was) whole\b",
     "intact, usable", "until the copy is whole"),
    (r"\b(licence|neighbour|colour|judgement|honour\w*)\b", "American spelling", "its licence"),
]

# Of documents and manual pages only: comments may say "whole blocks" or "for the whole run".
DOCUMENT_WORDS = [
    (r"\bwhole\b(?! disk)", "intact, usable, complete, entire", "the copy is whole"),
]

# Invented words; tests say more than the program does, and are not held to all of the others.
OF_TESTS = [row for row in WORDS if row[1] in ("moved segment", "masked block", "ambiguous",
                                               "no safe repair", "preflight check", "threads",
                                               "repair, recover", "operations")]

MOST_LINES = {"README.md": 120, "ARCHITECTURE.md": 250, "CONTRIBUTING.md": 110}


def comments(text):
    """A header's comments alone, each in its line."""
    return re.sub(r"(/\*.*?\*/)|[^\n]", lambda m: m[1] or "", text, flags=re.S)


STRING = r'"(?:\\.|[^"\\\n])*"'
PART = re.compile(rf"/\*.*?\*/|{STRING}(?:\s*{STRING})*|'(?:\\.|[^'\\])+'", re.S)


def sentences(code):
    """(line, comment or string), each of them as one line of text."""
    code = re.sub(r"^#include .*", "", code, flags=re.M)
    for m in PART.finditer(code):
        if m[0][0] != "'":
            yield code.count("\n", 0, m.start()) + 1, re.sub(r'\s*\n[\s*]*|"\s*"', " ", m[0])


def sentences_of_python(code):
    return [(t.start[0], t.string) for t in tokenize.generate_tokens(io.StringIO(code).readline)
            if t.type in (tokenize.STRING, tokenize.COMMENT)]


def prose(text):
    parts = re.split(r"^```.*$", text, flags=re.M)
    text = "\n".join(p if i % 2 == 0 else "\n" * p.count("\n") for i, p in enumerate(parts))
    return re.sub(r"`[^`\n]*`", "``", text)


def avoided(text, words=None):
    """[(line number, what it says, what to write)]"""
    return [(text.count("\n", 0, m.start()) + 1, m[0], better)
            for pattern, better, _ in words or WORDS
            for m in re.finditer(pattern, text, re.I)]


def main():
    tap = Tap()
    names = sorted(os.path.relpath(p, TOP) for p in glob.glob(TOP + "/*.md")
                   + glob.glob(TOP + "/docs/**/*.md", recursive=True)
                   + glob.glob(TOP + "/man/*.scd") + glob.glob(TOP + "/include/coffer/*.h"))
    tap.ok(len(names) > 20, "documents are found", names)
    for name in names:
        with open(os.path.join(TOP, name), encoding="utf-8") as f:
            text = f.read()
        found = avoided(prose(comments(text) if name.endswith(".h") else text))
        if not name.endswith(".h"):
            found += avoided(prose(text), DOCUMENT_WORDS)
        if text.count("\n") > MOST_LINES.get(name, 1000):
            found.append((text.count("\n"), "its last line", f"at most {MOST_LINES[name]} lines"))
        tap.ok(not found, name,
               "\n".join(f"{name}:{n}: '{said}': {better}" for n, said, better in found))
    for folder in sorted(os.path.basename(p[:-1]) for p in glob.glob(TOP + "/src/*/")):
        found = []
        for path in sorted(glob.glob(f"{TOP}/src/{folder}/*.[ch]")):
            with open(path, encoding="utf-8") as f:
                found += [f"{os.path.relpath(path, TOP)}:{n}: '{said}': {better}"
                          for n, text in sentences(f.read()) for _, said, better in avoided(text)]
        tap.ok(not found, f"src/{folder}: comments and strings", "\n".join(found))
    found = []
    for path in sorted(glob.glob(TOP + "/tests/*/*.py") + glob.glob(TOP + "/tests/*/*.[ch]")):
        if os.path.basename(os.path.dirname(path)) == "lint":
            continue
        with open(path, encoding="utf-8") as f:
            code = f.read()
        found += [f"{os.path.relpath(path, TOP)}:{n}: '{said}': {better}"
                  for n, text in (sentences_of_python if path.endswith(".py") else sentences)(code)
                  for _, said, better in avoided(re.sub(r'\bhead -|^"head"$', "", text), OF_TESTS)]
    tap.ok(not found, "tests: comments and strings", "\n".join(found))
    for row in WORDS + DOCUMENT_WORDS:
        tap.ok(len(avoided(row[2], [row])) == 1, f"found out: {row[2]}")
    code = 'int head; /* of\n * which */ f("there is "\n  "room %c", \'"\'); /* no head */'
    tap.ok([(n, said) for n, text in sentences(code) for _, said, _ in avoided(text)] ==
           [(1, "of which"), (2, "room"), (3, "head")], "found out: in comments and strings alone")
    tap.ok(not avoided(prose("`the head`\n```\nwhoever\n```\n")), "accepted: code")
    tap.done()


if __name__ == "__main__":
    main()
