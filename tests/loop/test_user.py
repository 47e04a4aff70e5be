#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a person or a script meets: an ordinary user without access to cryptsetup's locks, every way
to hand over a passphrase, a real terminal, JSON, progress, and how wrong usage is told."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import coffer
from coffer import ASAN, COFFER, NOBODY, Box, one_thread, pointer
from disk import HANG, MiB, run, sha256, tempdir
from tap import Tap

tap = Tap()
def closed(stream, *options):
    """Bug: with a standard stream closed the image was opened in its place, and reports were written
    to it, or the passphrase was read from it."""
    img = box.copy()
    p = run("sh", "-c", f'exec "$@" {stream}', "sh",
            *coffer.command("encrypt", img, box.key if "key" in options else None,
                            "--json", *(o for o in options if o != "key")),
            status=(0, 1))
    if p.returncode == 0 and "--dry-run" not in options:
        box.check(img)
    else:
        run("cmp", img, box.plain)


tap.need_root()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
PASSPHRASE = "correct horse battery"


def as_user(*cmd, **kw):
    return run(*NOBODY, *cmd, **kw)


def image(name="work"):
    """A fresh copy that belongs to the ordinary user."""
    img = box.copy(name)
    os.chown(img, 65534, 65534)
    return img


def opens(img, passphrase):
    key = os.path.join(folder, "check-key")
    with open(key, "wb") as f:
        f.write(passphrase if isinstance(passphrase, bytes) else passphrase.encode())
    return run("cryptsetup", "open", "--test-passphrase", "--key-file", key, img,
               status=None).returncode == 0


# --- an ordinary user -----------------------------------------------------------------------------

def user_encrypts(prog):
    img = image()
    p = as_user(*coffer.command("encrypt", img, box.key, program=prog))
    assert "/run/cryptsetup" in p.stderr, p.stderr  # that stock tools are not kept out
    box.check(img)


def user_json():
    img = image()
    p = as_user(*coffer.command("encrypt", img, box.key, "--json", program=program))
    assert coffer.events(p)[-1]["stock_tools_kept_out"] is False
    box.check(img)


def user_resumes(prog):
    img = image()
    p = coffer.inject("fdatasync", "signal=TERM:when=26", [*NOBODY, *one_thread(
        img, box.key, program=program)])
    assert p.returncode == 5 and 0 < pointer(img) < box.end, (p.returncode, p.stderr)
    p = as_user(*coffer.command("encrypt", img, box.key, "--json", program=prog))
    assert coffer.events(p)[-1]["resumed"], p.stdout
    box.check(img)


def user_aborts(prog):
    img = image()
    before = sha256(img, 0, box.end)
    coffer.kill_at("fdatasync", 11, [*NOBODY, *one_thread(img, box.key, program=program)])
    assert pointer(img) == box.end
    as_user(prog, "abort", img)
    assert sha256(img, 0, box.end) == before


def user_refused():
    """An image of somebody else's."""
    img = box.copy("theirs")
    os.chmod(img, 0o644)
    p = as_user(*coffer.command("encrypt", img, box.key, "--json", program=program), status=(4,))
    assert coffer.why(coffer.events(p)[-1]) == "EACCES", p.stdout


def locked_memory(limit, status):
    """A limit on locked memory that is too small is told, and nothing was changed."""
    img = image()
    p = as_user("prlimit", f"--memlock={limit}", *coffer.command(
        "encrypt", img, box.key, program=program), status=(status,))
    if status:
        assert "ulimit -l" in p.stderr, p.stderr
        run("cmp", img, box.plain)
    else:
        box.check(img)


# --- where a passphrase comes from -------------------------------------------------------------------

def given(options, stdin, wanted, fd_content=None):
    """The passphrase that opens the result is the one wanted, to the byte; and it resumes, too."""
    img = box.copy()
    cmd = coffer.command("encrypt", img, None, "--threads", "1")
    calls = [[*cmd[:-1], *options, img]]
    calls.append(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
                  "inject=fdatasync:signal=KILL:when=21", *calls[0]])
    for i, call in enumerate(reversed(calls)):
        kw = {}
        if fd_content is not None:
            r, w = os.pipe()
            os.write(w, fd_content)
            os.close(w)
            kw["pass_fds"] = [r]
            call = [str(r) if a == "FD" else a for a in call]
        p = subprocess.run(call, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=HANG, check=False, **kw)
        if fd_content is not None:
            os.close(r)
        assert p.returncode == (0 if i else -signal.SIGKILL), (p.returncode, p.stdout)
    assert opens(img, wanted), "the wrong bytes were taken for the passphrase"
    coffer.assert_final(img)


def key_refused(options, stdin, why, *names):
    img = box.copy()
    before = sha256(img)
    cmd = coffer.command("encrypt", img, None, *options)
    for how in [], ["--json"]:
        p = subprocess.run([*cmd[:-1], *how, img], input=stdin, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=HANG, check=False)
        assert p.returncode == 1, (p.returncode, p.stderr)
        last = coffer.events(p)[-1] if how else {"message": p.stderr.decode()}
        assert not how or coffer.why(last) == why, last
        for name in names:
            assert name in last["message"], last
    assert sha256(img) == before, "it has changed the device"


def key_of_dry_run(content, status, why=""):
    """Bug: every preflight check passed, and the run that followed had no key."""
    img, key = box.copy(), os.path.join(folder, "dry-key")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(key)
    if content is not None:
        with open(key, "wb") as f:
            f.write(content)
    for prog in COFFER, ASAN:
        p = run(*coffer.command("encrypt", img, key, "--dry-run", program=prog), status=(status,))
        assert not status or key in p.stderr, p.stderr
        last = coffer.events(run(*coffer.command("encrypt", img, key, "--dry-run", "--json",
                                                 program=prog), status=(status,)))[-1]
        assert last["outcome"] == ("failed" if status else "done") and not last["changed"], last
        assert coffer.why(last) == why, last
    run("cmp", img, box.plain)


# --- a terminal ---------------------------------------------------------------------------------------

class Terminal:
    """coffer on a terminal of its own."""

    def __init__(self, *cmd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execv(cmd[0], cmd)
            finally:
                os._exit(126)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid > 0 and os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def expect(self, text, timeout=HANG):
        """Reads until text comes; returns what came up to then."""
        end = time.monotonic() + timeout
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and self._read(left), f"no '{text}' in: {self.seen!r}"
        before, self.seen = self.seen.split(text, 1)
        return before

    def _read(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: everybody has closed it
            piece = os.read(self.fd, 65536)
            self.seen += piece.decode(errors="replace")
            return bool(piece)
        return False

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def wait(self, timeout=HANG):
        """The status; what was still shown is in self.seen."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self._read(0.1):
                    pass
                self.pid = -1
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"not ended in {timeout} s: {self.seen!r}")


def on_terminal(img):
    return Terminal(*coffer.command("encrypt", img, None))


def asks_twice():
    img = box.copy()
    with on_terminal(img) as t:
        shown = t.expect(f"{img}: ")
        assert not t.echoes(), "what is typed can be seen"
        t.type(PASSPHRASE + "\n")
        shown += t.expect(": ")
        assert not t.echoes()
        t.type(PASSPHRASE + "\n")
        status = t.wait()
        shown += t.seen
        assert status == 0 and t.echoes(), (status, shown)
    assert PASSPHRASE not in shown and "horse" not in shown, shown
    assert re.search(r"\r.* +\d+ %, \S+ \S+ of \S+ \S+", shown), f"no progress: {shown!r}"
    assert not re.search(r"^\S+: +\d+ %, ", shown, re.MULTILINE), "more than one line"
    assert opens(img, PASSPHRASE)


def asks_once_to_resume():
    img = box.copy()
    key = os.path.join(folder, "typed")
    with open(key, "w") as f:
        f.write(PASSPHRASE)
    coffer.kill_at("fdatasync", 21, one_thread(img, key))
    with on_terminal(img) as t:
        t.expect(f"{img}: ")
        t.type(PASSPHRASE + "\n")
        status = t.wait()
        assert status == 0, (status, t.seen)
        assert PASSPHRASE not in t.seen
    coffer.assert_final(img)


def mismatch():
    img = box.copy()
    before = sha256(img)
    with on_terminal(img) as t:
        t.expect(": ")
        t.type(PASSPHRASE + "\n")
        t.expect(": ")
        t.type(PASSPHRASE + "!\n")
        status = t.wait()
        assert status == 1 and t.echoes(), (status, t.seen)
    assert sha256(img) == before


def empty():
    img = box.copy()
    with on_terminal(img) as t:
        t.expect(": ")
        t.type("\n")
        t.expect(": ")
        t.type("\n")
        status = t.wait()
        assert status == 1, (status, t.seen)
    run("cmp", img, box.plain)


def control_c(second):
    """The terminal gets its echo back, and nothing was changed."""
    img = box.copy()
    with on_terminal(img) as t:
        t.expect(": ")
        if second:
            t.type(PASSPHRASE + "\n")
            t.expect(": ")
        t.type("half of it")
        time.sleep(0.2)
        t.type("\x03")
        status = t.wait()
        assert t.echoes(), "the echo is gone for good"
        assert status in (1, 5), (status, t.seen)
        assert "half of it" not in t.seen
    run("cmp", img, box.plain)


def terminated_at_prompt():
    img = box.copy()
    with on_terminal(img) as t:
        t.expect(": ")
        time.sleep(0.2)
        os.kill(t.pid, signal.SIGTERM)
        status = t.wait()
        assert t.echoes() and status in (1, 5), (status, t.seen)
    run("cmp", img, box.plain)


# --- reports --------------------------------------------------------------------------------------------

def json_lines(prog, make, verb, status, outcome, *options):
    """Every line on standard output is JSON, the last one the summary; nothing of it on the other."""
    img = make()
    key = box.key if verb == "encrypt" else None
    p = run(*coffer.command(verb, img, key, "--json", *options, program=prog), status=(status,))
    seen = coffer.events(p)
    assert seen[-1]["event"] == "summary" and seen[-1]["verb"] == verb, seen[-1]
    assert seen[-1]["exit_code"] == status and seen[-1]["outcome"] == outcome, seen[-1]
    assert seen[-1]["device"] == img and ("message" in seen[-1]) == (status != 0), seen[-1]
    assert all(e["event"] == "progress" for e in seen[:-1]), seen
    assert "{" not in p.stderr, p.stderr
    done = [e["done"] for e in seen[:-1]]
    assert done == sorted(done), done
    for e in seen[:-1]:
        assert e["phase"] in ("prepare", "derive", "place", "convert", "finalize", "undo"), e
        assert 0 <= e["done"] <= e["total"] and e["moved"] <= e["done"], e


def strange_name():
    img = box.copy('a "quoted" name\twith\\everything\n\u00e4')
    json_lines(COFFER, lambda: img, "encrypt", 0, "done")
    img = box.copy('%s%n%d')
    json_lines(COFFER, lambda: img, "encrypt", 0, "done")


def lines_of_progress():
    """One line per five percent when nobody watches a terminal, and no control characters."""
    img = os.path.join(folder, "sixty")
    run("truncate", "-s", 62 * MiB, img)
    p = coffer.encrypt(img, box.key, "--device-size", "60M")
    percent = [int(m) for m in re.findall(r" (\d+) %.* 60\.0 MiB", p.stderr)]
    assert percent[0] == 0 and percent[-1] == 100, percent
    assert 19 <= len(percent) <= 22, percent
    assert all(4 <= b - a <= 7 for a, b in zip(percent, percent[1:])), percent
    assert "\r" not in p.stderr and "\033" not in p.stderr, p.stderr
    assert p.stdout == "", p.stdout


def quiet():
    img = box.copy()
    p = coffer.encrypt(img, box.key, "--quiet")
    assert p.stdout == p.stderr == "", (p.stdout, p.stderr)
    p = coffer.encrypt(img, box.key, "--quiet", status=(4,))
    assert p.stdout == "" and p.stderr.count("\n") == 1, p.stderr


def summary():
    p = coffer.encrypt(box.copy(), box.key)
    for fact in "LUKS2", "10.0 MiB", "aes-xts-plain64", "coffer header backup":
        assert fact in p.stderr, (fact, p.stderr)


# --- usage -----------------------------------------------------------------------------------------------

def usage(*args, words=(), status=2):
    for prog in COFFER, ASAN:
        p = run(prog, *args, status=(status,))
        text = p.stderr if status else p.stdout
        assert text and not (p.stdout if status else p.stderr), (p.stdout, p.stderr)
        for word in words:
            assert word in text, (word, text)


def no_verb(word):
    """Bug: it was told as text, whatever was asked for."""
    for args in [word, "--json"], ["--json", word]:
        args = [a for a in args if a]
        p = run(ASAN, *args, status=(2,))
        report = json.loads(p.stdout + p.stderr)
        assert report["report"] == report["outcome"] == "usage" and report["exit_code"] == 2, p
        assert report.get("verb") == (word if args[0] == word else None), report  # Bug: "--json"
        assert args[0] in report["message"] or args[0] == "--json", report


def misused(*args, words=()):
    """Nothing of the image is changed, either."""
    img = box.copy()
    usage("encrypt", *args, img, words=words)
    run("cmp", img, box.plain)


def wrong_value(*args):
    """Bug: it was told as a failure or a refusal, and some of it not before the passphrase."""
    words = [args[0]]
    misused(*args, words=words)
    usage("encrypt", *args, os.path.join(folder, "missing"), words=words)
    usage("plan", *args, os.path.join(folder, "missing"), words=words)


def wrong_cost(*args, words=()):
    """libcryptsetup judges it, before the passphrase: there is none here."""
    args = (*args, "--reduce-device-size", "2M")
    misused(*args, words=words)
    misused(*args, "--dry-run", words=words)
    usage("plan", "--no-speed", *args, box.copy(), words=words)
    p = run(COFFER, "plan", "--no-speed", "--json", *args, box.copy(), status=(2,))
    assert json.loads(p.stdout)["outcome"] == "usage", p.stdout


KEY = os.urandom(20).replace(b"\n", b"x") + b"\nsecond line\n"

with stack:
    os.chmod(folder, 0o755)
    box = Box(folder)
    os.chmod(box.key, 0o644)
    programs = os.path.join(folder, "bin")  # the build's own folder may be closed to others
    os.mkdir(programs)
    program, asan = os.path.join(programs, "coffer"), os.path.join(programs, "coffer-asan")
    coffer.install(asan, ASAN)
    coffer.install(program)
    key_file = os.path.join(folder, "lines")
    with open(key_file, "wb") as f:
        f.write(KEY)
    many = os.path.join(folder, "many")
    with open(many, "wb") as f:
        f.write(os.urandom(3 * MiB))

    rows = [
        ("ordinary user encrypts", user_encrypts, program),
        ("ordinary user encrypts, with the sanitizers", user_encrypts, asan),
        ("ordinary user, JSON", user_json),
        ("ordinary user resumes", user_resumes, program),
        ("ordinary user aborts", user_aborts, program),
        ("ordinary user, an image of root's", user_refused),
        ("64 KiB of memory may be locked: enough", locked_memory, 65536, 0),
        ("4 KiB of memory may be locked: too little", locked_memory, 4096, 1),

        ("key file, all of it", given, ["--key-file", key_file], b"", KEY),
        ("key file from standard input", given, ["--key-file", "-"], KEY, KEY),
        ("key file, a part", given, ["--key-file", key_file, "--keyfile-offset", "3",
                                     "--keyfile-size", "9"], b"", KEY[3:12]),
        ("standard input, a part", given, ["--key-file", "-", "--keyfile-offset", "3",
                                           "--keyfile-size", "9"], KEY, KEY[3:12]),
        ("key descriptor", given, ["--key-fd", "FD"], b"", KEY, KEY),
        ("key descriptor 0", given, ["--key-fd", "0"], KEY, KEY),
        ("first line of standard input", given, [], PASSPHRASE.encode() + b"\nmore\n", PASSPHRASE),
        ("line without its end", given, [], PASSPHRASE.encode(), PASSPHRASE),
        ("zeros in a key", given, ["--key-file", "-"], b"a\0b\0c", b"a\0b\0c"),
        ("no key on standard input", key_refused, [], b"", "ENODATA", "--key-file"),
        ("empty line", key_refused, [], b"\n", "EINVAL"),
        ("no key file", key_refused, ["--key-file", folder + "/none"], b"", "ENOENT", "/none"),
        ("Bug: empty, not named", key_refused, ["--key-file", "/dev/null"], b"", "EINVAL", "null"),
        ("key file too long", key_refused, ["--key-file", many], b"", "E2BIG", "--keyfile-size"),
        ("key file too short for its part", key_refused, ["--key-file", key_file, "--keyfile-size",
                                                          "99"], b"", "EIO", "99"),
        ("descriptor that is not open", key_refused, ["--key-fd", "77"], b"", "EBADF", "--key-fd"),
        ("a folder as a key file", key_refused, ["--key-file", folder], b"", "EISDIR", folder),
        ("dry run: no key file", key_of_dry_run, None, 1, "ENOENT"),
        ("dry run: an empty key file", key_of_dry_run, b"", 1, "EINVAL"),
        ("dry run: a key file", key_of_dry_run, b"x", 0),

        ("terminal: asked twice, hidden, with progress", asks_twice),
        ("terminal: asked once to resume", asks_once_to_resume),
        ("terminal: two that differ", mismatch),
        ("terminal: empty", empty),
        ("standard output closed, dry run", closed, ">&-", "key", "--dry-run"),
        ("standard output closed", closed, ">&-", "key"),
        ("standard input closed, no key", closed, "<&-"),
        ("standard error closed", closed, "2>&-", "key"),
        ("terminal: Ctrl-C at the first question", control_c, False),
        ("terminal: Ctrl-C at the second question", control_c, True),
        ("terminal: SIGTERM at the question", terminated_at_prompt),
    ]

    def half():
        img = box.copy()
        coffer.kill_at("fdatasync", 26, one_thread(img, box.key))
        return img

    def placed():
        img = box.copy()
        coffer.kill_at("fdatasync", 11, one_thread(img, box.key))
        return img

    def missing():
        return os.path.join(folder, "missing")

    for prog in COFFER, ASAN:
        rows += [(f"JSON: {name}{', with the sanitizers' if prog == ASAN else ''}", json_lines, prog,
                  *args) for name, *args in (
            ("encrypt", box.copy, "encrypt", 0, "done"),
            ("resume", half, "encrypt", 0, "done"),
            ("refused", box.copy, "encrypt", 4, "refused", "--reduce-device-size", "8M"),
            ("failed", missing, "encrypt", 1, "failed"),
            ("dry run", box.copy, "encrypt", 0, "done", "--dry-run"),
            ("abort", placed, "abort", 0, "done"),
            ("abort too late", half, "abort", 4, "refused"),
            ("abort of nothing", box.copy, "abort", 3, "no"))]
    rows += [
        ("JSON: names with everything in them", strange_name),
        ("progress in lines", lines_of_progress),
        ("quiet", quiet),
        ("summary", summary),

        ("usage: nothing", usage),
        ("usage: unknown verb", lambda: usage("encipher", "x", words=["encipher", "--help"])),
        ("usage: unknown verb, JSON", no_verb, "frob"),
        ("usage: no verb, JSON", no_verb, None),
        ("usage: half a verb, JSON", no_verb, "header"),
        ("usage: unknown option, no verb", lambda: usage(
            "--verison", words=["'--verison'"])),
        ("usage: an option of a verb", lambda: usage(
            "--key-file=x", words=["'--key-file=x'"])),
        ("usage: -h of a verb", lambda: usage(
            "encrypt", "-h", words=["'-h'", "--hash", "--help"])),
        ("usage: a backup to standard output", lambda: usage(
            "header", "backup", "--header-backup-file", "-", "x", words=["./-"])),
        ("usage: no device", lambda: usage("encrypt", words=["encrypt", "DEVICE", "0"])),
        ("usage: two devices", lambda: usage("encrypt", "a", "b", words=["encrypt", "DEVICE", "2"])),
        ("usage: abort without device", lambda: usage("abort", words=["abort", "DEVICE", "0"])),
        ("usage: option of another verb", lambda: usage("abort", "--label", "x", "y",
                                                        words=["--label"])),
        ("help", lambda: usage("--help", words=["encrypt", "abort", "Exit status"], status=0)),
        ("help of a verb", lambda: usage("encrypt", "--help", words=["--reduce-device-size"],
                                         status=0)),
        ("version", lambda: usage("--version", words=["coffer "], status=0)),
        ("Bug: version, shortened", lambda: usage("--versio", words=["coffer "], status=0)),
        ("Bug: help of an unknown verb", lambda: usage("help", "foo", words=["'foo'"])),
    ]
    rows += [(f"usage: {' '.join(args)}", lambda args=args: misused(*args, words=[args[0].split("=")[0]]))
             for args in (
        ["--no-such-option"],
        ["--reduce-device-size", "1M"],
        ["--reduce-device-size", "3G"],
        ["--reduce-device-size", "2097153"],
        ["--reduce-device-size", "many"],
        ["--reduce-device-size", "99999999999T"],
        ["--device-size", "0"],
        ["--device-size", "-1"],
        ["--sector-size", "1024"],
        ["--key-size", "x"],
        ["--key-fd", "-2"],
        ["--key-fd", "99999"],
        ["--key-fd", "3", "--key-file", "x"],
        ["--keyfile-size", "3"],
        ["--threads", "0"],
        ["--threads", "17"],
        ["--threads", "4K"],
        ["--pbkdf-memory", "5000000000"],
        ["--used-only", "maybe"],
        ["--used-only", ""],
        ["--free-space", "trim"],
        ["--free-space", "default"],
        ["--max-rate", "fast"],
        ["--verify=yes"],
        ["--luks2-metadata-size", "20K"],
        ["--luks2-keyslots-size", "4097"],
    )]
    rows += [(f"wrong value: {' '.join(args)[:40]}", lambda args=args: wrong_value(*args))
             for args in (
        ["--pbkdf", "foo"],
        ["--hash", "foo"],
        ["--hash", "md5"],
        ["--uuid", "foo"],
        ["--uuid", "6b64f6f4-8e64-4a5d-9f1f-0a3f5d0c1b2g"],
        ["--uuid", "6b64f6f48-e64-4a5d-9f1f-0a3f5d0c1b2a"],
        ["--label", "x" * 48],
        ["--cipher", "aes-cbc"],
        ["--key-size", "128"],
        ["--luks2-keyslots-size", "1G"],
    )]
    rows += [(f"wrong cost: {' '.join(args)}",
              lambda args=args, words=words: wrong_cost(*args, words=words)) for args, words in (
        (["--pbkdf-memory", "1"], ["32"]),
        (["--pbkdf-memory", "99999999"], ["4194304"]),
        (["--pbkdf-force-iterations", "1"], ["4"]),
        (["--pbkdf", "pbkdf2", "--pbkdf-memory", "64"], ["memory", "pbkdf2"]),
    )]
    rows.append(("usage: option without its value", lambda: usage(
        "encrypt", "--key-file", words=["--key-file"])))
    tap.run(rows)
tap.done()
