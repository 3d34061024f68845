#!/usr/bin/env python3
"""Penjing beside other CPU engines on one model, in one run: process starts in turn, the same shapes, ratios of medians.

usage: compare_rivals.py --rivals RIVALS.py --penjing PROGRAM MODEL [--int8 MODEL] [--engines ort,ortf,ort8,ortf8]
                         [--shapes 1x16,1x128,32xvar] [--threads 2] [--starts 5] [--python PYTHON] [--json FILE]

RIVALS.py is a script that takes MODEL --engines --shapes --threads and prints one JSON line an engine and shape (model,
engine, shape, median_ms). It draws the lengths of `var` with NumPy as below, and Penjing is given the same lengths; a
rival that pads runs them as one padded batch. A ratio is the rival's median over Penjing's, each pair from
neighbouring process starts; the table has the median ratio of all starts and their range. Engines that end in 8 are
compared with the INT8 model, the others with MODEL."""

import argparse
import json
import os
import statistics
import subprocess
import sys

import numpy


def penjing_shape(shape):
    count, length = shape.split("x")
    if length not in ("var", "sort"):
        return shape
    lengths = numpy.clip(numpy.random.default_rng(1).lognormal(3.2, .7, int(count)).astype(int), 5, 256)
    return "+".join(str(n) for n in lengths)


def run_json_lines(command, environment=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def time_penjing(args, model):
    out = run_json_lines([args.penjing, "bench", model, "--shapes", ",".join(map(penjing_shape, args.shapes)),
                          "--threads", str(args.threads), "--no-cold-start", "--rounds", "5", "--json", "--quiet"])
    rows = [r for r in json.loads(out)["rows"] if not r["with_tokenizing"]]
    return {shape: row for shape, row in zip(args.shapes, rows, strict=True)}


def time_rivals(args):
    out = run_json_lines([args.python, args.rivals, args.model, "--engines", ",".join(args.engines), "--shapes",
                          ",".join(args.shapes), "--threads", str(args.threads)],
                         dict(os.environ, TOKENIZERS_PARALLELISM="false"))
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return {(r["engine"], r["shape"]): r["median_ms"] for r in rows if "median_ms" in r}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--int8")
    parser.add_argument("--rivals", required=True)
    parser.add_argument("--penjing", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--engines", type=lambda s: s.split(","), default="ort,ortf,ort8,ortf8".split(","))
    parser.add_argument("--shapes", type=lambda s: s.split(","), default="1x16,1x128,32xvar".split(","))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    time_rivals(args)  # exports and quantizes once, outside the measured starts
    ratios, ours, theirs = {}, {}, {}
    for start in range(args.starts):
        rival = time_rivals(args)
        mine = {"": time_penjing(args, args.model)}
        if args.int8:
            mine["8"] = time_penjing(args, args.int8)
        for kind, rows in mine.items():
            for shape, row in rows.items():
                ours.setdefault((kind, shape), []).append(row)
        for (engine, shape), ms in rival.items():
            kind = "8" if engine.endswith("8") else ""
            if kind in mine:
                theirs.setdefault((engine, shape), []).append(ms)
                ratios.setdefault((engine, shape), []).append(ms / mine[kind][shape]["median_ms"])
        print(f"start {start + 1} of {args.starts} done", file=sys.stderr)
    result = []
    print(f"{'shape':8} {'engine':7} {'its ms':>8} {'ours ms':>8} {'of peak':>7}  ratio (range)")
    for (engine, shape), values in sorted(ratios.items(), key=lambda item: (item[0][1], item[0][0])):
        rows = ours["8" if engine.endswith("8") else "", shape]
        row = {"shape": shape, "engine": engine, "rival_median_ms": statistics.median(theirs[engine, shape]),
               "median_ms": statistics.median(r["median_ms"] for r in rows),
               "peak_share": statistics.median(r["peak_share"] for r in rows),
               "ratio": statistics.median(values), "low": min(values), "high": max(values)}
        result.append(row)
        print(f"{shape:8} {engine:7} {row['rival_median_ms']:8.2f} {row['median_ms']:8.2f} "
              f"{row['peak_share']:7.0%}  {row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"model": args.model, "threads": args.threads, "rows": result}, file, indent=1)


if __name__ == "__main__":
    main()
