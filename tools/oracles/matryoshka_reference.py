#!/usr/bin/env python3
"""Writes tests/data/matryoshka_reference.json: Sentence-Transformers' MatryoshkaLoss around its multiple-negatives and
CoSENT losses, values and gradients with respect to the embeddings, for tests/train/matryoshka_test.cc.

usage: matryoshka_reference.py OUT.json
Needs torch, sentence-transformers.
"""

import json
import pathlib
import sys

import sentence_transformers
import torch
from sentence_transformers import losses

WIDTH, ROWS = 12, 5
DIMS, WEIGHTS = [4, 8, 12], [0.5, 1.0, 2.0]


class Given(torch.nn.Module):
    """A model whose embeddings are given: what the losses ask of a SentenceTransformer."""

    def __init__(self):
        super().__init__()
        self.similarity_fn_name = "cosine"

    def forward(self, features):
        return dict(features)

    def get_sentence_embedding_dimension(self):
        return WIDTH

    def get_embedding_dimension(self):
        return WIDTH


def run(kind, a, b, labels):
    model = Given()
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    inner = {"multiple-negatives": lambda: losses.MultipleNegativesRankingLoss(model, scale=20.0),
             "cosent": lambda: losses.CoSENTLoss(model, scale=20.0)}[kind]()
    loss = losses.MatryoshkaLoss(model, inner, DIMS, WEIGHTS)
    value = loss([{"sentence_embedding": a}, {"sentence_embedding": b}], labels)
    value.backward()
    return {"kind": kind, "value": value.item(), "a": a.grad.tolist(), "b": b.grad.tolist()}


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    source = torch.Generator().manual_seed(5)
    a, b = (torch.randn(ROWS, WIDTH, generator=source, dtype=torch.float64) for _ in range(2))
    scores = torch.tensor([0.1, 0.9, 0.4, 0.4, 0.7], dtype=torch.float64)
    result = {"written_by": "tools/oracles/matryoshka_reference.py",
              "versions": {"torch": torch.__version__, "sentence-transformers": sentence_transformers.__version__},
              "dims": DIMS, "weights": WEIGHTS, "a": a.tolist(), "b": b.tolist(), "scores": scores.tolist(),
              "losses": [run("multiple-negatives", a, b, None), run("cosent", a, b, scores)]}
    text = json.dumps(result, separators=(",", ":"))
    pathlib.Path(sys.argv[1]).write_text(text + "\n")
    print(f"{len(text)} bytes", {r["kind"]: r["value"] for r in result["losses"]})


if __name__ == "__main__":
    main()
