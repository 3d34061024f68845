#!/usr/bin/env python3
"""Penjing beside other CPU engines on one model: one process an engine, asked in turn, outputs checked, ratios.

usage: compare_rivals.py MODEL [--ours NAME=FOLDER ...] [--engines onnxruntime,openvino,ctranslate2,pytorch]
                         [--shapes 1x16,1x128,32xvar] [--threads 2] [--starts 5] [--json FILE] [--ledger FILE]
       compare_rivals.py --setup [--engines ...]     only makes the environments

MODEL is a Hugging Face folder; the rivals run it in every form they have, Penjing runs it too and so whatever --ours
names (its INT8, BF16 or sparse form). Environments and exported files live in the cache of Penjing and are made once.

For each process start all engines are started anew, on the same CPUs with the same number of threads. In every round
each form runs for --seconds, in turn. A time counts only when the output agrees: for every text the mean of the hidden
states must have a cosine with Penjing's FP32 of 0.99, for INT8 of 0.9. Mixed lengths (`32xvar`) are given to rivals both
as one padded batch and sorted by length in batches of 8; the better one counts. A ratio is the rival's median time over
Penjing's within one start; printed are the median of the starts and their range. Texts are real: sentences of --data
(default: the STS benchmark in $PENJING_DATA or ../shared/data), joined and cut to the lengths wanted."""

import argparse
import csv
import datetime
import hashlib
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "rivals"))

import environments  # noqa: E402
from workers import Failed, Worker  # noqa: E402

REPOSITORY = HERE.parent
DEFAULT_ENGINES = ["onnxruntime", "openvino", "ctranslate2", "pytorch"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pairs = {"action": "append", "default": [], "metavar": "NAME=PATH"}
    words = {"type": lambda s: s.split(",")}
    parser.add_argument("model", nargs="?")
    parser.add_argument("--setup", action="store_true", help="make the environments and stop")
    parser.add_argument("--ours", **pairs, help="another form of MODEL for Penjing; the name is shown")
    parser.add_argument("--penjing", default=None, help="the program; default: build/release/penjing, or on the path")
    parser.add_argument("--engines", **words, default=DEFAULT_ENGINES)
    parser.add_argument("--forms", **words, default=[], help="only forms of these names")
    parser.add_argument("--python", **pairs, help="use this Python for an engine, instead of an own environment")
    parser.add_argument("--shapes", **words, default=["1x16", "1x128", "32xvar"])
    parser.add_argument("--sweep", action="store_true", help="S = 8 to 512 and B = 1 to 256 instead of --shapes")
    parser.add_argument("--threads", type=lambda s: [int(n) for n in s.split(",")], default=[2])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which an engine that does not answer is dropped")
    parser.add_argument("--data", type=pathlib.Path, help="texts, one a line, or sts-test.csv")
    parser.add_argument("--hold", choices=["avx2", "avx_vnni", "avx512_bf16"],
                        help="all engines, Penjing too, see no more of this CPU than that (rivals/hold_cpu.c)")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--ledger", type=pathlib.Path, help="add the rows to this ledger (bench/RESULTS.md)")
    args = parser.parse_args()
    if not args.model and not args.setup:
        parser.error("MODEL is missing")
    args.python = dict(pair.split("=", 1) for pair in args.python)
    args.ours = [tuple(pair.split("=", 1)) for pair in args.ours]
    if args.sweep:
        args.shapes = [f"1x{s}" for s in (8, 16, 32, 64, 128, 256, 512)] + [f"{b}x32" for b in (8, 32, 256)]
    if args.penjing is None and not args.setup:
        built = REPOSITORY / "build" / "release" / "penjing"
        args.penjing = str(built) if built.exists() else shutil.which("penjing") or parser.error("no penjing; say --penjing")
    return args


def read_texts(path):
    if path is None:
        data = pathlib.Path(os.environ.get("PENJING_DATA", REPOSITORY.parent / "shared" / "data"))
        path = data / "glue-stsb" / "sts-test.csv"
        if not path.exists():
            sys.exit("no texts: say --data FILE, a text a line")
    lines = path.read_text(errors="replace").splitlines()
    if path.name.startswith("sts-"):
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [text for row in rows for text in row[5:7]]
    return [line for line in lines if line]


class Texts:
    """Token ids of real text, cut to the lengths wanted."""

    def __init__(self, penjing, model, texts):
        special = self.tokenize(penjing, model, [""], [])[0]
        self.first, self.last = special[0], special[-1]
        self.ids = [i for ids in self.tokenize(penjing, model, texts, ["--no-special-tokens"]) for i in ids]
        self.at = 0

    @staticmethod
    def tokenize(penjing, model, texts, more):
        command = [penjing, "tokenize", model, "--ids-only", "--quiet"] + more
        done = subprocess.run(command, input="\n".join(texts) + "\n", stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line)["ids"] for line in done.stdout.splitlines()]

    def cut(self, length):
        begin = self.at if self.at + length <= len(self.ids) else 0
        self.at = begin + length - 2
        return [self.first] + self.ids[begin:self.at] + [self.last]

    def batch(self, shape):
        count, length = shape.split("x")
        if length != "var":
            return [self.cut(int(length)) for _ in range(int(count))]
        rng = random.Random(1)
        return [self.cut(min(256, max(5, int(rng.lognormvariate(3.2, 0.7))))) for _ in range(int(count))]


def export(model, args):
    """The folder of files that the rivals read; made once for each state of the model's weights."""
    weights = sorted(pathlib.Path(model).glob("*.safetensors"))
    state = hashlib.sha256("".join(f"{w.resolve()} {w.stat().st_size} {w.stat().st_mtime_ns}" for w in weights).encode())
    files = environments.cache_folder() / "files" / state.hexdigest()[:16]
    files.mkdir(parents=True, exist_ok=True)
    script = str(HERE / "rivals" / "export_model.py")
    try:
        environments.run([environments.python_of("pytorch", args.python), script, str(model), str(files)])
    except (RuntimeError, OSError) as error:
        sys.exit(f"export: {error}")
    return str(files)


def start_workers(args, files, model, threads, calibration):
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    workers = []
    for name, folder in [("fp32", model)] + args.ours:
        command = [args.penjing, "bench", folder, "--worker", "--quiet", "--threads", str(threads)]
        workers.append(Worker("penjing", command, cpus, args.timeout, env=args.held, forms=[name]))
    spec = {"model": model, "files": files, "threads": threads, "forms": args.forms, "calibration": calibration,
            "penjing": args.penjing}
    for engine in args.engines:
        command = [environments.python_of(engine, args.python), str(HERE / "rivals" / "worker.py"), engine, json.dumps(spec)]
        try:
            workers.append(Worker(engine, command, cpus, args.timeout, env={"OMP_NUM_THREADS": str(threads), **args.held}))
        except Failed as error:
            say(f"{engine}: {error}")
    return workers


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def variants_of(worker, batch, mixed):
    """The ways to give the batch: a list of (name, batches, order of the texts)."""
    order = list(range(len(batch)))
    ways = [("", [batch], order)]
    if mixed and worker.engine != "penjing":
        order = sorted(order, key=lambda i: len(batch[i]))
        groups = [order[i:i + 8] for i in range(0, len(order), 8)]
        ways = ([] if worker.engine == "deepsparse" else ways) + [("sorted", [[batch[i] for i in g] for g in groups], order)]
    return ways


def measure_shape(args, workers, batch, mixed, reference, refused):
    """{(engine, form, way): {"ms", "cosine", ...}} of one start."""
    contenders = {}
    for worker in workers:
        for form in list(worker.forms):
            for way, batches, order in variants_of(worker, batch, mixed):
                key = (worker.engine, form, way)
                try:
                    reply = worker.ask({"op": "load", "form": form, "batches": batches})
                except Failed as error:
                    refused[key] = str(error)
                    if not worker.alive:
                        break
                    continue
                rows = [None] * len(order)
                for row, place in zip(reply["rows"], order):
                    rows[place] = row
                if reference[0] is None:
                    reference[0] = rows  # Penjing's FP32, the first of all
                worst = min(cosine(a, b) for a, b in zip(rows, reference[0]))
                contenders[key] = {"worker": worker, "batches": batches, "ms": [], "cosine": worst, "joules": None,
                                   "flops": reply.get("flops"), "arithmetic": reply.get("arithmetic")}
                if not worst >= (0.9 if "int8" in form else 0.99) and worker.engine != "penjing":
                    refused[key] = f"its output differs: cosine {worst:.3f}"
                    del contenders[key]
    for _ in range(args.rounds):
        for key, contender in contenders.items():
            worker, request = contender["worker"], {"op": "time", "form": key[1], "seconds": args.seconds}
            if not worker.alive:
                continue
            try:
                if len(variants_of(worker, batch, mixed)) > 1:
                    worker.ask({"op": "load", "form": key[1], "batches": contender["batches"]})
                before = read_joules()
                reply = worker.ask(request)
                contender["ms"] += reply["ms"]
                if before is not None:
                    contender["joules"] = (read_joules() - before) / len(reply["ms"])
            except Failed as error:
                refused[key] = str(error)
    return {key: c for key, c in contenders.items() if c["ms"] and key not in refused}


def read_joules():
    """Of all packages since some time, or None where the kernel does not tell."""
    total, found = 0, False
    for path in pathlib.Path("/sys/class/powercap").glob("intel-rapl:?/energy_uj"):
        try:
            total += int(path.read_text())
            found = True
        except OSError:
            return None
    return total * 1e-6 if found else None


def run(args, threads):
    model = str(pathlib.Path(resolve(args, args.model)))
    args.ours = [(name, resolve(args, folder)) for name, folder in args.ours]
    files = export(model, args) if any(e != "fake" for e in args.engines) else ""
    source = Texts(args.penjing, model, read_texts(args.data))
    calibration = [source.cut(n) for n in (12, 24, 48, 96, 128) * 6]
    batches = {shape: source.batch(shape) for shape in args.shapes}
    starts, refused, versions, memory, machine = [], {}, {}, {}, {}
    for start in range(args.starts):
        workers = start_workers(args, files, model, threads, calibration)
        try:
            peaks = workers[0].ask({"op": "peaks"})
            machine = {"isa": peaks["isa"], "cpu": peaks["cpu"] + (f", held to {args.hold}" if args.hold else "")}
            found = {}
            for shape, batch in batches.items():
                say(f"start {start + 1} of {args.starts}, {threads} threads, {shape}")
                alive = [w for w in workers if w.alive and not (w.engine == "deepsparse" and shape.endswith("var"))]
                found[shape] = measure_shape(args, alive, batch, shape.endswith("var"), [None],
                                             refused.setdefault(shape, {}))
            starts.append((peaks, found))
            for worker in workers:
                versions[worker.engine] = worker.version
                for form, why in worker.failed.items():
                    refused.setdefault("all", {})[worker.engine, form, ""] = why
                if worker.alive:
                    name = worker.engine + (" " + worker.forms[0] if worker.engine == "penjing" else "")
                    memory[name] = max(memory.get(name, 0), worker.ask({"op": "memory"})["peak_bytes"])
        finally:
            for worker in workers:
                worker.close()
    return summarize(args, threads, starts, refused, versions, memory, machine, batches)


def resolve(args, name):
    for folder in (pathlib.Path(name), environments.cache_folder().parent / "models" / name):
        if folder.is_dir():
            return str(folder)
    sys.exit(f"{name}: no such model folder")


def summarize(args, threads, starts, refused, versions, memory, machine, batches):
    rows = []
    for shape, batch in batches.items():
        tokens = sum(map(len, batch))
        medians = {}  # contender -> one median a start
        for peaks, found in starts:
            for key, contender in found[shape].items():
                medians.setdefault(key, []).append((statistics.median(contender["ms"]), peaks, contender))
        whole = {key: values for key, values in medians.items() if len(values) == len(starts)}
        for key, values in whole.items():
            ms = statistics.median(v[0] for v in values)
            last = values[-1][2]
            row = {"shape": shape, "threads": threads, "engine": key[0], "form": key[1], "way": key[2], "median_ms": ms,
                   "best_ms": min(min(v[2]["ms"]) for v in values), "cosine": min(v[2]["cosine"] for v in values),
                   "tokens_per_s_per_core": tokens / ms * 1e3 / threads, "joules": last["joules"]}
            if key[0] == "penjing":
                row["peak_share"] = statistics.median(c["flops"] / (m * 1e-3) / p[c["arithmetic"]] for m, p, c in values)
                row["ratios"] = {}
                for other, theirs in whole.items():
                    if other[0] != "penjing":
                        ratios = [t[0] / m[0] for t, m in zip(theirs, values)]
                        row["ratios"][" ".join(filter(None, other))] = [statistics.median(ratios), min(ratios), max(ratios)]
            rows.append(row)
    return {"model": args.model, "date": datetime.date.today().isoformat(), "machine": machine, "threads": threads,
            "starts": len(starts), "versions": versions, "peak_memory_bytes": memory, "rows": rows,
            "refused": {shape: {" ".join(filter(None, k)): why for k, why in each.items()} for shape, each in refused.items()},
            "energy": "readable" if read_joules() is not None else "not readable on this machine",
            "command": "bench/compare_rivals.py " + " ".join(sys.argv[1:])}


def best_rival(row):
    """(name, [median, low, high]) of the rival that comes closest."""
    return min(row["ratios"].items(), key=lambda item: item[1][0], default=(None, None))


def print_result(result):
    machine = result["machine"]
    print(f"\n{result['model']}, {machine['cpu']}, {machine['isa']}, {result['threads']} threads, {result['starts']} starts")
    for row in result["rows"]:
        name = " ".join(filter(None, (row["engine"], row["form"], row["way"])))
        line = f"{row['shape']:8} {name:28} {row['median_ms']:9.3f} ms  cosine {row['cosine']:.4f}"
        line += f"  {row['tokens_per_s_per_core']:9.0f} tokens/s/core"
        if row["engine"] == "penjing":
            line += f"  {row['peak_share']:4.0%} of peak"
            rival, ratio = best_rival(row)
            if rival:
                line += f"; {ratio[0]:.2f}x ({ratio[1]:.2f} to {ratio[2]:.2f}) of the best rival, {rival}"
        print(line)
    for shape, each in result["refused"].items():
        for name, why in each.items():
            print(f"not counted, {shape}: {name}: {why}")
    for name, size in result["peak_memory_bytes"].items():
        print(f"peak memory: {name} {size / 1e6:.0f} MB")
    print(f"energy: {result['energy']}; " + ", ".join(f"{v}" for v in result["versions"].values() if v))


def main():
    args = parse_arguments()
    for engine in args.engines + (["pytorch"] if "pytorch" not in args.engines and "fake" not in args.engines else []):
        if engine in args.python:
            continue
        try:
            environments.set_up(engine, say)
        except (RuntimeError, OSError, KeyError) as error:
            say(f"{engine}: {error}")
            args.engines = [e for e in args.engines if e != engine]
    if args.setup:
        return
    try:
        args.held = environments.hold(args.hold)
    except (RuntimeError, OSError) as error:
        sys.exit(f"--hold {args.hold}: {error}")
    results = [run(args, threads) for threads in args.threads]
    for result in results:
        print_result(result)
        if args.ledger:
            from ledger import add_rows

            add_rows(args.ledger, result)
    if args.json:
        partial = args.json.with_name(args.json.name + ".tmp")
        partial.write_text(json.dumps(results, indent=1) + "\n")
        partial.rename(args.json)


if __name__ == "__main__":
    main()
