# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs of coffer verify that check its first law, that it changes nothing, and what its reports say;
and small damage to images."""
import hashlib
import json
import os

from coffer import ASAN
from disk import read_at, run, sha256, write_at


def state_of(img):
    st = os.stat(img)
    return (sha256(img), st.st_mtime_ns, st.st_ctime_ns, st.st_size, st.st_mode)


def verify(target, *args, img=None, key=None, status=0, program=ASAN, prefix=(), **kw):
    """The JSON report. img is what must not change; None: target itself."""
    img = img or target
    before = state_of(img)
    p = run(*prefix, program, "verify", "--json", *(["--key-file", key] if key else []), *args,
            target, status=(status,), **kw)
    assert state_of(img) == before, f"{target} is not what it was"
    report = json.loads(p.stdout)
    assert p.stdout.count("\n") == 1 and p.stderr == "", p.stderr
    assert report["report"] == "verify" and report["exit_code"] == status, report
    return report


def verdicts(report, *ids):
    """All verdicts, or those of these checks, in their order."""
    return [c["verdict"] for c in report["checks"] if not ids or c["id"] in ids]


def texts(report, id_):
    return " | ".join(c["text"] for c in report["checks"] if c["id"] == id_)


def expect(report, stage, **checks):
    """Verdicts of each check that is named (a_b for "a-b"), separated by blanks; "" for none."""
    assert report["status"]["stage"] == stage, report["status"]
    for name, wanted in checks.items():
        got = verdicts(report, name.replace("_", "-"))
        assert got == wanted.split(), (name, got, report["checks"])


def expect_bad(report, *ids):
    """These checks are BAD and nothing else is; each has a way out or says more."""
    bad = {c["id"] for c in report["checks"] if c["verdict"] == "bad"}
    assert bad == set(ids), report["checks"]


def identity(plain):
    """UUID and kind of a filesystem, as blkid tells them."""
    p = run("blkid", "-p", "-o", "export", plain)
    found = dict(line.split("=", 1) for line in p.stdout.splitlines() if "=" in line)
    return found["UUID"], found["TYPE"]


def expect_filesystem(report, plain, end):
    uuid, kind = identity(plain)
    expect(report, report["status"]["stage"], filesystem="ok", filesystem_end="ok")
    assert texts(report, "filesystem").startswith(f"{kind}, UUID {uuid}"), report["checks"]
    assert f"ends at byte {end} " in texts(report, "filesystem-end"), report["checks"]


# --- damage ----------------------------------------------------------------------------------------

def xor(img, at):
    write_at(img, at, bytes([read_at(img, at, 1)[0] ^ 1]))


def reseal(img, edit, copies=(0, 1), seqid=None):
    """Changes the metadata of these copies and gives them right checksums, as a vandal would."""
    with open(img, "r+b") as f:
        size = int.from_bytes(f.read(4096)[8:16], "big")
        for i in copies:
            f.seek(i * size)
            copy = bytearray(f.read(size))
            meta = json.loads(copy[4096:].split(b"\0")[0])
            edit(meta)
            text = json.dumps(meta, separators=(",", ":")).encode()
            copy[4096:] = text + bytes(size - 4096 - len(text))
            if seqid is not None:
                copy[16:24] = seqid.to_bytes(8, "big")
            copy[448:512] = bytes(64)
            copy[448:480] = hashlib.sha256(copy).digest()
            f.seek(i * size)
            f.write(copy)
