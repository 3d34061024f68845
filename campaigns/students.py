#!/usr/bin/env python3
"""Students of BERT-base by the recipes of recipes/distill, on the tasks of GLUE that campaigns/finetune.py made teachers
for: what each keeps of its teacher in FP32 and INT8, its size and its speed; keeps the table campaigns/STUDENTS.md.

    campaigns/students.py [--students pkd-6,theseus-6] [--tasks stsb,mrpc,cola,sst2] [--penjing PATH] [--threads N]
    campaigns/students.py --time        # size, FLOPs and latency of each shape: wants BERT-base and an idle machine
    campaigns/students.py --table       # the table alone

Each run is one recipe, resolved and written beside its result in $PENJING_CACHE/models/students, and `penjing run` takes
it: done runs are kept, a killed one goes on. SST-2 is the 20,000 training rows of campaigns/distill.py."""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import time

import distill
import sentences
from finetune import ROOT, TASKS, cache, call, data_folder, seconds_of, steps_of, where_and_when

RESULTS = ROOT / "campaigns" / "results" / "students"
RECIPES = ROOT / "recipes" / "distill"
BATCH, RATE, EPOCHS = 64, 7e-5, 3
# name -> recipe (None: labels alone, no teacher), layers, which of the teacher's, what the paper says is kept (methods.md)
STUDENTS = {
    "labels-6": (None, 6, "first", "-"),
    "kd-6": ("kd", 6, "first", "-"),
    "pkd-6": ("pkd-skip", 6, "first", "98 %"),
    "distilbert-6": ("distilbert-task", 6, "uniform", "97 %"),
    "minilm-v2-6": ("minilm-v2-task", 6, "uniform", "99 %"),
    "tinybert-6": ("tinybert6-task", 6, "uniform", "99 %"),
    "theseus-6": ("theseus", 6, "first", "98 %"),
    "labels-3": (None, 3, "first", "-"),
    "kd-3": ("kd", 3, "first", "-"),
    "pkd-3": ("pkd-skip", 3, "first", "92 %"),
    "distilbert-3": ("distilbert-task", 3, "uniform", "-"),
    "minilm-v2-3": ("minilm-v2-task", 3, "uniform", "-"),
}
# Where nothing is said of the teacher, a layer learns more slowly: smaller steps, and more of them where examples are few.
OWN = {"theseus-6": {"batch_size": 32, "learning_rate": 5e-5, "epochs": {"stsb": 6, "mrpc": 8, "cola": 8, "sst2": 4}}}
# Students that learn what the teacher says of augmented texts (TinyBERT's Algorithm 1, so many VARIANTS of a text): the student
# that they go on from, as that left it in FP32, or how many of the teacher's first layers; what is not kd-more-texts.json's, the
# paper's figure.
AUGMENTED = {"theseus-aug-6": ("theseus-6", {"learning_rate": 5e-5}, "-"), "kd-aug-6": (6, {}, "-"), "kd-aug-3": (3, {}, "-")}
# Those, cut to the pieces of the vocabulary that the texts they learned of use (and single characters): trim-vocabulary, no training.
TRIMMED = {"kd-aug-6-trimmed": ("kd-aug-6", "-"), "kd-aug-3-trimmed": ("kd-aug-3", "-")}
VARIANTS = {"stsb": 5, "mrpc": 5, "cola": 10, "sst2": 5}
# Where a task has more texts than are learned with labels, these and TINYBERTS learn of all of them and of no variants.
UNLABELLED = {"sst2": "glue-sst2"}
# What students look like: how they are carved, which they are.
SHAPES = {"12 layers": (["--layers", 12], "BERT-base"), "6 layers": (["--layers", 6], "all with 6"),
          "3 layers": (["--layers", 3], "all with 3"),
          "4 layers of 320": (["--layers", 4, "--hidden", 320, "--heads", 12, "--intermediate", 1200], "tinybert-4"),
          "BiLSTM": (["--method", "bilstm"], "bilstm, its labels and kd")}
# On SST-2 alone: name -> which rows are learned, from labels or from a teacher, the paper's figure. The paper's BiLSTM has 86.7
# without and 90.7 with its teacher (BERT-large, 67,349 rows, 20 times augmented); here 20,000 rows, all 67,349, or those
# and BILSTM_VARIANTS of each.
BILSTMS = {"bilstm-labels": ("train", False, "-"), "bilstm-kd": ("train", True, "-"), "bilstm-labels-all": ("all", False, "-"),
           "bilstm-kd-all": ("all", True, "-"), "bilstm": ("augmented", True, "96 %")}
BILSTM_EPOCHS = 5
BILSTM_VARIANTS = 3
# One network for several tasks, as recipes/distill/attentive-bilstm.json has it, by the command that keeps all tasks' models.
MULTITASK = {"attentive-bilstm": (["sst2", "mrpc"], "-")}
MULTITASK_SAYS = ("method", "units", "embedding", "dense", "pooling", "attention_units", "losses", "label_weight", "epochs", "batch_size",
                  "learning_rate")
# TinyBERT of 4 layers of 320 by its recipe, on the same texts, and what its ablation leaves out. The general stage is one
# for all: an epoch of GENERAL sentences of campaigns/sentences.py (the paper: three of Wikipedia, 2.5 billion words).
TINYBERTS = {"tinybert-4": ("", "96 %"), "tinybert-4-no-embedding": ("embedding", "-"), "tinybert-4-no-hidden": ("hidden", "-"),
             "tinybert-4-no-attention": ("attention", "-"), "tinybert-4-no-prediction": ("prediction", "-")}
GENERAL = 40000
EVERYONE = STUDENTS | AUGMENTED | TRIMMED | BILSTMS | MULTITASK | TINYBERTS


def layers_of(student):
    """Of BERT-base's width; 0: another shape."""
    if student in AUGMENTED:
        of = AUGMENTED[student][0]
        return layers_of(of) if of in STUDENTS else of
    return STUDENTS[student][1] if student in STUDENTS else 0


def tasks_of(student):
    if student in BILSTMS:
        return ["sst2"]
    return MULTITASK[student][0] if student in MULTITASK else ["stsb", "mrpc", "cola", "sst2"]


def data_of(task):
    if task == "sst2":
        return distill.sst2_folder()
    return data_folder(TASKS[task][0])


def run_name(args, student, task):
    return f"{student}-{task}{'' if args.seed == 1 else f'-{args.seed}'}"


def teacher_of(task):
    return str(cache() / "models" / f"bert-base-{task}")


def threads_of(args):
    return ("-t", args.threads) if args.threads else ()


def score_of(args, model, task):
    """Of a model on the dev set, by the task's metric."""
    _, eval_task, metric, *_ = TASKS[task]
    return call([args.penjing, "eval", model, "--task", eval_task, "--data", data_of(task), "--split", "dev", "--json",
                 "--quiet"])["metrics"][metric]["value"]


def weight_bytes(model):
    return sum(f.stat().st_size for f in model.glob("*.safetensors"))


def quick_teacher_of(args, task):
    """The same in INT8, which the inference runtime asks (docs/distillation.md): for many texts."""
    model = cache() / "models" / f"bert-base-{task}-int8"
    if not model.exists():
        call([args.penjing, "quantize", teacher_of(task), "--out", model, "--quiet"])
    return str(model)


def for_scores(terms):
    """Scores have no classes to soften: the squared error of logits takes the place of soft labels."""
    return [{"loss": "mse", "weight": term.get("weight", 1), "params": {"of": "logits"},
             **{key: term[key] for key in ("from", "to") if key in term}} if term["loss"] == "kd" else term for term in terms]


def augment(args, model, method, task, data, variants, to):
    if not to.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        call([args.penjing, "augment", model, "--method", method, "--task", task, "--data", data, "--variants", variants, "--out", to,
              "--quiet"])


def more_texts(args, task):
    """A file of the task's texts for who learns of the teacher alone."""
    if task in UNLABELLED:
        return data_folder(UNLABELLED[task]) / "train.tsv"
    texts = cache() / "data" / f"{task}-augmented" / "augmented.tsv"
    augment(args, "bert-base-int8", "tinybert", task, data_of(task), VARIANTS[task], texts)
    return texts


# Each of these: the model that a recipe starts from, and its steps but the last, which quantizes.
def bilstm_steps(args, student, task):
    split, taught, _ = BILSTMS[student]
    data = data_of(task)
    if split != "train":
        data = more_texts(args, task)
    if split == "augmented":
        variants = cache() / "data" / f"{task}-bilstm-{BILSTM_VARIANTS}" / "augmented.tsv"
        augment(args, "bert-base", "bilstm", task, data, BILSTM_VARIANTS, variants)
        data = variants
    learned = {"method": "finetune"}
    if taught:
        learned = {"method": "distill", "losses": [{"loss": "mse", "params": {"of": "logits", "over": "vectors"}}], "label_weight": 0,
                   "teacher": quick_teacher_of(args, task) if split == "augmented" else teacher_of(task)}
    return teacher_of(task), [{"method": "bilstm"},
                              {**learned, "task": task, "data": str(data), "train_split": "train", "epochs": BILSTM_EPOCHS, "no_eval": True,
                               "batch_size": 50, "learning_rate": 1e-3, "seed": args.seed}]


def end_of(args, of, student, task):
    """What another student was in FP32 at its end."""
    before = cache() / "models" / "students" / run_name(args, of, task)
    if not (before / "steps").exists():
        sys.exit(f"{student} goes on from {of}: run that on {task} first")
    return str(steps_of(before)[-2])


def trimmed_steps(args, student, task):
    of, _ = TRIMMED[student]
    texts = cache() / "data" / f"{task}-texts.txt"
    with open(more_texts(args, task), newline="") as table, open(texts, "w") as lines:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            lines.writelines(value + "\n" for key, value in row.items() if key not in ("label", "score"))
    return end_of(args, of, student, task), [{"method": "trim_vocabulary", "texts": [str(texts)], "characters": True}]


def augmented_steps(args, student, task):
    of, own, _ = AUGMENTED[student]
    if of in STUDENTS:
        model, steps = end_of(args, of, student, task), []
    else:
        model, steps = teacher_of(task), [{"method": "student", "layers": of, "from": "first"}]
    recipe = recipe_steps(args, "kd-more-texts")[1]
    del recipe["start"]  # its number's, of a recipe that carves
    step = {**recipe, **own, "teacher": quick_teacher_of(args, task), "task": task, "train_split": "train",
            "data": str(more_texts(args, task)), "no_eval": True, "seed": args.seed}
    if task == "stsb":
        step["losses"] = for_scores(step["losses"])
    return model, [*steps, step]


def recipe_steps(args, recipe):
    return json.loads(subprocess.run([args.penjing, "run", RECIPES / f"{recipe}.json", "--dry-run"],
                                     stdout=subprocess.PIPE, check=True, text=True).stdout)["steps"]


def without(left_out, step):
    """A stage of TinyBERT's with one of its losses left out."""
    pairs = {"embedding": slice(1, None), "hidden": slice(0, 1)}.get(left_out, slice(None))
    return {**step, "losses": [{**term, "layers": term["layers"][pairs]} if term["loss"] == "mse" else term
                               for term in step["losses"] if (left_out, term["loss"]) != ("attention", "attention_mse")]}


def general_tinybert(args, steps, name):
    """The model after the general stage, made once for all tasks."""
    out = cache() / "models" / "students" / name
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        recipe = out.with_suffix(".recipe.json")
        recipe.write_text(json.dumps({"model": str(cache() / "models" / "bert-base"), "steps": steps}, indent=1) + "\n")
        call([args.penjing, "run", recipe, "--out", f"{out}.run", "--json", *threads_of(args)])
        out.symlink_to((pathlib.Path(f"{out}.run") / "model").resolve())
    return str(out)


def tinybert_steps(args, student, task):
    left_out, _ = TINYBERTS[student]
    # What the recipe says of its own; a step resolved has all its method's parameters, and begins with its number's model.
    says = ("method", "layers", "hidden", "heads", "intermediate", "task", "param", "losses", "label_weight", "epochs", "batch_size",
            "learning_rate", "precision", "eval_split")
    carve, general, intermediate, prediction = ({key: step[key] for key in says if key in step}
                                                for step in recipe_steps(args, "tinybert4")[:4])
    general = {**without(left_out, general), "data": str(sentences.sentences_file()), "limit": GENERAL, "seed": args.seed}
    intermediate = without(left_out, intermediate)
    start = general_tinybert(args, [carve, general], "tinybert-general" + (
        f"-no-{left_out}" if left_out in ("embedding", "hidden", "attention") else ""))
    texts = more_texts(args, task)
    steps = [{**step, "teacher": teacher_of(task)} for step in (intermediate, prediction)]
    if task == "stsb":
        steps[1]["losses"] = for_scores(steps[1]["losses"])
    if left_out == "prediction":  # of the labels, as the examples that were changed have them
        steps[1] = {key: value for key, value in prediction.items() if key not in ("losses", "label_weight")} | {"method": "finetune"}
    return start, [{**step, "task": task, "data": str(texts), "train_split": "train", "no_eval": True, "seed": args.seed}
                   for step in steps]


def student_steps(args, student, task):
    recipe, layers, source, _ = STUDENTS[student]
    steps = recipe_steps(args, recipe or "kd")
    data = str(data_of(task))
    kept = []
    for step in steps:
        if step["method"] == "student":
            step = {"method": "student", "layers": layers, "from": source}
        elif step["method"] == "quantize":
            continue
        else:
            if recipe is None:
                step = {"method": "finetune"}
            own = {key: value for key, value in step.items()
                   if key in ("losses", "label_weight", "teacher", "epochs") or key.startswith("replacing")}
            if task == "stsb" and "losses" in own:
                own["losses"] = for_scores(own["losses"])
            # A plan of one stage trains for EPOCHS; of several, each for what its recipe says.
            if len(steps) == 3 and "minilm" not in student and "theseus" not in student:
                own["epochs"] = EPOCHS
            step = {"method": step["method"], **own, "task": task, "data": data, "batch_size": BATCH, "precision": "bf16",
                    "learning_rate": RATE, "seed": args.seed}
            step |= {key: value[task] if isinstance(value, dict) else value for key, value in OWN.get(student, {}).items()}
        kept.append(step)
    return teacher_of(task), kept


def recipe_of(args, student, task):
    kinds = ((BILSTMS, bilstm_steps), (AUGMENTED, augmented_steps), (TRIMMED, trimmed_steps), (TINYBERTS, tinybert_steps),
             (STUDENTS, student_steps))
    steps_for = next(made for kind, made in kinds if student in kind)
    model, steps = steps_for(args, student, task)
    return {"model": model, "steps": [*steps, {"method": "quantize"}],
            "eval": [{"task": TASKS[task][1], "data": str(data_of(task)), "split": "dev"}]}


def run_multitask(args, student):
    """A record a task, of one run."""
    tasks, _ = MULTITASK[student]
    results = {task: RESULTS / f"{run_name(args, student, task)}.json" for task in tasks}
    if all(result.exists() for result in results.values()):
        return
    carve, plan = recipe_steps(args, student)[2:4]
    folder = cache() / "models" / "students"
    out, carved = folder / run_name(args, student, "all"), folder / f"{student}-carved"
    if not carved.exists():
        call([args.penjing, "student", teacher_of(tasks[0]), "--method", carve["method"], "--pooling", carve["pooling"], "--out", carved, "--quiet"])
    begin = time.time()
    data = [more_texts(args, task) if task in UNLABELLED else data_of(task) for task in tasks]
    done = out.exists()
    if not done:
        call([args.penjing, "multitask", carved, "--tasks", ",".join(tasks), "--data", *data, "--teacher", ",".join(map(teacher_of, tasks)),
              "--losses", json.dumps(plan["losses"]), "--label-weight", plan["label_weight"], "--epochs", plan["epochs"],
              "--batch-size", plan["batch_size"], "--learning-rate", plan["learning_rate"], "--no-eval", "--seed", args.seed, "--out", out,
              "--resume", "--json", *threads_of(args)])
    seconds = seconds_of(out) if done else time.time() - begin
    for task, result in results.items():
        small = folder / f"{result.stem}-int8"
        if not small.exists():
            call([args.penjing, "quantize", out / task, "--out", small, "--quiet"])
        steps = [{"name": name, "seconds": took, "scores": {f"{task}.{TASKS[task][2]}": {"value": score_of(args, model, task)}},
                  "bytes": weight_bytes(model)} for name, took, model in (("multitask", seconds, out / task), ("quantize", 0, small))]
        says = [{key: step[key] for key in MULTITASK_SAYS if key in step} for step in (carve, plan)]
        result.write_text(json.dumps({"student": student, "task": task, "seed": args.seed, "steps": steps, "plan": says,
                                      "teacher": score_of(args, teacher_of(task), task), "wall": time.time() - begin, **where_and_when()},
                                     indent=1) + "\n")
    write_table()


def run(args, student, task):
    result = RESULTS / f"{run_name(args, student, task)}.json"
    if result.exists():
        return
    folder = cache() / "models" / "students"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / result.stem
    recipe = folder / f"{result.stem}.recipe.json"
    recipe.write_text(json.dumps(recipe_of(args, student, task), indent=1) + "\n")
    begin = time.time()
    report = call([args.penjing, "run", recipe, "--out", out, "--json", *threads_of(args)])
    RESULTS.mkdir(parents=True, exist_ok=True)
    steps = [{"name": s["name"], "seconds": s["seconds"], **s["measured"]} for s in report["steps"]]
    plan = json.loads(recipe.read_text())["steps"]
    for step in plan:
        for key in {"data", "teacher"} & step.keys():  # no machine's path
            step[key] = pathlib.Path(step[key]).name
        if "texts" in step:
            step["texts"] = [pathlib.Path(file).name for file in step["texts"]]
    result.write_text(json.dumps({"student": student, "task": task, "seed": args.seed, "steps": steps, "plan": plan,
                                  "teacher": score_of(args, teacher_of(task), task),
                                  "wall": time.time() - begin, **where_and_when()}, indent=1) + "\n")
    subprocess.run(["rm", "-rf", out / "work"], check=True)
    write_table()


def measure(args):
    """Size, operations and speed of each shape beside BERT-base in FP32. They do not depend on what a student has learned, so
    the shapes are BERT-base's weights, carved."""
    kept = RESULTS / "shapes.json"
    shapes = json.loads(kept.read_text()) if kept.exists() else {}
    teacher = cache() / "models" / "bert-base"
    for shape, (carving, _) in SHAPES.items():
        if shape in shapes:
            continue
        forms = {form: cache() / "models" / "shapes" / f"{shape.replace(' ', '-')}-{form}" for form in ("fp32", "int8")}
        if not forms["fp32"].exists():
            call([args.penjing, "student", teacher, *carving, "--out", forms["fp32"], "--quiet"])
        if not forms["int8"].exists():
            call([args.penjing, "quantize", forms["fp32"], "--out", forms["int8"], "--quiet"])
        inside = call([args.penjing, "inspect", forms["fp32"], "--json"])
        encoder = [part for part in inside["parts"] if part["part"] != "heads"]  # of masked words; nobody asks for them here
        found = {**{key: sum(part[key] for part in encoder) for key in ("parameters", "flops")}, **where_and_when(),
                 "bytes": {form: weight_bytes(path) for form, path in forms.items()}}
        for form, model in forms.items():
            timed = call([args.penjing, "bench", model, "--against", teacher, "--shapes", "1x32,1x128,32xvar",
                          "--no-cold-start", "--json", "--quiet"])
            found[form] = {v["shape"]: v for v in timed["verdicts"] if not v.get("with_tokenizing")}
        shapes[shape] = found
        kept.write_text(json.dumps(shapes, indent=1) + "\n")
    write_table()


def score(step, metric):
    return next(value["value"] for name, value in step["scores"].items() if name.split(".", 1)[1] == metric)


def write_table():
    runs = {}
    for path in sorted(RESULTS.glob("*-*.json")):
        record = json.loads(path.read_text())
        runs.setdefault(record["student"], {}).setdefault(record["task"], []).append(record)
    shapes = json.loads((RESULTS / "shapes.json").read_text()) if (RESULTS / "shapes.json").exists() else {}
    tasks = tasks_of("pkd-6")
    metrics = {task: TASKS[task][2] for task in tasks}
    text = ["# Students of BERT-base", "",
            "Written by `campaigns/students.py`. Teachers: BERT-base of [RESULTS.md](RESULTS.md). Dev sets: STS-B Spearman, MRPC F1,",
            f"CoLA Matthews, SST-2 accuracy (20,000 training rows), in percent of points; batches of {BATCH}, learning rate {RATE:g}, BF16,",
            f"{EPOCHS} epochs unless the recipe has stages" + "".join(
                f"; {name}: batches of {own['batch_size']}, {own['learning_rate']:g}, {min(own['epochs'].values())} to "
                f"{max(own['epochs'].values())} epochs" for name, own in OWN.items()) + ".",
            "Kept: mean over the tasks at hand of student divided by teacher. The paper's figure is of its own tasks and averages.", "",
            "| student | " + " | ".join(tasks) + " | kept, FP32 | kept, INT8 | paper | minutes beside other work |", "|---" * (len(tasks) + 5) + "|"]
    teacher = {}
    for student, records in runs.items():
        for task, found in records.items() if student in STUDENTS else ():  # others may begin with another model
            teacher[task] = score(found[0]["steps"][0], metrics[task])
    text.append("| BERT-base | " + " | ".join(f"{100 * teacher[t]:.2f}" if t in teacher else "-" for t in tasks) + " | | | | |")
    for student in EVERYONE:
        if student not in runs:
            continue
        *_, published = EVERYONE[student]
        cells, kept = [], {"fp32": [], "int8": []}
        minutes = 0
        for task in tasks:
            found = runs[student].get(task)
            if not found:
                cells.append("-")
                continue
            values = {form: [score(r["steps"][at], metrics[task]) for r in found] for form, at in (("fp32", -2), ("int8", -1))}
            for form, these in values.items():
                kept[form].append(statistics.mean(these) / (found[0].get("teacher") or teacher[task]))
            cells.append(" / ".join(f"{100 * statistics.mean(v):.2f}" for v in values.values()))
            minutes += sum(s["seconds"] for r in found for s in r["steps"]) / 60 / len(found)
        share = {form: f"{100 * statistics.mean(v):.1f} % of {len(v)}" for form, v in kept.items()}
        text.append(f"| {student} | " + " | ".join(cells) + f" | {share['fp32']} | {share['int8']} | {published} | "
                    f"{minutes:.0f} |")
    text += ["", "Scores: FP32 / INT8 (`penjing quantize`). " +
             " ".join(f"{name} goes on from {of}, on what the teacher says of augmented texts; its minutes are beside that one's."
                      for name, (of, *_) in AUGMENTED.items() if of in STUDENTS) +
             " Of SST-2 these, kd-aug-6, kd-aug-3 and tinybert-4 learn what it says of all 67,349 training rows, without variants."
             f" bilstm learns of those and {BILSTM_VARIANTS} variants of each; attentive-bilstm is one network for its tasks, its minutes are those of all. The teacher of bilstm, and of kd-aug-6 and kd-aug-3 but on CoLA and SST-2,"
             " answers in INT8."]
    sizes = [f"{name} {r['steps'][-1]['bytes'] / 1e6:.1f} MB on {task}" for name in TRIMMED for task in tasks for r in runs.get(name, {}).get(task, [])]
    if sizes:
        text[-1] += " Trimmed, in INT8: " + ", ".join(sizes) + "; their minutes are beside those of what was trimmed."
    for layers in (6, 3):
        best = {}
        for task in tasks:
            found = [runs[name][task][0] for name in runs if layers_of(name) == layers and task in runs[name]]
            if found:
                best[task] = max(found, key=lambda r: score(r["steps"][-2], metrics[task]))
        if best:
            of_teacher = statistics.mean(r.get("teacher") or teacher[t] for t, r in best.items())
            mean = {form: statistics.mean(score(r["steps"][at], metrics[t]) for t, r in best.items()) for form, at in (("FP32", -2), ("INT8", -1))}
            text += ["", f"{layers} layers, the best of each task (" + ", ".join(f"{t} {r['student']}" for t, r in best.items()) +
                     "; chosen by these same scores in FP32): mean " +
                     " and ".join(f"{100 * v:.2f} in {form} ({100 * v / of_teacher:.1f} %)" for form, v in mean.items()) +
                     f" of BERT-base's {100 * of_teacher:.2f}; {list(best.values())[-1]['steps'][-1]['bytes'] / 1e6:.1f} MB in INT8."]
    if shapes:
        text += ["", "Size and speed in Penjing's runtime, against BERT-base in FP32 there (`campaigns/students.py --time`, median ratio of",
                 "`penjing bench --against`). Parameters and operations without heads; files with BERT-base's masked-LM head (0.6 M).", "",
                 "| shape | students | parameters | MB FP32 / INT8 | GFLOP at 128 tokens | 1x32 FP32 / INT8 | 1x128 FP32 / INT8 | 32 mixed FP32 / INT8 "
                 "| date, CPU |", "|---|---|---|---|---|---|---|---|---|"]
        for name, shape in shapes.items():
            ratios = [" / ".join(f"{shape[form][s]['speedup']:.2f}" for form in ("fp32", "int8")) for s in ("1x32", "1x128", "32xvar")]
            size = " / ".join(f"{shape['bytes'][form] / 1e6:.1f}" for form in ("fp32", "int8"))
            text.append(f"| {name} | {SHAPES[name][1]} | {shape['parameters'] / 1e6:.1f} M | {size} | {shape['flops'] / 1e9:.2f} | " +
                        " | ".join(ratios) + f" | {shape['date']}, {shape['cpu']} |")
    missing = []
    for student in EVERYONE:
        left = [t for t in tasks_of(student) if t not in runs.get(student, {})]
        if left:
            missing.append(f"{student} ({', '.join(left)})" if len(left) < len(tasks) else student)
    if missing:
        text += ["", "Still to run: " + ", ".join(missing) + "."]
    (ROOT / "campaigns" / "STUDENTS.md").write_text("\n".join(text) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", default=",".join(EVERYONE))
    parser.add_argument("--tasks", default="stsb,mrpc,cola,sst2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--penjing", default=ROOT / "build" / "release" / "penjing")
    parser.add_argument("--time", action="store_true", help="parameters, FLOPs and latency, on an idle machine")
    parser.add_argument("--table", action="store_true", help="write the table anew, run nothing")
    args = parser.parse_args()
    if args.table:
        return write_table()
    if args.time:
        return measure(args)
    for student in args.students.split(","):
        if student in MULTITASK:
            run_multitask(args, student)
            continue
        for task in args.tasks.split(","):
            if task in tasks_of(student):
                run(args, student, task)


if __name__ == "__main__":
    sys.exit(main())
