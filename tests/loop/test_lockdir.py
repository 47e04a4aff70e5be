#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The folder of cryptsetup's locks and the files in it: where stock cryptsetup refuses to go on with
what it finds there, coffer refuses as well, and no link is ever followed. In a root of its own,
with a /run that is made for each row."""
import contextlib
import fcntl
import json
import os
import stat
import time
import uuid

import alone
import beside
import coffer
from beside import numbers
from coffer import COFFER, Box
from disk import MiB, block_devices, run, sha256, tempdir
from tap import Tap, few

tap = Tap()
tap.need_root()
alone.begin()
stack = contextlib.ExitStack()
folder = stack.enter_context(tempdir())
stack.enter_context(alone.scratch(folder))
root = os.path.join(folder, "root")
disks = os.path.join(folder, "disks")
VOLUME = str(uuid.uuid4())
LN = "LN_LUKS2-reencryption-" + VOLUME
NOBODY = 65534


# --- a root with a /run of our own ----------------------------------------------------------------

def make_root():
    """All of this machine that the programs need, but for /run."""
    os.chmod(folder, 0o755)
    build = os.environ["COFFER_BUILD"]
    for path in "/usr", "/etc", "/dev", "/proc", "/sys", build, disks:
        inside = root + path
        os.makedirs(inside)
        run("mount", "--rbind", path, inside)
    os.chmod(root, 0o755)
    for name in "bin", "sbin", "lib", "lib64":
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), os.path.join(root, name))
    os.makedirs(os.path.join(root, "var/tmp"), exist_ok=True)


def path(*names):
    return os.path.join(root, *names)


def clear_run():
    """Nothing of the row before is left."""
    run("umount", path("run"), status=None)
    for name in "run", "elsewhere", "victim":
        run("rm", "-rf", path(name))


def listing(*names):
    """Everything below these names: kind, mode, owner and content, but not when it was read."""
    found = {}
    entries = [path(name) for name in names if os.path.lexists(path(name))]
    for name in names:
        for at, folders, files in os.walk(path(name)):
            entries += [os.path.join(at, n) for n in folders + files]
    for entry in entries:
        st = os.lstat(entry)
        found[entry] = (st.st_mode, st.st_uid, st.st_ino,
                        sha256(entry) if stat.S_ISREG(st.st_mode) else "")
    return found


def within(as_nobody, *cmd, **kw):
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return run("chroot", root, *(prefix if as_nobody else []), *cmd, status=None, **kw)


# --- what lies there ------------------------------------------------------------------------------

def folder_at(mode=0o700, owner=0):
    def make(_):
        os.makedirs(path("run/cryptsetup"))
        os.chown(path("run/cryptsetup"), owner, owner)
        os.chmod(path("run/cryptsetup"), mode)
    return make


def only_run(_):
    os.makedirs(path("run"))


def link_to(what):
    def make(_):
        only_run(_)
        os.makedirs(path("elsewhere"), mode=0o700)
        os.symlink(what, path("run/cryptsetup"))
    return make


def file_there(_):
    only_run(_)
    with open(path("run/cryptsetup"), "w") as f:
        f.write("a file")


def fifo_there(_):
    only_run(_)
    os.mkfifo(path("run/cryptsetup"))


def no_run(_):
    pass


def run_is_link(_):
    os.makedirs(path("elsewhere/cryptsetup"), mode=0o700)
    os.symlink("elsewhere", path("run"))


def run_is_file(_):
    with open(path("run"), "w") as f:
        f.write("a file")


def read_only(make):
    def make_it(names):
        make(names)
        run("mount", "--bind", path("run"), path("run"))
        run("mount", "-o", "remount,bind,ro", path("run"))
    return make_it


def lock_is(which, how):
    """The lock file of the header (0) or of the conversion (1) is something else."""
    def make(names):
        folder_at()(names)
        name = path("run/cryptsetup", names[which])
        if how == "folder":
            os.mkdir(name)
        elif how == "fifo":
            os.mkfifo(name)
        elif how == "link":
            with open(path("victim"), "w") as f:
                f.write("not to be touched")
            os.symlink("../../victim", name)
        else:
            os.symlink("../../nowhere", name)
    return make


# Name; what makes it; is the user nobody; who must refuse what: "read" is a look at the header,
# "run" a conversion. stock: what it was seen to refuse; coffer: what it must refuse besides. Of
# image files only the conversion needs the folder.
SITUATIONS = [
    ("all is well", folder_at(), False, "", ""),
    ("no folder", only_run, False, "", ""),
    ("folder with mode 0755", folder_at(0o755), False, "", ""),
    ("folder with mode 0777", folder_at(0o777), False, "", ""),
    ("folder of another user", folder_at(0o700, 1234), False, "", ""),
    ("folder is a link to a folder", link_to("../elsewhere"), False, "read run", ""),
    ("folder is a link to nothing", link_to("../nowhere"), False, "read run", ""),
    ("folder is a file", file_there, False, "read run", ""),
    ("folder is a fifo", fifo_there, False, "read run", ""),
    ("no /run", no_run, False, "read run", ""),
    ("/run is a file", run_is_file, False, "read run", ""),
    ("/run is a link", run_is_link, False, "", "read run"),
    ("/run is read-only, no folder", read_only(only_run), False, "read run", ""),
    ("/run is read-only, with the folder", read_only(folder_at()), False, "read run", ""),
    ("header's lock is a link", lock_is(0, "link"), False, "read run", ""),
    ("header's lock is a link to nothing", lock_is(0, "dangling"), False, "read run", ""),
    ("header's lock is a folder", lock_is(0, "folder"), False, "read run", ""),
    ("header's lock is a fifo", lock_is(0, "fifo"), False, "", ""),
    ("conversion's lock is a link", lock_is(1, "link"), False, "run", ""),
    ("conversion's lock is a link to nothing", lock_is(1, "dangling"), False, "run", ""),
    ("conversion's lock is a folder", lock_is(1, "folder"), False, "run", ""),
    ("conversion's lock is a fifo", lock_is(1, "fifo"), False, "", ""),
    ("folder of root, user nobody", folder_at(), True, "read run", ""),
    ("no folder, user nobody", only_run, True, "read run", ""),
    ("folder for everybody, user nobody", folder_at(0o777), True, "", ""),
]


# --- the rows ---------------------------------------------------------------------------------------

@contextlib.contextmanager
def work(kind, source, as_nobody):
    """A fresh copy of an image, or a loop device over it with a node for this user."""
    img = os.path.join(disks, "work")
    run("cp", "--sparse=always", source, img)
    os.chown(img, NOBODY if as_nobody else 0, -1)
    if kind == "image":
        yield img, img
        return
    with block_devices(), alone.passing_loop(img) as dev:
        if as_nobody:
            node = os.path.join(disks, "node")
            st = os.stat(dev)
            os.mknod(node, stat.S_IFBLK | 0o600, st.st_rdev)
            os.chown(node, NOBODY, -1)
            dev = node
        try:
            yield dev, img
        finally:
            if as_nobody:
                os.unlink(node)


def programs(key):
    """(who, "read" or "run", which disk, the command): "{}" is the disk."""
    fast = ["--batch-mode", *coffer.FAST]
    return [
        ("stock", "read", "half", ["cryptsetup", "luksDump", "{}"]),
        ("stock", "read", "final", ["cryptsetup", "luksAddKey", *fast, "--key-file", key, "{}", key]),
        ("stock", "run", "half", coffer.stock_resume("{}", key)),
        ("coffer", "read", "half", [COFFER, "status", "--json", "{}"]),
        ("coffer", "read", "final", [COFFER, "verify", "--json", "--key-file", key, "{}"]),
        *few([("coffer", "read", "half", [COFFER, "plan", "--json", "--no-speed", "{}"]),
              ("coffer", "read", "half", [COFFER, "repair", "--json", "--dry-run", "{}"])], 1),
        ("coffer", "run", "half", coffer.command("encrypt", "{}", key, "--resume-only")),
        ("coffer", "run", "plain", coffer.command("encrypt", "{}", key, "--uuid", VOLUME)),
        ("coffer", "run", "placed", [COFFER, "abort", "{}"]),
        ("coffer", "run", "half", [COFFER, "repair", "--yes", "--key-file", key, "{}"]),
    ]


def one(kind, make, as_nobody, stock_refuses, coffer_refuses):
    refused = {"stock": set(), "coffer": set()}
    for who, what, source, cmd in programs(key):
        clear_run()
        with work(kind, sources[source], as_nobody) as (where, img):
            names = "L_" + numbers(where) if kind == "block" else "L_0:0", LN
            make(names)
            before, others = sha256(img), listing("elsewhere", "victim", "run")
            mode = os.lstat(path("run/cryptsetup")).st_mode if os.path.lexists(
                path("run/cryptsetup")) else None
            p = within(as_nobody, *[where if c == "{}" else c for c in cmd])
            told = f"{' '.join(map(str, cmd))}: {p.returncode}: {p.stdout[-600:]}{p.stderr[-600:]}"
            assert p.returncode >= 0, told
            excused = kind == "image" and no_access(as_nobody)
            no = p.returncode in ((1, 4) if who == "coffer" else range(1, 256))
            assert not no or who == "stock" or not excused, f"an image needs no lock: {told}"
            if no:
                refused[who].add(what)
            if no or what == "read" and who == "coffer":
                assert sha256(img) == before, f"the disk was changed: {told}"
            if who == "coffer":
                untouched(others, mode, told)
                if not no:
                    without_locks_is_said(kind, what, stock_refuses, as_nobody, p, told)
            elif not no and what == "run":
                assert sha256(img) != before, told
    clear_run()
    want = set(stock_refuses.split())
    if kind == "image":
        want.discard("read")  # it is locked itself
    print(f"# {kind}: stock refused {sorted(refused['stock'])}, coffer {sorted(refused['coffer'])}")
    assert refused["stock"] == want, f"stock refused {refused['stock']}, not {want}"


def untouched(others, mode, told):
    now = listing("elsewhere", "victim", "run")
    changed = [entry for entry in others if now.get(entry) != others[entry]]
    assert not changed, f"{changed} were there before and are not what they were: {told}"
    made = [entry for entry in now if entry not in others and not entry.startswith(path("run"))]
    assert not made, f"{made} were made where a link leads: {told}"
    assert not os.path.lexists(path("nowhere")), f"a link to nothing was followed: {told}"
    at = path("run/cryptsetup")
    if mode is not None:
        assert os.lstat(at).st_mode == mode, f"the folder's mode is another one: {told}"
    elif os.path.lexists(at):
        made = os.lstat(at).st_mode
        assert made == stat.S_IFDIR | 0o700, f"the folder was made with mode {made:o}: {told}"


def no_access(as_nobody):
    """Not a lock folder that is wrong, but one that this user cannot write to."""
    return as_nobody or os.path.isdir(path("run")) and os.statvfs(path("run")).f_flag & os.ST_RDONLY


def without_locks_is_said(kind, what, stock_refuses, as_nobody, p, told):
    """coffer went on where stock refuses: only where the manual says so, and the report tells."""
    if what not in stock_refuses.split() or (what == "read" and kind == "image"):
        return
    if what == "read":
        report = json.loads(p.stdout)
        status = report["devices"][0] if "devices" in report else report["status"]
        assert status["locked"] is False, f"it does not say that it had no lock: {told}"
    else:
        assert kind == "image" and no_access(as_nobody), f"stock refuses, and coffer resumes: {told}"
        assert "no access to /run/cryptsetup" in p.stderr, told


def moved_away():
    """The folder is replaced while somebody waits: the lock of the old one keeps nobody out."""
    clear_run()
    with work("block", sources["half"], False) as (where, _), beside.programs() as start:
        name = "L_" + numbers(where)
        folder_at()(None)
        inside = path("run/cryptsetup", name)
        old = os.open(inside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(old, fcntl.LOCK_EX)
        p = start("chroot", root, COFFER, "status", where)
        beside.wait_for(lambda: os.fstat(old).st_ino in beside.inodes_open(p.pid))
        os.rename(path("run/cryptsetup"), path("run/old"))
        folder_at()(None)
        new = os.open(inside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(new, fcntl.LOCK_EX)
        os.close(old)
        beside.wait_for(lambda: os.fstat(new).st_ino in beside.inodes_open(p.pid))
        time.sleep(0.5)
        assert p.is_alive(), f"it took the lock in a folder that has no name: {p.said()}"
        os.close(new)
        status, said = p.wait()
        assert status == 0, (status, said)
    clear_run()


with stack:
    os.mkdir(disks)
    box = Box(disks, 6 * MiB, end=4 * MiB)
    key = box.key
    os.chmod(disks, 0o777)
    os.chown(key, NOBODY, -1)
    phases = coffer.phases(box)
    sources = {"plain": box.plain}
    for name, at in (("placed", phases["commit"][0]),
                     ("half", phases["steps"][len(phases["steps"]) // 2])):
        sources[name] = box.copy(name)
        coffer.kill_at(*at[:2], coffer.one_thread(sources[name], key, "--uuid", VOLUME))
    sources["final"] = box.copy("final")
    coffer.encrypt(sources["final"], key, "--uuid", VOLUME)
    make_root()
    rows = [(f"{name}, {kind}", one, kind, *rest)
            for name, *rest in SITUATIONS for kind in ("image", "block")
            if kind == "block" or not name.startswith("header's lock")]  # an image has no such file
    tap.run(rows)
    tap.run([("the folder is replaced while somebody waits", moved_away)])
tap.done()
