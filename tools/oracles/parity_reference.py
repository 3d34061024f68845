#!/usr/bin/env python3
"""Reference outputs of a BERT-family model by PyTorch: float64 (the truth) and float32 (what it costs to compute in
single precision there), for parity_compare.py.

usage: parity_reference.py MODEL OUT.npz [--data DIR] [--count 500] [--max-length 512]
  MODEL    Hugging Face folder; with modules.json also sentence embeddings (mean/cls pooling, normalize)
  OUT.npz  texts, token counts, hidden states [all tokens, hidden], embeddings [texts, hidden], in both precisions
  OUT.txt  the texts, one a line, beside it
Each text is run alone: no padding. Needs torch, transformers, numpy.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers

from parity_texts import choose_texts


def pool(folder, hidden):
    """What Sentence-Transformers does after the encoder, for the modules that our models have."""
    modules = json.loads((folder / "modules.json").read_text())
    vector = hidden
    for module in modules[1:]:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            config = json.loads((folder / module["path"] / "config.json").read_text())
            if config.get("pooling_mode_mean_tokens"):
                vector = hidden.mean(dim=0)
            elif config.get("pooling_mode_cls_token"):
                vector = hidden[0]
            else:
                raise SystemExit(f"this oracle knows no pooling {config}")
        elif kind == "Normalize":
            vector = vector / vector.norm()
        else:
            raise SystemExit(f"this oracle knows no module {kind}")
    return vector


def run(folder, model, ids):
    sentences = (folder / "modules.json").exists()
    hidden, vectors = [], []
    with torch.no_grad():
        for row in ids:
            out = model(input_ids=torch.tensor([row]))[0][0]
            hidden.append(out.numpy())
            if sentences:
                vectors.append(pool(folder, out).numpy())
    return np.concatenate(hidden), np.stack(vectors) if sentences else np.zeros((0, 0), hidden[0].dtype)


def load_tokenizer(folder):
    if json.loads((folder / "config.json").read_text())["model_type"] == "mpnet":
        return transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.BertTokenizerFast(
        vocab_file=str(folder / "vocab.txt"), vocab=str(folder / "vocab.txt"), do_lower_case=True)


def load(folder, dtype):
    return transformers.AutoModel.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", add_pooling_layer=False
    ).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "data")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--max-length", type=int, default=512)
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.model)
    texts = choose_texts(tokenizer, arguments.data, arguments.count)
    ids = [tokenizer(t, truncation=True, max_length=arguments.max_length)["input_ids"] for t in texts]
    print(f"{len(texts)} texts, {sum(map(len, ids))} tokens, {min(map(len, ids))} to {max(map(len, ids))} a text",
          flush=True)
    hidden32, vectors32 = run(arguments.model, load(arguments.model, torch.float32), ids)
    hidden64, vectors64 = run(arguments.model, load(arguments.model, torch.float64), ids)
    np.savez(arguments.out, texts=np.array(texts), lengths=np.array([len(r) for r in ids]),
             ids=np.concatenate([np.array(r) for r in ids]), hidden32=hidden32, hidden64=hidden64,
             embeddings32=vectors32, embeddings64=vectors64,
             versions=f"torch {torch.__version__}, transformers {transformers.__version__}")
    arguments.out.with_suffix(".txt").write_text("".join(t + "\n" for t in texts), encoding="utf-8")
    print(f"float32 against float64: hidden {np.abs(hidden32 - hidden64).max():.3g}"
          + (f", embeddings {np.abs(vectors32 - vectors64).max():.3g}" if vectors32.size else ""))


if __name__ == "__main__":
    main()
