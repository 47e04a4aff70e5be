# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/benchmarks.svg from the measured values: two charts, legible on light and on dark."""
import math
from statistics import mean

from figures import filesystems, line, mid, of_fs, size_text, used
from machine import GiB

COLOURS = {"ext4": "a", "xfs": "b", "btrfs": "c"}
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 450" width="940" height="450" \
role="img" aria-label="seconds over device size, and seconds over used bytes">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f } .t { font-size: 15px; font-weight: 600 }
.grid { stroke: #d0d7de } .axis { stroke: #57606a } path, line { fill: none; stroke-width: 1 }
.a, .b, .c, .s { stroke-width: 2 } .fit { stroke-dasharray: 5 4 }
.a { stroke: #0969da } .b { stroke: #1a7f37 } .c { stroke: #bc4c00 } .s { stroke: #8250df }
.bg { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .grid { stroke: #30363d } .axis { stroke: #8b949e } .bg { fill: #0d1117 }
.a { stroke: #58a6ff } .b { stroke: #3fb950 } .c { stroke: #f0883e } .s { stroke: #bc8cff }
}
</style>
<rect class="bg" width="940" height="450"/>
"""


class Chart:
    """One pair of axes with its left upper corner at (x, 50)."""
    WIDTH, HEIGHT, TOP = 370, 270, 50

    def __init__(self, x, title, x_label, xs, ys, log):
        self.x, self.log = x, log
        pad = 1.25 if log else 1.0
        self.x0, self.x1 = (min(xs) / pad, max(xs) * pad) if log else (0, max(xs) * 1.1)
        self.y0, self.y1 = (min(ys) / 1.6, max(ys) * 1.6) if log else (0, max(ys) * 1.15)
        self.out = [f'<text class="t" x="{x}" y="28">{title}</text>',
                    text(x + self.WIDTH / 2, self.TOP + self.HEIGHT + 42, x_label, "middle")]

    def at(self, x, y):
        def part(v, low, high):
            if self.log:
                v, low, high = math.log(v), math.log(low), math.log(high)
            return (v - low) / (high - low)
        return (self.x + part(x, self.x0, self.x1) * self.WIDTH,
                self.TOP + (1 - part(y, self.y0, self.y1)) * self.HEIGHT)

    def axes(self, x_ticks, y_ticks):
        left, low = self.x, self.TOP + self.HEIGHT
        for v, name in y_ticks:
            y = self.at(self.x0 or 1, v)[1]
            self.out += [f'<path class="grid" d="M{left} {y:.1f}h{self.WIDTH}"/>',
                         text(left - 8, y + 4, name, "end")]
        for v, name in x_ticks:
            x = self.at(v, self.y0 or 1)[0]
            self.out += [f'<path class="axis" d="M{x:.1f} {low}v5"/>',
                         text(x, low + 20, name, "middle")]
        self.out.append(f'<path class="axis" d="M{left} {self.TOP}v{self.HEIGHT}h{self.WIDTH}"/>')

    def line(self, points, style):
        path = "L".join("{:.1f} {:.1f}".format(*self.at(*p)) for p in sorted(points))
        self.out.append(f'<path class="{style}" d="M{path}"/>')

    def dots(self, points, style):
        self.out += [f'<circle class="{style} bg" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
                     for x, y in (self.at(*p) for p in points)]


def text(x, y, words, anchor):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def log_ticks(low, high):
    ticks = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            if low <= digit * 10.0 ** power <= high:
                ticks.append((digit * 10.0 ** power, f"{digit * 10.0 ** power:g} s"))
    return ticks


def even_ticks(high, unit):
    step = 10.0 ** math.floor(math.log10(high))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if high / s <= 8)
    return [(i * step, f"{i * step:g}{unit}") for i in range(int(high / step) + 1)]


def over_size(cases):
    """Seconds over the size of the device; both axes logarithmic."""
    growth = cases.get("growth", [])
    lines = {fs: [(r["size"], mid(r, "coffer")) for r in of_fs(growth, fs)]
             for fs in filesystems(growth)}
    stock = [(r["size"], mid(r, "stock")) for case in ("random", "stock", "small")
             for r in cases.get(case, [])]
    everything = stock + [p for points in lines.values() for p in points]
    if not everything:
        return []
    content = size_text(growth[0]["content"]) + " of files" if growth else "all used"
    chart = Chart(70, f"Seconds over device size ({content})", "size of the device",
                  [x for x, _ in everything], [y for _, y in everything], True)
    sizes = sorted({r["size"] for r in growth} or {x for x, _ in stock})
    chart.axes([(s, size_text(s)) for s in sizes], log_ticks(chart.y0, chart.y1))
    labels = []
    for fs, points in lines.items():
        chart.line(points, COLOURS[fs])
        chart.dots(points, COLOURS[fs])
        labels.append(("coffer, " + fs, COLOURS[fs]))
    if stock:
        chart.line([(x, mean(y for z, y in stock if z == x)) for x in {x for x, _ in stock}], "s")
        chart.dots(stock, "s")
        labels.append(("cryptsetup, where measured", "s"))
    return chart.out + legend(chart, labels)


def over_used(cases):
    rows = cases.get("used", [])
    if not rows:
        return []
    points = [(used(r) / GiB, mid(r, "coffer")) for r in rows]
    chart = Chart(540, f"Seconds over bytes used (ext4 in {size_text(rows[0]['size'])})",
                  "used, as coffer counts it", [x for x, _ in points], [y for _, y in points], False)
    chart.axes(even_ticks(chart.x1, " GiB"), even_ticks(chart.y1, " s"))
    constant, slope = line(rows)
    chart.out.append('<path class="a fit" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'.format(
        *chart.at(0, max(0, constant)), *chart.at(chart.x1, constant + slope * chart.x1)))
    chart.dots(points, "a")
    return chart.out + legend(chart, [(f"{constant:.2f} s + {slope:.2f} s for each GiB", "a fit")])


def legend(chart, labels):
    """Below the chart, where it hides nothing, in two columns."""
    out = []
    for i, (name, style) in enumerate(labels):
        x, y = chart.x + 190 * (i % 2), chart.TOP + chart.HEIGHT + 75 + 22 * (i // 2)
        out += [f'<path class="{style}" d="M{x} {y - 4}h24"/>', text(x + 30, y, name, "start")]
    return out


def plot(result):
    return HEAD + "\n".join(over_size(result["cases"]) + over_used(result["cases"])) + "\n</svg>\n"
