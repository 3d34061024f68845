"""CTranslate2: INT8, FP32 and, where it can, BF16. It takes texts of several lengths without padding."""

import ctranslate2
import numpy

FORMS = ["int8", "float32", "bfloat16"]


def version():
    return f"CTranslate2 {ctranslate2.__version__}"


class Session:
    def __init__(self, form, spec):
        if form not in ctranslate2.get_supported_compute_types("cpu"):
            raise RuntimeError("not supported on this CPU")
        self.encoder = ctranslate2.Encoder(spec["files"] + "/ctranslate2", device="cpu", compute_type=form,
                                           intra_threads=spec["threads"], inter_threads=1)

    def prepare(self, batch):
        return batch

    def run(self, inputs):
        return numpy.array(self.encoder.forward_batch(inputs).last_hidden_state)
