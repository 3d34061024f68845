"""Every recipe of recipes/distill in miniature: a teacher of four layers fine-tuned on the head of CoLA, a student of two,
an epoch a step, integers at the end. Each gives a model of two layers (or a BiLSTM) that runs, with a report."""

import json
import pathlib
import sys
import tempfile

from program import SOURCE, run
from rank_runs import write_inputs

# What a teacher of four layers and two heads needs otherwise.
SMALLER = {"tinybert6-task": ["steps.1.losses.0.layers=[[0, 0], [1, 2], [2, 4]]"],
           "minilm-v2-task": ["steps.1.losses.0.params.relation_heads=4"]}
# Students that are not carved: what they are instead of two layers.
OTHERS = {"bilstm": ["steps.0.units=12", "steps.0.embedding=16"]}


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work, layers=4)
        teacher = work / "teacher"
        run("finetune", work / "model", "--task", "cola", "--data", work / "data", "--out", teacher, "--epochs", 1,
            "--learning-rate", 1e-3, "--quiet", "--threads", 1)
        recipes = sorted((SOURCE / "recipes" / "distill").glob("*.json"))
        for recipe in recipes:
            sets = [f"model={teacher}", f"eval.0.data={work / 'data'}", *OTHERS.get(recipe.stem, ["steps.0.layers=2"]),
                    *SMALLER.get(recipe.stem, [])]
            resolved = json.loads(run("run", recipe, "--dry-run", *(x for s in sets for x in ("--set", s))))
            for i, step in enumerate(resolved["steps"]):
                if step["method"] == "distill":
                    sets += [f"steps.{i}.data={work / 'data'}", f"steps.{i}.epochs=1", f"steps.{i}.precision=fp32"]
            out = work / recipe.stem
            report = json.loads(run("run", recipe, "--out", out, "--json", "--quiet", "--threads", 1,
                                    *(x for s in sets for x in ("--set", s))))
            config = json.loads((out / "model" / "config.json").read_text())
            last = report["steps"][-1]
            small = config["hidden_size"] == 12 if recipe.stem in OTHERS else config["num_hidden_layers"] == 2
            if not small or last["name"].split("-", 1)[1] != "quantize":
                sys.exit(f"{recipe.stem}: {config} after {last['name']}")
            taught = [s for s in report["steps"] if s["name"].endswith("-distill")][-1]
            # 400 sentences in batches of 32 (50): so many steps were taken, and the student was compared with its teacher.
            batches = [s["batch_size"] for s in resolved["steps"] if s["method"] == "distill"]
            if taught["details"]["steps"] != -(-400 // batches[-1]) or taught["measured"]["top1"] is None:
                sys.exit(f"{recipe.stem}: {taught}")
            print(f"{recipe.stem}: top-1 agreement with the teacher {taught['measured']['top1']:.3f}", flush=True)


if __name__ == "__main__":
    main()
