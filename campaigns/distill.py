#!/usr/bin/env python3
"""Every distillation loss and scheme (schemes.py) under the same budget: the same student, steps, order of examples and
learning rate, seeds 1, 2 and 3, beside plain fine-tuning and plain soft labels (kd), with the significance of each
difference; keeps the tables campaigns/DISTILLATION.md.

    campaigns/distill.py [--task sst2] [--base minilm] [--losses kd,pkd-skip] [--seeds 1,2,3] [--penjing PATH]

The teacher is fine-tuned on the same examples as the student, which is the teacher cut to three layers (`penjing student
--layers 3`). sst2: 20,000 sentences, scored on the dev set and on 10,000 of the training rows that nobody has trained on;
mrpc: 3,668 pairs, scored on the dev set and on the 1,725 labelled pairs of its test set. A loss is added to plain kd (0.1 of
the labels, 0.9 of the soft labels) with a weight that makes its gradient at the encoder as long as that of the soft labels'
part (`balance`, docs/distillation.md): values say nothing, one loss is 1e-5 where another is 30; NAME-tenth, with a
tenth of that, of one seed unless --losses names it. A seed is run on one machine, since the teacher is made there: on
another it is another one. Done runs are kept, a killed one goes on."""

import argparse
import bisect
import hashlib
import itertools
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import time

from finetune import ROOT, cache, call, data_folder, where_and_when
from schemes import KD, SCHEMES

RESULTS = ROOT / "campaigns" / "results" / "distill"
TRAIN, HELD = 20000, 10000  # of SST-2
RATE, BATCH = 1e-4, 64
# task -> its name in eval, epochs of a student and of the teacher, which of the teacher's layers the student has, what is learned
# and what is held back. On MRPC a student of the layers `uniform` learns nothing in the budget (kd 65.3, always yes 66.5).
TASKS = {"sst2": ("classification", 2, 3, "uniform", f"{TRAIN} sentences of SST-2; held back: {HELD} of its training rows"),
         "mrpc": ("mrpc", 6, 4, "symmetric", "3668 pairs of MRPC; held back: the 1725 pairs of its test set")}
# name -> terms beside kd; None: no teacher at all. First those of K1 (methods.md), then those of the Transformer papers.
PLANS = {
    "labels": None, "kd": [],
    "fitnet": [{"loss": "fitnet", "layers": [[2, 4]]}], "at": [{"loss": "at"}], "sp": [{"loss": "sp"}], "cc": [{"loss": "cc"}],
    "vid": [{"loss": "vid"}], "rkd": [{"loss": "rkd"}], "pkt": [{"loss": "pkt"}], "ab": [{"loss": "ab", "to": 0.3}],
    "ft": [{"loss": "ft"}], "fsp": [{"loss": "fsp", "to": 0.3}], "nst": [{"loss": "nst"}], "crd": [{"loss": "crd"}],
    "ofd": [{"loss": "ofd"}],
    "logits-mse": [{"loss": "mse", "params": {"of": "logits"}}], "hidden-cosine": [{"loss": "cosine"}],
    "pkd-skip": [{"loss": "pkd", "layers": "skip"}], "pkd-last": [{"loss": "pkd", "layers": "last"}],
    "hidden-mse": [{"loss": "mse"}], "attention-mse": [{"loss": "attention_mse"}],
    "attention-kl": [{"loss": "attention_kl"}], "minilm": [{"loss": "minilm"}], "feature-map": [{"loss": "feature_map"}],
    "adversarial": [{"loss": "adversarial"}],
}
# The same, pulling at the encoder with a tenth of kd's gradient: one as long as that of the start outlasts it.
TENTH = "-tenth"
PLANS |= {name + TENTH: terms for name, terms in PLANS.items() if terms}


def sst2_folder():
    """Data: the first rows to train on, others that nobody trains on, the dev set as it is."""
    at = cache() / "data" / "sst2-20k"
    if not (at / "held.tsv").exists():
        train = (data_folder("glue-sst2") / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        at.mkdir(parents=True, exist_ok=True)
        rows = train[1:]
        random.Random(1).shuffle(rows)
        (at / "dev.tsv").write_bytes((data_folder("glue-sst2") / "dev.tsv").read_bytes())
        (at / "train.tsv").write_text(train[0] + "".join(rows[:TRAIN]), encoding="utf-8")
        (at / "held.tsv.tmp").write_text(train[0] + "".join(rows[TRAIN:TRAIN + HELD]), encoding="utf-8")
        (at / "held.tsv.tmp").rename(at / "held.tsv")
    return at


def mrpc_folder():
    at = cache() / "data" / "mrpc-held"
    at.mkdir(parents=True, exist_ok=True)
    for name, of in (("train.tsv", "train.tsv"), ("dev.tsv", "dev.tsv"), ("held.tsv", "msr_paraphrase_test.txt")):
        if not (at / name).exists():
            (at / f"{name}.tmp").write_bytes((data_folder("glue-mrpc") / of).read_bytes())
            (at / f"{name}.tmp").rename(at / name)
    return at


def truth(task, data):
    """Classes of the rows that are held back, as their predictions name them."""
    column = {"sst2": -1, "mrpc": 0}[task]
    rows = (data / "held.tsv").read_text(encoding="utf-8-sig").splitlines()[1:]
    return [row.split("\t")[column].strip() for row in rows if row.strip()]


class Campaign:
    def __init__(self, args):
        self.args = args
        self.task = args.task
        self.data = {"sst2": sst2_folder, "mrpc": mrpc_folder}[args.task]()
        self.eval_task, self.epochs, teacher_epochs, self.layers, _ = TASKS[args.task]
        self.results = RESULTS / args.task
        self.results.mkdir(parents=True, exist_ok=True)
        self.models = cache() / "models" / "distill" / args.task
        self.models.mkdir(parents=True, exist_ok=True)
        self.teacher_epochs = teacher_epochs
        self.teacher = self.made("teacher", self.finetune_teacher)
        self.student = self.carved(3)
        self.digest = hashlib.sha256((self.teacher / "model.safetensors").read_bytes()).hexdigest()[:12]

    def made(self, name, make):
        """A model that may be there already."""
        at = self.models / f"{self.args.base}-{name}"
        if not at.exists():
            make(at)
        return at

    def carved(self, layers, **options):
        options = options or {"from": self.layers}
        name = "-".join([str(layers), *map(str, options.values())])
        return self.made(name, lambda at: call([self.args.penjing, "student", self.teacher, "--layers", layers, *(
            word for key, value in options.items() for word in (f"--{key}", value)), "--out", at, "--quiet"]))

    def quantize(self, model, out):
        call([self.args.penjing, "quantize", model, "--out", out, "--quiet"])

    def finetune_teacher(self, at, seed=1, start=None, epochs=None, *more):
        self.call_trainer("finetune", start or self.args.base, at, epochs or self.teacher_epochs, 32, seed, *more)

    def learn(self, verb, start, out, seed, *more):
        """The budget that all share."""
        self.call_trainer(verb, start, out, self.epochs, BATCH, seed, *more)

    def call_trainer(self, verb, start, out, epochs, batch, seed, *more):
        call([self.args.penjing, verb, start, "--task", self.task, "--data", self.data, "--out", out, "--epochs", epochs, "--batch-size",
              batch, "--learning-rate", RATE, "--precision", "bf16", "--seed", seed, *more, "--json", "--resume"])

    def finetune(self, start, out, seed, *more):
        self.learn("finetune", start, out, seed, *more)

    def distill(self, start, out, terms, seed, *more):
        self.learn("distill", start, out, seed, "--losses", json.dumps(terms), *more)

    def train(self, out, terms, seed):
        if terms is None:
            self.finetune(self.student, out, seed)
        else:
            self.distill(self.student, out, [KD, *terms], seed, "--teacher", self.teacher)

    def weighted(self, name):
        """The plan's terms, each pulling as hard as kd's part at the start (`penjing distill` measures that), or a tenth of it."""
        return PLANS[name] and [dict(term, balance=0.1 if name.endswith(TENTH) else 1) for term in PLANS[name]]

    def score(self, model, split):
        predictions = pathlib.Path(f"{model}.predictions.jsonl")
        said = call([self.args.penjing, "eval", model, "--task", self.eval_task, "--data", self.data, "--split", split,
                     "--predictions", predictions, "--json", "--quiet"])
        said_of_each = predictions.read_text().splitlines()
        predictions.unlink()
        return said["metrics"]["accuracy"]["value"], said_of_each

    def run(self, name, seed):
        result = self.results / f"{self.args.base}-{name}-{seed}.json"
        if result.exists():
            return  # and leave the tables, whose resamples take seconds
        begin = time.time()
        if name in SCHEMES:
            plan = name
            out = self.made(f"{name}-{seed}", lambda at: SCHEMES[name](self, at, seed))
        else:
            terms = self.weighted(name)
            plan = None if terms is None else [KD, *terms]
            out = self.made(f"{name}-{seed}", lambda at: self.train(at, terms, seed))
        self.keep(result, out, {"plan": plan, "seed": seed, "wall": time.time() - begin})
        subprocess.run(["rm", "-rf", f"{out}.training"], check=True)
        write_tables()

    def keep(self, result, model, facts):
        dev, _ = self.score(model, "dev")
        held, predictions = self.score(model, "held")
        right = "".join("1" if str(json.loads(p)["class"]) == t else "0" for p, t in zip(predictions, truth(self.task, self.data), strict=True))
        result.write_text(json.dumps({**facts, "dev": dev, "held": held, "teacher": self.digest, **where_and_when(), "rows": len(right),
                                      "right": f"{int(right, 2):x}"}) + "\n")

    def run_all(self):
        teacher = self.results / f"{self.args.base}-teacher-{self.digest}.json"
        if not teacher.exists():
            self.keep(teacher, self.teacher, {"plan": "teacher", "seed": 0})
        names = self.args.losses.split(",") if self.args.losses else names_of(self.task)
        for seed in map(int, self.args.seeds.split(",")):
            for name in names:
                if self.args.losses or not (name.endswith(TENTH) and any(self.results.glob(f"{self.args.base}-{name}-[0-9]*.json"))):
                    self.run(name, seed)


def names_of(task):
    """The rows of a task's table: a student that begins as all others do is kd itself."""
    return [name for name in PLANS | SCHEMES if name != f"kd-{TASKS[task][3]}"]


def right_rows(record):
    return [int(c) for c in f"{int(record['right'], 16):0{record.get('rows', HELD)}b}"]


def binomial_table(n, p):
    """P(at most k of n), for k = 0, 1, ..."""
    def log_probability(k):
        return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p))
    return list(itertools.accumulate(math.exp(log_probability(k)) for k in range(n + 1)))


def compare(a, b, resamples=2000):
    """Mean difference over seeds of rows got right, its 95 % interval and two-sided p by a paired bootstrap over rows: of
    n rows drawn with replacement a binomial number are among those that differ at all."""
    difference = [sum(x) / len(x) - sum(y) / len(y) for x, y in zip(zip(*a), zip(*b))]
    source = random.Random(1)
    n = len(difference)
    differs = [d for d in difference if d != 0]
    if not differs:
        return 0.0, 0.0, 0.0, 1.0
    if len(differs) == n:
        means = sorted(sum(source.choices(difference, k=n)) / n for _ in range(resamples))
    else:
        counts = binomial_table(n, len(differs) / n)
        means = sorted(sum(source.choices(differs, k=bisect.bisect_left(counts, source.random()))) / n
                       for _ in range(resamples))
    below = sum(m <= 0 for m in means) / resamples
    p = 2 * max(min(below, 1 - below), 1 / resamples)
    if min(below, 1 - below) == 0:  # less than so many resamples can tell: the tail of a normal distribution
        p = min(p, math.erfc(abs(statistics.mean(difference)) / statistics.stdev(difference) * math.sqrt(n / 2)))
    return statistics.mean(difference), means[int(0.025 * resamples)], means[int(0.975 * resamples)], min(1.0, p)


def holm(ps):
    """Holm's step-down correction: name -> corrected p."""
    corrected, worst = {}, 0.0
    for rank, (name, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        worst = max(worst, min(1.0, p * (len(ps) - rank)))
        corrected[name] = worst
    return corrected


def table(task, teacher):
    runs = {}
    for path in sorted((RESULTS / task).glob(f"{teacher}-*-*.json")):
        record = json.loads(path.read_text())
        if "right" in record:
            runs.setdefault(path.stem.removeprefix(f"{teacher}-").rsplit("-", 1)[0], []).append(record)
    plain, kd = runs.get("labels"), runs.get("kd")
    if not plain or not kd:
        return []
    rows = {name: {r["seed"]: right_rows(r) for r in records} for name, records in runs.items()}
    shown = [name for name in names_of(task) if name in runs]

    def beyond(other, names):
        """Of the seeds that both have: a seed's runs are all of one machine, and so of one teacher."""
        both = {name: sorted(rows[name].keys() & rows[other].keys()) for name in names}
        return {name: compare([rows[name][s] for s in seeds], [rows[other][s] for s in seeds])
                for name, seeds in both.items() if seeds}
    beyond_kd = beyond("kd", [name for name in shown if name not in ("labels", "kd")])
    beyond_labels = beyond("labels", [name for name in shown if name != "labels"])
    p_kd = holm({name: c[3] for name, c in beyond_kd.items()})
    p_labels = holm({name: c[3] for name, c in beyond_labels.items()})

    def spread(records, key):
        values = [100 * r[key] for r in records]
        return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")

    def cell(comparison, p):
        return (f"{100 * comparison[0]:+.2f} ({100 * comparison[1]:+.2f} to {100 * comparison[2]:+.2f}), p {p:.3f}"
                + (" *" if p < 0.05 else ""))

    _, epochs, _, layers, data = TASKS[task]
    text = [f"## {task}, teacher {teacher}", "", f"{data}. {epochs} epochs. The student's layers: `{layers}`.", ""]
    if "teacher" in runs:
        taught = {}  # by which teacher the runs of which seeds were
        for record in (r for name in shown for r in runs[name]):
            taught.setdefault(record.get("teacher"), set()).add(record["seed"])
        text += ["Teacher: " + "; ".join(
            f"dev {100 * r['dev']:.2f}, held back {100 * r['held']:.2f} (of seed {', '.join(map(str, sorted(taught[r.get('teacher')])))})"
            for r in runs["teacher"] if r.get("teacher") in taught) + ".", ""]
    text += ["| loss or scheme | seeds | dev | held back | beyond labels | beyond kd |", "|---|---|---|---|---|---|"]
    for name in shown:
        text.append(f"| {name} | {len(runs[name])} | {spread(runs[name], 'dev')} | {spread(runs[name], 'held')} | "
                    f"{cell(beyond_labels[name], p_labels[name]) if name in beyond_labels else ''} | "
                    f"{cell(beyond_kd[name], p_kd[name]) if name in beyond_kd else ''} |")
    missing = [name for name in names_of(task) if name not in runs]
    whole, tenth = ([name.removesuffix(TENTH) for name in missing if name.endswith(TENTH) == is_tenth] for is_tenth in (False, True))
    if missing:
        text += ["", "Still to run: " + "; ".join(filter(None, (", ".join(whole), tenth and "with a tenth " + ", ".join(tenth)))) + "."]
    return [*text, ""]


def write_tables():
    text = ["# Distillation losses under one budget", "",
            "Written by `campaigns/distill.py`. The teacher is fine-tuned on the task, the student is its layers cut to 3; batches of",
            f"{BATCH}, learning rate {RATE:g}, BF16. Each loss is added to kd (0.9 of it beside 0.1 of the labels), with a weight that makes its",
            "gradient at the encoder as long as kd's on the student as it starts, or a tenth as long. Accuracy in percent, mean ± sample",
            "deviation over seeds; differences on the rows held back with 95 % interval and p after Holm's correction over the table (*",
            "below 0.05).",
            "Schemes (`campaigns/schemes.py`, from assistant on): the same student and steps at the end.", ""]
    for task in TASKS:
        for base in sorted({path.stem.split("-teacher-")[0] for path in (RESULTS / task).glob("*-teacher-*.json")}):
            text += table(task, base)
    (ROOT / "campaigns" / "DISTILLATION.md").write_text("\n".join(text).rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="sst2", choices=list(TASKS))
    parser.add_argument("--base", default="minilm", help="the model that the teacher is made from")
    parser.add_argument("--losses", default="", help="names of the table; default: all")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--penjing", default=ROOT / "build" / "release" / "penjing")
    parser.add_argument("--table", action="store_true", help="write the table anew, run nothing")
    args = parser.parse_args()
    if args.table:
        return write_tables()
    Campaign(args).run_all()


if __name__ == "__main__":
    sys.exit(main())
