#!/usr/bin/env python3
"""What a forward loses when others use the machine: `penjing bench` quiet and beside 1 .. CPUs processes that never stop
computing, in turn. With fair scheduling T threads beside N such processes on C CPUs keep C * T / (T + N) of them (at most
T), so a forward that loses no more than its share takes T / that times as long.

usage: busy_neighbour.py MODEL [--penjing PATH] [--shapes 1x16,1x128,32xvar] [--repeats 5] [--threads T] [--json OUT]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys


def measure(arguments, neighbours):
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(neighbours)]
    try:
        command = [arguments.penjing, "bench", arguments.model, "--shapes", arguments.shapes, "--rounds", "7",
                   "--no-cold-start", "--threads", str(arguments.threads), "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    report = json.loads(done.stdout)
    return {row["shape"]: row["median_ms"] for row in report["rows"] if not row["with_tokenizing"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--penjing", default="build/release/penjing")
    parser.add_argument("--shapes", default="1x16,1x128,32xvar")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    cpus, threads = len(os.sched_getaffinity(0)), arguments.threads
    times = {}  # (neighbours, shape) -> one median a repeat
    for repeat in range(arguments.repeats):
        for neighbours in range(cpus + 1):
            print(f"repeat {repeat + 1} of {arguments.repeats}, {neighbours} neighbours", file=sys.stderr)
            for shape, ms in measure(arguments, neighbours).items():
                times.setdefault((neighbours, shape), []).append(ms)
    rows = []
    for (neighbours, shape), values in sorted(times.items(), key=lambda item: (item[0][1], item[0][0])):
        quiet = times[(0, shape)]
        ratios = sorted(busy / alone for busy, alone in zip(values, quiet))
        fair = threads / min(threads, cpus * threads / (threads + neighbours))
        rows.append({"shape": shape, "neighbours": neighbours, "ms": statistics.median(values),
                     "slower": statistics.median(ratios), "least": ratios[0], "most": ratios[-1], "fair": fair})
    print(f"{threads} threads on {cpus} CPUs, {arguments.repeats} repeats")
    print("| shape | neighbours | ms | times as long | range | its share of the CPUs would be |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['shape']} | {row['neighbours']} | {row['ms']:.2f} | {row['slower']:.2f} | "
              f"{row['least']:.2f} to {row['most']:.2f} | {row['fair']:.2f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
