#!/usr/bin/env python3
"""Writes tests/data/bilstm_reference.json: PyTorch's nn.LSTM (float64) on a small BiLSTM classifier, for single texts and, siamese, for
pairs, of the last states or by attention over all: weights, states of every token, logits, and the gradient of a sum of
products of the logits with fixed numbers.

usage: bilstm_reference.py FOLDER
Needs torch (2.x)."""

import json
import pathlib
import sys

import torch

VOCAB, WIDTH, SIZE, DENSE, CLASSES, ATTENTION = 11, 5, 3, 4, 3, 5
SINGLES = [[2, 5, 3], [2, 10, 9, 8, 1, 3], [7], [2, 4, 4, 3]]
PAIRS = [([2, 5, 6, 3], [7, 3]), ([2, 9, 3], [1, 8, 10, 4, 3]), ([2, 3], [6, 3])]
torch.set_default_dtype(torch.float64)


def draw(*shape):
    """Multiples of 2^-10 in [-1, 1): exact in any format that a test could use."""
    return torch.randint(-1024, 1024, shape).double() / 1024


def flat(tensor):
    return tensor.detach().reshape(-1).tolist()


def case(siamese, attends, examples):
    lstm = torch.nn.LSTM(WIDTH, SIZE, bidirectional=True, batch_first=True)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(draw(*parameter.shape))
    words = draw(VOCAB, WIDTH).requires_grad_()
    dense = torch.nn.Linear((8 if siamese else 2) * SIZE, DENSE)
    classifier = torch.nn.Linear(DENSE, CLASSES)
    attention, score = torch.nn.Linear(2 * SIZE, ATTENTION), torch.nn.Linear(ATTENTION, 1, bias=False)
    layers = {"dense": dense, "classifier": classifier}
    if attends:
        layers |= {"pooling.attention": attention, "pooling.score": score}
    with torch.no_grad():
        for layer in layers.values():
            for parameter in layer.parameters():
                parameter.copy_(draw(*parameter.shape))

    def text(ids):
        y, (h, _) = lstm(words[ids].unsqueeze(0))
        if attends:
            weights = torch.softmax(score(torch.tanh(attention(y[0]))).squeeze(1), 0)
            return y[0], (weights.unsqueeze(1) * y[0]).sum(0)
        return y[0], torch.cat([h[0, 0], h[1, 0]])

    states, logits = [], []
    for example in examples:
        if siamese:
            (y1, h1), (y2, h2) = text(example[0]), text(example[1])
            states += [y1, y2]
            h = torch.cat([h1, h2, (h1 - h2).abs(), h1 * h2])
        else:
            y, h = text(example)
            states.append(y)
        logits.append(classifier(torch.relu(dense(h))))
    logits = torch.stack(logits)
    weights = draw(*logits.shape)
    (logits * weights).sum().backward()
    biases = {d: getattr(lstm, f"bias_ih_l0{s}") + getattr(lstm, f"bias_hh_l0{s}") for d, s in
              (("forward", ""), ("backward", "_reverse"))}
    tensors = {"embeddings.word_embeddings.weight": words}
    for name, layer in layers.items():
        tensors |= {f"{name}.{part}": parameter for part, parameter in layer.named_parameters()}
    gradients = {name: tensor.grad for name, tensor in tensors.items()}
    for direction, suffix in (("forward", ""), ("backward", "_reverse")):
        for name, own in (("input", "weight_ih_l0"), ("hidden", "weight_hh_l0")):
            parameter = getattr(lstm, own + suffix)
            tensors[f"encoder.{direction}.{name}.weight"] = parameter
            gradients[f"encoder.{direction}.{name}.weight"] = parameter.grad
        tensors[f"encoder.{direction}.input.bias"] = biases[direction]
        gradients[f"encoder.{direction}.input.bias"] = getattr(lstm, f"bias_ih_l0{suffix}").grad
    return {"siamese": siamese, "attends": attends, "examples": examples, "tensors": {n: flat(t) for n, t in tensors.items()},
            "gradients": {n: flat(g) for n, g in gradients.items()}, "weights": flat(weights), "logits": flat(logits),
            "states": flat(torch.cat(states))}


def main():
    torch.manual_seed(5)
    sizes = {"vocab": VOCAB, "width": WIDTH, "size": SIZE, "dense": DENSE, "classes": CLASSES, "attention": ATTENTION}
    cases = [case(siamese, attends, PAIRS if siamese else SINGLES) for attends in (False, True) for siamese in (False, True)]
    path = pathlib.Path(sys.argv[1]) / "bilstm_reference.json"
    path.write_text(json.dumps({"sizes": sizes, "cases": cases}, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
