# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/benchmarks.md from the measured values."""
from statistics import median

from figures import (filesystems, growth_ratios, line, mid, of_fs, peak, per_used, ratios, seconds,
                     size_text, used)
from machine import GiB, MiB

NAMES = {"uring": "mover, io_uring", "fixed": "mover, io_uring, registered buffers",
         "coffer": "coffer", "stock": "cryptsetup", "mover": "mover without crypto",
         "read": "raw read", "write": "raw write"}


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines) + "\n"


def values(numbers, digits=2):
    return ", ".join(f"{n:.{digits}f}" for n in numbers)


def spread(numbers):
    return f"{median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


def report(result):
    cases = result["cases"]
    parts = [top(result), machine(result), short(cases)]
    parts += [WRITERS[name](cases[name]) for name in WRITERS if name in cases]
    parts.append(method(result))
    return "\n".join(parts)


def top(result):
    text = ("# Benchmarks\n\nWritten by `make bench`; do not edit. All values of all runs are listed. "
            "Do not compare these figures with those of other machines or other days; compare the "
            "ratios.\n")
    if result["scale"] != "full":
        text += f"\n**This was a small run (scale {result['scale']}), which measures nothing.**\n"
    return text


def machine(result):
    f = result["facts"]
    return "## Machine\n\n" + table(("", ""), [
        ("date", f["date"]), ("processor", f"{f['cpu']}, {f['cores']} cores"),
        ("memory", size_text(f["memory"])), ("kernel", f["kernel"]),
        ("disk", f["folder"]), ("coffer", f["coffer"]), ("stock", f["cryptsetup"]),
        ("load before the run", f"{f['load']:.2f}"),
        ("pairs", f"{result['pairs']}; {result['pairs_large']} beside stock on the large images"),
        ("length of the run", f"{result['minutes']:.0f} minutes"),
        *((f"measured again: {name}, {', '.join(n['fs'])}",
           f"{n['date']}, load before the run {n['load']:.2f}, {n['pairs']} pairs")
          for name, n in result.get("later", {}).items())])


def short(cases):
    rows = []
    for row in cases.get("random", []):
        rows.append((f"{size_text(row['length'])} of random bytes, all used: speed over "
                     "cryptsetup's", spread(ratios(row, "stock", "coffer"))))
        rows.append(("the same: speed over that of the mover without crypto",
                     spread(ratios(row, "mover", "coffer"))))
    for row in cases.get("stock", []):
        rows.append((f"{row['fs']}, {size_text(row['content'])} of files in "
                     f"{size_text(row['size'])}: speed over cryptsetup's",
                     spread(ratios(row, "stock", "coffer"))))
    growth = cases.get("growth", [])
    for fs in filesystems(growth):
        base, numbers = growth_ratios(of_fs(growth, fs))
        rows.append((f"{fs}: seconds per byte used, {size_text(of_fs(growth, fs)[-1]['size'])} over "
                     f"{size_text(base['size'])}", spread(numbers)))
    for row in cases.get("small", []):
        rows.append((f"fragmented ext4, {size_text(row['content'])} of small files in "
                     f"{size_text(row['size'])}: speed over cryptsetup's",
                     spread(ratios(row, "stock", "coffer"))))
    all_rows = [r for rows_of in cases.values() for r in rows_of]
    peaks = [peak(r) for r in all_rows if r["runs"].get("coffer")]
    if peaks:
        rows.append(("peak memory of coffer, all runs", f"{max(peaks) / MiB:.0f} MiB"))
    return ("## Summary\n\nThe median of the ratios of all pairs, with the lowest and the highest.\n\n" +
            table(("what", "ratio"), rows) + "\n![time over device size and over used bytes]"
            "(benchmarks.svg)\n")


def runs_table(row):
    lines = []
    for what in row["runs"]:
        n = seconds(row, what)
        lines.append((NAMES[what], values(n), f"{median(n):.2f}",
                      f"{(row['size'] if what in ('read', 'write') else row['length']) / MiB / median(n):.0f}"))
    return table(("", "seconds", "median", "MiB/s of the device"), lines)


def ratio_lines(row):
    text = ""
    for peer, name in (("stock", "cryptsetup"), ("mover", "the mover")):
        if row["runs"].get(peer):
            n = ratios(row, peer, "coffer")
            text += (f"\nSeconds of {name} over those of coffer, pair by pair: {values(n)}; "
                     f"median **{median(n):.2f}**.\n")
    return text


def used_line(row):
    run = row["runs"]["coffer"][0]
    stock = "".join(f" (cryptsetup's choice is {r['sector_size']})"
                    for r in row["runs"].get("stock", [])[:1])
    return (f"\ncoffer counted {used(row) / MiB:.0f} MiB as used and made "
            f"{run['summary']['flushes']} flushes, in sectors of {run['sector_size']}{stock}. "
            f"Result checked: {row['checked']}.\n")


def random_case(rows):
    row = rows[0]
    return (f"## Fully used\n\n{size_text(row['length'])} of random bytes and a reserve of 32 MiB. "
            "The raw reads and writes cover the same file once, 16 MiB at a time.\n\n" +
            runs_table(row) + ratio_lines(row) + used_line(row))


def stock_case(rows):
    text = ("## A little used in much\n\ncryptsetup moves the entire device. The image files are "
            "sparse: reading their holes takes no disk time.\n")
    for row in rows:
        text += (f"\n### {row['fs']}, {size_text(row['content'])} of files in "
                 f"{size_text(row['size'])}\n\n" + runs_table(row) + ratio_lines(row) +
                 used_line(row))
    return text


def growth_case(rows):
    text = ("## Growing devices\n\nThe same files in ever larger sparse image files. \"Allocated\" "
            "is the disk space of the image file, before and after the run. Peak memory is the "
            "largest of all runs.\n")
    for fs in filesystems(rows):
        mine = of_fs(rows, fs)
        lines = []
        for row in mine:
            before, after = row["runs"]["coffer"][0]["allocated"]
            lines.append((size_text(row["size"]), values(seconds(row, "coffer")),
                          f"{mid(row, 'coffer'):.2f}", f"{used(row) / MiB:.0f}",
                          f"{median(per_used(row)):.2f}", f"{before / MiB:.0f}",
                          f"{after / MiB:.0f}", f"{peak(row) / MiB:.0f}"))
        base, n = growth_ratios(mine)
        text += (f"\n### {fs}\n\n" + table(
            ("device", "seconds", "median", "MiB used", "s per GiB used", "MiB allocated before",
             "after", "peak MiB"), lines) +
            f"\nSeconds per byte used, {size_text(mine[-1]['size'])} over "
            f"{size_text(base['size'])}, round by round: {values(n)}; median "
            f"**{median(n):.2f}**. Results checked: {mine[0]['checked']}, for each size.\n")
    return text


def used_case(rows):
    constant, slope = line(rows)
    return (f"## Growing content\n\next4 in {size_text(rows[0]['size'])}.\n\n" + table(
        ("files", "MiB used", "seconds", "median", "s per GiB used"),
        [(size_text(r["content"]), f"{used(r) / MiB:.0f}", values(seconds(r, "coffer")),
          f"{mid(r, 'coffer'):.2f}", f"{median(per_used(r)):.2f}") for r in rows]) +
        f"\nLeast squares over all runs: {constant:.2f} s, and {slope:.2f} s for each GiB used. "
        f"Results checked: {rows[0]['checked']}, and so on.\n")


def small_case(rows):
    row = rows[0]
    return (f"## Fragmented\n\next4 of {size_text(row['size'])}: {size_text(2 * row['content'])} of "
            "files of 12 to 20 KiB; then every second one was deleted.\n\n" + runs_table(row) +
            ratio_lines(row) + used_line(row))


def queue_case(rows):
    row = rows[0]
    text = ("## Threads and io_uring\n\nThe mover on random bytes, 4 reads and 4 writes of 1 MiB in "
            "flight.\n\n" + runs_table(row))
    for what in ("uring", "fixed"):
        n = ratios(row, what, "mover")
        text += f"\nSeconds of {NAMES[what]} over those of threads: {values(n)}; median **{median(n):.2f}**.\n"
    return text + "\nProcessor seconds, user and system: " + "; ".join(
        f"{NAMES[what]} {median([r['user'] + r['system'] for r in row['runs'][what]]):.2f}"
        for what in row["runs"]) + ".\n"


WRITERS = {"queue": queue_case, "random": random_case, "stock": stock_case, "growth": growth_case, "used": used_case,
           "small": small_case}


def method(result):
    return """## How it was measured

```sh
sudo make bench                                          # this report, about an hour
sudo make bench BENCH="--case random,stock --pairs 9"    # some of it, more pairs
sudo make bench BENCH=--quick                            # small sizes, into build/bench
```

Both programs work on an image file: for each run a fresh copy of the same plain file, made with `cp --sparse=always`. Before each run, everything is written back and the caches are dropped. The programs take turns; every second round is in reverse order. A time is that of the entire process, from the first header to the final one.

- coffer: `coffer encrypt --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file KEY IMAGE`, with `--device-size` for random bytes.
- cryptsetup: `cryptsetup reencrypt --encrypt --type luks2 --batch-mode --force-offline-reencrypt --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --reduce-device-size 32M --key-file KEY IMAGE`.
- mover without crypto: `tests/bench/mover.c`. It makes the same reads, writes and flushes in the same order, 16 MiB in each step, two flushed writes between two steps, reading ahead; no key, no cipher. No program that keeps this order can be faster.

One result for each image file is checked: code that shares nothing with coffer decrypts the volume (`tests/tools/luks-cat.c`); then all bytes are compared, or the filesystem's checker runs and the hash of every file is compared. A wrong result ends the benchmark without a report. The files have 4 KiB to 16 MiB and are written to a mounted filesystem. mkfs.ext4 leaves the inode tables uninitialized, as on a real disk, and the kernel does not initialize them either (`-E nodiscard,lazy_itable_init=1`, `noinit_itable`). The memory of a program is its `ru_maxrss`.
"""
