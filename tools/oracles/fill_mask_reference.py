#!/usr/bin/env python3
"""Writes tests/data/fill_mask_bert_base.json: the five best words of `transformers` for ten prompts of
BERT-base-uncased.

usage: fill_mask_reference.py MODEL OUT.json
  MODEL  a Hugging Face folder of BERT-base with its masked-LM head (read_google_checkpoint.py writes one)
Needs torch, transformers.
"""

import json
import pathlib
import sys

import torch
import transformers

PROMPTS = [
    "The capital of France is [MASK].",
    "Water boils at one hundred [MASK] Celsius.",
    "She opened the [MASK] and walked into the room.",
    "The opposite of hot is [MASK].",
    "He plays the [MASK] in a jazz band.",
    "[MASK] is the largest planet in the solar system.",
    "The doctor told him to take the [MASK] twice a day.",
    "In 1969 the first man walked on the [MASK].",
    "A triangle has three [MASK].",
    "The river was so [MASK] that we could not swim across it.",
]


def main():
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if "--help" in sys.argv or "-h" in sys.argv else 2)
    folder, out = map(pathlib.Path, sys.argv[1:])
    tokenizer = transformers.BertTokenizerFast(
        vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt"), do_lower_case=True)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    results = {}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        model = transformers.BertForMaskedLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        results[name] = []
        for prompt in PROMPTS:
            ids = tokenizer(prompt)["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, ids.index(tokenizer.mask_token_id)]
            best = torch.softmax(logits, dim=-1).topk(6)
            results[name].append([(words[i], float(p)) for p, i in zip(best.values, best.indices)])
    prompts = []
    for prompt, single, double in zip(PROMPTS, results["float32"], results["float64"]):
        if [w for w, _ in single[:5]] != [w for w, _ in double[:5]]:
            sys.exit(f"{prompt}: float32 and float64 differ in their first five; choose another prompt")
        prompts.append({"text": prompt, "tokens": [w for w, _ in double[:5]],
                        "scores": [round(p, 9) for _, p in double[:5]],
                        "smallest_ratio": round(min(a / b for (_, a), (_, b) in zip(double, double[1:])), 6)})
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    text = json.dumps({"written_by": "tools/oracles/fill_mask_reference.py", "versions": versions,
                       "model": "bert-base-uncased, Google's checkpoint", "prompts": prompts}, indent=1)
    out.write_text(text + "\n")
    for entry in prompts:
        print(entry["text"], entry["tokens"], entry["smallest_ratio"])


if __name__ == "__main__":
    main()
