#!/usr/bin/env python3
"""Compares `penjing` with a reference of parity_reference.py: our error against float64, beside PyTorch float32's own.

usage: parity_compare.py MODEL REFERENCE.npz [--penjing build/release/penjing] [--threads N] [--json OUT]
Exit status 0 when, over all values: our greatest error is at most twice PyTorch's own; hidden states are within 1e-4
and embeddings within 2e-5 of float64, unless PyTorch's own float32 is not; and, with embeddings, every text's
neighbours are in the same order (neighbours that float64 separates by less than 1e-6 may swap, and are counted). 5
otherwise. Rows (tokens, texts) over the bound are counted for both. Needs numpy.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np


def run_embed(arguments, texts, extra, folder):
    out = folder / ("tokens.npy" if extra else "embeddings.npy")
    command = [str(arguments.penjing), "embed", str(arguments.model), "--input", str(texts), "--output", str(out),
               "--max-length", "512", "--quiet", "--threads", str(arguments.threads), *extra]
    begin = time.time()
    subprocess.run(command, check=True)
    print(f"{' '.join(command[1:])}: {time.time() - begin:.1f} s")
    return np.load(out).astype(np.float64)


def compare(name, ours, single, double, bound):
    if ours.shape != double.shape:
        sys.exit(f"{name}: shape {ours.shape}, the reference has {double.shape}")
    ours_error, own_error = np.abs(ours - double), np.abs(single.astype(np.float64) - double)
    result = {
        "values": int(double.size),
        "largest_value": float(np.abs(double).max()),
        "our_max_error": float(ours_error.max()),
        "pytorch_max_error": float(own_error.max()),
        "ratio": float(ours_error.max() / own_error.max()),
        "our_rms_error": float(np.sqrt((ours_error**2).mean())),
        "pytorch_rms_error": float(np.sqrt((own_error**2).mean())),
        "bound": bound,
        "rows": len(double),
        "our_rows_over_bound": int((ours_error.max(axis=1) > bound).sum()),
        "pytorch_rows_over_bound": int((own_error.max(axis=1) > bound).sum()),
    }
    result["passed"] = result["ratio"] <= 2 and (
        result["our_max_error"] <= bound or result["pytorch_max_error"] > bound)
    return result


def compare_ranks(ours, double):
    """Orders each text's neighbours by cosine in both; a swap counts only beyond what float32 can tell apart."""
    a, b = ours @ ours.T, double @ double.T
    swaps = close = 0
    for i in range(len(b)):
        order = np.argsort(-a[i], kind="stable")
        steps = np.diff(b[i][order])  # must not rise
        swaps += int((steps > 1e-6).sum())
        close += int(((steps > 0) & (steps <= 1e-6)).sum())
    return {"neighbours": int(b.size), "swapped": swaps, "swapped_within_1e-6": close, "passed": swaps == 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("--penjing", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "penjing")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    reference = np.load(arguments.reference)
    results = {"model": arguments.model.name, "versions": str(reference["versions"]),
               "texts": len(reference["texts"]), "tokens": int(reference["lengths"].sum())}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        texts = work / "texts.txt"
        texts.write_text("".join(t + "\n" for t in reference["texts"]), encoding="utf-8")
        ours = run_embed(arguments, texts, ["--tokens"], work)
        results["hidden"] = compare("hidden states", ours, reference["hidden32"], reference["hidden64"], 1e-4)
        if reference["embeddings64"].size:
            vectors = run_embed(arguments, texts, [], work)
            results["embeddings"] = compare("embeddings", vectors, reference["embeddings32"],
                                            reference["embeddings64"], 2e-5)
            results["ranks"] = compare_ranks(vectors, reference["embeddings64"])
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(0 if all(r["passed"] for r in results.values() if isinstance(r, dict)) else 5)


if __name__ == "__main__":
    main()
