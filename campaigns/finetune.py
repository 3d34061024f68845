#!/usr/bin/env python3
"""Fine-tunes the teachers of docs/training.md on the tasks of GLUE whose data are at hand, scores each with the runtime
in FP32 and INT8, and keeps the table campaigns/RESULTS.md.

    campaigns/finetune.py [--models bert-base,minilm] [--tasks stsb,cola,mrpc,rte,sst2] [--seeds 1] [--penjing PATH]

Each run is one `penjing finetune` command, which is printed. What is done is not done again: a run whose result is in
campaigns/results/ is skipped, one that was killed goes on from its checkpoint. Models go to $PENJING_CACHE/models as
MODEL-TASK (seed 1) or MODEL-TASK-SEED. Data: $PENJING_DATA, else ../shared/data."""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "campaigns" / "results"
# task -> data folder, name of the task in eval, main metric, epochs, published dev figure of BERT-base (Devlin et al.
# 2018 and transformers' run_glue table), floor to reach
TASKS = {"stsb": ("glue-stsb", "stsb", "spearmanr", 3, "88-89", 87.5),
         "cola": ("glue-cola", "cola", "matthews_correlation", 3, "56-59", 54.0),
         "mrpc": ("glue-mrpc", "mrpc", "f1", 3, "88.9-90", 88.0),
         "rte": ("glue-rte", "classification", "accuracy", 4, "65-68", 63.0),
         "sst2": ("glue-sst2", "classification", "accuracy", 1, "92.7", 91.5)}
# Learning rates of the papers' grids (2e-5 to 5e-5); MiniLM, smaller, takes the larger.
RATES = {"bert-base": 3e-5, "minilm": 1e-4}


def cache():
    return pathlib.Path(os.environ.get("PENJING_CACHE") or
                        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "penjing")


def call(command, log=None):
    print("$", " ".join(map(str, command)), file=sys.stderr, flush=True)
    out = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, check=True, text=True)
    return json.loads(out.stdout) if out.stdout.strip().startswith("{") else {}


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def run(args, model, task, seed):
    folder, eval_task, metric, epochs, _, _ = TASKS[task]
    data = pathlib.Path(os.environ.get("PENJING_DATA") or ROOT.parent / "shared" / "data") / folder
    name = f"{model}-{task}" + (f"-{seed}" if seed != 1 else "")
    result = RESULTS / f"{name}.json"
    out = cache() / "models" / name
    if result.exists() and out.exists():
        return
    command = [args.penjing, "finetune", model, "--task", task, "--data", data, "--out", out, "--epochs", epochs,
               "--learning-rate", RATES[model], "--precision", args.precision, "--seed", seed, "--json", "--resume"]
    begin = time.time()
    trained = {} if out.exists() else call(command)
    scores = {}
    int8 = pathlib.Path(f"{out}-int8")
    if not int8.exists():
        call([args.penjing, "quantize", out, "--out", int8, "--quiet"])
    for form, path in (("fp32", out), ("int8", int8)):
        scores[form] = call([args.penjing, "eval", path, "--task", eval_task, "--data", data, "--split", "dev", "--json",
                             "--quiet"])["metrics"]
    RESULTS.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    shown = [str(part).replace(str(cache()), "$PENJING_CACHE").replace(str(data), f"$PENJING_DATA/{folder}")
             for part in command[1:]]
    result.write_text(json.dumps({
        "model": model, "task": task, "seed": seed, "metric": metric, "command": "penjing " + " ".join(shown),
        "scores": scores, "training": {k: trained.get(k) for k in ("steps", "seconds", "tokens_per_second", "loss",
                                                                   "evaluations")},
        "wall": time.time() - begin, "date": time.strftime("%Y-%m-%d"), "cpu": cpu(), "cores": os.cpu_count(),
        "commit": commit.strip()}, indent=1) + "\n")
    write_table()


def percent(score):
    return f"{100 * score['value']:.2f}"


def measured(value, unit, digits):
    return "-" if value is None else f"{value * unit:.{digits}f}"


def write_table():
    rows = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    order = list(TASKS)
    rows.sort(key=lambda r: (r["model"], order.index(r["task"]), r["seed"]))
    text = ["# Results of training campaigns", "",
            "Written by `campaigns/finetune.py`; dev-set figures of the runtime (`penjing eval`), in percent with the 95 %",
            "interval over examples; INT8 is post-training `penjing quantize` with its defaults. Loss: FP32 minus INT8,",
            "in points of the main metric. `published`: BERT-base's dev figures.", "",
            "| model | task | seed | metric | FP32 | INT8 | loss | published | floor | minutes | tokens/s | date, CPU |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        metric = row["metric"]
        _, _, _, _, published, floor = TASKS[row["task"]]
        base = row["model"] == "bert-base"
        for name, fp32 in row["scores"]["fp32"].items():
            if name == "f1_macro":
                continue
            int8 = row["scores"]["int8"][name]
            main = name == metric
            training = row["training"]
            text.append(
                f"| {row['model']} | {row['task']} | {row['seed']} | {name} | {percent(fp32)} ({100 * fp32['low']:.1f} to "
                f"{100 * fp32['high']:.1f}) | {percent(int8)} | {100 * (fp32['value'] - int8['value']):+.2f} | "
                f"{published if base and main else '-'} | {floor if base and main else '-'} | "
                f"{measured(training['seconds'], 1 / 60, 1)} | {measured(training['tokens_per_second'], 1, 0)} | {row['date']}, "
                f"{row['cores']} x {row['cpu']} |")
    text += ["", "Commands:", ""] + [f"- `{row['command']}`" for row in rows]
    (ROOT / "campaigns" / "RESULTS.md").write_text("\n".join(text) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="bert-base,minilm")
    parser.add_argument("--tasks", default="stsb,cola,mrpc,rte,sst2")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--penjing", default=ROOT / "build" / "release" / "penjing")
    parser.add_argument("--table", action="store_true", help="write the table anew, run nothing")
    args = parser.parse_args()
    if args.table:
        return write_table()
    for model in args.models.split(","):
        for task in args.tasks.split(","):
            for seed in args.seeds.split(","):
                run(args, model, task, int(seed))


if __name__ == "__main__":
    main()
