"""ONNX Runtime: the plain export and the one after its own transformer fusions, FP32 and dynamic INT8."""

import json
import os
import pathlib

import onnxruntime
from padding import padded

FORMS = ["fp32", "fp32-fused", "int8", "int8-fused"]


def version():
    return f"ONNX Runtime {onnxruntime.__version__}"


def has_vnni():
    held = os.environ.get("PENJING_HOLD")  # /proc/cpuinfo does not know of it
    return held != "avx2" if held else "avx512_vnni" in pathlib.Path("/proc/cpuinfo").read_text()


def make_once(path, make):
    if not path.exists():
        partial = path.with_suffix(f".tmp{os.getpid()}.onnx")
        make(partial)
        partial.rename(path)
    return path


def file_of(form, spec):
    files = pathlib.Path(spec["files"])
    plain = files / "model.onnx"
    config = json.loads((pathlib.Path(spec["model"]) / "config.json").read_text())

    def fuse(path):
        from onnxruntime.transformers import optimizer

        optimizer.optimize_model(str(plain), model_type="bert", num_heads=config["num_attention_heads"],
                                 hidden_size=config["hidden_size"], opt_level=0, use_gpu=False
                                 ).save_model_to_file(str(path))

    def quantize(source):
        def make(path):
            from onnxruntime.quantization import QuantType, quantize_dynamic

            # Without VNNI its 16-bit sums saturate, so it advises 7 bits there.
            quantize_dynamic(str(source), str(path), weight_type=QuantType.QInt8, per_channel=True,
                             reduce_range=not has_vnni(), extra_options={"DefaultTensorType": 1})
        return make

    if form == "fp32":
        return plain
    bits = 8 if has_vnni() else 7
    if form == "int8":
        return make_once(files / f"ort-int{bits}.onnx", quantize(plain))
    fused = make_once(files / "ort-fused.onnx", fuse)
    return fused if form == "fp32-fused" else make_once(files / f"ort-fused-int{bits}.onnx", quantize(fused))


class Session:
    def __init__(self, form, spec):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = spec["threads"]
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(file_of(form, spec)), options, providers=["CPUExecutionProvider"])
        self.with_types = "token_type_ids" in [i.name for i in self.session.get_inputs()]

    def prepare(self, batch):
        return padded(batch, self.with_types)

    def run(self, inputs):
        return self.session.run(None, inputs)[0]
