"""A recipe killed with SIGKILL at any moment and resumed gives the same bytes as one that ran through: 20 random moments,
some of them killed again while resuming. After each kill, what is there is whole; `status` tells what is done."""

import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from program import program, run, write_safetensors

POINTS = 20
WORDS = "the cat sat on a mat dog ran in big red house old tree grows light".split()


def random_floats(source, count):
    import array
    return array.array("f", [source.gauss(0, 0.05) for _ in range(count)]).tobytes()


def write_model(folder):
    """A BERT of four layers of width 64, large enough that each step takes a while."""
    source = random.Random(3)
    hidden, inner, layers, vocab = 64, 256, 4, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    shapes = {"embeddings.word_embeddings.weight": [len(vocab), hidden],
              "embeddings.position_embeddings.weight": [64, hidden],
              "embeddings.token_type_embeddings.weight": [2, hidden]}
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name, out, into in [("attention.self.query", hidden, hidden), ("attention.self.key", hidden, hidden),
                                ("attention.self.value", hidden, hidden), ("attention.output.dense", hidden, hidden),
                                ("intermediate.dense", inner, hidden), ("output.dense", hidden, inner)]:
            shapes[f"{at}{name}.weight"] = [out, into]
            shapes[f"{at}{name}.bias"] = [out]
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    tensors = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        tensors[name] = (shape, random_floats(source, count))
    import array
    for name in norms:
        tensors[name + ".weight"] = ([hidden], array.array("f", [1.0] * hidden).tobytes())
        tensors[name + ".bias"] = ([hidden], array.array("f", [0.0] * hidden).tobytes())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(
        {"model_type": "bert", "vocab_size": len(vocab), "hidden_size": hidden, "num_hidden_layers": layers,
         "num_attention_heads": 4, "intermediate_size": inner, "max_position_embeddings": 64, "type_vocab_size": 2,
         "hidden_act": "gelu", "layer_norm_eps": 1e-12}))
    (folder / "vocab.txt").write_text("".join(w + "\n" for w in vocab))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 64}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}))
    (folder / "modules.json").write_text(json.dumps(
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
         {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]))
    write_safetensors(folder / "model.safetensors", tensors)


def digests(folder):
    """Of everything that a run makes but what it measured and when."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "model" not in p.relative_to(folder).parts[:1])
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files if p.relative_to(folder).parts[0] in ("steps", "recipe.json")}


def run_until(command, seconds):
    """Runs for so long and no longer; the seconds that it took, or None if it was killed."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
        return time.monotonic() - begin
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return None if process.wait() == -signal.SIGKILL else time.monotonic() - begin


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    source = random.Random(7)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_model(work / "model")
        (work / "texts.txt").write_text("".join(" ".join(source.choices(WORDS, k=20)) + "\n" for _ in range(60)))
        (work / "recipe.json").write_text(json.dumps(
            {"model": "./model", "data": "texts.txt", "calibration": {"texts": "texts.txt"},
             "steps": [{"method": "quantize", "smooth": True, "range": "static", "observer": "mse"},
                       {"method": "dequantize"},
                       {"method": "quantize", "scheme": "w4a16", "error_feedback": True}]}))
        begin = time.monotonic()
        run("run", work / "recipe.json", "--out", work / "whole", "--quiet")
        duration = time.monotonic() - begin
        wanted = digests(work / "whole")
        if not any("3-quantize" in name for name in wanted):
            sys.exit(f"the whole run made {sorted(wanted)}")
        killed = resumed_twice = kept = 0
        for point in range(points):
            out = work / "killed"
            shutil.rmtree(out, ignore_errors=True)
            command = [str(program()), "run", str(work / "recipe.json"), "--out", str(out), "--quiet"]
            for attempt in range(1 + point % 3):
                took = run_until(command, duration * (point + source.random()) / points / (1 + attempt))
                killed += took is None
                if took is not None and attempt == 0:
                    duration = took  # the machine was busier when the whole run was timed
                if (out / "recipe.json").exists():
                    command = [str(program()), "resume", str(out), "--quiet"]
                    resumed_twice += attempt > 0
            if (out / "recipe.json").exists():
                states = [s["state"] for s in json.loads(run("status", out, "--json"))["steps"]]
                kept += sum(s != "to do" for s in states)
                run("resume", out, "--quiet")
            else:
                run("run", work / "recipe.json", "--out", out, "--quiet")
            found = digests(out)
            if found != wanted:
                different = [n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n)]
                sys.exit(f"point {point}: these differ from the run that was not killed: {different}")
            leftovers = [str(p) for p in out.rglob("*.tmp-*")]
            if leftovers:
                sys.exit(f"point {point}: left over: {leftovers}")
        print(f"{points} points over {duration:.2f} s: {killed} killed, {resumed_twice} of them while resuming, "
              f"{kept} finished steps kept, all bytes equal")
        if killed < points * 3 // 4:
            sys.exit("too few were killed before they ended")


if __name__ == "__main__":
    main()
