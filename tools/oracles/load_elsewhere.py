#!/usr/bin/env python3
"""Loads folders that Penjing wrote in the libraries their users have, and compares with the original.

usage: load_elsewhere.py ORIGINAL TEXTS.txt [--quantized FOLDER] [--dequantized FOLDER] [--limit 500]
  --quantized    of `penjing quantize ORIGINAL --scheme w8a8 --embeddings fp16 --out FOLDER`: loaded by transformers
                 with compressed-tensors, mean pooling, cosine to the original
  --dequantized  of `penjing dequantize`, or any FP32 folder: loaded by sentence-transformers
Prints mean and worst cosine. Needs torch, transformers, compressed-tensors, sentence-transformers, numpy.
"""

import argparse
import pathlib

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer


def encode_by_transformers(folder, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**ids).last_hidden_state[0].float()
            rows.append(torch.nn.functional.normalize(hidden.mean(dim=0), dim=0).numpy())
    return np.stack(rows)


def report(name, ours, reference):
    cosine = (ours * reference).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(reference, axis=1)
    print(f"{name}: {len(cosine)} texts, cosine to the original: mean {cosine.mean():.6f}, worst {cosine.min():.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--quantized", type=pathlib.Path)
    parser.add_argument("--dequantized", type=pathlib.Path)
    parser.add_argument("--limit", type=int, default=500)
    arguments = parser.parse_args()
    texts = arguments.texts.read_text(encoding="utf-8").splitlines()[: arguments.limit]
    reference = SentenceTransformer(str(arguments.original)).encode(texts, batch_size=1, show_progress_bar=False)
    if arguments.quantized:
        report(f"transformers {transformers.__version__} + compressed-tensors, {arguments.quantized.name}",
               encode_by_transformers(arguments.quantized, texts), reference)
    if arguments.dequantized:
        report(f"sentence-transformers, {arguments.dequantized.name}",
               SentenceTransformer(str(arguments.dequantized)).encode(texts, batch_size=1, show_progress_bar=False),
               reference)


if __name__ == "__main__":
    main()
