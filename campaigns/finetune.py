#!/usr/bin/env python3
"""Fine-tunes the teachers of docs/training.md on the tasks of GLUE whose data are at hand, scores each with the runtime
in FP32, in INT8 after training (`penjing quantize`) and in INT8 trained for it (`distill --quantize-aware`: an epoch of
4,000 examples on what the FP32 model says of them), and keeps the table campaigns/RESULTS.md.

    campaigns/finetune.py [--models bert-base,minilm] [--tasks stsb,cola,mrpc,rte,sst2] [--seeds 1] [--penjing PATH]

Each run is one `penjing` command, which is printed. What is done is not done again: a model that is there is not made,
one that was killed goes on from its checkpoint, a score in campaigns/results/ is not taken. Models go to
$PENJING_CACHE/models as MODEL-TASK (seed 1) or MODEL-TASK-SEED, with -int8 and -qat behind. Data: $PENJING_DATA, else
../shared/data."""

import argparse
import json
import os
import pathlib
import platform
import statistics
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
# Learning rates of the papers' grids (2e-5 to 5e-5); MiniLM, smaller, takes the larger. Training for integers goes on
# from the trained model at a third of it, for one epoch of at most so many examples.
RATES = {"bert-base": 3e-5, "minilm": 1e-4}
QAT_RATES = {"bert-base": 1e-5, "minilm": 3e-5}
QAT_EXAMPLES = 4000
NO_DROPOUT = ("--dropout", 0, "--attention-dropout", 0, "--classifier-dropout", 0)  # the teacher has none
QAT_LOSSES = '[{"loss": "mse", "params": {"of": "logits"}}]'


def cache():
    return pathlib.Path(os.environ.get("PENJING_CACHE") or
                        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "penjing")


def data_folder(name):
    return pathlib.Path(os.environ.get("PENJING_DATA") or ROOT.parent / "shared" / "data") / name


def steps_of(run):
    """Folders of what the steps of a run of a recipe left, in their order."""
    return sorted((run / "steps").iterdir(), key=lambda p: int(p.name.split("-")[0]))


def where_and_when():
    """What every record says of the run that it is of."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {"date": time.strftime("%Y-%m-%d"), "cpu": cpu(), "cores": os.cpu_count(), "commit": commit.stdout.strip()}


def call(command, log=None):
    print("$", " ".join(map(str, command)), file=sys.stderr, flush=True)
    out = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, check=True, text=True)
    return json.loads(out.stdout) if out.stdout.strip().startswith("{") else {}


def cpu():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def shown(command, data, folder):
    words = [str(part).replace(str(cache()), "$PENJING_CACHE").replace(str(data), f"$PENJING_DATA/{folder}")
             for part in command[1:]]
    return "penjing " + " ".join(words)


def seconds_of(out):
    """Of training, over all its processes, from the log beside the model."""
    log = pathlib.Path(f"{out}.training") / "train.jsonl"
    if not log.exists():
        return None
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    return sum(step.get("seconds", 0) for step in steps) or None


def run(args, model, task, seed):
    folder, eval_task, metric, epochs, _, _ = TASKS[task]
    data = data_folder(folder)
    name = f"{model}-{task}" + (f"-{seed}" if seed != 1 else "")
    result = RESULTS / f"{name}.json"
    out = cache() / "models" / name
    record = json.loads(result.read_text()) if result.exists() else {}
    scores = record.get("scores", {})

    def train(verb, start, to, times, rate, *more):
        command = [args.penjing, verb, start, "--task", task, "--data", data, "--out", to, "--epochs", times,
                   "--learning-rate", rate, "--precision", args.precision, "--seed", seed, *more, "--json", "--resume"]
        trained = {} if to.exists() else call(command)
        return {"command": shown(command, data, folder), "steps": trained.get("steps"), "seconds": seconds_of(to),
                "loss": trained.get("loss")}

    def evaluate(form, path):
        predictions = pathlib.Path(f"{path}.predictions.jsonl")
        said = call([args.penjing, "eval", path, "--task", eval_task, "--data", data, "--split", "dev",
                     "--reference", out, "--predictions", predictions, "--json", "--quiet"])
        scores[form] = said["metrics"]
        record.setdefault("agreement", {})[form] = said["agreement"]
        return predictions

    def keep():
        record.update({"model": model, "task": task, "seed": seed, "metric": metric, "scores": scores})
        for key, value in where_and_when().items():
            record.setdefault(key, value)
        RESULTS.mkdir(exist_ok=True)
        result.write_text(json.dumps(record, indent=1) + "\n")
        write_table()

    if not out.exists() or "fp32" not in scores:  # a model made once more keeps the record of the first
        trained = train("finetune", model, out, epochs, RATES[model])
    if "fp32" not in scores:
        record["training"] = trained
        evaluate("fp32", out)
        keep()
    if "int8" not in record.get("agreement", {}):
        int8 = pathlib.Path(f"{out}-int8")
        if not int8.exists():
            call([args.penjing, "quantize", out, "--out", int8, "--quiet"])
        evaluate("int8", int8)
        keep()
    if args.qat and "qat" not in scores:
        qat = pathlib.Path(f"{out}-qat")
        record["qat"] = train("distill", out, qat, 1, QAT_RATES[model], "--teacher", out, "--losses", QAT_LOSSES,
                              "--label-weight", 0, *NO_DROPOUT, "--quantize-aware", "w8a8", "--limit", QAT_EXAMPLES)
        integers = evaluate("qat", qat).read_text().splitlines()
        trained = (pathlib.Path(f"{qat}.training") / "predictions.jsonl").read_text().splitlines()
        same = sum(a == b for a, b in zip(integers, trained, strict=True))
        worst = max((abs(json.loads(a).get("score", 0) - json.loads(b).get("score", 0))
                     for a, b in zip(integers, trained)), default=0)
        # What the trainer's fake integers said of the same examples, against the runtime's integers.
        record["qat"].update({"examples": len(integers), "equal": same, "largest_score_difference": worst})
        keep()


def percent(score):
    return f"{100 * score['value']:.2f}"


def measured(value, unit, digits):
    return "-" if value is None else f"{value * unit:.{digits}f}"


def drop(row, form, metric):
    """Points of the metric that a form loses, with the 95 % interval of the paired difference."""
    difference = row.get("agreement", {}).get(form, {}).get("differences", {}).get(metric)
    if difference is None:
        return "-"
    return (f"{-100 * difference['value']:+.2f} ({-100 * difference['high']:+.2f} to "
            f"{-100 * difference['low']:+.2f})")


def mean_drop(rows, form):
    """Mean over rows, each example's error taken as independent between tasks: half widths add as squares."""
    found = [row["agreement"][form]["differences"][row["metric"]] for row in rows
             if "differences" in row.get("agreement", {}).get(form, {})]
    if not found:
        return None
    mean = -100 * sum(d["value"] for d in found) / len(found)
    half = 100 * sum(((d["high"] - d["low"]) / 2) ** 2 for d in found) ** 0.5 / len(found)
    return len(found), mean, mean - half, mean + half


def write_table():
    rows = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    order = list(TASKS)
    rows.sort(key=lambda r: (r["model"], order.index(r["task"]), r["seed"]))
    text = ["# Results of training campaigns", "",
            "Written by `campaigns/finetune.py`; dev-set figures of the runtime (`penjing eval`), in percent with the 95 %",
            "interval over examples. INT8: `penjing quantize` with its defaults; QAT: `distill --quantize-aware w8a8`, one epoch",
            "of 4,000 examples at most on what the FP32 model says of them. Loss: FP32 minus that, in points,",
            "with the 95 % interval of the paired difference over examples. `published`: BERT-base's dev figures.", "",
            "| model | task | seed | metric | FP32 | INT8 | loss | QAT | loss | published | floor | minutes | date, CPU |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        metric = row["metric"]
        _, _, _, _, published, floor = TASKS[row["task"]]
        base = row["model"] == "bert-base"
        for name, fp32 in row["scores"]["fp32"].items():
            if name == "f1_macro":
                continue
            main = name == metric
            other = {form: percent(row["scores"][form][name]) if form in row["scores"] else "-" for form in ("int8", "qat")}
            text.append(
                f"| {row['model']} | {row['task']} | {row['seed']} | {name} | {percent(fp32)} ({100 * fp32['low']:.1f} to "
                f"{100 * fp32['high']:.1f}) | {other['int8']} | {drop(row, 'int8', name)} | {other['qat']} | "
                f"{drop(row, 'qat', name)} | {published if base and main else '-'} | "
                f"{floor if base and main else '-'} | {measured(row['training'].get('seconds'), 1 / 60, 1)} | "
                f"{row['date']}, {row['cores']} x {row['cpu']} |")
    text += ["", "Over seeds (sample deviation):", "", "| model | task | metric | seeds | FP32 | INT8 | QAT |",
             "|---|---|---|---|---|---|---|"]
    for model, task in sorted({(r["model"], r["task"]) for r in rows}, key=lambda k: (k[0], order.index(k[1]))):
        group = [r for r in rows if (r["model"], r["task"]) == (model, task)]
        if len(group) < 2:
            continue
        metric = group[0]["metric"]
        cells = []
        for form in ("fp32", "int8", "qat"):
            values = [100 * r["scores"][form][metric]["value"] for r in group if form in r["scores"]]
            cells.append(f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else "-")
        text.append(f"| {model} | {task} | {metric} | {len(group)} | " + " | ".join(cells) + " |")
    text += ["", "Mean loss of the main metrics, in points, with its 95 % interval:", ""]
    for model in sorted({r["model"] for r in rows}):
        for form, title in (("int8", "INT8 after training"), ("qat", "INT8, trained for it")):
            mean = mean_drop([r for r in rows if r["model"] == model], form)
            if mean is not None:
                text.append(f"- {model}, {title}: {mean[1]:+.2f} ({mean[2]:+.2f} to {mean[3]:+.2f}) over {mean[0]} models")
    pairs = [r["qat"] for r in rows if "equal" in r.get("qat", {}) and r["qat"].get("largest_score_difference", 0) == 0]
    if pairs:
        text += ["", f"Classes of trained fake integers (LibTorch) and of the runtime's integers: equal for "
                 f"{sum(p['equal'] for p in pairs)} of {sum(p['examples'] for p in pairs)} examples. RTE has texts that training",
                 "cuts at 128 tokens and eval does not."]
    text += ["", "Commands:", ""]
    for row in rows:
        text.append(f"- `{row['training'].get('command') or row['command']}`")
        if "qat" in row:
            text.append(f"- `{row['qat']['command']}`")
    (ROOT / "campaigns" / "RESULTS.md").write_text("\n".join(text) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="bert-base,minilm")
    parser.add_argument("--tasks", default="stsb,cola,mrpc,rte,sst2")
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--penjing", default=ROOT / "build" / "release" / "penjing")
    parser.add_argument("--no-qat", dest="qat", action="store_false", help="without training for integers")
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
