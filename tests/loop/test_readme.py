# SPDX-License-Identifier: LGPL-2.1-or-later
"""README.md and the documents beside it do what they say.

Blocks fenced as "```sh test" are run, one after the other, in one scratch folder for each document;
a command that fails fails its block. In all "```sh" blocks coffer's verbs and options and make's
targets must exist, since no test can run the lines that name real devices. Figures in README.md
must be those of docs/benchmarks.md."""
import os
import re
import shlex

from disk import run, tempdir
from tap import Skip, Tap

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
COFFER = os.path.realpath(os.environ["COFFER"])
DOCUMENTS = ["README.md", "docs/preparing.md", "docs/library.md"]
BLOCK = re.compile(r"^```sh( test)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text):
    """[(line number, is to be run, text)] of the fenced shell blocks."""
    return [(text.count("\n", 0, m.start()) + 1, bool(m[1]), m[2]) for m in BLOCK.finditer(text)]


def wrong_words(block, verbs, targets):
    """What the lines of a block ask of coffer and make that these do not have."""
    wrong = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        words = words[1:] if words[:1] == ["sudo"] else words
        if words[:1] == ["make"]:
            wrong += [f"make {w}" for w in words[1:] if w not in targets]
        elif words[:1] == ["coffer"]:
            n = 2 if " ".join(words[1:3]) in verbs else 1
            verb = " ".join(words[1:n + 1])
            if verb not in verbs:
                wrong.append(f"coffer {verb}")
                continue
            wrong += [f"coffer {verb} {w}" for w in words[n + 1:]
                      if w.startswith("-") and w.split("=")[0] not in verbs[verb]]
    return wrong


def known_verbs():
    verbs = re.findall(r"^  (\w+(?: \w+)?)  +\S", run(COFFER, "--help").stdout, re.MULTILINE)
    return {v: re.findall(r"(?<![\w-])--?\w[\w-]*", run(COFFER, *v.split(), "--help").stdout)
            for v in verbs}


def known_targets():
    with open(os.path.join(TOP, "Makefile")) as f:
        return re.search(r"^\.PHONY: (.*)$", f.read(), re.MULTILINE)[1].split()


# A machine of its own as far as "make install" changes it, on which coffer was never installed.
ALONE = """
mount -t tmpfs tmpfs /mnt
for d in /etc /usr/local /var/cache; do
    mkdir -p /mnt$d/upper /mnt$d/work
    mount -t overlay -o lowerdir=$d,upperdir=/mnt$d/upper,workdir=/mnt$d/work overlay $d
done
rm -f /usr/local/lib/libcoffer.so* /usr/local/lib/*/libcoffer.so*
ldconfig
meson install -C "$COFFER_BUILD" --no-rebuild --quiet >/dev/null
"""


def example_starts(text, scratch):
    """Bug: after "make install" the example of a program was compiled, but did not start: the
    dynamic linker did not know of the library."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with open(os.path.join(scratch, "first.c"), "w") as f:
        f.write(re.search(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1])
    build, = (b for _, _, b in blocks(text) if b.startswith("cc "))
    p = run("unshare", "--mount", "--propagation", "private", "bash", "-euc",
            ALONE + build + "./first missing", status=(1,), cwd=scratch)
    assert p.stderr.startswith("missing: "), (p.stdout, p.stderr)


def unmeasured(text, measured):
    """Seconds that a text names and that nobody has measured."""
    return [s for s in re.findall(r"\b\d+\.\d+(?= s\b)", text)
            if not re.search(rf"\| {re.escape(s)} \|", measured)]


def read(name):
    with open(os.path.join(TOP, name)) as f:
        return f.read()


def check_document(name, scratch, env):
    """Names each block by its line; how many there were, and how many of them were run."""
    found = blocks(texts[name])
    os.mkdir(scratch)
    for line, is_test, text in found:
        wrong = wrong_words(text, verbs, targets)
        tap.ok(not wrong, f"{name}:{line}: no unknown verb, option or target", "\n".join(wrong))
        if is_test:
            p = run("bash", "-euo", "pipefail", "-c", text, status=None, cwd=scratch, env=env)
            tap.ok(p.returncode == 0, f"{name}:{line}: the block runs", p.stdout + p.stderr)
    return len(found), sum(b[1] for b in found)


# argon2id costs what so many processors do in two seconds.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
tap = Tap()
verbs, targets = known_verbs(), known_targets()
texts = {name: read(name) for name in DOCUMENTS}
WRONG = "coffer encrypt --no-such x\ncoffer nothing\ncoffer header no\nmake nothing\n"
tap.ok(wrong_words(WRONG, verbs, targets) ==
       ["coffer encrypt --no-such", "coffer nothing", "coffer header", "make nothing"],
       "wrong words are found")
tap.ok(unmeasured("1.85 s, 9.99 s", "| coffer | 1.85 | 8859 |") == ["9.99"],
       "a figure that was not measured is found")
tap.ok(not unmeasured(texts["README.md"], read("docs/benchmarks.md")),
       "README.md: every figure was measured",
       unmeasured(texts["README.md"], read("docs/benchmarks.md")))

with tempdir() as scratch:
    os.mkdir(os.path.join(scratch, "bin"))
    os.symlink(COFFER, os.path.join(scratch, "bin", "coffer"))
    env = dict(os.environ, PATH=f"{scratch}/bin:{os.environ['PATH']}")
    counts = [check_document(name, os.path.join(scratch, str(i)), env)
              for i, name in enumerate(DOCUMENTS)]
    tap.ok(counts[0][0] >= 5 and sum(c[1] for c in counts) >= 4, "blocks are found", counts)
    tap.run([("the example of a program starts after make install", example_starts,
              texts["docs/library.md"], scratch)])
tap.done()
