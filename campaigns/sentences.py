#!/usr/bin/env python3
"""Sentence encoders, from the teacher to a table: students of all-MiniLM-L6-v2 and all-mpnet-base-v2 that learn its
embeddings of plain sentences, and static tables; scored on the STS benchmark's test set and on two retrieval sets, in FP32
and INT8 and cut to fewer dimensions; keeps the table campaigns/SENTENCES.md and the plot campaigns/sentences.svg.

    campaigns/sentences.py [--students minilm-3,minilm-2] [--penjing PATH] [--threads N]
    campaigns/sentences.py --time       # speed against the teacher: wants an idle machine
    campaigns/sentences.py --table      # the table and the plot alone

Students learn from 200,000 sentences of Wikipedia (wikipedia-2015, drawn at random, 30 to 250 characters), for one epoch,
by recipes/distill/sentence-3-layers.json; tables from 40,000 of them, five times,
by static.json. None has seen a sentence or score of STS-B. Retrieval:
MRPC's test pairs (given the first sentence of a paraphrase, find the second among all second ones) and WordNet (given the
words of a synset, find its definition among 5,000). Done runs are kept, a killed one goes on."""

import argparse
import csv
import json
import lzma
import math
import pathlib
import random
import re
import subprocess
import sys
import time

from finetune import ROOT, cache, call, data_folder, steps_of, where_and_when

RESULTS = ROOT / "campaigns" / "results" / "sentences"
RECIPES = ROOT / "recipes" / "distill"
SENTENCES, SYNSETS = 200000, 5000
# name -> teacher, recipe, what is set in it
STUDENTS = {
    "minilm-4": ("minilm", "sentence-3-layers", {"steps.0.layers": 4}),
    "minilm-3": ("minilm", "sentence-3-layers", {"steps.0.layers": 3}),
    "minilm-3-narrow": ("minilm", "sentence-3-layers", {"steps.0.layers": 3, "steps.0.embedding_width": 96}),
    "minilm-2": ("minilm", "sentence-3-layers", {"steps.0.layers": 2}),
    "minilm-1": ("minilm", "sentence-3-layers", {"steps.0.layers": 1}),
    "minilm-static": ("minilm", "static", {"steps.1.limit": 40000, "steps.1.epochs": 5}),
    "mpnet-4": ("mpnet", "sentence-3-layers", {"steps.0.layers": 4, "steps.1.losses.1.params.matryoshka": [96, 192, 768]}),
    "mpnet-3": ("mpnet", "sentence-3-layers", {"steps.0.layers": 3, "steps.1.losses.1.params.matryoshka": [96, 192, 768]}),
    "mpnet-static": ("mpnet", "static", {"steps.1.limit": 40000, "steps.1.epochs": 5}),
}
TESTS = ("stsb", "mrpc-retrieval", "wordnet-retrieval")


def sentences_file():
    at = cache() / "data" / "wikipedia-sentences.txt"
    if at.exists():
        return at
    found = []
    for file in sorted((data_folder("wikipedia-2015")).glob("*.txt.xz")):
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("= "):
                    continue
                found += [s for s in re.split(r"(?<=[.!?])\s+(?=[A-Z])", line.strip()) if 30 <= len(s) <= 250]
    random.Random(1).shuffle(found)
    at.parent.mkdir(parents=True, exist_ok=True)
    temporary = at.with_suffix(".tmp")
    temporary.write_text("\n".join(found[:SENTENCES]) + "\n", encoding="utf-8")
    temporary.rename(at)
    return at


def write_beir(folder, queries, documents, relevant):
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, texts in (("queries", queries), ("corpus", documents)):
        (folder / f"{name}.jsonl").write_text("".join(
            json.dumps({"_id": str(i), **({"title": ""} if name == "corpus" else {}), "text": t}) + "\n"
            for i, t in enumerate(texts)), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(
        f"{q}\t{d}\t1\n" for q, d in relevant), encoding="utf-8")


def mrpc_retrieval():
    folder = cache() / "data" / "mrpc-retrieval"
    if not (folder / "qrels" / "test.tsv").exists():
        with open(data_folder("glue-mrpc") / "msr_paraphrase_test.txt", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
        documents = list(dict.fromkeys(row[4] for row in rows))
        number = {text: i for i, text in enumerate(documents)}
        pairs = [row for row in rows if row[0] == "1"]
        queries = list(dict.fromkeys(row[3] for row in pairs))
        place = {text: i for i, text in enumerate(queries)}
        write_beir(folder, queries, documents, [(place[row[3]], number[row[4]]) for row in pairs])
    return folder


def wordnet_retrieval():
    folder = cache() / "data" / "wordnet-retrieval"
    if not (folder / "qrels" / "test.tsv").exists():
        synsets = {}
        for part in ("noun", "verb"):
            for line in open(f"/usr/share/wordnet/data.{part}", encoding="utf-8"):
                if line.startswith("  ") or "| " not in line:
                    continue
                fields, gloss = line.split("| ", 1)
                fields = fields.split()
                words = [fields[4 + 2 * i].replace("_", " ") for i in range(int(fields[3], 16))]
                synsets.setdefault(gloss.split(";")[0].strip(), ", ".join(words))
        chosen = random.Random(1).sample(sorted(synsets), SYNSETS)
        write_beir(folder, [synsets[gloss] for gloss in chosen], chosen, [(i, i) for i in range(len(chosen))])
    return folder


def scores_of(args, model, dimensions=0):
    cut = ["--dimensions", dimensions] if dimensions else []
    out = {}
    for test in TESTS:
        data = {"stsb": data_folder("glue-stsb"), "mrpc-retrieval": mrpc_retrieval(),
                "wordnet-retrieval": wordnet_retrieval()}[test]
        found = call([args.penjing, "eval", model, "--task", "stsb" if test == "stsb" else "retrieval", "--data", data,
                      "--split", "test", "--json", "--quiet", *cut, *(("-t", args.threads) if args.threads else ())])
        metrics = found["metrics"]
        out[test] = metrics["spearmanr" if test == "stsb" else "ndcg_at_10"]["value"]
    return out


def models_of(out):
    """What a run of a recipe left: the student before and after it has learned, and in integers where it has them."""
    steps = steps_of(out)
    found = {"untaught": next(s for s in steps if s.name.endswith(("-student", "-static_embeddings"))),
             "fp32": next(s for s in steps if s.name.endswith("-distill"))}
    if steps[-1].name.endswith("-quantize"):
        found["int8"] = out / "model"
    return found


def run(args, student):
    result = RESULTS / f"{student}.json"
    if result.exists():
        return
    teacher, recipe, sets = STUDENTS[student]
    out = cache() / "models" / "sentences" / student
    out.parent.mkdir(parents=True, exist_ok=True)
    sets = {**sets, "model": str(cache() / "models" / teacher), "steps.1.data": str(sentences_file()),
            "eval.0.data": str(data_folder("glue-stsb"))}
    begin = time.time()
    report = call([args.penjing, "run", RECIPES / f"{recipe}.json", "--out", out, "--json",
                   *(x for key, value in sets.items() for x in ("--set", f"{key}={value}")),
                   *(("-t", args.threads) if args.threads else ())])
    record = {"student": student, "teacher": teacher,
              "seconds": {s["name"]: s["seconds"] for s in report["steps"]}, "wall": time.time() - begin, **where_and_when()}
    models = models_of(out)
    record.update((form, scores_of(args, model)) for form, model in models.items())
    record["dimensions"] = {str(d): scores_of(args, models["fp32"], d)
                            for d in ((96, 192) if teacher == "mpnet" and "static" not in student else (64, 128))}
    record["bytes"] = {form: sum(f.stat().st_size for f in model.glob("*.safetensors"))
                       for form, model in models.items() if form != "untaught"}
    RESULTS.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(record, indent=1) + "\n")
    write_table()


def score_teacher(args, teacher):
    result = RESULTS / f"teacher-{teacher}.json"
    if not result.exists():
        model = cache() / "models" / teacher
        RESULTS.mkdir(parents=True, exist_ok=True)
        record = {"student": teacher, "fp32": scores_of(args, model), **where_and_when()}
        record["bytes"] = {"fp32": (model / "model.safetensors").stat().st_size}
        result.write_text(json.dumps(record, indent=1) + "\n")


def measure(args):
    """How many times the teacher's speed, in FP32 and INT8; of tables the model alone, without the tokenizer."""
    for student in args.students.split(","):
        teacher, _, _ = STUDENTS[student]
        path = RESULTS / f"{student}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        out = cache() / "models" / "sentences" / student
        record["speed"] = {"measured": where_and_when()}
        for form, model in models_of(out).items():
            if form == "untaught":
                continue
            timed = call([args.penjing, "bench", model, "--against", cache() / "models" / teacher, "--shapes",
                          "1x16,1x128,32xvar", "--no-cold-start", "--json", "--quiet"])
            record["speed"][form] = {v["shape"]: v["speedup"] for v in timed["verdicts"] if not v.get("with_tokenizing")}
        path.write_text(json.dumps(record, indent=1) + "\n")
    write_table()


def plot(points, path):
    """points: (name, times the teacher's speed, Spearman)."""
    width, height, left, bottom = 720, 400, 60, 50
    most = max(math.log10(p[1]) for p in points) + 0.3
    low = 5 * math.floor(min(p[2] for p in points) / 5)

    def place(speed, score):
        return left + (width - left - 90) * math.log10(speed) / most, \
            20 + (height - bottom - 20) * (1 - (score - low) / (90 - low))
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for score in range(low, 91, 5):
        y = place(1, score)[1]
        svg.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width - 20}" y2="{y:.0f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{score}</text>')
    for power in range(int(most) + 1):
        x = place(10 ** power, low)[0]
        svg.append(f'<line x1="{x:.0f}" y1="20" x2="{x:.0f}" y2="{height - bottom}" stroke="#ddd"/>'
                   f'<text x="{x:.0f}" y="{height - bottom + 18}" text-anchor="middle">{10 ** power}x</text>')
    for name, speed, score in points:
        x, y = place(speed, score)
        svg.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{"#06c" if "INT8" in name else "#c30"}"/>'
                   f'<text x="{x + 7:.0f}" y="{y + 4:.0f}">{name}</text>')
    svg.append(f'<text x="{width / 2:.0f}" y="{height - 8}" text-anchor="middle">times the teacher\'s speed, 32 texts of mixed '
               'lengths (logarithmic)</text><text transform="translate(16,200) rotate(-90)" text-anchor="middle">'
               'STS-B test, Spearman</text></svg>')
    path.write_text("\n".join(svg) + "\n")


def write_table():
    records = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    text = ["# Sentence encoders, from the teacher to a table", "",
            "Written by `campaigns/sentences.py`: students of a sentence encoder that learn its embeddings of 200,000 sentences of",
            "Wikipedia, one epoch (tables: of 40,000, five epochs). STS-B: Spearman of the test set; MRPC and WordNet: nDCG@10 of retrieval (the script says how); all",
            "times 100. Untaught: STS-B of the student before it has learned. Kept: of the teacher's STS-B. Cut: STS-B of the first",
            "numbers of the embedding alone. Speed: times the teacher's in FP32, median ratio of `penjing bench --against`, model alone.", ""]
    points = []
    for teacher in ("minilm", "mpnet"):
        base = records.get(f"teacher-{teacher}")
        if base is None:
            continue
        text += [f"## Teacher {teacher}", "", "| model | form | MB | STS-B | kept | MRPC | WordNet | untaught | cut | 1x16 | 1x128 | 32 mixed |",
                 "|---" * 12 + "|"]
        text.append(f"| {teacher} | FP32 | {base['bytes']['fp32'] / 1e6:.1f} | " + f"{100 * base['fp32']['stsb']:.2f} | | " +
                    f"{100 * base['fp32']['mrpc-retrieval']:.2f} | {100 * base['fp32']['wordnet-retrieval']:.2f} | | | 1 | 1 | 1 |")
        if teacher == "minilm":
            points.append(("MiniLM", 1, 100 * base["fp32"]["stsb"]))
        for student, (of, _, _) in STUDENTS.items():
            record = records.get(student)
            if of != teacher or record is None:
                continue
            for form in ("fp32", "int8"):
                if form not in record:
                    continue
                found, first = record[form], form == "fp32"
                speed = record.get("speed", {}).get(form, {})
                cut = ", ".join(f"{d}: {100 * s['stsb']:.1f}" for d, s in record["dimensions"].items()) if first else ""
                cells = [student if first else "", form.upper(), f"{record['bytes'][form] / 1e6:.1f}", f"{100 * found['stsb']:.2f}",
                         f"{100 * found['stsb'] / base['fp32']['stsb']:.1f} %", f"{100 * found['mrpc-retrieval']:.2f}",
                         f"{100 * found['wordnet-retrieval']:.2f}", f"{100 * record['untaught']['stsb']:.1f}" if first else "", cut]
                cells += [f"{speed[s]:.2f}" if s in speed else "" for s in ("1x16", "1x128", "32xvar")]
                text.append("| " + " | ".join(cells) + " |")
                if "32xvar" in speed and teacher == "minilm":
                    points.append((f"{student.removeprefix('minilm-')}{' layers' if student[-1].isdigit() else ''} {form.upper()}",
                                   speed["32xvar"], 100 * found["stsb"]))
        text.append("")
    if len(points) > 1:
        plot(points, ROOT / "campaigns" / "sentences.svg")
        text += ["![Spearman against speed](sentences.svg)", ""]
    taught = [r for r in records.values() if "wall" in r]
    if taught:
        text += ["Minutes of each: " + ", ".join(f"{r['student']} {r['wall'] / 60:.0f}" for r in taught) +
                 f" (beside other work; {taught[0]['cpu']}, {taught[0]['date']})."]
    missing = [s for s in STUDENTS if s not in records]
    if missing:
        text += ["", "Still to run: " + ", ".join(missing) + "."]
    (ROOT / "campaigns" / "SENTENCES.md").write_text("\n".join(text) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", default=",".join(STUDENTS))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--penjing", default=ROOT / "build" / "release" / "penjing")
    parser.add_argument("--time", action="store_true", help="speed against the teacher, on an idle machine")
    parser.add_argument("--table", action="store_true", help="write the table anew, run nothing")
    args = parser.parse_args()
    if args.table:
        return write_table()
    if args.time:
        return measure(args)
    for student in args.students.split(","):
        score_teacher(args, STUDENTS[student][0])
        run(args, student)


if __name__ == "__main__":
    sys.exit(main())
