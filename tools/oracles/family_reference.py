#!/usr/bin/env python3
"""Writes tests/data/FAMILY_reference.json: what transformers' models of a family compute in double precision, for
tests/model/FAMILY_test.cc (names and shapes), tests/runtime/FAMILY_test.cc (hidden states, logits) and
tests/train/FAMILY_test.cc (the gradients of a step).

usage: family_reference.py electra|mobilebert OUT.json
ELECTRA of two shapes: embeddings narrower than the hidden states, with their projection, and as wide. MobileBERT of three:
the student (NoNorm, ReLU, stacked feed-forward, queries and keys in a bottleneck of their own, trigrams), the teacher with
inverted bottlenecks (LayerNorm, GELU, wider inside than outside) and one without bottlenecks. The weights are a formula of
their names (train_reference.weight_values), which tests/model/formula_weights.h repeats; gradients are kept as norm and
products with vectors of signs, as in train_reference.py. Sequences are computed one by one: beside a longer one,
transformers' trigrams read the row of padding where a sequence ends, ours read zeros. Needs torch, transformers, numpy.
"""

import json
import pathlib
import sys

import torch
import transformers

from train_reference import describe, numbers, shorten, weight_values

# family -> name of its classes, what its shapes have in common, the shapes.
FAMILIES = {
    "electra": ("Electra", {
        "vocab_size": 59, "hidden_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 44,
        "max_position_embeddings": 40, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-12
    }, {
        "narrow": {
            "embedding_size": 12
        },
        "equal": {
            "embedding_size": 28
        },
    }),
    "mobilebert": ("MobileBert", {
        "vocab_size": 59, "hidden_size": 28, "num_attention_heads": 2, "max_position_embeddings": 40,
        "type_vocab_size": 2, "embedding_size": 8, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-12
    }, {
        "student": {
            "num_hidden_layers": 2, "intermediate_size": 20, "intra_bottleneck_size": 12, "hidden_act": "relu",
            "normalization_type": "no_norm", "num_feedforward_networks": 3, "trigram_input": True,
            "use_bottleneck": True, "use_bottleneck_attention": False, "key_query_shared_bottleneck": True,
            "classifier_activation": False
        },
        "teacher": {
            "num_hidden_layers": 1, "intermediate_size": 44, "intra_bottleneck_size": 32, "hidden_act": "gelu",
            "normalization_type": "layer_norm", "num_feedforward_networks": 1, "trigram_input": True,
            "use_bottleneck": True, "use_bottleneck_attention": True, "key_query_shared_bottleneck": False,
            "classifier_activation": True
        },
        "plain": {
            "num_hidden_layers": 1, "intermediate_size": 20, "intra_bottleneck_size": 12, "hidden_act": "gelu",
            "normalization_type": "layer_norm", "num_feedforward_networks": 2, "trigram_input": False,
            "use_bottleneck": False, "use_bottleneck_attention": False, "key_query_shared_bottleneck": False,
            "classifier_activation": True
        },
    }),
}
LENGTHS = (1, 9, 33)
KEPT_ROWS = {0: [0], 1: [0, 1, 8], 2: [0, 15, 16, 31, 32]}
LABELS = 3


def make_model(family, kind, shape):
    name, common, _ = FAMILIES[family]
    config = getattr(transformers, name + "Config")(**common, **shape, num_labels=LABELS)
    config._attn_implementation = "eager"
    model = getattr(transformers, name + kind)(config).double()
    named = {n.removeprefix(family + "."): tensor for n, tensor in model.named_parameters()}
    with torch.no_grad():
        for n, tensor in named.items():
            tensor.copy_(torch.from_numpy(weight_values(n, tensor.numel())).double().reshape(tensor.shape))
    return model.train(), named


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in FAMILIES:
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    family = sys.argv[1]
    class_name, common, shapes = FAMILIES[family]
    torch.set_num_threads(1)
    # Id 0 is that of padding, whose row torch.nn.Embedding gives no gradient.
    ids = [[1 + int(n % 58) for n in numbers(f"ids{i}", length)] for i, length in enumerate(LENGTHS)]
    types = [[int(t >= length // 2) for t in range(length)] for length in LENGTHS]
    labels = [[word if (i + t) % 4 == 0 else -100 for t, word in enumerate(row)] for i, row in enumerate(ids)]
    result = {"written_by": f"tools/oracles/family_reference.py {family}", "family": family, "class": class_name,
              "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
              "ids": ids, "types": types, "labels": labels, "shapes": {}}
    for name, shape in shapes.items():
        model, named = make_model(family, "ForMaskedLM", shape)
        # As transformers stores them: a tied tensor once.
        stored = {n: list(t.shape) for n, t in model.named_parameters()}
        total, count, hidden, logits = 0, 0, {}, {}
        for i, row in enumerate(ids):
            out = model(input_ids=torch.tensor([row]), token_type_ids=torch.tensor([types[i]]), output_hidden_states=True)
            marks = torch.tensor(labels[i])
            total = total + torch.nn.functional.cross_entropy(out.logits[0], marks, ignore_index=-100, reduction="sum")
            count += int((marks != -100).sum())
            hidden[str(i)] = {"tokens": KEPT_ROWS[i], "rows": out.hidden_states[-1][0][KEPT_ROWS[i]].tolist()}
            if i == 1:
                logits = {"token": 3, "row": out.logits[0][3].tolist()}
        loss = total / count
        loss.backward()
        part = {"config": {**common, **shape}, "tensors": stored, "hidden": hidden, "masked_logits": logits,
                "loss": loss.item(), "gradients": describe({n: t.grad for n, t in named.items() if t.grad is not None})}
        model, named = make_model(family, "ForSequenceClassification", shape)
        part["classes"] = [model(input_ids=torch.tensor([row]), token_type_ids=torch.tensor([types[i]])).logits[0].tolist()
                           for i, row in enumerate(ids)]
        part["class_tensors"] = {n: list(t.shape) for n, t in model.named_parameters() if n not in stored}
        result["shapes"][name] = part
    text = json.dumps(shorten(result), separators=(",", ":"))
    pathlib.Path(sys.argv[2]).write_text(text + "\n")
    print(f"{len(text)} bytes")
    for name, part in result["shapes"].items():
        names = {n.removeprefix(family + ".") for n in part["tensors"]}
        print(name, "loss", part["loss"], "without gradient", sorted(names - set(part["gradients"])))


if __name__ == "__main__":
    main()
