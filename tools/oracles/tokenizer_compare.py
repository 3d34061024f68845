#!/usr/bin/env python3
"""Compares `penjing tokenize` with the Hugging Face tokenizers library, ids and character offsets, and the
ids that --ids-only gives, line by line.

usage: tokenizer_compare.py FOLDER [--penjing build/release/penjing] [--data ../shared/data] [--wikipedia 60000]
  FOLDER  holds tokenizer.json; lines: every text file of --data (the xz ones sampled), every code point alone and
          between letters, random mixes of marks, scripts and added tokens, random bytes, malformed UTF-8 (as U+FFFD a
          maximal subpart, which is Python's errors="replace"), lines of 1 MB.
Exit 1 when any line differs. Needs: tokenizers."""
import argparse
import json
import lzma
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

import tokenizers


def data_lines(folder, wikipedia):
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".xz":
            kept = 0
            with lzma.open(path, "rb") as stream:
                for number, line in enumerate(stream):
                    if number % 7 == 3:
                        yield line.rstrip(b"\r\n")
                        kept += 1
                    if kept >= wikipedia // 6:
                        break
        elif path.suffix in (".tsv", ".csv", ".txt", ".conll", ".md", ".annotated", ".in", ".json"):
            for line in path.read_bytes().split(b"\n"):
                if len(line) < 1 << 16:
                    yield line.rstrip(b"\r")


def made_lines(rng):
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c not in (10, 13)]
    # One line a block of code points would hide which one differs, so each stands alone, and between letters.
    for c in points:
        yield chr(c).encode()
    for c in points:
        yield f"a{chr(c)}b".encode()
    marks = [chr(c) for c in points if unicodedata.combining(chr(c))]
    letters = list("abcdefgXYZéüñßİıΣςΑаБ中文字日本語한국어각힣١٢३") + ["[MASK]", "[CLS]", "[SEP]", "[mask]", "##ing", " ", "  ", "\t", "\u00a0", "\u200d", "\u0000", ".", ",", "'", "_", "½", "ﬁ", "Å"]
    for _ in range(40000):
        yield "".join(rng.choice(rng.choice((letters, letters, marks))) for _ in range(rng.randint(1, 30))).replace("\n", "").replace("\r", "").encode()
    for _ in range(40000):
        yield "".join(chr(rng.choice(points)) for _ in range(rng.randint(1, 20))).encode()
    for _ in range(20000):
        yield bytes(rng.choice([b for b in range(256) if b not in (10, 13)]) for _ in range(rng.randint(1, 40)))
    for unit in (b"word ", b"x", b"unaffable,", "中".encode(), b"\xff"):
        yield unit * ((1 << 20) // len(unit))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--penjing", type=pathlib.Path, default=root / "build" / "release" / "penjing")
    parser.add_argument("--data", type=pathlib.Path, default=root.parent / "shared" / "data")
    parser.add_argument("--wikipedia", type=int, default=60000)
    arguments = parser.parse_args()
    reference = tokenizers.Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    lines = list(made_lines(random.Random(1)))
    if arguments.data.is_dir():
        lines += data_lines(arguments.data, arguments.wikipedia)
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        source, result, alone = (pathlib.Path(folder) / name for name in ("in.txt", "out.jsonl", "ids.jsonl"))
        source.write_bytes(b"\n".join(lines) + b"\n")
        subprocess.run([arguments.penjing, "tokenize", arguments.folder, "--input", source, "--output", result], check=True)
        subprocess.run([arguments.penjing, "tokenize", arguments.folder, "--input", source, "--output", alone, "--ids-only"],
                       check=True)
        with open(result) as ours, open(alone) as ids_only:
            for begin in range(0, len(lines), 20000):
                block = lines[begin:begin + 20000]
                wanted = reference.encode_batch([line.decode(errors="replace") for line in block])
                for line, want in zip(block, wanted):
                    got = json.loads(next(ours))
                    ids = json.loads(next(ids_only))["ids"]
                    if got["ids"] != want.ids or ids != want.ids or [tuple(o) for o in got["offsets"]] != want.offsets:
                        different += 1
                        if different <= 15:
                            print("differs:", ascii(line[:80]), "\n  ours ", got["tokens"][:12], got["offsets"][:12],
                                  "\n  wants", want.tokens[:12], want.offsets[:12])
            if next(ours, None) is not None:
                sys.exit("more lines came out than went in")
    print(json.dumps({"lines": len(lines), "different": different, "tokenizers": tokenizers.__version__}))
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
