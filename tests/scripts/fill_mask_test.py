"""The five best words of BERT-base for ten prompts are those of transformers (tools/oracles/fill_mask_reference.py)."""

import json
import sys

from program import SOURCE, require_model, run


def main():
    reference = json.loads((SOURCE / "tests" / "data" / "fill_mask_bert_base.json").read_text())
    model = require_model("bert-base")
    wrong = 0
    for prompt in reference["prompts"]:
        answer = json.loads(run("fill-mask", model, prompt["text"], "--top-k", 5, "--json"))
        found = [entry["token_str"].strip() for entry in answer]
        scores = [entry["score"] for entry in answer]
        difference = max(abs(a - b) for a, b in zip(scores, prompt["scores"]))
        print(f"{prompt['text']} {found} scores within {difference:.1e}")
        # Scores are probabilities of 1e-3 to 0.9 from logits of about 10 that carry errors of 1e-5.
        if found != prompt["tokens"] or len(scores) != 5 or not difference <= 1e-4:
            print(f"  wanted {prompt['tokens']} {prompt['scores']}")
            wrong += 1
    if wrong:
        sys.exit(f"{wrong} prompts differ")


if __name__ == "__main__":
    main()
