"""Every recipe of recipes/distill in miniature: a model of four layers, fine-tuned on the head of CoLA where the recipe
starts from a teacher, students of two layers, an epoch a step, integers at the end. Each gives a model that runs, with a
report, and finds all its steps done when it is run again."""

import json
import pathlib
import sys
import tempfile

from program import SOURCE, run
from rank_runs import write_inputs

TEACHES = ("distill", "theseus")

# What a teacher of four layers and two heads needs otherwise.
SMALLER = {"tinybert6-task": ["steps.1.losses.0.layers=[[0, 0], [1, 2], [2, 4]]"],
           "minilm-v2-task": ["steps.1.losses.0.params.relation_heads=4"],
           "teacher-assistant": ["steps.0.layers=3"]}
LAYERS = {"born-again": 4}  # of the result, where it is not 2


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work, layers=4)
        teacher = work / "teacher"
        run("finetune", work / "model", "--task", "cola", "--data", work / "data", "--out", teacher, "--epochs", 1,
            "--learning-rate", 1e-3, "--quiet", "--threads", 1)
        recipes = sorted((SOURCE / "recipes" / "distill").glob("*.json"))
        for recipe in recipes:
            plain = json.loads(run("run", recipe, "--dry-run", "--set", f"model={teacher}"))
            teaches_itself = any(step["method"] == "finetune" for step in plain["steps"])
            sets = [f"model={work / 'model' if teaches_itself else teacher}", f"eval.0.data={work / 'data'}"]
            for i, step in enumerate(plain["steps"]):
                if step["method"] == "student":
                    sets.append(f"steps.{i}.layers=2")
                elif "epochs" in step:
                    sets += [f"steps.{i}.data={work / 'data'}", f"steps.{i}.epochs=1", f"steps.{i}.precision=fp32"]
            sets += SMALLER.get(recipe.stem, [])
            out = work / recipe.stem
            command = ["run", recipe, "--out", out, "--json", "--quiet", "--threads", 1,
                       *(x for s in sets for x in ("--set", s))]
            report = json.loads(run(*command))
            config = json.loads((out / "model" / "config.json").read_text())
            last = report["steps"][-1]
            if config["num_hidden_layers"] != LAYERS.get(recipe.stem, 2) or last["name"].split("-", 1)[1] != "quantize":
                sys.exit(f"{recipe.stem}: {config['num_hidden_layers']} layers after {last['name']}")
            taught = [s for s in report["steps"] if s["name"].split("-", 1)[1] in TEACHES][-1]
            # 400 sentences in batches of 32: so many steps were taken, and the student was compared with its teacher.
            if taught["details"]["steps"] != 13 or taught["measured"]["top1"] is None:
                sys.exit(f"{recipe.stem}: {taught}")
            again = json.loads(run(*command))
            if [s["seconds"] for s in again["steps"]] != [s["seconds"] for s in report["steps"]]:
                sys.exit(f"{recipe.stem}: steps that were done were made again")
            print(f"{recipe.stem}: top-1 agreement with the teacher {taught['measured']['top1']:.3f}", flush=True)


if __name__ == "__main__":
    main()
