"""DeepSparse 1.8.0 (at end of life, kept as the mark for sparse models). It compiles a graph for one shape."""

import os
import shutil
import tempfile

import deepsparse
import numpy
from padding import padded

FORMS = ["fp32"]


def version():
    return f"DeepSparse {deepsparse.__version__}"


class Session:
    def __init__(self, form, spec):
        self.path, self.threads = os.path.join(spec["files"], "model.onnx"), spec["threads"]
        self.engines = {}

    def prepare(self, batch):
        arrays = padded(batch, True)
        shape = arrays["input_ids"].shape
        if shape not in self.engines:
            names = deepsparse.utils.get_input_names(self.path)
            # It writes the shapes into the file that it is given.
            with tempfile.TemporaryDirectory() as folder:
                own = shutil.copy(self.path, folder)
                self.engines[shape] = (names, deepsparse.Engine(own, batch_size=shape[0], num_cores=self.threads,
                                                                input_shapes=[list(shape)] * len(names)))
        names, engine = self.engines[shape]
        return engine, [numpy.ascontiguousarray(arrays[name]) for name in names]

    def run(self, inputs):
        engine, arrays = inputs
        return engine.run(arrays, val_inp=False)[0]
