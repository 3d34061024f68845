"""OpenVINO: FP32, its BF16 inference precision, and INT8 by NNCF's post-training quantization for transformers."""

import os
import pathlib

import openvino
from padding import padded

FORMS = ["fp32", "bf16", "int8"]


def version():
    return f"OpenVINO {openvino.__version__.split('-')[0]}"


def quantized(model, spec):
    path = pathlib.Path(spec["files"]) / "openvino-int8.xml"
    if not path.exists():
        import nncf

        with_types = "token_type_ids" in [i.get_any_name() for i in model.inputs]
        texts = [padded([ids], with_types) for ids in spec["calibration"]]
        better = nncf.quantize(model, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts))
        partial = path.with_name(f"tmp{os.getpid()}.xml")
        openvino.save_model(better, partial, compress_to_fp16=False)
        partial.with_suffix(".bin").rename(path.with_suffix(".bin"))
        partial.rename(path)
    return openvino.Core().read_model(path)


class Session:
    def __init__(self, form, spec):
        core = openvino.Core()
        if form == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeError("the CPU has no BF16")
        model = core.read_model(pathlib.Path(spec["files"]) / "model.onnx")
        if form == "int8":
            model = quantized(model, spec)
        self.with_types = "token_type_ids" in [i.get_any_name() for i in model.inputs]
        # OpenVINO may choose BF16 by itself: FP32 has to be said.
        self.model = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": spec["threads"],
                                                       "PERFORMANCE_HINT": "LATENCY",
                                                       "INFERENCE_PRECISION_HINT": "bf16" if form == "bf16" else "f32"})

    def prepare(self, batch):
        return padded(batch, self.with_types)

    def run(self, inputs):
        return self.model(inputs)[0]
