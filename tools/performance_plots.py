#!/usr/bin/env python3
"""The plots of docs/performance.md, as SVG, from results that were measured. Standard library alone.

usage: performance_plots.py OUT rivals RESULT.json          median times of all engines, of compare_rivals.py --json
       performance_plots.py OUT profile LABEL=PROFILE.json ...   shares of operations, of `penjing profile --json`
       performance_plots.py OUT lengths RESULT.json         time a token over the length, of compare_rivals.py --sweep --json
       performance_plots.py OUT sparse LABEL=MS ...         times of one model at several shares of zeros"""

import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

COLORS = ["#2f6f4f", "#7fb08f", "#c9a227", "#8a5a44", "#5b7db1", "#b0b7bf", "#d98c5f", "#6d5b8c"]
STYLE = 'font-family="sans-serif" font-size="12" fill="#222"'


class Drawing:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def text(self, x, y, text, anchor="start", bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {STYLE}{weight}>{escape(text)}</text>')

    def box(self, x, y, width, height, color):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{color}"/>')

    def line(self, points, color, width=2):
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{joined}" fill="none" stroke="{color}" stroke-width="{width}"/>')

    def save(self, path):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}">'
        white = f'<rect width="{self.width}" height="{self.height}" fill="white"/>'
        pathlib.Path(path).write_text("\n".join([head, white, *self.parts, "</svg>"]) + "\n")


def machine_of(result):
    return f"{result['machine']['cpu']}, {result['machine']['isa']}, {result['threads']} threads, {result['date']}"


def draw_rivals(out, path):
    """One block of bars a shape: each engine's form in its better way, the shortest bar is the fastest."""
    result = json.loads(pathlib.Path(path).read_text())[0]
    shapes = list(dict.fromkeys(row["shape"] for row in result["rows"]))
    blocks = []
    for shape in shapes:
        best = {}
        for row in result["rows"]:
            key = row["engine"], row["form"]
            if row["shape"] == shape and (key not in best or row["median_ms"] < best[key]["median_ms"]):
                best[key] = row
        blocks.append((shape, sorted(best.values(), key=lambda row: row["median_ms"])))
    drawing = Drawing(760, 46 + sum(34 + 18 * len(rows) for _, rows in blocks))
    drawing.text(10, 20, f"{pathlib.Path(result['model']).name}: {machine_of(result)}", bold=True)
    y = 50
    for shape, rows in blocks:
        drawing.text(10, y, f"{shape}, median ms", bold=True)
        longest = rows[-1]["median_ms"]
        for row in rows:
            y += 18
            ours = row["engine"] == "penjing"
            drawing.text(180, y, f"{row['engine']} {row['form']}", "end", ours)
            width = 480 * row["median_ms"] / longest
            drawing.box(190, y - 11, width, 13, COLORS[0] if ours else COLORS[5])
            drawing.text(196 + width, y, f"{row['median_ms']:.3g}")
        y += 34
    drawing.save(out)


def draw_profile(out, labels):
    """One bar a profile, cut into the shares of its operations."""
    drawing = Drawing(760, 60 + 60 * len(labels))
    drawing.text(10, 20, "Where the time of a forward goes", bold=True)
    y = 40
    for label in labels:
        name, path = label.split("=", 1)
        profile = json.loads(pathlib.Path(path).read_text())
        total = sum(row["ms"] for row in profile["operations"])
        shares = {}
        for row in profile["operations"]:
            small = row["ms"] / total < 0.04
            operation = row["operation"].replace("attention.self.query + key + value", "q, k, v").replace("attention.output", "attention")
            group = "rest" if small else "attention" if row["kind"] == "attention" else operation
            shares[group] = shares.get(group, 0) + row["ms"]
        rows = sorted(shares.items(), key=lambda item: (item[0] == "rest", -item[1]))
        drawing.text(10, y + 14, f"{name}: {total:.3g} ms")
        x, legend = 10.0, 10.0
        for i, (operation, ms) in enumerate(rows):
            width = 740 * ms / total
            drawing.box(x, y + 20, width, 16, COLORS[i % len(COLORS)])
            x += width
            text = f"{operation} {ms / total:.0%}"
            drawing.box(legend, y + 42, 8, 8, COLORS[i % len(COLORS)])
            drawing.text(legend + 11, y + 50, text)
            legend += 18 + 6.8 * len(text)
        y += 60
    drawing.save(out)


def draw_lengths(out, path):
    """Microseconds a token over the length of one text, both logarithmic."""
    result = json.loads(pathlib.Path(path).read_text())[0]
    lines = {}
    for row in result["rows"]:
        count, length = row["shape"].split("x")
        if count == "1":
            lines.setdefault(f"{row['engine']} {row['form']}", []).append((int(length), row["median_ms"] * 1e3 / int(length)))
    low = min(y for points in lines.values() for _, y in points)
    high = max(y for points in lines.values() for _, y in points)
    lengths = sorted({x for points in lines.values() for x, _ in points})
    drawing = Drawing(760, 420)
    drawing.text(10, 20, f"Microseconds a token over the length of one text: {machine_of(result)}", bold=True)

    def at(x, y):
        across = math.log(x / lengths[0]) / math.log(lengths[-1] / lengths[0])
        return 60 + 480 * across, 380 - 330 * math.log(y / low) / math.log(high / low)

    for length in lengths:
        drawing.text(at(length, low)[0], 400, str(length), "middle")
    for share in range(5):
        value = low * (high / low) ** (share / 4)
        drawing.text(52, at(lengths[0], value)[1] + 4, f"{value:.3g}", "end")
    ranked = sorted(lines.items(), key=lambda item: item[1][-1][1])
    for i, (name, points) in enumerate(ranked):
        color = COLORS[i % len(COLORS)]
        drawing.line([at(x, y) for x, y in sorted(points)], color, 3 if name.startswith("penjing") else 1.5)
        drawing.box(560, 44 + 18 * i, 10, 10, color)
        drawing.text(575, 54 + 18 * i, name, bold=name.startswith("penjing"))
    drawing.save(out)


def draw_sparse(out, labels):
    rows = [(name, float(ms)) for name, ms in (label.rsplit("=", 1) for label in labels)]
    drawing = Drawing(760, 40 + 22 * len(rows))
    drawing.text(10, 20, "Time of one forward, ms", bold=True)
    longest = max(ms for _, ms in rows)
    for i, (name, ms) in enumerate(rows):
        y = 46 + 22 * i
        drawing.text(240, y, name, "end")
        drawing.box(250, y - 11, 420 * ms / longest, 14, COLORS[i % 2])
        drawing.text(256 + 420 * ms / longest, y, f"{ms:.3g}")
    drawing.save(out)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    out, kind, sources = sys.argv[1], sys.argv[2], sys.argv[3:]
    if kind == "rivals":
        draw_rivals(out, sources[0])
    elif kind == "profile":
        draw_profile(out, sources)
    elif kind == "lengths":
        draw_lengths(out, sources[0])
    elif kind == "sparse":
        draw_sparse(out, sources)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
