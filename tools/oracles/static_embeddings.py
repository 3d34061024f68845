#!/usr/bin/env python3
"""A static model of `penjing static` in model2vec: the same texts must have the same embeddings, and the STS
benchmark's test set the same Spearman correlation.

    penjing embed STATIC --input TEXTS.txt --output ours.npy
    tools/oracles/static_embeddings.py STATIC TEXTS.txt ours.npy [sts-test.csv]
"""
import sys

import numpy as np
from model2vec import StaticModel
from scipy.stats import spearmanr


def main(folder, texts, ours, sts=None):
    model = StaticModel.from_pretrained(folder)
    lines = [line.rstrip("\n") for line in open(texts, encoding="utf-8", newline="\n")]
    wanted, got = model.encode(lines), np.load(ours)
    worst = float(np.abs(wanted.astype(np.float64) - got).max())
    print(f"{len(lines)} texts, {wanted.shape[1]} dimensions, largest difference {worst:.2e}")
    if sts:
        rows = [line.rstrip("\n").split("\t") for line in open(sts, encoding="utf-8")]
        a, b = (model.encode([row[i] for row in rows]) for i in (5, 6))
        cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
        print(f"STS Spearman {spearmanr(cosine, [float(row[4]) for row in rows])[0]:.4f}")
    return 0 if worst <= 1e-6 and wanted.shape == got.shape else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
