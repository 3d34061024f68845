#!/usr/bin/env python3
"""Writes tests/data/parity_minilm.json (and parity_mpnet.json): what PyTorch computes for 40 (14) texts, small enough
to store, for tests/scripts/parity_test.py.

usage: parity_ci_reference.py MODEL GLOSSES OUT.json [TEXTS]
  GLOSSES  the file of scripts/fetch-data.sh; the texts are runs of its lines ("first" and "count" of each are stored,
           not the texts), 3 to 512 tokens
Stored, per text: the number of tokens, 64 float64 values of the hidden states at stored places; and all embeddings,
float64 rounded to float32. Beside them PyTorch float32's own greatest error against float64 over ALL values.
Needs torch, transformers, numpy.
"""

import base64
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import torch
import transformers

from parity_reference import load, load_tokenizer, run

SAMPLES = 64


def choose_runs(tokenizer, lines, count_of_texts):
    """Runs of consecutive glosses joined by ". " whose token counts spread from 3 to 512."""
    runs, texts = [], []
    for i in range(count_of_texts):
        wanted = round(math.exp(math.log(3) + (math.log(512) - math.log(3)) * i / (count_of_texts - 1)))
        first = 1009 + 2917 * i
        while i == 0 and len(lines[first].split()) > 1:
            first += 1
        count = 1
        while len(tokenizer(". ".join(lines[first : first + count + 1]))["input_ids"]) <= wanted:
            count += 1
        runs.append({"first": first, "count": count})
        texts.append(". ".join(lines[first : first + count]))
    # One longer than the limit, so that truncation is compared too.
    runs[-1]["count"] += 20
    texts[-1] = ". ".join(lines[runs[-1]["first"] : runs[-1]["first"] + runs[-1]["count"]])
    return runs, texts


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if "--help" in sys.argv or "-h" in sys.argv else 2)
    folder, glosses, out = map(pathlib.Path, sys.argv[1:4])
    lines = glosses.read_text(encoding="utf-8").splitlines()
    tokenizer = load_tokenizer(folder)
    runs, texts = choose_runs(tokenizer, lines, int(sys.argv[4]) if len(sys.argv) == 5 else 40)
    ids = [tokenizer(t, truncation=True, max_length=512)["input_ids"] for t in texts]
    hidden32, vectors32 = run(folder, load(folder, torch.float32), ids)
    hidden64, vectors64 = run(folder, load(folder, torch.float64), ids)
    begin = 0
    for entry, row in zip(runs, ids):
        # Places spread over the text's values by a stride that is prime to any width.
        places = [(k * 7919 + 13) % (len(row) * hidden64.shape[1]) for k in range(SAMPLES)]
        values = hidden64[begin : begin + len(row)].reshape(-1)[places]
        entry.update(tokens=len(row), hidden=base64.b64encode(values.astype("<f8").tobytes()).decode())
        begin += len(row)
    reference = {
        "written_by": "tools/oracles/parity_ci_reference.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "numpy": np.__version__, "cpu": "float64 and float32, eager attention, one text at a time"},
        "model_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "glosses_sha256": hashlib.sha256(glosses.read_bytes()).hexdigest(),
        "joined_by": ". ",
        "max_length": 512,
        "hidden_size": int(hidden64.shape[1]),
        "samples": {"count": SAMPLES, "place": "(k * 7919 + 13) mod (tokens * hidden_size)"},
        "pytorch_float32_error": {"hidden": float(np.abs(hidden32 - hidden64).max()),
                                  "embeddings": float(np.abs(vectors32 - vectors64).max())},
        "texts": runs,
        "embeddings": base64.b64encode(vectors64.astype("<f4").tobytes()).decode(),
    }
    out.write_text(json.dumps(reference, indent=1) + "\n")
    print(f"{out}: {out.stat().st_size} bytes, {sum(map(len, ids))} tokens, own error of float32: "
          f"{reference['pytorch_float32_error']}")


if __name__ == "__main__":
    main()
