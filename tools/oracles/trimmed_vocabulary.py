#!/usr/bin/env python3
"""Compares a model's tokenizer with that of the model `penjing trim-vocabulary` made of it, in Hugging Face
`tokenizers`: every text of the files must have the same pieces, and the ids those of the smaller vocabulary.

    tools/oracles/trimmed_vocabulary.py MODEL TRIMMED TEXTS...
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer


def load(folder):
    tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def main(model, trimmed, *files):
    before, after = load(model), load(trimmed)
    vocabulary = after.get_vocab()
    lines = [line.rstrip("\n") for name in files for line in open(name, encoding="utf-8", newline="\n")]
    tokens = different = 0
    for line, a, b in zip(lines, before.encode_batch(lines), after.encode_batch(lines)):
        tokens += len(a.ids)
        if a.tokens != b.tokens or [vocabulary[t] for t in a.tokens] != b.ids or a.offsets != b.offsets:
            different += 1
            print("differs:", line, a.tokens, b.tokens, sep="\n  ")
    words = (pathlib.Path(trimmed) / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    if words != [word for word, _ in sorted(vocabulary.items(), key=lambda item: item[1])][: len(words)]:
        different += 1
        print("vocab.txt and tokenizer.json differ")
    if json.loads((pathlib.Path(trimmed) / "config.json").read_text())["vocab_size"] != len(vocabulary):
        different += 1
        print("config.json: vocab_size is not", len(vocabulary))
    print(f"{len(lines)} texts, {tokens} tokens, {len(vocabulary)} of {before.get_vocab_size()} pieces: {different} differ")
    return 1 if different or not lines else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
