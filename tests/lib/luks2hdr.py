# SPDX-License-Identifier: LGPL-2.1-or-later
"""LUKS2 headers made by stock cryptsetup, small, in many states; and changes to them that keep the
checksums right, so that only what the change is about can be found. JSON as Python's own objects."""
import copy
import hashlib
import json
import os
import struct

from disk import MiB, run

COPY = 16384
AREA = COPY - 4096
KEYSLOTS = 960 << 10  # bytes of the keyslots area
OFFSET = MiB  # where the data begin
PASSPHRASE = b"open sesame"
CHEAP = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
SMALL = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", str(KEYSLOTS)]


def key_file(folder):
    path = os.path.join(folder, "passphrase")
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(PASSPHRASE)
    return path


def make(folder, name, size=2 * MiB):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(b"\0" * size)
    return path


def formatted(folder, name, *options, size=2 * MiB):
    """A volume with keyslots 0 (pbkdf2) and 1 (argon2id), and a keyring token of keyslot 1."""
    img, key = make(folder, name, size), key_file(folder)
    run("cryptsetup", "luksFormat", "-q", *CHEAP, *SMALL, "--offset", OFFSET // 512, "--label", "disk",
        "--subsystem", "tests", *options, img, key)
    run("cryptsetup", "luksAddKey", "-q", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4",
        "--pbkdf-memory", "32", "--pbkdf-parallel", "1", "--key-file", key, img, key)
    run("cryptsetup", "token", "add", "--key-description", "coffer:test", "--key-slot", "1", img)
    return img


def reencrypting(folder, name, resilience):
    """A change of the volume key that has begun, and is not at work."""
    img, key = make(folder, name, 4 * MiB), key_file(folder)
    run("cryptsetup", "luksFormat", "-q", *CHEAP, *SMALL, "--offset", OFFSET // 512, img, key)
    run("cryptsetup", "reencrypt", "-q", "--init-only", "--force-offline-reencrypt", *CHEAP,
        "--resilience", resilience, "--key-file", key, img, cwd=folder)
    return img


def encrypting(folder, name, content=b""):
    img, key = make(folder, name, 12 * MiB), key_file(folder)
    with open(img, "r+b") as f:
        f.write(content)
    run("cryptsetup", "reencrypt", "-q", "--encrypt", "--init-only", "--force-offline-reencrypt",
        *CHEAP, "--luks2-metadata-size", "16k", "--luks2-keyslots-size", str(KEYSLOTS),
        "--reduce-device-size", "2M", "--key-file", key, img, cwd=folder)
    return img


def decrypting(folder, name):
    """A decryption that moves its header away: what is judged is the header file."""
    img, key = make(folder, name + ".data", 8 * MiB), key_file(folder)
    header = os.path.join(folder, name)
    run("cryptsetup", "luksFormat", "-q", *CHEAP, *SMALL, "--offset", OFFSET // 512, img, key)
    run("cryptsetup", "reencrypt", "-q", "--decrypt", "--init-only", "--force-offline-reencrypt",
        "--header", header, "--key-file", key, img, cwd=folder)
    return header


def detached(folder, name):
    header, data, key = make(folder, name), make(folder, name + ".data"), key_file(folder)
    run("cryptsetup", "luksFormat", "-q", *CHEAP, *SMALL, "--header", header, data, key)
    return header


class Header:
    """The header at the beginning of a file, in memory; put() writes it as it was changed."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.all = bytearray(f.read())
        self.size = struct.unpack(">Q", self.all[8:16])[0]
        self.json = json.loads(self.text())

    def text(self, i=0):
        at = i * self.size + 4096
        return bytes(self.all[at:at + self.size - 4096]).split(b"\0")[0]

    def put_area(self, data, copies=(0, 1)):
        """The JSON area, of exactly these bytes and zeros after them."""
        assert len(data) <= self.size - 4096, f"{len(data)} bytes of metadata"
        for i in copies:
            at = i * self.size + 4096
            self.all[at:at + self.size - 4096] = data.ljust(self.size - 4096, b"\0")
        self.seal(copies)

    def put_json(self, o, copies=(0, 1)):
        self.put_area(json.dumps(o, separators=(",", ":")).encode(), copies)

    def put(self, at, data, copies=(0, 1)):
        """Bytes of the binary block."""
        for i in copies:
            self.all[i * self.size + at:i * self.size + at + len(data)] = data
        self.seal(copies)

    def seal(self, copies=(0, 1)):
        for i in copies:
            part = self.all[i * self.size:(i + 1) * self.size]
            part[448:512] = bytes(64)
            at = i * self.size + 448
            self.all[at:at + 64] = hashlib.sha256(part).digest().ljust(64, b"\0")

    def write(self, path):
        with open(path, "wb") as f:
            f.write(self.all)
        return path


# --- changes -------------------------------------------------------------------------------------

def walk(o, path):
    """The object that holds the last word of a path, and that word."""
    words = path.split("/")
    for word in words[:-1]:
        o = o[int(word)] if isinstance(o, list) else o[word]
    last = words[-1]
    return o, int(last) if isinstance(o, list) else last


def put(path, value):
    """A change that sets a member, "keyslots/0/kdf/salt"."""
    def change(o):
        parent, last = walk(o, path)
        parent[last] = value
    return change


def drop(path):
    def change(o):
        parent, last = walk(o, path)
        del parent[last]
    return change


def copy_of(path, to):
    """A second one of what is at a path, under another name beside it."""
    def change(o):
        parent, last = walk(o, path)
        parent[to] = copy.deepcopy(parent[last])
    return change


def rename(path, to):
    def change(o):
        parent, last = walk(o, path)
        items = list(parent.items())
        parent.clear()
        parent.update((to if k == last else k, v) for k, v in items)
    return change


def both(*changes):
    def change(o):
        for c in changes:
            c(o)
    return change


# --- judges --------------------------------------------------------------------------------------

def stock_accepts(path):
    """Does libcryptsetup load it? Without locks it repairs nothing."""
    p = run("cryptsetup", "isLuks", "--type", "luks2", "--disable-locks", path, status=(0, 1))
    return p.returncode == 0
