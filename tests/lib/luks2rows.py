# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes to LUKS2 headers: tables of one change each, which break every rule of the metadata once,
and random ones. The headers are those of luks2hdr.py, and get right checksums again."""
import base64
import json

import luks2hdr
from luks2hdr import AREA, COPY, KEYSLOTS, both, copy_of, drop, put, rename, walk

END = 2 * COPY + KEYSLOTS  # of the keyslots area
SALT = base64.b64encode(bytes(32)).decode()


def b64(n):
    return base64.b64encode(bytes(n)).decode()


# --- more states, by hand ------------------------------------------------------------------------

def integrity(o):
    put("segments/0/integrity", {"type": "hmac(sha256)", "journal_encryption": "none",
                                 "journal_integrity": "none"})(o)


def in_a_step(o):
    """What the encryption looks like while cryptsetup is at its first step."""
    s = o["segments"]
    cut = int(s["1"]["size"]) - luks2hdr.MiB
    hot = {"type": "crypt", "offset": str(2 * luks2hdr.MiB + cut), "size": str(luks2hdr.MiB),
           "iv_tweak": str((luks2hdr.MiB + cut) // 512), "encryption": "aes-xts-plain64",
           "sector_size": 512, "flags": ["in-reencryption"]}
    o["segments"] = {"0": s["0"], "1": {**s["1"], "size": str(cut)}, "2": hot, "3": s["3"],
                     "4": s["4"], "5": s["2"]}
    o["digests"]["0"]["segments"] = ["4", "2"]


def two_segments(o):
    """A volume in two pieces, the first behind the second."""
    s = o["segments"]["0"]
    o["segments"] = {"0": {**s, "offset": "1572864", "size": "524288", "iv_tweak": "0"},
                     "1": {**s, "offset": "1048576", "size": "524288", "iv_tweak": "1024"}}
    o["digests"]["0"]["segments"] = ["0", "1"]


def opal(o):
    o["segments"]["0"].update({"type": "hw-opal-crypt", "size": "1048576", "opal_segment_number": 1,
                               "opal_key_size": 32, "opal_segment_size": "1048576"})
    o["config"]["requirements"] = {"mandatory": ["opal-v2"]}


def require(*names):
    return put("config/requirements", {"mandatory": list(names)})


def many(path, n):
    """More objects like the last one at a path, up to n of them."""
    def change(o):
        parent, last = walk(o, path)
        objects = parent[last]
        sample = objects[max(objects, key=int)]
        for i in range(n):
            objects.setdefault(str(i), sample)
    return change


def linears(n):
    """Pieces of one sector, one behind the other."""
    def change(o):
        o["segments"] = {str(i): {"type": "linear", "offset": str(1048576 + 512 * i), "size": "512"}
                         for i in range(n)}
    return change


def many_keyslots(n):
    def change(o):
        for i in range(2, n):
            slot = json.loads(json.dumps(o["keyslots"]["0"]))
            slot["key_size"] = 1
            slot["area"].update(offset=str(4096 * i + 290816 + 258048), size="4096")
            o["keyslots"][str(i)] = slot
            o["digests"]["0"]["keyslots"].append(str(i))
    return change


# --- one change each -----------------------------------------------------------------------------

# name, change, level, id of the check that tells of it[, why coffer is stricter]
#   ok, note: loaded by libcryptsetup, exit 0      bad: loaded, but of no use as it is: exit 3
#       (coffer has few rules of its own: many an odd value is ok, and verify tries the keys out)
#   refused: not loaded, exit 6                    strict: loaded, but not by coffer: exit 6
VOLUME = [
    ("as it is", lambda o: None, "ok", ""),
    # all of it
    *[(f"no {part}", drop(part), "refused", "header-primary")
      for part in ("config", "keyslots", "tokens", "digests", "segments")],
    *[(f"{part} is a list", put(part, []), "refused", "header-primary")
      for part in ("config", "keyslots", "tokens", "digests", "segments")],
    ("config is null", put("config", None), "refused", "header-primary"),
    ("a member that nobody knows", put("more", {"x": [1, 2.5, None, True]}), "ok", ""),
    # config
    ("json_size is missing", drop("config/json_size"), "refused", "header-primary"),
    ("json_size is a number", put("config/json_size", AREA), "refused", "header-primary"),
    ("json_size of another area", put("config/json_size", "28672"), "refused", "header-primary"),
    ("json_size is not a size", put("config/json_size", "12289"), "refused", "header-primary"),
    ("json_size is empty", put("config/json_size", ""), "refused", "header-primary"),
    ("json_size with leading zeros", put("config/json_size", "00012288"), "ok", ""),
    ("json_size with a plus", put("config/json_size", "+12288"), "ok", ""),
    ("json_size + 2^64", put("config/json_size", str(AREA + (1 << 64))), "refused", "header-primary"),
    ("keyslots_size is missing", drop("config/keyslots_size"), "refused", "header-primary"),
    ("keyslots_size + 1", put("config/keyslots_size", str(KEYSLOTS + 1)), "refused", "header-primary"),
    ("keyslots_size + 512", put("config/keyslots_size", str(KEYSLOTS + 512)), "refused", "header-primary"),
    ("keyslots_size up to the data", put("config/keyslots_size", str(luks2hdr.OFFSET - 2 * COPY)),
     "ok", ""),
    ("keyslots_size into the data",
     put("config/keyslots_size", str(luks2hdr.OFFSET - 2 * COPY + 4096)), "refused", "header-primary"),
    ("keyslots_size above 128 MiB", both(put("config/keyslots_size", str((128 << 20) + 4096)),
     put("segments/0/offset", str(1 << 30))), "refused", "header-primary"),
    ("keyslots_size of 2^64 - 4096", put("config/keyslots_size", str((1 << 64) - 4096)), "refused",
     "header-primary"),
    ("flags", put("config/flags", ["allow-discards", "no-read-workqueue"]), "ok", ""),
    ("an unknown flag", put("config/flags", ["allow-everything"]), "ok", ""),
    ("flags is an object", put("config/flags", {}), "refused", "header-primary"),
    ("a flag is a number", put("config/flags", [1]), "refused", "header-primary"),
    ("no flags", put("config/flags", []), "ok", ""),
    # requirements
    ("no requirements", put("config/requirements", {}), "ok", ""),
    ("requirements are a list", put("config/requirements", []), "refused", "header-primary"),
    ("mandatory is a text", put("config/requirements", {"mandatory": "x"}), "refused",
     "header-primary"),
    ("a requirement is a number", put("config/requirements", {"mandatory": [7]}), "refused",
     "header-primary"),
    ("an unknown requirement", require("teleportation"), "bad", "requirement"),
    ("inline-hw-tags", require("inline-hw-tags"), "note", "requirement"),
    ("offline-reencrypt", require("offline-reencrypt"), "note", "requirement"),
    ("reencryption without keyslot", require("online-reencrypt-v2"), "refused", "header-primary"),
    # keyslots
    ("no keyslot", both(put("keyslots", {}), put("tokens", {}), put("digests/0/keyslots", [])),
     "ok", ""),
    ("keyslot is null", put("keyslots/0", None), "refused", "header-primary"),
    ("keyslot of a strange name", rename("keyslots/0", "first"), "refused", "header-primary"),
    ("keyslot 32", both(rename("keyslots/0", "32"), put("digests/0/keyslots", ["32", "1"])), "ok", ""),
    ("keyslot 31", both(rename("keyslots/0", "31"), put("digests/0/keyslots", ["31", "1"])), "ok",
     ""),
    ("keyslot without type", drop("keyslots/0/type"), "refused", "header-primary"),
    ("keyslot with an empty type", put("keyslots/0/type", ""), "refused", "header-primary"),
    ("keyslot of an unknown type", put("keyslots/0/type", "luks3"), "note", "keyslot"),
    ("keyslot without key_size", drop("keyslots/0/key_size"), "refused", "header-primary"),
    ("key_size is a text", put("keyslots/0/key_size", "64"), "refused", "header-primary"),
    ("key_size is negative", put("keyslots/0/key_size", -64), "refused", "header-primary"),
    ("key_size of 2^32", put("keyslots/0/key_size", 1 << 32), "refused", "header-primary"),
    ("key_size of 2^64", put("keyslots/0/key_size", 1 << 64), "refused", "header-primary"),
    ("key_size is a fraction", put("keyslots/0/key_size", 64.5), "refused", "header-primary"),
    ("key_size 0", put("keyslots/0/key_size", 0), "bad", "keyslot"),
    ("key that does not fit its area", put("keyslots/0/key_size", 65), "bad", "keyslot"),
    ("priority 2", put("keyslots/0/priority", 2), "ok", ""),
    ("priority 3", put("keyslots/0/priority", 3), "ok", ""),
    ("priority is a text", put("keyslots/0/priority", "1"), "ok", ""),
    ("keyslot of no digest", put("digests/0/keyslots", ["1"]), "refused", "header-primary"),
    ("keyslot of two digests", copy_of("digests/0", "1"), "refused", "header-primary"),
    ("34 keyslots", many_keyslots(34), "ok", ""),
    # kdf
    ("no kdf", drop("keyslots/0/kdf"), "refused", "header-primary"),
    ("kdf is a text", put("keyslots/0/kdf", "pbkdf2"), "refused", "header-primary"),
    ("no kdf.type", drop("keyslots/0/kdf/type"), "refused", "header-primary"),
    ("an unknown kdf.type", put("keyslots/0/kdf/type", "scrypt"), "bad", "keyslot"),
    ("kdf with one member more", put("keyslots/0/kdf/more", 1), "ok", ""),
    *[(f"no kdf.{k}", drop(f"keyslots/0/kdf/{k}"), "refused", "header-primary")
      for k in ("hash", "iterations", "salt")],
    *[(f"argon2id without {k}", drop(f"keyslots/1/kdf/{k}"), "refused", "header-primary")
      for k in ("time", "memory", "cpus", "salt")],
    ("argon2i", put("keyslots/1/kdf/type", "argon2i"), "ok", ""),
    ("iterations is a text", put("keyslots/0/kdf/iterations", "1000"), "refused", "header-primary"),
    ("iterations 0", put("keyslots/0/kdf/iterations", 0), "ok", ""),
    ("iterations -1", put("keyslots/0/kdf/iterations", -1), "ok", ""),
    ("iterations 2^32", put("keyslots/0/kdf/iterations", 1 << 32), "ok", ""),
    ("memory 0", put("keyslots/1/kdf/memory", 0), "ok", ""),
    ("an empty kdf.hash", put("keyslots/0/kdf/hash", ""), "refused", "header-primary"),
    ("an unknown kdf.hash", put("keyslots/0/kdf/hash", "sha257"), "note", "keyslot"),
    ("salt of 31 bytes", put("keyslots/0/kdf/salt", b64(31)), "bad", "keyslot"),
    ("salt of 200 bytes", put("keyslots/0/kdf/salt", b64(200)), "bad", "keyslot"),
    ("salt of 2000 bytes", put("keyslots/0/kdf/salt", b64(2000)), "bad", "keyslot"),
    ("salt is not base64", put("keyslots/0/kdf/salt", "*" * 44), "bad", "keyslot"),
    ("salt is a number", put("keyslots/0/kdf/salt", 3), "refused", "header-primary"),
    # af
    ("no af", drop("keyslots/0/af"), "refused", "header-primary"),
    ("an unknown af.type", put("keyslots/0/af/type", "luks2"), "refused", "header-primary"),
    ("no af.stripes", drop("keyslots/0/af/stripes"), "refused", "header-primary"),
    ("af.stripes is a text", put("keyslots/0/af/stripes", "4000"), "refused", "header-primary"),
    ("4001 stripes", put("keyslots/0/af/stripes", 4001), "bad", "keyslot"),
    ("no af.hash", drop("keyslots/0/af/hash"), "refused", "header-primary"),
    # areas
    ("no area", drop("keyslots/0/area"), "refused", "header-primary"),
    ("area is a list", put("keyslots/0/area", []), "refused", "header-primary"),
    ("no area.type", drop("keyslots/0/area/type"), "refused", "header-primary"),
    ("an unknown area.type", put("keyslots/0/area/type", "cooked"), "refused", "header-primary"),
    ("no area.encryption", drop("keyslots/0/area/encryption"), "refused", "header-primary"),
    ("no area.key_size", drop("keyslots/0/area/key_size"), "refused", "header-primary"),
    ("area.key_size 0", put("keyslots/0/area/key_size", 0), "ok", ""),
    ("area.offset is a number", put("keyslots/0/area/offset", 32768), "refused", "header-primary"),
    ("area.offset is hexadecimal", put("keyslots/0/area/offset", "0x8000"), "refused", "header-primary"),
    ("area.offset is negative", put("keyslots/0/area/offset", "-1"), "refused", "header-primary"),
    ("area.offset of 2^64", put("keyslots/0/area/offset", str(1 << 64)), "refused", "header-primary"),
    ("area within the header", put("keyslots/0/area/offset", str(2 * COPY - 512)), "refused",
     "header-primary"),
    ("area at no multiple of 512", put("keyslots/1/area/offset", str(290816 + 256)), "ok", ""),
    ("area up to the end", put("keyslots/1/area/offset", str(END - 258048)), "ok", ""),
    ("area beyond the end", put("keyslots/1/area/offset", str(END - 258048 + 512)), "refused",
     "header-primary"),
    ("area that wraps", put("keyslots/1/area/offset", str((1 << 64) - 4096)), "refused", "header-primary"),
    ("area.size 0", put("keyslots/0/area/size", "0"), "refused", "header-primary"),
    ("area.size of 2^64 - 1", put("keyslots/0/area/size", str((1 << 64) - 1)), "refused", "header-primary"),
    ("areas overlap by a byte", put("keyslots/1/area/offset", str(290816 - 512)), "refused",
     "header-primary"),
    ("areas are the same", put("keyslots/1/area/offset", "32768"), "refused", "header-primary"),
    # tokens
    ("no token", put("tokens", {}), "ok", ""),
    ("token is a text", put("tokens/0", "x"), "refused", "header-primary"),
    ("token without type", drop("tokens/0/type"), "refused", "header-primary"),
    ("token without keyslots", drop("tokens/0/keyslots"), "refused", "header-primary"),
    ("token of no keyslot", put("tokens/0/keyslots", []), "ok", ""),
    ("token of a keyslot that is not", put("tokens/0/keyslots", ["7"]), "refused", "header-primary"),
    ("token's keyslot is a number", put("tokens/0/keyslots", [1]), "refused", "header-primary"),
    ("token of a strange name", rename("tokens/0", "x"), "refused", "header-primary"),
    ("token 31", rename("tokens/0", "31"), "ok", ""),
    ("token 32", rename("tokens/0", "32"), "ok", ""),
    ("token 007", rename("tokens/0", "007"), "ok", ""),
    ("token of a type of nobody's", put("tokens/0/type", "of-nobody"), "ok", ""),
    ("token of a reserved type", put("tokens/0/type", "luks2-other"), "ok", ""),
    ("keyring token without key", drop("tokens/0/key_description"), "ok", ""),
    ("70 tokens", many("tokens", 70), "ok", ""),
    # digests
    ("digest is a number", put("digests/0", 5), "refused", "header-primary"),
    ("no digest", put("digests", {}), "refused", "header-primary"),
    ("digest of a strange name", rename("digests/0", "0x0"), "refused", "header-primary"),
    ("digest 7", rename("digests/0", "7"), "ok", ""),
    ("digest 8", rename("digests/0", "8"), "ok", ""),
    ("digest without type", drop("digests/0/type"), "refused", "header-primary"),
    ("digest of another type", put("digests/0/type", "argon2"), "bad", "digest"),
    ("digest without keyslots", drop("digests/0/keyslots"), "refused", "header-primary"),
    ("digest without segments", drop("digests/0/segments"), "refused", "header-primary"),
    ("digest of a keyslot that is not", put("digests/0/keyslots", ["0", "1", "5"]), "refused",
     "header-primary"),
    ("digest of a segment that is not", put("digests/0/segments", ["0", "1"]), "refused", "header-primary"),
    ("digest's segment is a number", put("digests/0/segments", [0]), "refused", "header-primary"),
    ("digest of nothing", put("digests/3", {"type": "pbkdf2", "keyslots": [], "segments": [],
     "hash": "sha256", "iterations": 1000, "salt": SALT, "digest": SALT}), "ok", ""),
    ("digest without hash", drop("digests/0/hash"), "bad", "digest"),
    ("digest without iterations", drop("digests/0/iterations"), "bad", "digest"),
    ("digest without salt", drop("digests/0/salt"), "bad", "digest"),
    ("digest without value", drop("digests/0/digest"), "bad", "digest"),
    ("digest's salt of 33 bytes", put("digests/0/salt", b64(33)), "bad", "digest"),
    ("digest of 20 bytes", put("digests/0/digest", b64(20)), "ok", ""),
    ("digest of 21 bytes", put("digests/0/digest", b64(21)), "bad", "digest"),
    ("digest of 64 bytes", put("digests/0/digest", b64(64)), "bad", "digest"),
    ("sha512 digest of 64 bytes", both(put("digests/0/digest", b64(64)),
     put("digests/0/hash", "sha512")), "ok", ""),
    ("digest of 65 bytes", put("digests/0/digest", b64(65)), "bad", "digest"),
    ("digest is not base64", put("digests/0/digest", "?"), "bad", "digest"),
    # segments
    ("no segment", both(put("segments", {}), put("digests/0/segments", [])), "refused", "header-primary"),
    ("segment is a list", put("segments/0", []), "refused", "header-primary"),
    ("segment 1 without segment 0", both(rename("segments/0", "1"),
     put("digests/0/segments", ["1"])), "refused", "header-primary"),
    ("segment of a strange name", both(rename("segments/0", "a"),
     put("digests/0/segments", ["a"])), "refused", "header-primary"),
    ("segment 00", both(rename("segments/0", "00"), put("digests/0/segments", ["00"])), "refused",
     "header-primary"),
    *[(f"segment without {k}", drop(f"segments/0/{k}"), "refused", "header-primary")
      for k in ("type", "offset", "size", "iv_tweak", "encryption", "sector_size")],
    ("offset is a number", put("segments/0/offset", 1048576), "refused", "header-primary"),
    ("offset of 2^64", put("segments/0/offset", str(1 << 64)), "refused", "header-primary"),
    ("offset at no multiple of 512", put("segments/0/offset", "1048577"), "refused", "header-primary"),
    ("offset within the header", put("segments/0/offset", "512"), "refused", "header-primary"),
    ("size is a number", put("segments/0/size", 1048576), "refused", "header-primary"),
    ("size of 512", put("segments/0/size", "512"), "ok", ""),
    ("size of 513", put("segments/0/size", "513"), "refused", "header-primary"),
    ("size 0", put("segments/0/size", "0"), "refused", "header-primary"),
    ("size Dynamic", put("segments/0/size", "Dynamic"), "refused", "header-primary"),
    ("size up to the end", put("segments/0/size", "1048576"), "ok", ""),
    ("size beyond the end", put("segments/0/size", "1049088"), "bad", "segment"),
    ("size that wraps", put("segments/0/size", str((1 << 64) - 512)), "bad", "segment"),
    ("offset beyond the end of a file, which has no data then",
     put("segments/0/offset", "2097152"), "ok", ""),
    ("iv_tweak of 2^64 - 1", put("segments/0/iv_tweak", str((1 << 64) - 1)), "ok", ""),
    ("iv_tweak of 2^64", put("segments/0/iv_tweak", str(1 << 64)), "refused", "header-primary"),
    ("sector_size 4096", put("segments/0/sector_size", 4096), "ok", ""),
    ("sector_size 0", put("segments/0/sector_size", 0), "refused", "header-primary"),
    ("sector_size 1000", put("segments/0/sector_size", 1000), "refused", "header-primary"),
    ("sector_size 1536", put("segments/0/sector_size", 1536), "bad", "segment"),
    ("sector_size 8192", put("segments/0/sector_size", 8192), "bad", "segment"),
    ("size at no multiple of the sectors", both(put("segments/0/sector_size", 4096),
     put("segments/0/size", "4608")), "refused", "header-primary"),
    ("linear", put("segments/0/type", "linear"), "ok", ""),
    ("an unknown segment type", put("segments/0/type", "zip"), "bad", "segment"),
    ("segment flags are a text", put("segments/0/flags", "x"), "refused", "header-primary"),
    ("segment flag is a number", put("segments/0/flags", [0]), "refused", "header-primary"),
    ("segment flag of nobody's", put("segments/0/flags", ["x"]), "ok", ""),
    ("only a backup", put("segments/0/flags", ["backup-final"]), "refused", "header-primary"),
    ("crypt of no digest", put("digests/0/segments", []), "refused", "header-primary"),
    ("linear of no digest", both(put("segments/0/type", "linear"), put("digests/0/segments", [])),
     "ok", ""),
    ("backups without reencryption", both(copy_of("segments/0", "1"),
     put("segments/1/flags", ["backup-final"]), put("digests/0/segments", ["0", "1"])), "bad",
     "reencryption"),
    ("integrity", integrity, "ok", ""),
    ("integrity is a text", put("segments/0/integrity", "x"), "refused", "header-primary"),
    *[(f"integrity without {k}", both(integrity, drop(f"segments/0/integrity/{k}")), "refused",
       "header-primary") for k in ("type", "journal_encryption", "journal_integrity")],
    ("two segments", two_segments, "ok", ""),
    ("two segments, the first dynamic", both(two_segments, put("segments/0/size", "dynamic")),
     "refused", "header-primary"),
    ("two segments, the last dynamic", both(two_segments, put("segments/0/offset", "1048576"),
     put("segments/1/offset", "1572864"), put("segments/1/size", "dynamic")), "ok", ""),
    ("two segments, a dynamic one over the other",
     both(two_segments, put("segments/1/size", "dynamic")), "refused", "header-primary"),
    ("two segments that overlap", both(two_segments, put("segments/0/offset", "1572352")),
     "refused", "header-primary"),
    ("two segments, one that wraps", both(two_segments, put("segments/0/size", str((1 << 64) - 512))),
     "refused", "header-primary"),
    ("two segments with a gap", both(two_segments, rename("segments/1", "2"),
     put("digests/0/segments", ["0", "2"])), "refused", "header-primary"),
    ("40 segments", linears(40), "ok", ""),
    ("32 segments", linears(32), "ok", ""),
    ("70 segments", many("segments", 70), "refused", "header-primary"),
    ("a drive's own encryption", opal, "note", "requirement"),
    ("a drive's own encryption, incomplete", both(opal, drop("segments/0/opal_key_size")), "note", "requirement"),
    ("a drive's own encryption, dynamic", both(opal, put("segments/0/size", "dynamic")), "note", "requirement"),
]

REENCRYPTING = [
    ("as it is", lambda o: None, "note", "reencryption"),
    ("begun by an old version", both(require("online-reencrypt"), drop("digests/2")), "note",
     "reencryption"),
    ("by a version to come", require("online-reencrypt-v9"), "bad", "requirement"),
    ("of a strange version", require("online-reencrypt-v"), "refused", "header-primary"),
    ("two requirements", require("online-reencrypt-v2", "online-reencrypt-v3"), "refused",
     "header-primary"),
    ("no requirement", drop("config/requirements"), "refused", "header-primary"),
    ("its keyslot is missing", both(drop("keyslots/2"), drop("digests/2")), "refused",
     "header-primary"),
    ("two keyslots of it", both(copy_of("keyslots/2", "3"), put("keyslots/3/area/size", "4096"),
     put("keyslots/2/area/offset", str(548864 + 4096)), put("keyslots/2/area/size", "4096")),
     "refused", "header-primary"),
    ("no digest of it", drop("digests/2"), "bad", "reencryption"),
    ("key_size 2", put("keyslots/2/key_size", 2), "refused", "header-primary"),
    ("no mode", drop("keyslots/2/mode"), "refused", "header-primary"),
    ("an unknown mode", put("keyslots/2/mode", "sideways"), "refused", "header-primary"),
    ("no direction", drop("keyslots/2/direction"), "refused", "header-primary"),
    ("an unknown direction", put("keyslots/2/direction", "up"), "refused", "header-primary"),
    ("an unknown area.type", put("keyslots/2/area/type", "hope"), "bad", "reencryption"),
    ("area.type none", put("keyslots/2/area/type", "none"), "note", "reencryption"),
    ("no area.hash", drop("keyslots/2/area/hash"), "refused", "header-primary"),
    ("no area.sector_size", drop("keyslots/2/area/sector_size"), "refused", "header-primary"),
    ("area.sector_size 256", put("keyslots/2/area/sector_size", 256), "refused", "header-primary"),
    ("area.sector_size 1536", put("keyslots/2/area/sector_size", 1536), "refused", "header-primary"),
    ("datashift without shift_size", put("keyslots/2/area/type", "datashift"), "refused",
     "header-primary"),
    ("shift_size 0", both(put("keyslots/2/area/type", "datashift"),
     put("keyslots/2/area/shift_size", "0")), "refused", "header-primary"),
    ("shift_size 513", both(put("keyslots/2/area/type", "datashift"),
     put("keyslots/2/area/shift_size", "513")), "refused", "header-primary"),
    ("datashift-checksum without shift_size", both(put("keyslots/2/area/type",
     "datashift-checksum"), require("online-reencrypt-v3")), "note", "reencryption"),
    ("datashift-journal of version 2", both(put("keyslots/2/area/type", "datashift-journal"),
     put("keyslots/2/area/shift_size", "1048576")), "note", "reencryption"),
    ("no backup-final", put("segments/2/flags", ["backup-more"]), "refused", "header-primary"),
    ("no backup-previous", put("segments/1/flags", ["backup-more"]), "refused", "header-primary"),
    ("a regular segment after the backups", drop("segments/2/flags"), "refused", "header-primary"),
    ("segment of another cipher", put("segments/0/encryption", "twofish-xts-plain64"), "refused",
     "header-primary"),
    ("segment of other sectors", put("segments/0/sector_size", 4096), "refused", "header-primary"),
    ("segment of the previous kind", put("segments/2/sector_size", 4096), "note", "reencryption"),
    ("segment in work of the previous kind", both(put("segments/2/sector_size", 4096),
     put("segments/0/flags", ["in-reencryption"])), "refused", "header-primary"),
    ("segment of another type", put("segments/0/type", "linear"), "refused", "header-primary"),
]

ENCRYPTING = [
    ("as it is", lambda o: None, "note", "reencryption"),
    ("in a step", in_a_step, "note", "reencryption"),
    ("in a step, of the wrong kind", both(in_a_step, put("segments/2/sector_size", 4096)),
     "refused", "header-primary"),
    ("no shift_size", drop("keyslots/1/area/shift_size"), "refused", "header-primary"),
    ("shift_size is a number", put("keyslots/1/area/shift_size", 1048576), "refused",
     "header-primary"),
    ("the moved segment beyond the end", put("segments/0/offset", str(12 * luks2hdr.MiB)), "bad",
     "segment"),
    ("a backup at byte 0", lambda o: None, "note", "reencryption"),
    ("two that overlap", put("segments/1/size", str(11 * luks2hdr.MiB)), "refused", "header-primary"),
]

DETACHED = [
    ("as it is", lambda o: None, "ok", ""),
    ("keyslots_size of no limit", put("config/keyslots_size", str(16 << 20)), "refused", "size"),
    ("size beyond the end of nothing", put("segments/0/size", str(1 << 40)), "ok", ""),
]

DECRYPTING = [
    ("as it is", lambda o: None, "note", "reencryption"),
    ("of version 2", require("online-reencrypt-v2"), "note", "reencryption"),
]


# --- the text ------------------------------------------------------------------------------------

def text_row(edit):
    return lambda h: h.put_area(edit(h.text()))


def nested(depth):
    return lambda t: t[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"


def twice(t):
    return t.replace(b'"config":{', b'"config":{"json_size":"77",', 1)


TEXT = [
    ("a blank in front", lambda t: b" " + t, "refused", "header-primary"),
    ("a blank and a newline behind", lambda t: t + b" \n", "ok", ""),
    ("blanks within", lambda t: t.replace(b":", b" :\t\n "), "ok", ""),
    ("a byte after the NUL", lambda t: t + b"\0x", "refused", "header-primary"),
    ("a byte at the very end", lambda t: t.ljust(AREA - 1, b"\0") + b"x", "refused",
     "header-primary"),
    ("two objects", lambda t: t + b"{}", "refused", "header-primary"),
    ("a list", lambda t: b"[" + t + b"]", "refused", "header-primary"),
    ("no text at all", lambda t: b"", "refused", "header-primary"),
    ("half of it", lambda t: t[:len(t) // 2], "refused", "header-primary"),
    ("full to the last byte but one",
     lambda t: t[:-1] + b',"x":"' + b"y" * (AREA - 1 - len(t) - 7) + b'"}', "ok", ""),
    ("full to the last byte", lambda t: t[:-1] + b',"x":"' + b"y" * (AREA - len(t) - 7) + b'"}',
     "refused", "header-primary"),
    ("longer when it is written anew, since a quote takes two bytes then",
     lambda t: t[:-1] + b",'" + b'"' * 9000 + b"':1}", "refused", "header-primary"),
    ("longer when it is written anew, and fits",
     lambda t: t[:-1] + b",'" + b'"' * 5000 + b"':1}", "ok", ""),
    ("30 lists in each other", nested(30), "ok", ""),
    ("40 lists in each other", nested(40), "refused", "header-primary"),
    ("a name in escapes", lambda t: t.replace(b'"config"', b'"\\u0063onfig"'), "ok", ""),
    ("a member twice, the last one right", twice, "bad", "json"),
    ("a member twice, the last one wrong",
     lambda t: t.replace(b'"json_size":"12288"', b'"json_size":"12288","json_size":"77"'),
     "refused", "header-primary"),
    ("a member twice, in escapes",
     lambda t: t.replace(b'"config":{', b'"config":{"j\\u0073on_size":"77",', 1), "bad", "json"),
    ("a member twice, deep in a token",
     lambda t: t.replace(b'"key_description"', b'"x":[{"a":1,"b":{"a":2}},{"a":1,"a":1}],'
                         b'"key_description"'), "bad", "json"),
    ("the same name in two objects",
     lambda t: t.replace(b'"key_description"', b'"x":[{"a":1},{"a":1}],"key_description"'), "ok",
     ""),
    ("a comment", lambda t: t.replace(b'"config"', b'/* what */"config"'), "strict",
     "header-primary", "JSON has no comments; json-c takes them"),
    ("a name in single quotes", lambda t: t.replace(b'"config"', b"'config'"), "ok", ""),
    ("a text in single quotes", lambda t: t.replace(b'"12288"', b"'12288'"), "strict",
     "header-primary", "JSON has double quotes only; json-c takes others"),
    ("a name twice, in two kinds of quotes", lambda t: t.replace(b'"config":{',
     b'"config":{\'json_size\':"77",', 1), "bad", "json"),
    ("a comma too many", lambda t: t.replace(b'"tokens":{"0"', b'"x":[1,],"tokens":{"0"'),
     "strict", "header-primary", "JSON has no comma at the end; json-c takes it"),
    ("a type with a NUL in it",
     lambda t: t.replace(b'"type":"pbkdf2","keyslots"', b'"type":"pbkdf2\\u0000x","keyslots"'),
     "bad", "digest"),
    ("a number with an exponent", lambda t: t.replace(b'"iterations":1000', b'"iterations":1e3'),
     "refused", "header-primary"),
    ("bytes that are not UTF-8", lambda t: t.replace(b"coffer:test", b"c\xff\xfe"), "ok", ""),
]


def order_of_text(h):
    """Backups in front of a regular one, in the text only."""
    o = h.json
    s = o["segments"]
    o["segments"] = {"1": s["1"], "2": s["2"], "0": s["0"]}
    h.put_json(o)


# --- the binary block ----------------------------------------------------------------------------

def block_row(at, data):
    return lambda h: h.put(at, data)


BLOCK = [
    ("another salt", block_row(104, bytes(64)), "ok", ""),
    ("sequence number 0", block_row(16, bytes(8)), "ok", ""),
    ("sequence number 2^64 - 1", block_row(16, b"\xff" * 8), "ok", ""),
    ("no label", block_row(24, bytes(48)), "ok", ""),
    ("a label that does not end", block_row(24, b"x" * 48), "ok", ""),
    ("a subsystem that does not end", block_row(208, b"x" * 48), "ok", ""),
    ("an unknown checksum", block_row(72, b"sha257"), "refused", "header-primary"),
    ("another checksum's name", block_row(72, b"sha512"), "refused", "header-primary"),
    ("a checksum whose name does not end", block_row(72, b"x" * 32), "refused", "header-primary"),
    ("a UUID that does not end", block_row(168, b"x" * 40), "strict", "header-primary",
     "a text that does not end cannot be compared"),
    ("something in the padding", block_row(300, b"x"), "ok", ""),
    ("something in the second padding", block_row(4000, b"x"), "ok", ""),
    ("version 3", block_row(6, b"\0\3"), "refused", "header-primary"),
    ("version 0", block_row(6, b"\0\0"), "refused", "header-primary"),
    ("size 24 KiB", block_row(8, (24 << 10).to_bytes(8, "big")), "refused", "header-primary"),
    ("size 2^64 - 1", block_row(8, b"\xff" * 8), "refused", "header-primary"),
    ("at another place", block_row(256, (4096).to_bytes(8, "big")), "refused", "header-primary"),
    ("no magic", block_row(0, b"\0\0"), "refused", "header-primary"),
]


def json_row(change):
    def edit(h):
        change(h.json)
        h.put_json(h.json)
    return edit


# --- random changes ------------------------------------------------------------------------------

STRANGE = [0, 1, -1, 2, 31, 32, 511, 512, 513, 4096, 1 << 20, (1 << 31) - 1, 1 << 32, (1 << 63) - 1,
           1 << 63, (1 << 64) - 1, 1 << 64, 1.5, True, False, None, "", "0", "1", "31", "32", "512",
           "513", "4096", "32768", "290816", "1048576", "2097152", str((1 << 64) - 512),
           str((1 << 64) - 1), str(1 << 64), "dynamic", "crypt", "linear", "luks2", "reencrypt",
           "raw", "pbkdf2", "sha256", "x", [], {}, ["0"], ["1"], ["2"], ["0", "1"], [1],
           ["backup-final"], ["backup-previous"], ["in-reencryption"], ["online-reencrypt-v2"]]


def places(o, path=()):
    for key, value in (o.items() if isinstance(o, dict) else enumerate(o)):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def change_something(o, rnd):
    """One random change; what it was, as text."""
    path = rnd.choice(list(places(o)))
    parent = o
    for word in path[:-1]:
        parent = parent[word]
    last, kind = path[-1], rnd.choice(["put"] * 6 + ["drop", "copy", "rename"])
    if kind == "put":
        parent[last] = rnd.choice(STRANGE)
    elif kind == "drop":
        del parent[last]
    elif isinstance(parent, list):
        parent.append(parent[last])
    else:
        to = rnd.choice(["0", "1", "2", "3", "7", "8", "31", "40", "x"])
        parent[to] = json.loads(json.dumps(parent[last]))
        if kind == "rename" and to != last:
            del parent[last]
    return f"{kind} {'/'.join(map(str, path))} = {parent.get(last) if kind == 'put' and isinstance(parent, dict) else ''}"
