"""Exact resume of `penjing finetune`, in miniature: a BERT of two layers on real sentences of SST-2 (on made ones where
the data are absent). Killed with SIGKILL at random moments and resumed, it gives the same bytes as the run that went
through; SIGTERM leaves a checkpoint; a full disk leaves the last good one; a damaged one is passed over; a run is not
resumed with other settings."""

import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kill_test import WORDS, write_model
from program import SOURCE, program

POINTS = 20
STEPS = 75  # of 100 examples, 4 a step, three times
OPTIONS = {"--epochs": "3", "--batch-size": "4", "--learning-rate": "1e-3", "--eval-steps": "10", "--average": "0.9",
           "--save-steps": "2", "--seed": "5", "--limit": "100", "--threads": "1"}


def write_data(folder):
    data = pathlib.Path(os.environ.get("PENJING_DATA", SOURCE / ".." / "shared" / "data")) / "glue-sst2"
    folder.mkdir()
    source = random.Random(1)
    for name, count in (("train", 100), ("dev", 40)):
        file = data / f"{name}.tsv"
        if file.exists():
            lines = file.read_text().splitlines()[1 : count + 1]
        else:
            lines = [" ".join(source.choices(WORDS, k=12)) + f"\t{source.randrange(2)}" for _ in range(count)]
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(line + "\n" for line in lines))


class Work:
    def __init__(self, folder):
        self.folder = folder
        write_model(folder / "model")
        # Of single letters too, so that real words are pieces and not all unknown.
        words = (folder / "model" / "vocab.txt").read_text().split()
        write_data(folder / "data")
        letters = "abcdefghijklmnopqrstuvwxyz"
        more = [word for word in (*letters, *("##" + letter for letter in letters)) if word not in words]
        widen(folder / "model", words, more)

    def command(self, out, *more):
        flags, rest = [word for word in more if word == "--resume"], [word for word in more if word != "--resume"]
        options = OPTIONS | dict(zip(rest[::2], rest[1::2]))
        return [str(program()), "finetune", str(self.folder / "model"), "--task", "sst2", "--data",
                str(self.folder / "data"), "--out", str(out), "--keep-best", "--quiet", *flags,
                *(word for pair in options.items() for word in pair)]

    def finish(self, out, *more, status=0, before=None):
        done = subprocess.run(self.command(out, *more), capture_output=True, text=True, preexec_fn=before)
        if done.returncode != status:
            sys.exit(f"{' '.join(map(str, done.args))}: exit status {done.returncode}, wanted {status}\n"
                     f"{done.stdout}{done.stderr}")
        return done.stderr

    def clear(self, out):
        for path in (out, training(out)):
            shutil.rmtree(path, ignore_errors=True)


def widen(model, words, more):
    """Gives the model's vocabulary the words `more`."""
    import array
    from program import write_safetensors
    source = random.Random(4)
    data = (model / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        shape, values = entry["shape"], data[8 + length + begin : 8 + length + end]
        if name == "embeddings.word_embeddings.weight":
            values += array.array("f", [source.gauss(0, 0.05) for _ in range(len(more) * shape[1])]).tobytes()
            shape = [shape[0] + len(more), shape[1]]
        tensors[name] = (shape, values)
    write_safetensors(model / "model.safetensors", tensors)
    (model / "vocab.txt").write_text("".join(word + "\n" for word in words + more))
    config = json.loads((model / "config.json").read_text())
    config["vocab_size"] = len(words) + len(more)
    (model / "config.json").write_text(json.dumps(config))


def training(out):
    return pathlib.Path(str(out) + ".training")


def checkpoints(out):
    found = [p for p in training(out).glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("checkpoint-")))


def digest(out):
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def newest(out):
    """Step of the newest checkpoint."""
    found = checkpoints(out)
    return int(found[-1].name.removeprefix("checkpoint-")) if found else 0


def stop_at(work, out, step, delay, how, *more):
    """Begins or resumes, waits for a checkpoint of that step or later, then a little, and sends the signal `how`."""
    process = subprocess.Popen(work.command(out, "--resume", *more), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while newest(out) < step and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(how)
    return process.wait()


def killed(work, wanted, points):
    """One run, killed again and again: in its start, in steps, in scoring, in the writing of checkpoints."""
    source = random.Random(7)
    out = work.folder / "killed"
    kills, places = 0, set()
    for step in sorted(source.randrange(STEPS - 6) for _ in range(points)):
        kills += stop_at(work, out, step, source.random() * 0.04, signal.SIGKILL) == -signal.SIGKILL
        places.add(newest(out))
        if out.exists():
            break
    if not out.exists():
        work.finish(out, "--resume")
    if digest(out) != wanted:
        sys.exit("killed and resumed: other weights than those of the run that was not")
    leftovers = [str(p) for p in (*training(out).rglob("*.tmp-*"), *training(out).glob("removed-*"))]
    if leftovers:
        sys.exit(f"left over: {leftovers}")
    if kills < points * 3 // 4 or len(places) < points // 3:
        sys.exit(f"{kills} of {points} were killed, with {len(places)} different checkpoints: too few")
    return f"{kills} killed, resumed from {len(places)} places"


def terminated(work, wanted):
    """SIGTERM leaves a checkpoint of the step that it came in."""
    out = work.folder / "terminated"
    stopped = []
    for step in (20, 40):
        status = stop_at(work, out, step, 0.01, signal.SIGTERM, "--save-steps", "20")
        if status == 130:
            stopped.append(newest(out))
        elif status != 0:
            sys.exit(f"SIGTERM: exit status {status}, wanted 130")
    if not out.exists():
        work.finish(out, "--resume", "--save-steps", "20")
    if digest(out) != wanted:
        sys.exit("stopped by SIGTERM and resumed: other weights")
    if not any(step % 20 for step in stopped):
        sys.exit(f"SIGTERM left no checkpoint of its own: {stopped}")
    return f"stopped by SIGTERM at steps {stopped}"


def begun(work, out):
    """A run that was killed with two checkpoints behind it."""
    work.clear(out)
    stop_at(work, out, 4, 0, signal.SIGKILL)
    if out.exists() or len(checkpoints(out)) < 2:
        sys.exit("the run ended before it could be killed")


def full_disk(work, wanted):
    out = work.folder / "full"
    begun(work, out)
    before = {p.name: (p / "trainer_state.json").read_text() for p in checkpoints(out)}

    def limit():  # a file may grow to 100 kB, less than the weights: what a full disk does to a write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    os.environ["PENJING_RUNS"] = str(work.folder / "full.sqlite")  # a ledger of many runs is larger than that
    said = work.finish(out, "--resume", status=6, before=limit)
    if "model.safetensors" not in said:
        sys.exit(f"full disk: {said}")
    after = {p.name: (p / "trainer_state.json").read_text() for p in checkpoints(out)}
    if after != before:
        sys.exit(f"full disk: checkpoints {sorted(before)} became {sorted(after)}")
    work.finish(out, "--resume")
    if digest(out) != wanted:
        sys.exit("after a full disk: other weights")
    # A folder that cannot be made: its parent is a file.
    (work.folder / "file").write_text("")
    work.finish(work.folder / "file" / "out", status=6)


def damaged(work, wanted):
    """Each part of a checkpoint: tests/train/checkpoint_test.cc."""
    out = work.folder / "damaged"
    begun(work, out)
    part = checkpoints(out)[-1] / "optimizer.safetensors"
    data = bytearray(part.read_bytes())
    data[-5] ^= 1
    part.write_bytes(data)
    said = work.finish(out, "--resume", "--keep", "1")
    if "cannot be used" not in said or part.name not in said:
        sys.exit(f"damaged {part}: no warning in: {said}")
    if digest(out) != wanted:
        sys.exit("damaged checkpoint: other weights")
    shutil.rmtree(out)
    for checkpoint in checkpoints(out):
        (checkpoint / "model.safetensors").write_text("")
    said = work.finish(out, "--resume", status=4)
    if "can be read" not in said:
        sys.exit(f"all damaged: {said}")


def refused(work):
    out = work.folder / "refused"
    begun(work, out)
    if "--resume goes on" not in work.finish(out, status=2):
        sys.exit("a begun run was begun again without --resume")
    for option, value, name in (("--seed", "6", "seed"), ("--max-length", "9", "tokens_sha256"),
                                ("--label-smoothing", "0.1", "label_smoothing")):
        said = work.finish(out, "--resume", option, value, status=2)
        if "other settings" not in said or name not in said:
            sys.exit(f"{option} {value}: {said}")


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    with tempfile.TemporaryDirectory() as folder:
        work = Work(pathlib.Path(folder))
        begin = time.monotonic()
        work.finish(work.folder / "whole")
        wanted = digest(work.folder / "whole")
        work.finish(work.folder / "other", "--seed", "6")
        if digest(work.folder / "other") == wanted:
            sys.exit("the seed changes nothing")
        told = [killed(work, wanted, points), terminated(work, wanted)]
        full_disk(work, wanted)
        damaged(work, wanted)
        refused(work)
        print(f"{'; '.join(told)}; all weights equal ({time.monotonic() - begin:.0f} s)")


if __name__ == "__main__":
    main()
