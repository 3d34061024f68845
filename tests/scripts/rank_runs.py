"""What the tests of several ranks share: a two-layer BERT, real sentences of CoLA, ranks started as a launcher would,
and the comparison of what they trained."""

import array
import collections
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

from program import SOURCE, program, skip, write_safetensors

HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 64
PATIENCE = 300  # seconds for a process that has nothing to wait for, on a loaded machine
SENTENCES = 400


def trainer_is_built():
    return (program().parent / "penjing-train").exists()


def require_gloo():
    if os.environ.get("PENJING_GLOO") == "0":
        skip("the trainer is built without Gloo: one process only")


def write_inputs(folder, layers=LAYERS):
    """folder/model, and folder/data with CoLA's head: train.tsv, dev.tsv, the sentences in texts.txt."""
    if not trainer_is_built():
        skip("the trainer is not built")
    source = pathlib.Path(os.environ.get("PENJING_DATA", SOURCE / ".." / "shared" / "data")) / "glue-cola" / "train.tsv"
    if not source.exists():
        skip(f"{source} is not there")
    lines = source.read_text(encoding="utf-8").splitlines()[:SENTENCES]
    (folder / "data").mkdir()
    (folder / "data" / "train.tsv").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    (folder / "data" / "dev.tsv").write_text("".join(line + "\n" for line in lines[:40]), encoding="utf-8")
    (folder / "data" / "texts.txt").write_text("".join(line.split("\t")[3] + "\n" for line in lines), encoding="utf-8")
    words = collections.Counter(w for line in lines for w in re.findall(r"[a-z]{2,}", line.split("\t")[3].lower()))
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,'?!-", *letters, *("##" + c for c in letters),
                  *(word for word, count in sorted(words.items()) if count > 2)]
    model = folder / "model"
    model.mkdir()
    (model / "vocab.txt").write_text("".join(word + "\n" for word in vocabulary))
    (model / "tokenizer_config.json").write_text(json.dumps(
        {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": POSITIONS}))
    (model / "config.json").write_text(json.dumps(
        {"architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": HIDDEN,
         "num_hidden_layers": layers, "num_attention_heads": HEADS, "intermediate_size": INNER,
         "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
         "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}))
    write_safetensors(model / "model.safetensors", make_tensors(len(vocabulary), layers))


def make_tensors(words, layers):
    source = random.Random(3)
    tensors = {}

    def add(name, shape, value=None):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [source.gauss(0, 0.05) if value is None else value for _ in range(count)]
        tensors[name] = (shape, array.array("f", values).tobytes())

    def norm(name):
        add(name + ".weight", [HIDDEN], 1.0)
        add(name + ".bias", [HIDDEN], 0.0)

    add("embeddings.word_embeddings.weight", [words, HIDDEN])
    add("embeddings.position_embeddings.weight", [POSITIONS, HIDDEN])
    add("embeddings.token_type_embeddings.weight", [2, HIDDEN])
    norm("embeddings.LayerNorm")
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name, out, into in [("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
                                ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
                                ("intermediate.dense", INNER, HIDDEN), ("output.dense", HIDDEN, INNER)]:
            add(f"{at}{name}.weight", [out, into])
            add(f"{at}{name}.bias", [out])
        norm(at + "attention.output.LayerNorm")
        norm(at + "output.LayerNorm")
    return tensors


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Run:
    """`penjing finetune`, or another command that trains, on so many ranks. hosts: a command prefix a rank (ip netns exec
    NAME), its address."""

    FINETUNE = ("finetune", "--task", "cola", "--data", "data", "--batch-size", 8)
    PRETRAIN = ("pretrain", "--data", "data/texts.txt", "--batch-tokens", 256, "--max-length", 32, "--hold-back", 20)

    def __init__(self, work, out, ranks, *options, command=FINETUNE, hosts=None, address="127.0.0.1", environment=None):
        self.out = work / out
        self.begin = time.monotonic()
        port = free_port()
        self.ranks = []
        for rank in range(ranks):
            own = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(0 if hosts else rank),
                       LOCAL_WORLD_SIZE=str(1 if hosts else ranks), MASTER_ADDR=address, MASTER_PORT=str(port))
            own.update((environment or {}).get(rank, {}))
            verb, *arguments = command
            words = [*(hosts[rank] if hosts else []), program(), verb, work / "model", *arguments, "--out", self.out,
                     "--json", "--threads", 1, "--learning-rate", 1e-3, "--seed", 5, *options]
            self.ranks.append(subprocess.Popen([str(word) for word in words], cwd=work, env=own, stdout=subprocess.PIPE,
                                               stderr=subprocess.PIPE, text=True))

    def wait(self, limit=PATIENCE):
        """[(exit status, output, messages)] of each rank."""
        results = []
        until = time.monotonic() + limit
        for rank, process in enumerate(self.ranks):
            try:
                output, messages = process.communicate(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill()
                sys.exit(f"{self.out.name}: rank {rank} of {len(self.ranks)} had not ended after {limit} s\n"
                         + "".join(p.communicate()[1] for p in self.ranks))
            results.append((process.returncode, output, messages))
        return results

    def finish(self):
        """Wants success; gives rank 0's report."""
        results = self.wait()
        for rank, (status, output, messages) in enumerate(results):
            if status != 0:
                sys.exit(f"{self.out.name}: rank {rank} of {len(results)}: exit status {status}\n{output}{messages}")
            if rank > 0 and output:
                sys.exit(f"{self.out.name}: rank {rank} printed {output}")
        return json.loads(results[0][1])

    def wait_for_checkpoint(self, step):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if any(s >= step for s in checkpoints(self.out)):
                return
            if any(process.poll() is not None for process in self.ranks):
                sys.exit(f"{self.out.name}: ended before the checkpoint of step {step}: {self.wait(5)}")
            time.sleep(0.05)
        self.kill()
        sys.exit(f"{self.out.name}: no checkpoint of step {step} after {PATIENCE} s")

    def kill(self):
        for process in self.ranks:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def checkpoints(out):
    names = [p.name.removeprefix("checkpoint-") for p in pathlib.Path(f"{out}.training").glob("checkpoint-*")]
    return sorted(int(name) for name in names if name.isdigit())


def weights(out):
    data = (out / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    values = array.array("f")
    for name in sorted(n for n in header if n != "__metadata__"):
        begin, end = header[name]["data_offsets"]
        values.frombytes(data[8 + length + begin : 8 + length + end])
    return values


def curve(out):
    """[(step, loss)] as train.jsonl has it."""
    lines = (json.loads(line) for line in pathlib.Path(f"{out}.training/train.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def wait_for_logged_step(run, step):
    until = time.monotonic() + PATIENCE
    log = pathlib.Path(f"{run.out}.training/train.jsonl")
    while time.monotonic() < until:
        if log.exists() and any(s >= step for s, _ in curve(run.out)):
            return
        if any(process.poll() is not None for process in run.ranks):
            sys.exit(f"{run.out.name}: ended before step {step}: {run.wait(5)}")
        time.sleep(0.02)
    run.kill()
    sys.exit(f"{run.out.name}: step {step} is not logged after {PATIENCE} s")


def compare(what, out, report, reference, reference_report, limit=1e-5):
    """Losses to `limit` of each other, weights to 1e-4."""
    a, b = weights(out), weights(reference)
    if len(a) != len(b):
        sys.exit(f"{what}: {len(a)} weights, wanted {len(b)}")
    distance = (sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b)) ** 0.5
    pairs = [(report["loss"], reference_report["loss"])]
    if pathlib.Path(f"{reference}.training/train.jsonl").exists():
        mine, theirs = curve(out), curve(reference)
        if [s for s, _ in mine] != [s for s, _ in theirs]:
            sys.exit(f"{what}: steps {[s for s, _ in mine]}, wanted {[s for s, _ in theirs]}")
        pairs += [(x, y) for (_, x), (_, y) in zip(mine, theirs)]
    error = max(abs(x - y) / y for x, y in pairs)
    print(f"{what}: {len(pairs)} losses within {error:.1e}, weights within {distance:.1e}", flush=True)
    if not (error <= limit and distance <= 1e-4):
        sys.exit(f"{what}: wanted losses within {limit:.0e} and weights within 1e-4")
