#!/usr/bin/env python3
"""Reads Google's BERT checkpoint (TensorFlow tensor bundle) without TensorFlow and without Penjing, and writes a
Hugging Face folder: the independent oracle of `penjing import`.

usage: read_google_checkpoint.py DIR OUT [--compare FOLDER]
  DIR      holds variables/variables.{index,data-*} and assets/vocab.txt (scripts/fetch-models.sh bert-base)
  OUT      folder to write (config.json, model.safetensors, vocab.txt, tokenizer_config.json)
  --compare FOLDER   compares every tensor with FOLDER/model.safetensors (what `penjing import` wrote), bit for bit
Needs numpy, safetensors. Block checksums are not checked here (Penjing does that); sizes are.
"""

import argparse
import json
import pathlib
import re
import shutil
import struct
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64}  # tensorflow/core/framework/types.proto


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def read_block(data, handle):
    """(key, value) pairs of a LevelDB block: shared-prefix keys, restart array at the end."""
    offset, size = handle
    if data[offset + size] != 0:
        sys.exit("a compressed block: not handled by this oracle")
    block = data[offset : offset + size]
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + length]
        at += length


def read_handle(data, at):
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return (offset, size), at


def read_fields(message):
    """(field number, value) pairs of a protobuf message; fixed32 as int, bytes as bytes."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(message, at)
        elif kind == 2:
            size, at = read_varint(message, at)
            value, at = message[at : at + size], at + size
        elif kind == 5:
            value, at = struct.unpack("<I", message[at : at + 4])[0], at + 4
        else:
            sys.exit(f"protobuf wire type {kind}")
        yield tag >> 3, value


def read_bundle(prefix):
    index = pathlib.Path(str(prefix) + ".index").read_bytes()
    footer = index[-48:]
    if struct.unpack("<Q", footer[40:])[0] != 0xDB4775248B80FB57:
        sys.exit(f"{prefix}.index: not a LevelDB table")
    _, at = read_handle(footer, 0)
    top, _ = read_handle(footer, at)
    shards = sorted(prefix.parent.glob(prefix.name + ".data-*"))
    data = [np.memmap(s, dtype=np.uint8, mode="r") for s in shards]
    tensors = {}
    for _, value in read_block(index, top):
        for key, entry in read_block(index, read_handle(value, 0)[0]):
            if not key:
                continue  # the header entry
            fields = dict(read_fields(entry))
            shape = [dict(read_fields(d)).get(1, 0) for f, d in read_fields(fields.get(2, b"")) if f == 2]
            dtype = np.dtype(DTYPES[fields[1]])
            begin, size = fields.get(4, 0), fields[5]
            raw = data[fields.get(3, 0)][begin : begin + size]
            if size != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
                sys.exit(f"{key.decode()}: {size} bytes for shape {shape}")
            tensors[key.decode()] = np.frombuffer(raw.tobytes(), dtype).reshape(shape)
    return tensors


def to_hugging_face(name):
    """(name, transposed) or None when it is no weight of the model (optimizer state, step counter)."""
    if re.search(r"adam_[mv]|global_step|Variable", name):
        return None
    name = re.sub(r"^module/", "", name)
    name = re.sub(r"layer_(\d+)", r"layer.\1", name).replace("/", ".")
    name = name.replace("cls.predictions.output_bias", "cls.predictions.bias")
    name = name.replace("cls.seq_relationship.output_weights", "cls.seq_relationship.weight")
    name = name.replace("cls.seq_relationship.output_bias", "cls.seq_relationship.bias")
    name = re.sub(r"\.gamma$", ".weight", name)
    name = re.sub(r"\.beta$", ".bias", name)
    name = re.sub(r"(_embeddings)$", r"\1.weight", name)
    transposed = name.endswith(".kernel")
    return re.sub(r"\.kernel$", ".weight", name), transposed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--compare", type=pathlib.Path)
    arguments = parser.parse_args()
    found = read_bundle(arguments.dir / "variables" / "variables")
    tensors, left = {}, []
    for name, tensor in found.items():
        mapped = to_hugging_face(name)
        if mapped is None:
            left.append(name)
        else:
            tensors[mapped[0]] = np.ascontiguousarray(tensor.T if mapped[1] else tensor)
    words = tensors["bert.embeddings.word_embeddings.weight"]
    layers = 1 + max(int(m.group(1)) for m in (re.search(r"layer\.(\d+)\.", n) for n in tensors) if m)
    config = {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_hidden_layers": layers,
        "num_attention_heads": words.shape[1] // 64,
        "intermediate_size": tensors["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": tensors["bert.embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": tensors["bert.embeddings.token_type_embeddings.weight"].shape[0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": 0,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.out / "model.safetensors", metadata={"format": "pt"})
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (arguments.out / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}) + "\n"
    )
    shutil.copy(arguments.dir / "assets" / "vocab.txt", arguments.out / "vocab.txt")
    count = sum(t.size for t in tensors.values())
    print(f"{len(tensors)} tensors, {count:,} parameters written to {arguments.out}; left: {left or 'nothing'}")
    if arguments.compare:
        other = load_file(arguments.compare / "model.safetensors")
        strip = lambda n: re.sub(r"^bert\.", "", n)
        ours, theirs = {strip(n): t for n, t in tensors.items()}, {strip(n): t for n, t in other.items()}
        differing = sorted(
            n for n in ours.keys() & theirs.keys()
            if ours[n].shape != theirs[n].shape or ours[n].tobytes() != theirs[n].tobytes()
        )
        print(f"only here: {sorted(ours.keys() - theirs.keys())}; only there: {sorted(theirs.keys() - ours.keys())}; "
              f"differing: {differing}")
        sys.exit(1 if differing or ours.keys() - theirs.keys() else 0)


if __name__ == "__main__":
    main()
