#!/usr/bin/env python3
"""Spearman correlation of cosine similarities with the human scores of the STS benchmark's test set.

usage: stsb_spearman.py STS_TEST_CSV --sentences OUT.txt        writes the 2 x 1,379 sentences, one a line
       stsb_spearman.py STS_TEST_CSV EMBEDDINGS.npy [REFERENCE.npy]
EMBEDDINGS.npy: `penjing embed MODEL --input OUT.txt --output EMBEDDINGS.npy`. With REFERENCE.npy (the uncompressed
model's) also the mean and worst cosine between the two and the sentence where it is worst. Needs numpy, scipy.
"""

import argparse
import pathlib

import numpy as np
from scipy.stats import spearmanr


def normalize(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", type=pathlib.Path)
    parser.add_argument("embeddings", nargs="*", type=pathlib.Path)
    parser.add_argument("--sentences", type=pathlib.Path)
    arguments = parser.parse_args()
    rows = [line.rstrip("\n").split("\t") for line in open(arguments.test, encoding="utf-8")]
    scores = np.array([float(row[4]) for row in rows])
    sentences = [s for row in rows for s in row[5:7]]
    if arguments.sentences:
        arguments.sentences.write_text("".join(s + "\n" for s in sentences), encoding="utf-8")
        print(f"{len(sentences)} sentences: {arguments.sentences}")
    spearman, matrices = [], []
    for path in arguments.embeddings:
        x = normalize(np.load(path).astype(np.float64))
        if len(x) != len(sentences):
            raise SystemExit(f"{path}: {len(x)} rows, wanted {len(sentences)}")
        matrices.append(x)
        spearman.append(100 * spearmanr((x[0::2] * x[1::2]).sum(axis=1), scores).statistic)
        print(f"{path}: Spearman {spearman[-1]:.3f} over {len(scores)} pairs")
    if len(matrices) == 2:
        cosine = (matrices[0] * matrices[1]).sum(axis=1)
        worst = int(cosine.argmin())
        print(f"cosine to {arguments.embeddings[1]}: mean {cosine.mean():.6f}, worst {cosine[worst]:.6f} "
              f"(\"{sentences[worst]}\"); Spearman drop {spearman[1] - spearman[0]:.3f} points")


if __name__ == "__main__":
    main()
