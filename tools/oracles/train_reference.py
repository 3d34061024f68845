#!/usr/bin/env python3
"""Writes tests/data/train_reference.json: what PyTorch in double precision computes of training steps of a two-layer BERT
on real sentences, what torch.optim does to a few numbers, and the learning rates of transformers' schedules.

usage: train_reference.py OUT.json --data ../shared/data
The model's weights are a formula (weight_values) that tests/train/parity_test.cc repeats. Of a gradient or a parameter
the norm and kProbes products with vectors of +-1 (probe_signs) are kept: the mean square of the differences of those is
an estimate of the squared norm of the difference. Needs torch, transformers, numpy and the tokenizer in
DATA/bert-uncased-tokenizer.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers

PROBES = 16
CONFIG = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
          "intermediate_size": 64, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu",
          "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HEADS = {"classification": ("BertForSequenceClassification", 3), "regression": ("BertForSequenceClassification", 1),
         "tokens": ("BertForTokenClassification", 5), "masked": ("BertForMaskedLM", 0)}


def fnv(name):
    value = 0xCBF29CE484222325
    for c in name.encode():
        value = (value ^ c) * 0x100000001B3 % 2**64
    return value


def mix(x):  # splitmix64's finalizer, of uint64 arrays
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def numbers(name, count):
    with np.errstate(over="ignore"):
        return mix(np.uint64(fnv(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def weight_values(name, count):
    """Uniform in +-0.1, around 1 for the scales of norms; exact in float32."""
    unit = (numbers(name, count) >> np.uint64(40)).astype(np.float64) / 2**24
    centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    return (centre + 0.2 * (unit - 0.5)).astype(np.float32)


def probe_signs(name, probe, count):
    return 1.0 - 2.0 * (numbers(f"{name}#{probe}", count) >> np.uint64(63)).astype(np.float64)


def describe(tensors):
    out = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().double().numpy().reshape(-1)
        out[name] = {"norm": float(np.linalg.norm(flat)),
                     "probes": [float(flat @ probe_signs(name, p, flat.size)) for p in range(PROBES)]}
    return out


def canonical(name):
    name = name.removeprefix("bert.")
    return name


def make_model(head, vocab):
    kind, labels = HEADS[head]
    config = transformers.BertConfig(**CONFIG, vocab_size=vocab, num_labels=max(labels, 1))
    config._attn_implementation = "eager"
    model = getattr(transformers, kind)(config).double()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            name = canonical(name)
            tensor.copy_(torch.from_numpy(weight_values(name, tensor.numel())).double().reshape(tensor.shape))
    return model.train()


def make_examples(data):
    tokenizer = transformers.AutoTokenizer.from_pretrained(data / "bert-uncased-tokenizer")
    lines = (data / "glue-sst2" / "train.tsv").read_text().splitlines()[1:]
    texts = [line.split("\t") for line in lines[:24]]
    ids, types = [], []
    for i, (text, _) in enumerate(texts):  # every third one is a pair
        coded = tokenizer(text, texts[(i + 1) % 24][0]) if i % 3 == 0 else tokenizer(text)
        ids.append(coded["input_ids"][:40])
        types.append(coded["token_type_ids"][:40])
    # Row 0 is that of padding, which torch.nn.Embedding gives no gradient.
    words = {word: number for number, word in enumerate(sorted({word for row in ids for word in row}), 1)}
    return [[words[word] for word in row] for row in ids], types, [int(label) for _, label in texts], len(words) + 1


def loss_of(model, head, rows, truth):
    """Sequences one by one, no padding; mean over examples, or over the labelled tokens."""
    total, weight = 0, 0
    for ids, types, target in zip(rows[0], rows[1], truth):
        logits = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]
        if head == "classification":
            total = total + torch.nn.functional.cross_entropy(logits[None], torch.tensor([target]))
            weight += 1
        elif head == "regression":
            total = total + (logits[0] - target) ** 2
            weight += 1
        else:
            marks = torch.tensor(target)
            total = total + torch.nn.functional.cross_entropy(logits, marks, ignore_index=-100, reduction="sum")
            weight += int((marks != -100).sum())
    return total / weight


def groups(model, decay):
    named = list(model.named_parameters())
    return [{"params": [t for _, t in named if t.dim() > 1], "weight_decay": decay},
            {"params": [t for _, t in named if t.dim() == 1], "weight_decay": 0.0}]


def train(head, ids, types, labels, vocab):
    model = make_model(head, vocab)
    truth = {"classification": [(label + i) % 3 for i, label in enumerate(labels)],
             "regression": [round(label * 2.5 + (i % 5) * 0.3, 6) for i, label in enumerate(labels)],
             "tokens": [[(i + t) % 5 if t % 3 else -100 for t in range(len(row))] for i, row in enumerate(ids)],
             "masked": [[word if (i + t) % 4 == 0 else -100 for t, word in enumerate(row)]
                        for i, row in enumerate(ids)]}[head]
    optimizer = torch.optim.AdamW(groups(model, 0.01), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 2, 10)
    losses, out = [], {"truth": truth}
    for step in range(10):
        part = slice(8 * (step % 3), 8 * (step % 3) + 8)
        optimizer.zero_grad()
        loss = loss_of(model, head, (ids[part], types[part]), truth[part])
        loss.backward()
        losses.append(loss.item())
        named = {canonical(name): tensor for name, tensor in model.named_parameters()}
        if step == 1:  # the first whose learning rate is not 0; parameters are still the formula's
            out["gradients"] = describe({n: t.grad for n, t in named.items() if t.grad is not None})
            out["gradient_norm"] = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        else:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step == 1:
            out["parameters"] = describe(named)
    out["losses"] = losses
    return out


def run_optimizers():
    source = np.random.default_rng(3)
    start = source.normal(size=6).astype(np.float32)
    gradients = source.normal(size=(4, 6)).astype(np.float32)
    kinds = [("adamw", {"beta1": 0.9, "beta2": 0.98, "epsilon": 1e-6}), ("sgd", {"momentum": 0.0}),
             ("sgd", {"momentum": 0.9}), ("lamb", {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6}),
             ("adadelta", {})]
    out = {"start": start.tolist(), "gradients": gradients.tolist(), "learning_rate": 0.1, "weight_decay": 0.02,
           "runs": []}
    for name, settings in kinds:
        w = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        if name == "adamw":
            optimizer = torch.optim.AdamW([w], lr=0.1, betas=(settings["beta1"], settings["beta2"]),
                                          eps=settings["epsilon"], weight_decay=0.02)
        elif name == "sgd":
            optimizer = torch.optim.SGD([w], lr=0.1, momentum=settings["momentum"], weight_decay=0.02)
        elif name == "adadelta":
            optimizer = torch.optim.Adadelta([w], lr=0.1, rho=0.95, eps=1e-6, weight_decay=0.02)
        m = v = np.zeros(6)
        steps = []
        for t, g in enumerate(gradients.astype(np.float64), 1):
            if name == "lamb":  # You et al. 2020, algorithm 2
                m = settings["beta1"] * m + (1 - settings["beta1"]) * g
                v = settings["beta2"] * v + (1 - settings["beta2"]) * g * g
                ratio = m / (1 - settings["beta1"] ** t) / (
                    np.sqrt(v / (1 - settings["beta2"] ** t)) + settings["epsilon"])
                update = ratio + 0.02 * w.detach().numpy()
                trust = np.linalg.norm(w.detach().numpy()) / np.linalg.norm(update)
                w.data -= torch.from_numpy(0.1 * trust * update)
            else:
                w.grad = torch.from_numpy(g.copy())
                optimizer.step()
            steps.append(w.detach().numpy().tolist())
        out["runs"].append({"name": name, "settings": settings, "steps": steps})
    return out


def run_schedules():
    make = {"linear": transformers.get_linear_schedule_with_warmup,
            "cosine": transformers.get_cosine_schedule_with_warmup}
    out = {}
    for name in ("linear", "cosine", "constant"):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = (make[name](optimizer, 4, 20) if name in make
                    else transformers.get_constant_schedule_with_warmup(optimizer, 4))
        rates = []
        for _ in range(20):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        out[name] = rates
    return out


def shorten(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: shorten(v) for k, v in value.items()}
    return [shorten(v) for v in value] if isinstance(value, list) else value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ids, types, labels, vocab = make_examples(arguments.data)
    result = {"vocab_size": vocab, "ids": ids, "types": types, "schedules": run_schedules(),
              "optimizers": run_optimizers(),
              "heads": {head: train(head, ids, types, labels, vocab) for head in HEADS}}
    text = json.dumps(shorten(result), separators=(",", ":"))
    arguments.out.write_text(text + "\n")
    print(f"{len(text)} bytes; first losses", {h: r["losses"][0] for h, r in result["heads"].items()})


if __name__ == "__main__":
    main()
