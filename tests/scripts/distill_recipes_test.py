"""Every recipe of recipes/distill in miniature: a model of four layers, fine-tuned on the head of CoLA where the recipe
starts from a teacher, students of two layers, an epoch a step, integers at the end. Each gives a model that runs, with a
report, and finds all its steps done when it is run again. Those that learn from plain texts have a teacher of sentence
embeddings, and pairs of texts to be scored on."""

import json
import pathlib
import shutil
import sys
import tempfile

from program import SOURCE, run
from rank_runs import write_inputs

TEACHES = ("distill", "theseus")
LEARNS = ("mutual", "byot")  # of itself

# What a teacher of four layers and two heads needs otherwise.
SMALLER = {"tinybert6-task": ["steps.1.losses.0.layers=[[0, 0], [1, 2], [2, 4]]"],
           "minilm-v2-task": ["steps.1.losses.0.params.relation_heads=4"],
           "teacher-assistant": ["steps.0.layers=3"],
           "sentence-3-layers": ["steps.0.layers=2", "steps.1.losses.1.params.matryoshka=[8, 16, 32]"],
           "static": ["steps.0.dimensions=16"]}

LAYERS = {"born-again": 4}  # of the result, where it is not 2
# Students that are not carved: what they are instead of two layers.
OTHERS = {"bilstm": ["steps.0.units=12", "steps.0.embedding=16"]}

def is_of_sentences(recipe):
    return '"task": "stsb"' in recipe.read_text()


def run_recipe(recipe, sets, out):
    return json.loads(run("run", recipe, "--out", out, "--json", "--quiet", "--threads", 1,
                          *(x for s in sets for x in ("--set", s))))


def write_sentence_teacher(work):
    """work/encoder: work/model with the mean of its states as embedding, of length 1; work/pairs.tsv to score it on."""
    shutil.copytree(work / "model", work / "encoder")
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (work / "encoder" / "modules.json").write_text(json.dumps(
        [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
         for i, (path, kind) in enumerate(kinds)]))
    (work / "encoder" / "1_Pooling").mkdir()
    (work / "encoder" / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    sentences = (work / "data" / "texts.txt").read_text(encoding="utf-8").splitlines()
    (work / "pairs.tsv").write_text("sentence1\tsentence2\tscore\n" + "".join(
        f"{a}\t{b}\t{i % 6}\n" for i, (a, b) in enumerate(zip(sentences[:40], sentences[40:80]))), encoding="utf-8")


def learn_from_texts(recipe, work):
    out = work / recipe.stem
    report = run_recipe(recipe, [f"model={work / 'encoder'}", f"steps.1.data={work / 'data' / 'texts.txt'}",
                                 "steps.1.epochs=2", "steps.1.precision=fp32", "steps.1.batch_size=40",
                                 f"eval.0.data={work / 'pairs.tsv'}", *SMALLER[recipe.stem]], out)
    taught = [s for s in report["steps"] if s["name"].endswith("-distill")][-1]
    score = taught["measured"]["scores"]["stsb.spearmanr"]
    if taught["details"]["steps"] != 20 or not -1 <= score["value"] <= 1:
        sys.exit(f"{recipe.stem}: {taught}")
    vectors = run("embed", out / "model", "a cat", "--dimensions", 8)
    if len(json.loads(vectors)["embedding"]) != 8:
        sys.exit(f"{recipe.stem}: {vectors}")
    print(f"{recipe.stem}: {score['value']:.3f}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work, layers=4)
        teacher = work / "teacher"
        run("finetune", work / "model", "--task", "cola", "--data", work / "data", "--out", teacher, "--epochs", 1,
            "--learning-rate", 1e-3, "--quiet", "--threads", 1)
        write_sentence_teacher(work)
        recipes = sorted((SOURCE / "recipes" / "distill").glob("*.json"))
        for recipe in filter(is_of_sentences, recipes):
            learn_from_texts(recipe, work)
        recipes = [recipe for recipe in recipes if not is_of_sentences(recipe)]
        for recipe in recipes:
            plain = json.loads(run("run", recipe, "--dry-run", "--set", f"model={teacher}"))
            teaches_itself = any(step["method"] in ("finetune", *LEARNS) for step in plain["steps"])
            sets = [f"model={work / 'model' if teaches_itself else teacher}", f"eval.0.data={work / 'data'}"]
            for i, step in enumerate(plain["steps"]):
                if step["method"] == "student" and recipe.stem not in OTHERS:
                    sets.append(f"steps.{i}.layers=2")
                elif "epochs" in step:
                    sets += [f"steps.{i}.data={work / 'data'}", f"steps.{i}.epochs=1", f"steps.{i}.precision=fp32"]
            sets += SMALLER.get(recipe.stem, []) + OTHERS.get(recipe.stem, [])
            out = work / recipe.stem
            report = run_recipe(recipe, sets, out)
            config = json.loads((out / "model" / "config.json").read_text())
            last = report["steps"][-1]
            small = (config["hidden_size"] == 12 if recipe.stem in OTHERS
                     else config["num_hidden_layers"] == LAYERS.get(recipe.stem, 2))
            if not small or last["name"].split("-", 1)[1] != "quantize":
                sys.exit(f"{recipe.stem}: {config} after {last['name']}")
            taught = [s for s in report["steps"] if s["name"].split("-", 1)[1] in (*TEACHES, *LEARNS)][-1]
            # 400 sentences in batches: so many steps were taken, and the student was compared with its teacher.
            batch = [s["batch_size"] for s in plain["steps"] if "batch_size" in s][-1]
            agreement = taught["measured"]["top1"]
            if taught["details"]["steps"] != -(-400 // batch) or (agreement is None) == taught["name"].endswith(TEACHES):
                sys.exit(f"{recipe.stem}: {taught}")
            again = run_recipe(recipe, sets, out)
            if [s["seconds"] for s in again["steps"]] != [s["seconds"] for s in report["steps"]]:
                sys.exit(f"{recipe.stem}: steps that were done were made again")
            print(f"{recipe.stem}: top-1 agreement with the teacher {agreement}", flush=True)


if __name__ == "__main__":
    main()
