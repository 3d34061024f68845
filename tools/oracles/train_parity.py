#!/usr/bin/env python3
"""Compares `penjing finetune` with transformers on PyTorch: the loss, every gradient and the parameters after one step of
AdamW, the losses of ten steps, dropout off, same tokens; then the predictions of the trained folder by `penjing classify`
and by transformers.

usage: train_parity.py MODEL DATA [--task sst2|stsb] [--penjing build/ci/penjing] [--work DIR] [--batch-size 8]
  MODEL  Hugging Face folder or a name (minilm, bert-base); DATA  folder of the task (glue-sst2, glue-stsb)
Bounds: loss 1e-5 relative, later losses 1e-4; a gradient's difference 1e-4 of its norm, with a floor of 1e-6 of the norm
of all (key biases exempt: theirs is mathematically zero); a parameter's difference after the step 1e-5 of its norm, with
a floor of 1e-2 of the step. Exit status 5 when one is broken. Needs torch, transformers, safetensors.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import transformers


def finetune(arguments, model, out, *options):
    subprocess.run([arguments.penjing, "finetune", str(model), "--task", arguments.task, "--data", str(arguments.data),
                    "--out", str(out), "--batch-size", str(arguments.batch_size), "--no-eval", "--quiet",
                    "--limit", str(10 * arguments.batch_size), *options], check=True)


def load(folder):
    """In single precision, without dropout, under the names of our parameters."""
    config = transformers.AutoConfig.from_pretrained(folder)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.classifier_dropout = 0.0
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager")
    return model.train(), {name.removeprefix("bert."): tensor for name, tensor in model.named_parameters()}


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def loss_of(model, step, labels, regression):
    lengths = torch.tensor([len(row) for row in step["ids"]])
    types = [row or [0] * len(ids) for row, ids in zip(step["types"], step["ids"])]
    ids = padded(step["ids"])
    logits = model(input_ids=ids, token_type_ids=padded(types),
                   attention_mask=(torch.arange(ids.shape[1]) < lengths[:, None]).long()).logits
    truth = torch.tensor([labels[example] for example in step["examples"]])
    if regression:
        return torch.nn.functional.mse_loss(logits.squeeze(1), truth.float())
    return torch.nn.functional.cross_entropy(logits, truth)


def read_labels(arguments):
    """As the steps number them: the order of the training file."""
    names = {"sst2": ["train.tsv"], "stsb": ["sts-train.csv", "train.tsv"]}[arguments.task]
    file = next(arguments.data / name for name in names if (arguments.data / name).exists())
    lines = file.read_text(encoding="utf-8").splitlines()
    if arguments.task == "sst2":
        return [int(line.split("\t")[1]) for line in lines[1:]]
    return [float(line.split("\t")[4]) for line in lines]


def compare_steps(arguments, start, dump, rate):
    regression = arguments.task == "stsb"
    labels = read_labels(arguments)
    model, named = load(start)
    decay = [t for t in named.values() if t.dim() > 1]
    plain = [t for t in named.values() if t.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
                                  lr=rate, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, 10)
    steps = [json.loads(line) for line in (dump / "steps.jsonl").read_text().splitlines()]
    gradients = safetensors.torch.load_file(dump / "gradients.safetensors")
    parameters = safetensors.torch.load_file(dump / "parameters.safetensors")
    broken, report = [], {"model": str(arguments.model), "task": arguments.task, "steps": len(steps)}

    def check(what, found, wanted):
        if not found <= wanted:
            broken.append(f"{what}: {found:.3g}, wanted at most {wanted:.3g}")

    worst_loss = 0
    for number, step in enumerate(steps):
        optimizer.zero_grad()
        loss = loss_of(model, step, labels, regression)
        loss.backward()
        error = abs(step["loss"] / loss.item() - 1)
        check(f"loss of step {step['step']}", error, 1e-5 if number == 0 else 1e-4)
        report.setdefault("first_loss", [step["loss"], loss.item(), error])
        worst_loss = max(worst_loss, error)
        if number == 0:
            theirs = {name: t.grad.detach().clone() for name, t in named.items() if t.grad is not None}
            before = {name: t.detach().clone() for name, t in named.items()}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        optimizer.step()
        schedule.step()
        if number > 0:
            continue
        if set(theirs) != set(gradients):
            broken.append(f"gradients of {sorted(set(theirs) ^ set(gradients))} on one side only")
        worst, moved = (0, ""), (0, "")
        for name in sorted(set(theirs) & set(gradients)):
            if name.endswith("key.bias"):
                continue
            difference = (gradients[name].double() - theirs[name].double()).norm().item()
            size = theirs[name].double().norm().item()
            check(f"gradient of {name}", difference, max(1e-4 * size, 1e-6 * norm))
            worst = max(worst, (difference / max(size, 1e-2 * norm), name))
            after, step_size = named[name].detach().double(), (named[name].detach() - before[name]).norm().item()
            apart = (parameters[name].double() - after).norm().item()
            check(f"{name} after a step", apart, max(1e-5 * after.norm().item(), 1e-2 * step_size))
            moved = max(moved, (apart / max(step_size, 1e-12), name))
        report |= {"gradients": len(theirs), "worst_gradient": worst, "gradient_norm": [step["gradient_norm"], norm],
                   "worst_parameter_share_of_step": moved}
    report["worst_loss"] = worst_loss
    return report, broken


def read_texts(arguments):
    if arguments.task == "sst2":
        lines = (arguments.data / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
        return [(line.split("\t")[0],) for line in lines][: arguments.texts]
    lines = (arguments.data / "sts-dev.csv").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")[5:7]) for line in lines][: arguments.texts]


def compare_predictions(arguments, folder, work):
    texts = read_texts(arguments)
    (work / "texts.txt").write_text("".join("\t".join(row) + "\n" for row in texts), encoding="utf-8")
    pairs = ["--pairs"] if len(texts[0]) == 2 else []
    out = subprocess.run([arguments.penjing, "classify", str(folder), "--input", str(work / "texts.txt"), "--top-k", "0",
                          "--raw-scores", "--json", "--quiet", *pairs], check=True, capture_output=True, text=True)
    ours = [json.loads(line) for line in out.stdout.splitlines()]
    if len(ours) == 1 and isinstance(ours[0], list) and len(texts) > 1:
        ours = ours[0]
    model, _ = load(folder)
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    equal, worst = 0, 0.0
    with torch.no_grad():
        for row, found in zip(texts, ours, strict=True):
            coded = tokenizer(*row, return_tensors="pt", truncation=True)
            logits = model(**coded).logits[0]
            classes = found if isinstance(found, list) else found.get("labels", found.get("classes", [found]))
            scores = {entry["label"]: entry["score"] for entry in classes}
            theirs = {model.config.id2label[i]: value for i, value in enumerate(logits.tolist())}
            equal += max(scores, key=scores.get) == max(theirs, key=theirs.get)
            worst = max(worst, *(abs(scores[label] - theirs[label]) for label in theirs))
    report = {"texts": len(texts), "equal_predictions": equal, "worst_logit": worst}
    broken = [] if equal == len(texts) and worst < 1e-4 else [f"predictions: {report}"]
    return report, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--task", choices=["sst2", "stsb"], default="sst2")
    parser.add_argument("--penjing", default="build/ci/penjing")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--texts", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        work = pathlib.Path(work)
        rate = 2e-5
        # The fresh head, without a step.
        finetune(arguments, arguments.model, work / "start", "--max-steps", "1", "--learning-rate", "0")
        finetune(arguments, work / "start", work / "out", "--max-steps", "10", "--learning-rate", str(rate), "--warmup",
                 "0", "--dropout", "0", "--attention-dropout", "0", "--classifier-dropout", "0", "--dump-step",
                 str(work / "dump"))
        report, broken = compare_steps(arguments, work / "start", work / "dump", rate)
        report["predictions"], more = compare_predictions(arguments, work / "out", work)
    print(json.dumps(report, indent=1))
    for line in broken + more:
        print(line)
    if broken or more:
        sys.exit(5)


if __name__ == "__main__":
    main()
