#!/usr/bin/env python3
"""Writes tests/data/mpnet_reference.json: what transformers' MPNet computes in double precision, for
tests/model/mpnet_test.cc (buckets), tests/runtime/mpnet_test.cc (hidden states) and tests/train/mpnet_test.cc
(a masked-LM step).

usage: mpnet_reference.py OUT.json
The weights are a formula of their names (train_reference.weight_values), that of relative positions ten times as large,
which tests/model/mpnet_reference.h repeats; gradients are kept as norm and products with vectors of signs, as in
train_reference.py. Needs torch, transformers, numpy.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from train_reference import describe, numbers, shorten, weight_values

CONFIG = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
          "intermediate_size": 48, "max_position_embeddings": 130, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
          "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "relative_attention_num_buckets": 32}
LENGTHS = (7, 40, 120)
KEPT_ROWS = {0: list(range(7)), 2: [0, 1, 59, 118, 119]}
FARTHEST = 600


def values_of(name, count):
    scale = 10.0 if name == "encoder.relative_attention_bias.weight" else 1.0
    values = weight_values(name, count)
    if name.endswith("layer_norm.weight"):
        values = values + 1
    return (values * scale).astype("float32")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    torch.set_num_threads(1)
    distances = torch.arange(-FARTHEST, FARTHEST + 1)
    buckets = MPNetEncoder.relative_position_bucket(distances).tolist()

    config = transformers.MPNetConfig(**CONFIG)
    config._attn_implementation = "eager"
    model = transformers.MPNetForMaskedLM(config).double()
    named = {name.removeprefix("mpnet."): tensor for name, tensor in model.named_parameters()}
    with torch.no_grad():
        for name, tensor in named.items():
            tensor.copy_(torch.from_numpy(values_of(name, tensor.numel())).double().reshape(tensor.shape))
    model.train()

    # Ids 0 to 2 are <s>, <pad> and </s>; that of padding would get no gradient.
    ids = [[0] + [3 + int(n % 58) for n in numbers(f"ids{i}", length - 2)] + [2] for i, length in enumerate(LENGTHS)]
    labels = [[word if (i + t) % 4 == 0 else -100 for t, word in enumerate(row)] for i, row in enumerate(ids)]
    total, count, hidden = 0, 0, {}
    for i, (row, truth) in enumerate(zip(ids, labels)):
        out = model(input_ids=torch.tensor([row]), output_hidden_states=True)
        marks = torch.tensor(truth)
        total = total + torch.nn.functional.cross_entropy(out.logits[0], marks, ignore_index=-100, reduction="sum")
        count += int((marks != -100).sum())
        if i in KEPT_ROWS:
            hidden[str(i)] = {"tokens": KEPT_ROWS[i], "rows": out.hidden_states[-1][0][KEPT_ROWS[i]].tolist()}
    loss = total / count
    loss.backward()
    result = {
        "written_by": "tools/oracles/mpnet_reference.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        # The distances at which the bucket changes, from -FARTHEST on.
        "farthest": FARTHEST,
        "buckets": [[int(d), b] for d, b, before in zip(distances, buckets, [None] + buckets) if b != before],
        "ids": ids, "labels": labels, "hidden": hidden, "loss": loss.item(),
        "gradients": describe({n: t.grad for n, t in named.items() if t.grad is not None}),
    }
    text = json.dumps(shorten(result), separators=(",", ":"))
    pathlib.Path(sys.argv[1]).write_text(text + "\n")
    print(f"{len(text)} bytes; loss {loss.item():.6f}; parameters {sorted(named)}")


if __name__ == "__main__":
    main()
