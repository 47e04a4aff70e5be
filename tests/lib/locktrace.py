# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a program really did with cryptsetup's locks, told by strace, and a judge of that.

    lines = traced(["coffer", "status", "disk.img"])
    problems = Judge(Disk("disk.img", ...)).judge(lines)

The judge is a pure function of the lines. It follows descriptors from open to close, also through
dup and fork, since a lock of flock(2) belongs to the open file and not to the number. A lock counts
from the moment its call has returned until the moment the call that ends it begins.
"""
import ast
import os
import re
from collections import Counter

from disk import run, tempdir

LOCKS = "/run/cryptsetup"
CALLS = ("openat,?open,close,?dup,?dup2,dup3,fcntl,flock,read,write,readv,writev,pread64,pwrite64,"
         "preadv,pwritev,lseek,fsync,fdatasync,?fstat,?stat,?lstat,?newfstatat,?statx,?unlink,"
         "unlinkat,clone,?clone3,?fork,?vfork,execve,mmap")

# The rules, by the words that a problem begins with.
RULES = {
    "unlocked read": "bytes of a header copy are read under no metadata lock",
    "unlocked write": "bytes of a header copy are written without the exclusive metadata lock",
    "unlocked keyslots": "the keyslots area is read under no metadata lock",
    "no run": "the disk is written or flushed without the reencryption lock of its UUID",
    "run broken": "the reencryption lock was given back between two writes",
    "run waits": "the reencryption lock was asked for in a way that may wait, or shared",
    "order": "the reencryption lock was taken while the metadata lock was held",
    "two commits": "the metadata lock was not given back between two commits",
    "held over data": "the metadata lock was held while bytes of the volume were written",
    "not checked": "a named lock was relied on, and nobody looked whether the name still leads to it",
    "unlink": "a lock file was removed without holding it exclusively",
    "unseen": "the disk is reached in a way that this file does not follow",
}


def traced(cmd, calls=CALLS, **kw):
    """Runs cmd and returns the lines that strace wrote of it; kw as for disk.run()."""
    with tempdir() as folder:
        log = os.path.join(folder, "log")
        run("strace", "-f", "-yy", "-s", "32", "-o", log, "-e", "trace=" + calls, *cmd, **kw)
        with open(log, errors="replace") as f:
            return f.read().splitlines()


class Disk:
    """What must be known of a disk: where its header is and what its locks are called.

    name is the image or the block device, numbers "7:0" for the latter. header is two copies, 2C
    bytes; keyslots the end of the area after them; data the range in which only bytes of the
    volume lie, all bytes from 0."""

    def __init__(self, name, uuid, header, keyslots, data, numbers=None):
        self.name, self.uuid, self.header, self.data = os.path.realpath(name), uuid, header, data
        self.keyslots, self.numbers = keyslots, numbers

    def is_it(self, path):
        if self.numbers:
            return path.endswith(f"<block {self.numbers}>")
        return path == self.name

    def is_metadata_lock(self, path):
        return path == f"{LOCKS}/L_{self.numbers}" if self.numbers else path == self.name

    def is_run_lock(self, path):
        return path == f"{LOCKS}/LN_LUKS2-reencryption-{self.uuid}"


class Open:
    """An open file: what dup() and fork() share."""

    def __init__(self, path):
        self.path, self.at, self.users = path, 0, 0
        self.lock, self.waits, self.hold = None, False, 0
        self.seen = set()  # since the lock was taken: "fd" and "name" were looked at
        self.just_direct = False  # O_DIRECT was asked for and not yet tried


class Call:
    """One system call: of which thread, its name, its arguments as text, and its result. what is
    the moment: it "enter"s, or it has returned ("exit")."""

    def __init__(self, tid, name, args, result=None):
        self.tid, self.name, self.args = tid, name, args
        self.set_result(result)

    def set_result(self, text):
        m = re.match(r"(-?\d+|\?|0x[0-9a-f]+)(?:<(.*)>)?", text or "?")
        self.path = m[2] if m else None
        self.ret = int(m[1], 0) if m and m[1] != "?" else None

    def fd(self):
        m = re.match(r"(\d+)\b", self.args)
        return int(m[1]) if m else None

    def numbers(self, n):
        """The last n arguments, or None."""
        m = re.search(r"".join(r", (-?\d+)" for _ in range(n)) + "$", self.args)
        return [int(x) for x in m.groups()] if m else None

    def named(self):
        """The path that the call names, where it names one relative to a folder or from the root."""
        m = re.match(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"', self.args)
        return os.path.normpath(os.path.join(m[1] or "", m[2])) if m and m[2] else None

    def data(self):
        """The first bytes that were read or written."""
        m = re.search(r'"((?:[^"\\]|\\.)*)"', self.args)
        return ast.literal_eval(f'b"{m[1]}"') if m else b""


def moments(lines):
    """The calls in the order in which they began and ended: ("enter" or "exit", call), and
    ("gone", thread) for one that has ended."""
    waiting = {}
    for line in lines:
        m = re.match(r"(\d+) +(.*)$", line)
        if not m:
            continue
        tid, text = int(m[1]), m[2]
        if text.startswith("+++"):
            yield "gone", tid
        elif u := re.match(r"(\w+)\((.*?),? *<unfinished \.\.\.>$", text):
            waiting[tid] = Call(tid, u[1], u[2])
            yield "enter", waiting[tid]
        elif u := re.match(r"<\.\.\. (\w+) resumed>(.*)\) += (.*)$", text):
            call = waiting.pop(tid, None) or Call(tid, u[1], "")
            call.args = f"{call.args}, {u[2].lstrip(', ')}" if u[2] else call.args
            call.set_result(u[3])
            yield "exit", call
        elif u := re.match(r"(\w+)\((.*)\) += (.*)$", text):
            call = Call(tid, u[1], u[2], u[3])
            yield "enter", call
            yield "exit", call


class Table:
    """The descriptors of one process, or of all its threads."""

    def __init__(self, entries=()):
        self.fds, self.threads = dict(entries), 1
        for f, _ in self.fds.values():
            f.users += 1

    def put(self, fd, f, cloexec):
        self.drop(fd)
        self.fds[fd] = (f, cloexec)
        f.users += 1

    def drop(self, fd):
        f, _ = self.fds.pop(fd, (None, None))
        if f:
            f.users -= 1
            if f.users == 0:
                f.lock = None

    def get(self, fd):
        return self.fds.get(fd, (None, None))[0]


class Judge:
    """judge(lines) gives the problems, [(rule, line of the reason)], and fills count with what was
    seen, so that a caller can tell an innocent program from one that did nothing.

    is_run: the program converts, so it must hold the reencryption lock from its first write on.
    is_plain: there is no header in the beginning, so what is read before the first write there is
    none. keyslots: their area counts as well."""

    def __init__(self, disk, is_run=False, is_plain=False, keyslots=False):
        self.disk, self.is_run, self.is_plain, self.keyslots = disk, is_run, is_plain, keyslots
        self.problems, self.count = [], Counter()
        self.tables, self.clones, self.opens = {}, {}, []
        self.holds, self.run_locks, self.seqid = 0, set(), {}

    def judge(self, lines):
        for what, call in moments(lines):
            if what == "gone":
                self._gone(call)
                continue
            table = self._table(call.tid)
            handler = getattr(self, f"_{what}_{ALIAS.get(call.name, call.name)}", None)
            f = table.get(call.fd())
            if what == "enter" and call.name in TRANSFERS:
                call.at = f.at if f else 0
            if handler:
                handler(call, table, f)
            if f and what == "exit" and call.name in MOVES:
                # An empty read is stock's first try of O_DIRECT, the next one its second.
                f.just_direct = call.name == "read" and call.numbers(1) == [0]
        return self.problems

    def rules(self, lines):
        return {rule for rule, _ in self.judge(lines)}

    def _problem(self, rule, call, why=""):
        assert rule in RULES, rule
        self.problems.append((rule, f"{call.name}({call.args}){why and ': ' + why}"))

    # --- processes ---

    def _table(self, tid):
        if tid not in self.tables:
            # It runs before the call that made it has returned in its parent.
            parent = next((t for t, c in self.clones.items() if c.ret is None), None)
            self._born(tid, self.clones[parent] if parent else None)
        return self.tables[tid]

    def _born(self, tid, clone):
        if tid in self.tables:
            return
        if clone is None:
            self.tables[tid] = Table()
        elif "CLONE_FILES" in clone.args:
            self.tables[tid] = self.tables[clone.tid]
            self.tables[tid].threads += 1
        else:
            self.tables[tid] = Table(self.tables[clone.tid].fds)

    def _enter_clone(self, call, table, _):
        self.clones[call.tid] = call

    def _exit_clone(self, call, table, _):
        self.clones.pop(call.tid, None)
        if call.ret and call.ret > 0:
            self._born(call.ret, call)

    def _gone(self, tid):
        table = self.tables.pop(tid, None)
        if table:
            table.threads -= 1
            if table.threads == 0:
                for fd in list(table.fds):
                    table.drop(fd)

    def _exit_execve(self, call, table, _):
        if call.ret == 0:
            for fd in [n for n, (_, cloexec) in table.fds.items() if cloexec]:
                table.drop(fd)

    # --- descriptors ---

    def _exit_openat(self, call, table, _):
        if call.ret is not None and call.ret >= 0:
            f = Open(call.path or "")
            f.just_direct = "O_DIRECT" in call.args
            self.opens.append(f)
            table.put(call.ret, f, "O_CLOEXEC" in call.args)

    def _enter_close(self, call, table, f):
        table.drop(call.fd())

    def _exit_dup(self, call, table, f):
        if f and call.ret is not None and call.ret >= 0:
            table.put(call.ret, f, "O_CLOEXEC" in call.args)

    def _exit_fcntl(self, call, table, f):
        if f and "F_DUPFD" in call.args and call.ret >= 0:
            table.put(call.ret, f, "CLOEXEC" in call.args)
        elif f and "F_SETFL" in call.args:
            f.just_direct = "O_DIRECT" in call.args

    def _exit_lseek(self, call, table, f):
        if f and call.ret is not None and call.ret >= 0:
            f.at = call.ret

    def _exit_mmap(self, call, table, _):
        m = re.search(r", (\d+)<[^,]*, 0x?[0-9a-f]*$", call.args)
        f = table.get(int(m[1])) if m else None
        if f and self.disk.is_it(f.path):
            self._problem("unseen", call)

    # --- locks ---

    def _enter_flock(self, call, table, f):
        if f and "LOCK_UN" in call.args:
            f.lock = None

    def _exit_flock(self, call, table, f):
        if not f or "LOCK_UN" in call.args:
            return
        if call.ret != 0:
            f.lock = None  # what was held before is lost, too
            return
        if not f.lock:
            self.holds += 1
            f.hold = self.holds
        f.lock = "EX" if "LOCK_EX" in call.args else "SH"
        f.waits, f.seen = "LOCK_NB" not in call.args, set()
        if self.disk.is_run_lock(f.path):
            self.count["run locks"] += 1
            if f.lock != "EX" or f.waits:
                self._problem("run waits", call)
            if self._metadata(False):
                self._problem("order", call)
        elif self.disk.is_metadata_lock(f.path):
            self.count["shared locks" if f.lock == "SH" else "exclusive locks"] += 1

    def _exit_stat(self, call, table, f):
        path = call.named()
        if call.ret != 0:
            return
        for o in self.opens:
            if path and o.lock and o.path == path:
                o.seen.add("name")
        if f and not path:
            f.seen.add("fd")

    def _enter_unlink(self, call, table, _):
        path = call.named() or ""
        if os.path.dirname(path) != LOCKS:
            return
        held = [o for o in self.opens if o.path == path and o.lock == "EX"]
        self.count["unlinks"] += 1
        if not held:
            self._problem("unlink", call)
        elif not any(self._is_checked(o) for o in held):
            self._problem("not checked", call)

    def _is_checked(self, o):
        """An image is locked by the descriptor that is read and written: no name can mislead."""
        return not o.path.startswith(LOCKS + "/") or o.seen == {"fd", "name"}

    def _metadata(self, exclusive):
        return [o for o in self.opens if self.disk.is_metadata_lock(o.path)
                and o.lock in (("EX",) if exclusive else ("SH", "EX"))]

    def _need_metadata(self, rule, call, exclusive):
        held = self._metadata(exclusive)
        if not held:
            others = sorted(f"{o.path} {o.lock}" for o in self.opens if o.lock)
            self._problem(rule, call, f"held: {', '.join(others) or 'nothing'}")
        elif not any(self._is_checked(o) for o in held):
            self._problem("not checked", call)
        return held

    def _need_run(self, call):
        if not self.is_run:
            return
        held = [o for o in self.opens if self.disk.is_run_lock(o.path) and o.lock == "EX"]
        if not held:
            self._problem("no run", call)
        elif not self._is_checked(held[0]):
            self._problem("not checked", call)
        self.run_locks.update(o.hold for o in held)
        if len(self.run_locks) > 1:
            self._problem("run broken", call)

    # --- transfers ---

    def _range(self, call):
        """[from, to) of the disk that the call is about; not what it managed to do."""
        if call.name in ("pread64", "pwrite64"):
            n = call.numbers(2)
            return (n[1], n[0] + n[1]) if n else None
        if call.name not in ("read", "write"):
            return None
        n = call.numbers(1)
        return (call.at, call.at + n[0]) if n else None

    def _enter_read(self, call, table, f):
        if not f or not self.disk.is_it(f.path):
            return
        if not (span := self._range(call)):
            if call.name not in ("read", "pread64"):
                self._problem("unseen", call)
            return  # it has not told how much it wants: judged when it returns
        self._read(call, f, span)

    def _exit_read(self, call, table, f):
        if f and call.name == "read" and call.ret and call.ret > 0:
            f.at += call.ret
        if f and self.disk.is_it(f.path) and (span := self._range(call)):
            self._read(call, f, span, again=True)

    def _read(self, call, f, span, again=False):
        if span[0] == span[1]:
            return
        if f.just_direct and span[0] == 0 and span[1] <= 4096:
            # Whether the kernel takes O_DIRECT here: what was read is thrown away.
            self.count["tries of O_DIRECT"] += not again
            return
        if self.is_plain and not self.count["header writes"]:
            return
        if span[0] < self.disk.header:
            self.count["header reads"] += not again
            self._need_metadata("unlocked read", call, False)
        elif span[0] < self.disk.keyslots and self.keyslots:
            self.count["keyslots reads"] += not again
            self._need_metadata("unlocked keyslots", call, False)

    def _enter_write(self, call, table, f):
        if not f or not self.disk.is_it(f.path):
            return
        if not (span := self._range(call)):
            self._problem("unseen", call)
            return
        self._write(call, span)

    def _exit_write(self, call, table, f):
        if f and call.name == "write" and call.ret and call.ret > 0:
            f.at += call.ret
        if f and self.disk.is_it(f.path) and (span := self._range(call)):
            self._write(call, span, again=True)

    def _write(self, call, span, again=False):
        self.count["writes"] += not again
        self._need_run(call)
        if span[0] < self.disk.header:
            self.count["header writes"] += not again
            held = self._need_metadata("unlocked write", call, True)
            self._note_commit(call, held)
        if span[1] > self.disk.data[0] and span[0] < self.disk.data[1]:
            self.count["data writes"] += not again
            if self._metadata(False):
                self._problem("held over data", call)

    def _note_commit(self, call, held):
        data = call.data()
        if data[:6] not in (b"LUKS\xba\xbe", b"SKUL\xba\xbe") or len(data) < 24:
            return
        seqid = int.from_bytes(data[16:24], "big")
        for o in held:
            if self.seqid.setdefault(o.hold, seqid) != seqid:
                self._problem("two commits", call)
        if data[:4] == b"LUKS":
            self.count[f"seqid {seqid}"] += 1
        self.count["commits"] = len({k for k in self.count if k.startswith("seqid ")})

    def _enter_flush(self, call, table, f):
        if f and self.disk.is_it(f.path):
            self.count["flushes"] += 1
            if self.count["writes"]:
                self._need_run(call)


ALIAS = {"open": "openat", "dup2": "dup", "dup3": "dup", "clone3": "clone", "fork": "clone",
         "vfork": "clone", "fstat": "stat", "lstat": "stat", "newfstatat": "stat", "statx": "stat",
         "unlinkat": "unlink", "pread64": "read", "readv": "read", "preadv": "read",
         "pwrite64": "write", "writev": "write", "pwritev": "write", "fsync": "flush",
         "fdatasync": "flush"}
TRANSFERS = {"read", "write", "readv", "writev"}  # at the file's own position
MOVES = TRANSFERS | {"pread64", "pwrite64", "preadv", "pwritev", "lseek"}
