#!/usr/bin/env python3
"""The table of docs/methods/prune.md: one-shot pruning of MiniLM, what it costs on the STS benchmark and what it gains.

usage: pruning_table.py --data STS-TEST.csv [--penjing build/release/penjing] [--json OUT]
Spearman by `penjing eval --task stsb` on --data; INT8 is w8a8 of the pruned model. Times by
`penjing bench --against`: ratio of the dense model's to the pruned one's, of interleaved rounds, with its interval."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROWS = [("4x1", score, sparsity) for score in ("magnitude", "wanda") for sparsity in (0.2, 0.3, 0.5, 0.8)]
ROWS += [("unstructured", score, 0.5) for score in ("magnitude", "wanda")]
ROWS += [("2:4", "wanda", 0.5), ("1x4", "wanda", 0.5), ("4x1", "magnitude", 0.9)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--penjing", default="build/release/penjing")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()

    def run(*command):
        done = subprocess.run([arguments.penjing, *map(str, command), "--quiet", "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout)

    def score_of(model):
        return 100 * run("eval", model, "--task", "stsb", "--data", arguments.data)["metrics"]["spearmanr"]["value"]

    def speedups(model, dense):
        found = run("bench", model, "--against", dense, "--shapes", "1x16,1x128", "--rounds", 7, "--seconds", 0.1,
                    "--no-cold-start")["verdicts"]
        return {v["shape"]: [v["speedup"], v["low"], v["high"]] for v in found}

    def cell(speedup):
        return f"{speedup[0]:.2f} ({speedup[1]:.2f} to {speedup[2]:.2f})"

    result = []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        run("quantize", "minilm", "--scheme", "w8a8", "--out", work / "dense8")
        print(f"dense: Spearman FP32 {score_of('minilm'):.2f}, INT8 {score_of(work / 'dense8'):.2f}")
        print("| pattern | score | zeros | Spearman | INT8 | FP32 1x16 | FP32 1x128 | INT8 1x16 | INT8 1x128 |")
        print("|---|---|---|---|---|---|---|---|---|")
        for number, (pattern, score, sparsity) in enumerate(ROWS):
            sparse, sparse8 = work / f"s{number}", work / f"q{number}"
            run("prune", "minilm", "--pattern", pattern, "--score", score, "--sparsity", sparsity, "--out", sparse)
            run("quantize", sparse, "--scheme", "w8a8", "--out", sparse8)
            row = {"pattern": pattern, "score": score, "sparsity": sparsity, "spearman": score_of(sparse),
                   "spearman_int8": score_of(sparse8), "fp32": speedups(sparse, "minilm"),
                   "int8": speedups(sparse8, work / "dense8")}
            result.append(row)
            print(f"| {pattern} | {score} | {sparsity:.0%} | {row['spearman']:.2f} | {row['spearman_int8']:.2f} | "
                  + " | ".join(cell(row[kind][shape]) for kind in ("fp32", "int8") for shape in ("1x16", "1x128")) + " |",
                  flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n")
            subprocess.run(["rm", "-r", sparse, sparse8], check=True)


if __name__ == "__main__":
    main()
