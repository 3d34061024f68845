"""A BERT folder with unequal layer widths, one layer without attention and one without feed-forward, runs and agrees
with the NumPy oracle (tools/oracles/numpy_encoder.py), at one thread and several."""

import array
import base64
import json
import pathlib
import sys
import tempfile

from program import SOURCE, read_npy, run, write_safetensors

# Values reach about 4; four layers of sums of at most 40 terms. Float32 gives 2e-6 here; a wrong formula 1e-2.
BOUND = 2e-5


def main():
    model = json.loads((SOURCE / "tests" / "data" / "tiny_bert_widths.json").read_text())
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        folder = work / "model"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(model["config"]))
        (folder / "vocab.txt").write_text("".join(w + "\n" for w in model["vocab"]))
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 20}))
        write_safetensors(folder / "model.safetensors",
                          {n: (t["shape"], base64.b64decode(t["data"])) for n, t in model["tensors"].items()})
        texts = work / "texts.txt"
        texts.write_text("".join(c["text"] + "\n" for c in model["cases"]))
        run("tokenize", folder, "--input", texts, "--output", work / "ids.jsonl")
        for line, case in zip((work / "ids.jsonl").read_text().splitlines(), model["cases"]):
            if json.loads(line)["ids"] != case["ids"]:
                sys.exit(f"{case['text']}: ids {json.loads(line)['ids']}, wanted {case['ids']}")
        wanted = array.array("d")
        for case in model["cases"]:
            wanted.frombytes(base64.b64decode(case["hidden"]))
        for threads in (1, 3):
            run("embed", folder, "--input", texts, "--output", work / "hidden.npy", "--tokens", "--threads", threads)
            shape, values = read_npy(work / "hidden.npy")
            if list(shape) != [sum(len(c["ids"]) for c in model["cases"]), model["config"]["hidden_size"]]:
                sys.exit(f"shape {shape}")
            error = max(abs(a - b) for a, b in zip(values, wanted))
            print(f"{threads} threads: {len(wanted)} values up to {max(map(abs, wanted)):.2f}, "
                  f"greatest error {error:.2e}")
            if not error <= BOUND:
                sys.exit(f"greatest error {error:.3g}, wanted at most {BOUND}")


if __name__ == "__main__":
    main()
