# SPDX-License-Identifier: LGPL-2.1-or-later
"""What follows from the measured values: the same numbers for the report and for the plot."""
from statistics import median

from machine import GiB, MiB


def seconds(row, what):
    return [r["seconds"] for r in row["runs"].get(what, [])]


def mid(row, what):
    return median(seconds(row, what))


def ratios(row, over, under):
    """Pair by pair, so that what slowed the machine for a while meets both."""
    return [a / b for a, b in zip(seconds(row, over), seconds(row, under))]


def used(row):
    """Bytes of data that had to be moved, as coffer says; the same in every run of a row."""
    summary = row["runs"]["coffer"][0]["summary"]
    return summary["bytes_used"] or summary["bytes_moved"]


def per_used(row):
    """Seconds for each GiB used, run by run."""
    return [s * GiB / used(row) for s in seconds(row, "coffer")]


def peak(row):
    return max(r["max_rss"] for r in row["runs"]["coffer"])


def of_fs(rows, fs):
    return sorted((r for r in rows if r["fs"] == fs), key=lambda r: r["size"])


def filesystems(rows):
    return list(dict.fromkeys(r["fs"] for r in rows))


def growth_ratios(rows):
    """Seconds per byte used, the largest device over the one of 16 GiB (or, in a small run, the
    second), round by round."""
    base = next((r for r in rows if r["size"] == 16 * GiB), rows[min(1, len(rows) - 1)])
    return base, [a / b for a, b in zip(per_used(rows[-1]), per_used(base))]


def line(rows):
    """Least squares over all runs: seconds before the first byte, and seconds for each GiB used."""
    points = [(used(r) / GiB, s) for r in rows for s in seconds(r, "coffer")]
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    square = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / square if square else 0.0
    return my - slope * mx, slope


def size_text(n):
    for unit, name in ((1024 * GiB, "TiB"), (GiB, "GiB"), (MiB, "MiB")):
        if n >= unit and n % unit == 0:
            return f"{n // unit} {name}"
    return f"{n / GiB:.2f} GiB" if n >= GiB else f"{n / MiB:.0f} MiB"
