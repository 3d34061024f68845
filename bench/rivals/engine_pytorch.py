"""PyTorch: transformers' own model with scaled-dot-product attention, in FP32, BF16 and dynamic INT8."""

import torch
import transformers
from padding import padded

FORMS = ["fp32", "bf16", "int8"]


def version():
    return f"PyTorch {torch.__version__.split('+')[0]}"


class Session:
    def __init__(self, form, spec):
        torch.set_num_threads(spec["threads"])
        torch.set_grad_enabled(False)
        model = transformers.AutoModel.from_pretrained(spec["model"]).eval()
        if form == "bf16":
            model = model.to(torch.bfloat16)
        if form == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        self.model = model

    def prepare(self, batch):
        return {name: torch.from_numpy(array) for name, array in padded(batch, False).items()}

    def run(self, inputs):
        return self.model(**inputs, return_dict=False)[0].float().numpy()
