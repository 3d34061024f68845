"""Reads a training run with the real TensorBoard and compares what it shows with train.jsonl of the same folder: every
logged step and score once, with the same value; settings as text.

    python3 -m venv tensorboard && tensorboard/bin/pip install tensorboard 'setuptools<80'
    PENJING_KEEP_RUN=run build/ci/tests/penjing_train_test --gtest_filter=TrainLog.AResumedRunReadsAsOne
    tensorboard/bin/python tools/oracles/event_file_check.py run

That test's run was killed after step 14 and went on from step 10, so that its event files hold steps 11 to 14 twice.
Checked with TensorBoard 2.21."""

import json
import math
import pathlib
import struct
import sys

import tensorboard
from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer

TAGS = {"loss": "train/loss", "learning_rate": "train/learning_rate", "epoch": "train/epoch", "scale": "train/scale",
        "gradient_norm": "train/gradient_norm", "tokens_per_second": "train/tokens_per_second"}


def as_float(value):
    return math.nan if value is None else struct.unpack("f", struct.pack("f", value))[0]


def read_jsonl(folder):
    """-> tag -> [(step, value)], settings or None"""
    wanted, settings = {}, None
    for line in (folder / "train.jsonl").read_text().splitlines():
        line = json.loads(line)
        if line.get("event") == "eval":
            for name, value in line["scores"].items():
                wanted.setdefault(f"eval/{line['split']}/{name}", []).append((line["step"], as_float(value)))
        elif line.get("event") == "settings":
            settings = line["settings"]
        elif "event" not in line:
            for key, tag in TAGS.items():
                if key in line:
                    wanted.setdefault(tag, []).append((line["step"], as_float(line[key])))
    return wanted, settings


def main():
    folder = pathlib.Path(sys.argv[1])
    wanted, settings = read_jsonl(folder)
    faults = []
    # A directory of several files is read in the order of their names, as TensorBoard does.
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    accumulator.Reload()
    found = {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}
    # What the pages of TensorBoard read: every scalar a tensor, with the plugin that draws it.
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0, "text": 0, "histograms": 0})
    multiplexer.AddRun(str(folder), "run").Reload()
    shown = {tag: [(e.step, float(tensorboard.util.tensor_util.make_ndarray(e.tensor_proto))) for e in
                   multiplexer.Tensors("run", tag)] for tag in multiplexer.PluginRunToTagToContent("scalars")["run"]}
    for reader, scalars in (("EventAccumulator", found), ("the pages' reader", shown)):
        for tag in sorted(set(wanted) | set(scalars)):
            if repr(wanted.get(tag)) != repr(scalars.get(tag)):
                faults.append(f"{reader}: {tag}: wanted {wanted.get(tag)}, found {scalars.get(tag)}")
    for tag in accumulator.Tags()["histograms"]:
        for event in accumulator.Histograms(tag):
            if sum(event.histogram_value.bucket) != event.histogram_value.num:
                faults.append(f"{tag}: {event.histogram_value}")
    if settings is not None:
        (event,) = multiplexer.Tensors("run", "settings")
        text = event.tensor_proto.string_val[0].decode()
        faults += [f"settings: no {name} in {text}" for name in settings if f"| {name} |" not in text]
        if "settings" not in multiplexer.PluginRunToTagToContent("text")["run"]:
            faults.append("settings are not under Text")
    print("\n".join(faults))
    if not wanted or faults:
        sys.exit("TensorBoard and train.jsonl differ" if faults else "train.jsonl has no steps")
    print(f"TensorBoard {tensorboard.__version__}: {len(wanted)} tags, {sum(map(len, wanted.values()))} values, the same"
          f" as in train.jsonl; {len(accumulator.Tags()['histograms'])} histograms")


if __name__ == "__main__":
    main()
