#!/usr/bin/env python3
"""Compares the task commands with the pipelines of transformers, on an encoder with random heads.

usage: heads_compare.py ENCODER TEXTS.txt [--penjing build/release/penjing] [--limit 200]
Makes three models of ENCODER (a Hugging Face folder): a classifier of three labels, a tagger of five, a reader; runs
`penjing classify` (texts and pairs), `ner` (each aggregation strategy) and `qa`, and the same in transformers. Heads are
random but large, so that labels vary. Spaces in a joined word do not count: transformers 5 gives "woman ' s" where
transformers 4 and the tokenizer's own decoder give "woman's". Exit status 5 when a label, a span or a score (beyond 1e-4) differs.
Needs torch, transformers.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def make(kind, encoder, folder, **settings):
    torch.manual_seed(5)
    model = kind.from_pretrained(encoder, **settings).eval()
    for name, tensor in model.named_parameters():
        if name.startswith(("classifier", "qa_outputs")):
            torch.nn.init.normal_(tensor, std=1.0)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def ask(penjing, *arguments):
    out = subprocess.run([penjing, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True, check=True)
    return out.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--penjing", default="build/release/penjing")
    parser.add_argument("--limit", type=int, default=200)
    arguments = parser.parse_args()
    texts = [t for t in arguments.texts.read_text(encoding="utf-8").splitlines() if t.strip()][: arguments.limit]
    worst, wrong = {}, {}

    def note(what, ours, theirs, score):
        if ours != theirs and not wrong.get(what):
            print(f"{what}: first difference:\n  ours   {ours}\n  theirs {theirs}")
        wrong[what] = wrong.get(what, 0) + (ours != theirs)
        worst[what] = max(worst.get(what, 0.0), score)

    with tempfile.TemporaryDirectory() as work, torch.no_grad():
        work = pathlib.Path(work)
        (work / "texts.txt").write_text("".join(t + "\n" for t in texts), encoding="utf-8")
        pairs = list(zip(texts[::2], texts[1::2]))
        (work / "pairs.txt").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")

        model, tokenizer = make(transformers.AutoModelForSequenceClassification, arguments.encoder, work / "classifier",
                                num_labels=3)
        for what, flags, inputs in (("classify", [], [(t,) for t in texts]), ("classify pairs", ["--pairs"], pairs)):
            name = "pairs.txt" if flags else "texts.txt"
            ours = ask(arguments.penjing, "classify", work / "classifier", "--input", work / name, "--top-k", 0, *flags)
            for line, given in zip(ours.splitlines(), inputs, strict=True):
                found = json.loads(line)
                wanted = torch.softmax(model(**tokenizer(*given, return_tensors="pt", truncation=True)).logits[0], -1)
                scores = {entry["label"]: entry["score"] for entry in found}
                theirs = {model.config.id2label[i]: float(p) for i, p in enumerate(wanted)}
                note(what, max(scores, key=scores.get), max(theirs, key=theirs.get),
                     max(abs(scores[k] - theirs[k]) for k in theirs))

        model, tokenizer = make(transformers.AutoModelForTokenClassification, arguments.encoder, work / "tagger",
                                id2label=dict(enumerate(LABELS)), label2id={n: i for i, n in enumerate(LABELS)})
        for strategy in ("none", "simple", "first", "average", "max"):
            pipe = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer,
                                         aggregation_strategy=strategy)
            ours = ask(arguments.penjing, "ner", work / "tagger", "--input", work / "texts.txt",
                       "--aggregation-strategy", strategy)
            label = "entity" if strategy == "none" else "entity_group"
            for line, text in zip(ours.splitlines(), texts, strict=True):
                found, wanted = json.loads(line), pipe(text)
                spans = [[(e[label], e["start"], e["end"], e["word"].replace(" ", "")) for e in side] for side in (found, wanted)]
                gap = max((abs(a["score"] - float(b["score"])) for a, b in zip(found, wanted)), default=0.0)
                note(f"ner {strategy}", *spans, gap if spans[0] == spans[1] else 0.0)

        model, tokenizer = make(transformers.AutoModelForQuestionAnswering, arguments.encoder, work / "reader")
        for question, context in pairs:
            best = json.loads(ask(arguments.penjing, "qa", work / "reader", "--question", question, "--context", context))
            encoding = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
            offsets = encoding.pop("offset_mapping")[0].tolist()
            inside = torch.tensor([s == 1 for s in encoding.sequence_ids(0)])
            start, end = (torch.softmax(logits[0].masked_fill(~inside, -1e4), -1)
                          for logits in model(**encoding, return_dict=False)[:2])
            # Best start <= end < start + 15, as the pipeline of transformers 4 chose.
            product = torch.tril(torch.triu(torch.outer(start, end)), 14)
            at = int(product.argmax())
            first, last = divmod(at, len(offsets))
            note("qa", (best["start"], best["end"]), (offsets[first][0], offsets[last][1]),
                 abs(best["score"] - float(product.max())))

    for what in worst:
        print(f"{what}: {wrong[what]} of the labels or spans differ, greatest difference of a score {worst[what]:.1e}")
    sys.exit(5 if any(wrong.values()) or max(worst.values()) > 1e-4 else 0)


if __name__ == "__main__":
    main()
