#!/usr/bin/env python3
"""scikit-learn's LogisticRegression beside `penjing probe`. Needs numpy and scikit-learn.

  probe_reference.py numbers tests/data/logistic_reference.json
      coefficients on small random problems, for tests/eval/logistic_regression_test.cc
  probe_reference.py compare --model minilm --data ../shared/data [--penjing build/release/penjing] [--only banking77]
      accuracy on Banking77, CLINC150 and SST-2 from the same frozen embeddings, C chosen by 3-fold cross-validation, and the saved classifier's accuracy in FP32 and as INT8 (`penjing quantize`)
"""

import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

CANDIDATES = [1, 3, 10, 30, 100]


def fit(rows, classes, c, weights=None, tolerance=1e-10):
    return LogisticRegression(C=c, tol=tolerance, max_iter=10000, class_weight=weights).fit(rows, classes)


def numbers(path):
    random = np.random.default_rng(5)
    cases = []
    for count, width, classes, c, weights in [(40, 5, 2, 1.0, None), (60, 7, 3, 0.5, None), (60, 7, 3, 20.0, "balanced"),
                                              (130, 17, 5, 3.0, None), (90, 16, 2, 100.0, "balanced")]:
        rows = random.normal(size=(count, width)).astype(np.float32).astype(np.float64)
        truth = np.minimum((random.random(count) ** 1.5 * classes).astype(int), classes - 1)
        rows[np.arange(count), truth % width] += 1.5
        rows = rows.astype(np.float32)
        model = fit(rows.astype(np.float64), truth, c, weights)
        cases.append({"c": c, "balanced": weights is not None, "classes": classes,
                      "rows": [[float(v) for v in row] for row in rows], "truth": truth.tolist(),
                      "logits": (model.decision_function(rows.astype(np.float64))).tolist()})
    record = {"made_by": "tools/oracles/probe_reference.py", "scikit-learn": sklearn.__version__, "cases": cases}
    pathlib.Path(path).write_text(json.dumps(record) + "\n")


def read_banking(folder, split):
    with open(folder / f"{split}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [r["text"] for r in rows], [r["category"] for r in rows]


def read_clinc(folder, split):
    rows = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))[split]
    return [r[0] for r in rows], [r[1] for r in rows]


def read_sst2(folder, split):
    lines = (folder / f"{split}.tsv").read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
    return [line.split("\t")[0] for line in lines], [line.split("\t")[1] for line in lines]


SETS = {"banking77": ("banking77", read_banking, "train", "test"), "clinc150": ("clinc150", read_clinc, "train", "test"),
        "sst2": ("glue-sst2", read_sst2, "train", "dev")}


def compare(arguments):
    def run(*command):
        done = subprocess.run([arguments.penjing, *map(str, command), "--quiet"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if "--json" in command else done.stdout

    print("| data | classes | scikit-learn C | accuracy | penjing C | accuracy | saved, FP32 | saved, INT8 | same label |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (folder, read, train_split, test_split) in SETS.items():
        if arguments.only and name != arguments.only:
            continue
        folder = arguments.data / folder
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)

            def embed(texts):
                (work / "texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
                run("embed", arguments.model, "--input", work / "texts.jsonl", "--output", work / "e.npy")
                return np.load(work / "e.npy")

            (train_texts, train_labels), (test_texts, test_labels) = read(folder, train_split), read(folder, test_split)
            train, test = embed(train_texts), embed(test_texts)
            search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": CANDIDATES}, n_jobs=1,
                                  cv=StratifiedKFold(3, shuffle=True, random_state=1))
            search.fit(train, train_labels)
            theirs = search.score(test, test_labels)
            ours = run("probe", arguments.model, "--data", folder, "--out", work / "probe", "--json")
            run("quantize", work / "probe", "--out", work / "int8")
            score = [run("eval", model, "--task", "classification", "--data", folder, "--reference", work / "probe", "--json")
                     for model in (work / "probe", work / "int8")]
            print(f"| {name} | {ours['classes']} | {search.best_params_['C']} | {100 * theirs:.2f} % | {ours['c']} | "
                  f"{100 * ours['test']['accuracy']:.2f} % | {100 * score[0]['metrics']['accuracy']['value']:.2f} % | "
                  f"{100 * score[1]['metrics']['accuracy']['value']:.2f} % | "
                  f"{100 * score[1]['agreement']['equal']:.2f} % |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("numbers").add_argument("path")
    comparison = commands.add_parser("compare")
    comparison.add_argument("--model", default="minilm")
    comparison.add_argument("--data", type=pathlib.Path, required=True)
    comparison.add_argument("--penjing", default="build/release/penjing")
    comparison.add_argument("--only", choices=SETS)
    arguments = parser.parse_args()
    if arguments.command == "numbers":
        numbers(arguments.path)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
