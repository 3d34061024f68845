#!/usr/bin/env python3
"""Writes tests/data/losses_reference.json: values and gradients of losses in PyTorch (float64), the ones on
embeddings in the form in which Sentence-Transformers writes them, each the mean over the examples.

usage: losses_reference.py OUT.json
Needs torch (any version from 1.13).
"""

import json
import sys

import torch
import torch.nn.functional as F


def cos_matrix(a, b):
    return F.normalize(a, p=2, dim=1) @ F.normalize(b, p=2, dim=1).t()


def multiple_negatives(a, c, symmetric):
    scores = cos_matrix(a, c) * 20
    labels = torch.arange(len(a))
    loss = F.cross_entropy(scores, labels)
    if not symmetric:
        return loss
    return (loss + F.cross_entropy(scores[:, : len(a)].t(), labels)) / 2


def triplet(a, p, n, euclidean, margin):
    distance = F.pairwise_distance if euclidean else (lambda x, y: 1 - F.cosine_similarity(x, y))
    return F.relu(distance(a, p) - distance(a, n) + margin).mean()


def cosent(a, b, labels):
    scores = torch.sum(F.normalize(a, p=2, dim=1) * F.normalize(b, p=2, dim=1), dim=-1) * 20
    scores = scores[:, None] - scores[None, :]
    worse = (labels[:, None] < labels[None, :]).double()
    scores = scores - (1 - worse) * 1e12
    scores = torch.cat((torch.zeros(1, dtype=scores.dtype), scores.view(-1)), dim=0)
    return torch.logsumexp(scores, dim=0)


def contrastive(a, b, labels):
    distances = 1 - F.cosine_similarity(a, b)
    return (0.5 * (labels * distances.pow(2) + (1 - labels) * F.relu(0.5 - distances).pow(2))).mean()


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if "--help" in sys.argv or "-h" in sys.argv else 2)
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    n, classes, dim = 6, 4, 5
    round4 = lambda t: (t * 1e4).round() / 1e4
    data = {
        "logits": round4(torch.randn(n, classes) * 2), "predicted": round4(torch.randn(n)),
        "a": round4(torch.randn(n, dim)), "b": round4(torch.randn(n, dim)), "c": round4(torch.randn(n, dim)),
        "scores": torch.tensor([0.0, 0.2, 0.2, 0.5, 0.9, 1.0]),
        "same": torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
        "multi": (torch.randn(n, classes) > 0.3).double(),
        "weights": torch.tensor([0.5, 2.0, 1.0, 1.25]),
    }
    # Near neighbours, so that margins bind for some rows and not for others.
    data["b"][:3] = round4(data["a"][:3] + 0.3 * data["b"][:3])
    data["c"][3:] = round4(data["a"][3:] + 0.3 * data["c"][3:])
    targets = torch.tensor([0, 3, 2, -100, 1, 3])
    d = data
    cases = {
        "cross_entropy": ("logits", lambda x: F.cross_entropy(x, targets)),
        "cross_entropy_weighted": ("logits", lambda x: F.cross_entropy(x, targets, weight=d["weights"])),
        "cross_entropy_smoothed": ("logits", lambda x: F.cross_entropy(x, targets, label_smoothing=0.1)),
        "cross_entropy_both": ("logits", lambda x: F.cross_entropy(x, targets, weight=d["weights"],
                                                                   label_smoothing=0.2)),
        "binary_cross_entropy": ("logits", lambda x: F.binary_cross_entropy_with_logits(x, d["multi"])),
        "binary_cross_entropy_weighted": ("logits", lambda x: F.binary_cross_entropy_with_logits(
            x, d["multi"], pos_weight=d["weights"])),
        "squared_error": ("predicted", lambda x: F.mse_loss(x, d["scores"])),
        "multiple_negatives": ("a b", lambda a, b: multiple_negatives(a, b, False)),
        "multiple_negatives_symmetric": ("a b", lambda a, b: multiple_negatives(a, b, True)),
        "multiple_negatives_hard": ("a b c", lambda a, b, c: multiple_negatives(a, torch.cat([b, c]), False)),
        "triplet_euclidean": ("a b c", lambda a, b, c: triplet(a, b, c, True, 1.0)),
        "triplet_cosine": ("a b c", lambda a, b, c: triplet(a, b, c, False, 0.5)),
        "cosine_error": ("a b", lambda a, b: F.mse_loss(F.cosine_similarity(a, b), d["scores"])),
        "cosent": ("a b", lambda a, b: cosent(a, b, d["scores"])),
        "contrastive": ("a b", lambda a, b: contrastive(a, b, d["same"])),
    }
    out = {"torch": torch.__version__, "targets": targets.tolist(), **{k: v.tolist() for k, v in d.items()},
           "cases": {}}
    for name, (names, loss) in cases.items():
        inputs = [d[key].clone().requires_grad_(True) for key in names.split()]
        value = loss(*inputs)
        value.backward()
        out["cases"][name] = {"inputs": names.split(), "value": value.item(),
                              "gradients": [x.grad.tolist() for x in inputs]}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(out, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
