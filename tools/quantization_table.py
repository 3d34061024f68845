#!/usr/bin/env python3
"""The table of docs/methods/quantize.md: every scheme and observer on MiniLM and BERT-base, by the real runtime.

usage: quantization_table.py --data DATA --wiki TEXTS.txt [--penjing build/release/penjing] [--only TEXT] [--first N] [--json OUT]
  --data  a folder with glue-stsb/sts-test.csv
  --wiki  plain text for masked words, one passage a line; every 7th piece is masked
MiniLM: Spearman on the STS benchmark's test set, mean and worst cosine to FP32 over its 2,758 sentences, size of the
weights. BERT-base: top-1 agreement with FP32 and accuracy on the masked pieces. Needs numpy, scipy; the models minilm and
bert-base in the cache.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from scipy.stats import spearmanr

ROWS = [
    ("w8a8 (default)", ""),
    ("w8a8, symmetric activations", "--activations symmetric"),
    ("w8a8, symmetric, weights and activations by tensor",
     "--activations symmetric --granularity tensor --range static"),
    ("w8a8 smooth", "--smooth"),
    ("w8a8 smooth, all inputs", "--smooth --smooth-inputs all"),
    ("w8a8, weights by mse", "--weights mse"),
    ("w8a8, bias correction", "--bias-correction"),
    ("w8a8, 4 most harmful layers kept", "--keep 4"),
    ("w8a8 static, minmax", "--range static"),
    ("w8a8 static, moving_average", "--range static --observer moving_average"),
    ("w8a8 static, percentile", "--range static --observer percentile"),
    ("w8a8 static, entropy", "--range static --observer entropy"),
    ("w8a8 static, mse", "--range static --observer mse"),
    ("w8a8 static, mse, smooth", "--range static --observer mse --smooth"),
    ("w7a8 smooth", "--scheme w7a8 --smooth"),
    ("w7a7 smooth", "--scheme w7a7 --smooth"),
    ("w4a8 smooth, error feedback", "--scheme w4a8 --smooth --error-feedback"),
    ("w8a16", "--scheme w8a16"),
    ("w4a16, group 32", "--scheme w4a16"),
    ("w4a16, group 32, mse", "--scheme w4a16 --weights mse"),
    ("w4a16, group 32, awq", "--scheme w4a16 --awq"),
    ("w4a16, group 32, error feedback", "--scheme w4a16 --error-feedback"),
    ("w4a16, group 128", "--scheme w4a16 --group-size 128"),
    ("bf16", "--scheme bf16"),
    ("fp16", "--scheme fp16"),
]


def read_pairs(path):
    scores, first, second = [], [], []
    with open(path, encoding="utf-8") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            scores.append(float(row[4]))
            first.append(row[5])
            second.append(row[6])
    return scores, first + second


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--wiki", type=pathlib.Path, required=True)
    parser.add_argument("--penjing", default="build/release/penjing")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--first", type=int, default=0, help="number of the first row")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    scores, sentences = read_pairs(arguments.data / "glue-stsb" / "sts-test.csv")
    result = []

    def run(*command):
        done = subprocess.run([arguments.penjing, *map(str, command), "--quiet"], capture_output=True, text=True)
        if done.returncode not in (0, 5):
            sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stderr}")
        return done.stdout

    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "sts.txt").write_text("".join(s + "\n" for s in sentences), encoding="utf-8")

        def embed(model):
            run("embed", model, "--input", work / "sts.txt", "--output", work / "e.npy")
            rows = np.load(work / "e.npy").astype(np.float64)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        def spearman(rows):
            half = len(rows) // 2
            return 100 * spearmanr((rows[:half] * rows[half:]).sum(axis=1), scores).statistic

        reference = embed("minilm")
        print(f"FP32: Spearman {spearman(reference):.2f}")
        print("| scheme | MiniLM weights | Spearman | cosine mean | worst | BERT-base agreement | accuracy | flags |")
        print("|---|---|---|---|---|---|---|---|")
        for number, (name, flags) in enumerate(ROWS):
            if arguments.only not in name or number < arguments.first:
                continue
            small, big = work / f"m{number}", work / f"b{number}"
            report = json.loads(run("quantize", "minilm", *flags.split(), "--out", small, "--json"))
            rows = embed(small)
            cosine = (rows * reference).sum(axis=1)
            run("quantize", "bert-base", *flags.split(), "--out", big)
            verdict = json.loads(run("verify", big, "--reference", "bert-base", "--data", arguments.wiki, "--json"))
            row = {"scheme": name, "flags": flags, "bytes": report["bytes_after"], "spearman": spearman(rows),
                   "cosine_mean": cosine.mean(), "cosine_min": cosine.min(),
                   "agreement": 100 * verdict["top1_agreement"], "accuracy": 100 * verdict["accuracy_model"],
                   "reference_accuracy": 100 * verdict["accuracy_reference"], "pieces": verdict["rows"]}
            result.append(row)
            print(f"| {name} | {row['bytes'] / 1e6:.1f} MB | {row['spearman']:.2f} | {row['cosine_mean']:.4f} | "
                  f"{row['cosine_min']:.4f} | {row['agreement']:.1f} % | {row['accuracy']:.1f} % | `{flags}` |", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n")
            for folder in (small, big):
                subprocess.run(["rm", "-r", folder], check=True)
    if result:
        print(f"{result[0]['pieces']} masked pieces; FP32 accuracy {result[0]['reference_accuracy']:.1f} %")


if __name__ == "__main__":
    main()
