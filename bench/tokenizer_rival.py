#!/usr/bin/env python3
"""Penjing's tokenizer beside the Hugging Face tokenizers library: one thread, the same texts, process starts in turn.

usage: tokenizer_rival.py MODEL-FOLDER TEXTS [--build build/release] [--starts 5] [--texts 50000] [--json FILE]

MODEL-FOLDER holds tokenizer.json; TEXTS is a text a line, plain or .xz. All ids must be equal before a time counts.
The library runs encode_batch_fast (without offsets; encode_batch where it lacks that) on 1,000 texts a call in one
thread, and only that call is timed: not the making of its inputs, nor the reading of its ids. A ratio is of the best
of 5 rounds in neighbouring process starts; the result is the median ratio and the range. Needs: tokenizers."""

import argparse
import json
import lzma
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

WORKER = "--rival-worker"


def read_texts(path, most):
    opened = lzma.open if path.suffix == ".xz" else open
    texts = []
    with opened(path, "rb") as stream:
        for line in stream:
            text = line.rstrip(b"\r\n")
            if text:
                texts.append(text)
            if len(texts) == most:
                break
    return texts


def rival_worker(tokenizer_json, texts_path, ids_path):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = pathlib.Path(texts_path).read_bytes().decode(errors="replace").split("\n")[:-1]
    encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
    best = float("inf")
    for _ in range(5):
        spent, kept = 0.0, []
        for at in range(0, len(texts), 1000):
            block = texts[at:at + 1000]
            begin = time.perf_counter()
            encodings = encode(block)
            spent += time.perf_counter() - begin
            if ids_path:
                kept += [e.ids for e in encodings]
        best = min(best, spent)
        if ids_path:
            with open(ids_path, "w") as out:
                for ids in kept:
                    out.write(json.dumps({"ids": ids}, separators=(",", ":")) + "\n")
            break
    print(json.dumps({"seconds": best, "version": tokenizers.__version__}))


def run_json(command):
    environment = dict(os.environ, TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return json.loads(done.stdout)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == WORKER:
        return rival_worker(*sys.argv[2:5])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts_file", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "build/release")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--texts", type=int, default=50000)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    texts = read_texts(args.texts_file, args.texts)
    if not texts:
        sys.exit(f"{args.texts_file}: no text")
    with tempfile.TemporaryDirectory() as folder:
        source, ours, theirs = (os.path.join(folder, name) for name in ("texts.txt", "ours.jsonl", "theirs.jsonl"))
        pathlib.Path(source).write_bytes(b"\n".join(texts) + b"\n")
        rival = [sys.executable, os.path.abspath(__file__), WORKER, str(args.model / "tokenizer.json"), source]
        run_json(rival + [theirs])
        subprocess.run([args.build / "penjing", "tokenize", args.model, "--input", source, "--output", ours, "--ids-only",
                        "--quiet"], check=True)
        with open(ours) as a, open(theirs) as b:
            different = sum(x != y for x, y in zip(a, b, strict=True))
        if different:
            sys.exit(f"{different} of {len(texts)} texts have other ids: no time counts")
        ratios, rates, rival_rates = [], [], []
        for _ in range(args.starts):
            mine = run_json([args.build / "bench/tokenizer_bench", args.model, source])
            its = run_json(rival + [""])
            ratios.append(its["seconds"] / mine["seconds"])
            rates.append(mine["bytes"] / mine["seconds"] / 1e6)
            rival_rates.append(mine["bytes"] / its["seconds"] / 1e6)
    result = {"texts": len(texts), "bytes": mine["bytes"], "ids": mine["ids"], "ratio": statistics.median(ratios),
              "low": min(ratios), "high": max(ratios), "mb_per_s": statistics.median(rates),
              "rival_mb_per_s": statistics.median(rival_rates), "rival": f"tokenizers {its['version']}", "starts": args.starts}
    print(f"{result['texts']} texts, {result['bytes'] / 1e6:.1f} MB, {result['ids']} ids, all equal to {result['rival']}'s\n"
          f"{result['mb_per_s']:.1f} MB/s beside {result['rival_mb_per_s']:.2f}: "
          f"{result['ratio']:.1f}x ({result['low']:.1f} to {result['high']:.1f}), {args.starts} starts")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
