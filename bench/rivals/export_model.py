"""Runs in PyTorch's environment: MODEL as ONNX (opset 17, names and dynamic axes as Optimum has them) and as a
CTranslate2 model, in OUT. usage: export_model.py MODEL OUT"""

import json
import pathlib
import sys
import tempfile

import torch
import transformers


def with_defaults(source, work):
    """A view of the folder whose config.json says what CTranslate2's converter asks and transformers 5 leaves out."""
    for path in pathlib.Path(source).iterdir():
        if path.name != "config.json":
            (pathlib.Path(work) / path.name).symlink_to(path.resolve())
    config = json.loads((pathlib.Path(source) / "config.json").read_text())
    config.setdefault("position_embedding_type", "absolute")
    (pathlib.Path(work) / "config.json").write_text(json.dumps(config))
    return work


def main():
    source, out = sys.argv[1], pathlib.Path(sys.argv[2])
    model = transformers.AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask"]
    if model.config.model_type == "bert":
        names.append("token_type_ids")

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *inputs):
            return self.model(**dict(zip(names, inputs)), return_dict=False)[0]

    path = out / "model.onnx"
    if not path.exists():
        partial = out / "partial.onnx"
        inputs = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
        axes = {name: {0: "batch", 1: "sequence"} for name in names + ["last_hidden_state"]}
        torch.onnx.export(Encoder(), inputs, str(partial), input_names=names, output_names=["last_hidden_state"],
                          dynamic_axes=axes, opset_version=17, dynamo=False)
        partial.rename(path)
    folder = out / "ctranslate2"
    if not folder.exists():
        import ctranslate2

        partial = out / "partial.ctranslate2"
        try:
            with tempfile.TemporaryDirectory() as work:
                ctranslate2.converters.TransformersConverter(with_defaults(source, work)).convert(str(partial), force=True)
            partial.rename(folder)
        except Exception as error:  # the other engines can still be measured
            print(f"CTranslate2 cannot convert it: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
