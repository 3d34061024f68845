#!/usr/bin/env python3
"""A slow encoder in NumPy float64 that walks the same block list as the C++ runtime (src/model/description.h), and
tiny random models with what it computes for them.

usage: numpy_encoder.py OUT_FOLDER
Writes (both under 100 kB, stored in tests/data):
  tiny_bert_widths.json  a BERT folder (config, vocabulary, tensors) whose layers have unequal widths, one without
                         attention and one without feed-forward, through compression_config.layers; token ids of some
                         texts and the hidden states. Consumer: tests/scripts/tiny_model_test.py
  tiny_blocks.json       a block list that no family of today has: a bottleneck block, attention whose queries and keys
                         read another value than its values do, a residual from two blocks ago, affine norm, pre-norm,
                         gated feed-forward, a norm block. Consumer: a test of the runtime
Layout of tensors: {"name": {"shape": [...], "data": base64 of little-endian float32, row-major}}. A weight is
[out, in]. Expected values: base64 of little-endian float64 [tokens, width]. Needs numpy.

The block list as JSON, field for field as in description.h: a block has "kind" (attention, feed_forward, bottleneck,
norm), "input", "residual" (-1: none), "norm_place" (none, pre, post), "norm" {name, kind, epsilon}, and the names of
its linears. Value 0 is the embedding's output, block i makes value i + 1.
"""

import base64
import json
import math
import pathlib
import sys

import numpy as np

SEED = 20261123


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


ACTIVATIONS = {
    "none": lambda x: x,
    "gelu": gelu,
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


class Encoder:
    def __init__(self, embedding, blocks, tensors):
        self.embedding, self.blocks = embedding, blocks
        self.tensors = {n: t.astype(np.float64) for n, t in tensors.items()}

    def linear(self, name, x):
        y = x @ self.tensors[name + ".weight"].T
        return y + self.tensors[name + ".bias"] if name + ".bias" in self.tensors else y

    def norm(self, spec, x):
        weight = self.tensors[spec["name"] + ".weight"]
        bias = self.tensors.get(spec["name"] + ".bias", 0.0)
        if spec["kind"] == "affine":
            return x * weight + bias
        if spec["kind"] == "rms_norm":
            return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + spec["epsilon"]) * weight
        mean = x.mean(axis=1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
        return (x - mean) / np.sqrt(variance + spec["epsilon"]) * weight + bias

    def embed(self, ids, types):
        e = self.embedding
        x = self.tensors[e["word"] + ".weight"][ids]
        x = x + self.tensors[e["position"] + ".weight"][np.arange(len(ids))]
        x = x + self.tensors[e["token_type"] + ".weight"][types]
        return self.norm(e["norm"], x)

    def attend(self, block, x, values):
        shared = values[block["query_key_input"]] if block.get("query_key_input", -1) >= 0 else x
        q, k = self.linear(block["query"], shared), self.linear(block["key"], shared)
        v = self.linear(block["value"], x)
        size = q.shape[1] // block["num_heads"]
        out = np.empty_like(v)
        for head in range(block["num_heads"]):
            part = slice(head * size, (head + 1) * size)
            scores = q[:, part] @ k[:, part].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, part] = weights / weights.sum(axis=1, keepdims=True) @ v[:, part]
        return self.linear(block["output"], out)

    def apply(self, block, x, values):
        if block["kind"] == "attention":
            return self.attend(block, x, values)
        if block["kind"] == "bottleneck":
            return ACTIVATIONS[block["activation"]](self.linear(block["linear"], x))
        if block["kind"] == "feed_forward":
            up = self.linear(block["up"], x)
            act = ACTIVATIONS[block["activation"]]
            return self.linear(block["down"], act(self.linear(block["gate"], x)) * up if "gate" in block else act(up))
        raise ValueError(block["kind"])

    def run(self, ids, types):
        """One sequence: [tokens] -> [tokens, width] of the last value."""
        values = [self.embed(np.asarray(ids), np.asarray(types))]
        for block in self.blocks:
            x = values[block["input"]]
            if block["kind"] == "norm":
                values.append(self.norm(block["norm"], x))
                continue
            if block["norm_place"] == "pre":
                x = self.norm(block["norm"], x)
            y = self.apply(block, x, values)
            if block["residual"] >= 0:
                y = y + values[block["residual"]]
            values.append(self.norm(block["norm"], y) if block["norm_place"] == "post" else y)
        return values[-1]


class Tensors(dict):
    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def linear(self, name, inputs, outputs, bias=True):
        self[name + ".weight"] = self.rng.normal(0, 1.2 / math.sqrt(inputs), (outputs, inputs)).astype(np.float32)
        if bias:
            self[name + ".bias"] = self.rng.normal(0, 0.2, outputs).astype(np.float32)
        return name

    def norm(self, name, width, kind="layer_norm", epsilon=1e-12):
        self[name + ".weight"] = self.rng.normal(1, 0.2, width).astype(np.float32)
        if kind != "rms_norm":
            self[name + ".bias"] = self.rng.normal(0, 0.2, width).astype(np.float32)
        return {"name": name, "kind": kind, "epsilon": epsilon}

    def embeddings(self, vocabulary, positions, width):
        for name, rows in (("word", vocabulary), ("position", positions), ("token_type", 2)):
            table = self.rng.normal(0, 0.6, (rows, width)).astype(np.float32)
            self[f"embeddings.{name}_embeddings.weight"] = table
        return {"word": "embeddings.word_embeddings", "position": "embeddings.position_embeddings",
                "token_type": "embeddings.token_type_embeddings", "width": width,
                "vocab_size": vocabulary, "max_positions": positions,
                "norm": self.norm("embeddings.LayerNorm", width)}

    def attention(self, base, hidden, inner, heads, reads=None):
        self.linear(base + "attention.self.query", reads or hidden, inner)
        self.linear(base + "attention.self.key", reads or hidden, inner)
        self.linear(base + "attention.self.value", hidden, inner)
        self.linear(base + "attention.output.dense", inner, hidden)
        return {"kind": "attention", "num_heads": heads, "query": base + "attention.self.query",
                "key": base + "attention.self.key", "value": base + "attention.self.value",
                "output": base + "attention.output.dense", "query_key_input": -1}

    def feed_forward(self, base, hidden, inner, activation, gated=False):
        block = {"kind": "feed_forward", "activation": activation,
                 "up": self.linear(base + "intermediate.dense", hidden, inner),
                 "down": self.linear(base + "output.dense", inner, hidden)}
        if gated:
            block["gate"] = self.linear(base + "intermediate.gate", hidden, inner)
        return block

    def to_json(self):
        return {n: {"shape": list(t.shape), "data": base64.b64encode(t.astype("<f4").tobytes()).decode()}
                for n, t in self.items()}


def encode_rows(rows):
    return base64.b64encode(np.ascontiguousarray(rows).astype("<f8").tobytes()).decode()


def make_bert_widths(rng):
    hidden, head = 24, 4
    layers = [{"num_attention_heads": 6, "intermediate_size": 40}, {"num_attention_heads": 2, "intermediate_size": 17},
              {"num_attention_heads": 0, "intermediate_size": 33}, {"num_attention_heads": 5, "intermediate_size": 0}]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "small", "tree", "in", "tray", "##s", "##let", "."]
    tensors = Tensors(rng)
    embedding = tensors.embeddings(len(words), 20, hidden)
    blocks = []
    for number, layer in enumerate(layers):
        base = f"encoder.layer.{number}."
        for width, make in ((layer["num_attention_heads"], "attention"), (layer["intermediate_size"], "feed_forward")):
            if width == 0:
                continue
            if make == "attention":
                block, norm = tensors.attention(base, hidden, width * head, width), base + "attention.output.LayerNorm"
            else:
                block, norm = tensors.feed_forward(base, hidden, width, "gelu"), base + "output.LayerNorm"
            block.update(input=len(blocks), residual=len(blocks), norm_place="post", norm=tensors.norm(norm, hidden))
            blocks.append(block)
    config = {"architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(words), "hidden_size": hidden,
              "num_hidden_layers": len(layers), "num_attention_heads": 6, "intermediate_size": 40,
              "max_position_embeddings": 20, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
              "pad_token_id": 0, "compression_config": {"version": 1, "layers": layers}}
    texts = {"a small tree in a tray.": "[CLS] a small tree in a tray . [SEP]",
             "tree": "[CLS] tree [SEP]",
             "small treelets in trays, in a tray.": "[CLS] small tree ##let ##s in tray ##s [UNK] in a tray . [SEP]"}
    encoder = Encoder(embedding, blocks, tensors)
    cases = []
    for text, pieces in texts.items():
        ids = [words.index(p) for p in pieces.split()]
        cases.append({"text": text, "ids": ids, "hidden": encode_rows(encoder.run(ids, [0] * len(ids)))})
    return {"config": config, "vocab": words, "tensors": tensors.to_json(), "cases": cases}


def make_blocks(rng):
    """Values: 0 embedding (20) -> bottleneck to 12 (1) -> attention there, queries and keys from value 0 (2)
    -> feed-forward (3), residual of value 1 -> back to 20 with the residual of value 0 (4) -> pre-norm attention (5)
    -> pre-norm gated feed-forward (6) -> norm (7)."""
    wide, narrow = 20, 12
    tensors = Tensors(rng)
    embedding = tensors.embeddings(30, 16, wide)
    first, second = "encoder.layer.0.", "encoder.layer.1."
    shrink = {"kind": "bottleneck", "activation": "none",
              "linear": tensors.linear(first + "bottleneck.input.dense", wide, narrow),
              "input": 0, "residual": -1, "norm_place": "post",
              "norm": tensors.norm(first + "bottleneck.input.LayerNorm", narrow, "affine")}
    attend = tensors.attention(first, narrow, 8, 2, reads=wide)
    attend.update(query_key_input=0, input=1, residual=1, norm_place="post",
                  norm=tensors.norm(first + "attention.output.LayerNorm", narrow, "affine"))
    feed = tensors.feed_forward(first, narrow, 18, "relu")
    feed.update(input=2, residual=1, norm_place="post", norm=tensors.norm(first + "output.LayerNorm", narrow, "affine"))
    grow = {"kind": "bottleneck", "activation": "tanh",
            "linear": tensors.linear(first + "output.bottleneck.dense", narrow, wide),
            "input": 3, "residual": 0, "norm_place": "post",
            "norm": tensors.norm(first + "output.bottleneck.LayerNorm", wide)}
    attend_wide = tensors.attention(second, wide, 12, 3)
    attend_wide.update(input=4, residual=4, norm_place="pre",
                       norm=tensors.norm(second + "attention.LayerNorm", wide, epsilon=1e-6))
    gated = tensors.feed_forward(second, wide, 26, "silu", gated=True)
    gated.update(input=5, residual=5, norm_place="pre",
                 norm=tensors.norm(second + "feed_forward.LayerNorm", wide, "rms_norm", 1e-6))
    last = {"kind": "norm", "input": 6, "residual": -1, "norm_place": "none",
            "norm": tensors.norm("encoder.final_norm", wide, epsilon=1e-6)}
    blocks = [shrink, attend, feed, grow, attend_wide, gated, last]
    for number, block in enumerate(blocks):
        block["layer"] = 0 if number < 4 else 1
    encoder = Encoder(embedding, blocks, tensors)
    cases = []
    for length in (1, 3, 9, 16):
        ids = [int(i) for i in rng.integers(0, 30, length)]
        types = [int(t) for t in np.sort(rng.integers(0, 2, length))]
        cases.append({"ids": ids, "token_types": types, "hidden": encode_rows(encoder.run(ids, types))})
    return {"embedding": embedding, "blocks": blocks, "tensors": tensors.to_json(), "cases": cases}


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if "--help" in sys.argv or "-h" in sys.argv else 2)
    out = pathlib.Path(sys.argv[1])
    for name, make in (("tiny_bert_widths.json", make_bert_widths), ("tiny_blocks.json", make_blocks)):
        content = {"written_by": "tools/oracles/numpy_encoder.py", "versions": {"numpy": np.__version__}, "seed": SEED}
        content.update(make(np.random.default_rng(SEED)))
        (out / name).write_text(json.dumps(content, indent=1) + "\n")
        print(f"{out / name}: {(out / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
