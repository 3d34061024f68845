"""Every recipe of recipes/distill in miniature: a model of four layers, fine-tuned on the head of CoLA where the recipe
starts from a teacher, students of two layers, an epoch a step, integers at the end. Each gives a model that runs, with a
report, and finds all its steps done when it is run again. Those that learn from plain texts have a teacher of sentence
embeddings, and pairs of texts to be scored on; MobileBERT's have a teacher of inverted bottlenecks, and words to be
guessed."""

import json
import pathlib
import shutil
import sys
import tempfile

from program import SOURCE, run
from rank_runs import write_inputs

TEACHES = ("distill", "theseus")
LEARNS = ("mutual", "byot", "multitask")  # of itself

# What a teacher of four layers, four heads and a width of 32 needs otherwise.
NARROW = ["steps.0.hidden=16", 'steps.0.heads="4"', 'steps.0.intermediate="32"']
THREE_PLACES = "losses.0.layers=[[0, 0], [1, 2], [2, 4]]"
TINY_STAGES = [f"steps.{i}.{THREE_PLACES}" for i in (1, 2)]
TINY_SHAPE = ['steps.0.config={"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}']
MINI_LM = NARROW + ["steps.1.losses.0.params.relation_heads=4"]
SMALLER = {"tinybert6-task": [f"steps.1.{THREE_PLACES}"],
           "tinybert4": NARROW + TINY_STAGES, "tinybert4-paper": TINY_SHAPE + TINY_STAGES,
           "tinybert6-paper": TINY_SHAPE + TINY_STAGES,
           "minilm-v2-task": ["steps.1.losses.0.params.relation_heads=4"],
           "minilm-v2": MINI_LM, "minilm-v2-paper": MINI_LM,
           "minilm-v1-assistant": [*NARROW, "steps.0.layers=4"], "minilm-v1-paper": [*NARROW, "steps.0.layers=4"],
           "well-read": NARROW, "well-read-paper": NARROW,
           "narrow-embedding": ["steps.0.embedding_width=16"],
           "teacher-assistant": ["steps.0.layers=3"],
           "sentence-3-layers": ["steps.0.layers=2", "steps.1.losses.1.params.matryoshka=[8, 16, 32]"],
           "static": ["steps.0.dimensions=16"]}

LAYERS = {"born-again": 4}  # of the result, where it is not 2
# MobileBERT's teacher and student in miniature, whatever the recipe's numbers.
INVERTED = {"model_type": "mobilebert", "embedding_size": 12, "hidden_size": 32, "num_hidden_layers": 3,
            "num_attention_heads": 2, "intra_bottleneck_size": 48, "intermediate_size": 64, "num_feedforward_networks": 1,
            "normalization_type": "layer_norm", "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 64}
BOTTLENECKED = {"intra_bottleneck_size": 16, "intermediate_size": 32}
# Students that are not carved: what they are instead of two layers.
BILSTM = ["steps.0.units=12", "steps.0.embedding=16"]
ATTENTIVE = ["steps.2.units=12", "steps.2.embedding=16", "steps.2.attention_units=8"]
OTHERS = {"bilstm": BILSTM, "bilstm-paper": BILSTM, "attentive-bilstm": ATTENTIVE}
SENTENCES, MASKED_STEPS, BERT_HEAD = 400, 5, 64


def is_of_sentences(recipe):
    return '"task": "stsb"' in recipe.read_text()


def is_of_words(recipe):
    return recipe.stem.startswith("mobilebert")


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


def write_inverted_teacher(work):
    """work/inverted: a BERT with inverted bottlenecks that has seen the texts; work/held-back.txt to score it on."""
    (work / "inverted.json").write_text(json.dumps(INVERTED))
    run("pretrain", "--config", work / "inverted.json", "--tokenizer", work / "model", "--data", work / "data" / "texts.txt",
        "--steps", 60, "--batch-tokens", 512, "--max-length", 32, "--learning-rate", 3e-3, "--no-eval", "--quiet",
        "--threads", 1, "--out", work / "inverted")
    sentences = (work / "data" / "texts.txt").read_text(encoding="utf-8").splitlines()
    (work / "held-back.txt").write_text("".join(line + "\n" for line in sentences[:30]), encoding="utf-8")


def learn_masked_words(recipe, work):
    out = work / recipe.stem
    sets = [f"model={work / 'inverted'}", f"eval.0.data={work / 'held-back.txt'}",
            *(f"steps.0.config.{key}={value}" for key, value in BOTTLENECKED.items())]
    for step, steps in ((1, 12), (2, 200)):
        sets += [f"steps.{step}.{key}={value}" for key, value in {
            "data": work / "data" / "texts.txt", "max_steps": steps, "batch_size": 16, "max_length": 32,
            "learning_rate": 2e-3, "precision": "fp32"}.items()]
    report = run_recipe(recipe, sets, out)
    config = json.loads((out / "model" / "config.json").read_text())
    expected = {"normalization_type": "no_norm", "num_feedforward_networks": 4, "num_hidden_layers": 3,
                "intra_bottleneck_size": 16}
    if {key: config[key] for key in expected} != expected:
        sys.exit(f"{recipe.stem}: {config}")
    taught = [s for s in report["steps"] if s["name"].endswith("-distill")]
    if [s["details"]["steps"] for s in taught] != [12, 200]:
        sys.exit(f"{recipe.stem}: {taught}")
    fresh = [s for s in report["steps"] if s["name"].endswith("-student")][0]
    before, after = (s["measured"]["scores"]["masked.pseudo_perplexity"]["value"] for s in (fresh, taught[-1]))
    # LAMB, the papers' optimizer, takes more steps than these to move.
    if not after < before and not recipe.stem.endswith("-paper"):
        sys.exit(f"{recipe.stem}: pseudo-perplexity {before}, after distillation {after}")
    again = run_recipe(recipe, sets, out)
    if [s["seconds"] for s in again["steps"]] != [s["seconds"] for s in report["steps"]]:
        sys.exit(f"{recipe.stem}: steps that were done were made again")
    run("fill-mask", out / "model", "the [MASK] .", "--quiet")
    print(f"{recipe.stem}: pseudo-perplexity {before:.0f} -> {after:.0f}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_inputs(work, layers=4)
        teacher = work / "teacher"
        run("finetune", work / "model", "--task", "cola", "--data", work / "data", "--out", teacher, "--epochs", 1,
            "--learning-rate", 1e-3, "--quiet", "--threads", 1)
        run("pretrain", work / "model", "--data", work / "data" / "texts.txt", "--out", work / "masked", "--steps", 2,
            "--max-length", 32, "--no-eval", "--quiet", "--threads", 1)
        write_sentence_teacher(work)
        recipes = sorted((SOURCE / "recipes" / "distill").glob("*.json"))
        for recipe in filter(is_of_sentences, recipes):
            learn_from_texts(recipe, work)
        write_inverted_teacher(work)
        for recipe in filter(is_of_words, recipes):
            learn_masked_words(recipe, work)
        recipes = [recipe for recipe in recipes if not is_of_sentences(recipe) and not is_of_words(recipe)]
        for recipe in recipes:
            check_recipe(recipe, work, teacher)


def batch_of(step):
    return step["batch_size"] if step["batch_size"] <= 256 else 32


def in_miniature(recipe, plan, work, teacher):
    """What is set so that a recipe runs on a small model and 400 sentences, an epoch a step."""
    # Recipes that begin before any task start from the untrained model.
    masks = any(step.get("task") == "masked-lm" for step in plan["steps"])
    begins = plan["steps"][0]["method"] == "finetune" or plan["model"].endswith("bert-base")
    sets = [f"model={work / 'masked' if masks else work / 'model' if begins else teacher}"]
    if plan.get("eval"):
        texts = plan["eval"][0]["task"] == "masked"
        sets.append(f"eval.0.data={work / 'data' / 'texts.txt' if texts else work / 'data'}")
    for i, step in enumerate(plan["steps"]):
        if step["method"] == "student" and recipe.stem not in OTHERS and not step.get("config"):
            # What the miniature does not see: BERT-base, which the recipes are for, is carved in whole heads.
            if step["hidden"] % BERT_HEAD != 0:
                sys.exit(f"{recipe.stem}: a width of {step['hidden']} is no multiple of the {BERT_HEAD} features of BERT's heads")
            sets.append(f"steps.{i}.layers=2")
        elif step["method"] == "trim_vocabulary":
            sets += [f'steps.{i}.texts=["{work / "data" / "texts.txt"}"]', f"steps.{i}.min_count=3"]
        elif step["method"] == "pretrain":
            sets += [f'steps.{i}.data=["{work / "data" / "texts.txt"}"]', f"steps.{i}.steps=3", f"steps.{i}.precision=fp32",
                     f"steps.{i}.max_length=32", f"steps.{i}.batch_tokens=512"]
        elif step["method"] == "multitask":
            both = json.dumps([str(work / "data")] * 2)
            sets += [f"steps.{i}.data={both}", f"steps.{i}.epochs=1", f"steps.{i}.max_length=32"]
        elif "epochs" in step:
            texts = step["task"] in ("texts", "masked-lm")
            sets += [f"steps.{i}.data={work / 'data' / 'texts.txt' if texts else work / 'data'}", f"steps.{i}.precision=fp32",
                     f"steps.{i}.epochs=1", f"steps.{i}.max_steps={MASKED_STEPS if step['task'] == 'masked-lm' else 0}",
                     f"steps.{i}.max_length=32"]
            sets.append(f"steps.{i}.batch_size={batch_of(step)}")
            if step.get("teacher") == "teacher":
                sets.append(f"steps.{i}.teacher={teacher}")
            if step["train_split"] == "augmented":
                sets.append(f"steps.{i}.train_split=train")
    return sets + SMALLER.get(recipe.stem, []) + OTHERS.get(recipe.stem, [])


def check_recipe(recipe, work, teacher):
    plan = json.loads(run("run", recipe, "--dry-run"))
    sets = in_miniature(recipe, plan, work, teacher)
    out = work / recipe.stem
    report = run_recipe(recipe, sets, out)
    config = json.loads((out / "model" / "config.json").read_text())
    small = (config["hidden_size"] == 12 if recipe.stem in OTHERS
             else config["num_hidden_layers"] == LAYERS.get(recipe.stem, 2))
    done = report["steps"][1:]  # the first is the model itself
    names = [s["name"].split("-", 1)[1] for s in done]
    if not small or names != [s["method"] for s in plan["steps"]]:
        sys.exit(f"{recipe.stem}: {config} after {names}")
    number, taught = [(i, s) for i, s in enumerate(done) if names[i] in (*TEACHES, *LEARNS)][-1]
    step = plan["steps"][number]
    # All sentences in batches: so many steps were taken, and a student of a classifier was compared with its teacher.
    agreement = taught["measured"]["top1"]
    several = names[number] == "multitask"
    compared = several or names[number] in TEACHES and step["task"] != "texts" and step["teacher"] != "teacher"
    steps = MASKED_STEPS if step.get("task") == "masked-lm" else -(-SENTENCES // batch_of(step)) * (2 if several else 1)
    if taught["details"]["steps"] != steps or (agreement is not None) != compared:
        sys.exit(f"{recipe.stem}: {taught}")
    again = run_recipe(recipe, sets, out)
    if [s["seconds"] for s in again["steps"]] != [s["seconds"] for s in report["steps"]]:
        sys.exit(f"{recipe.stem}: steps that were done were made again")
    print(f"{recipe.stem}: top-1 agreement with the teacher {agreement}", flush=True)


if __name__ == "__main__":
    main()
