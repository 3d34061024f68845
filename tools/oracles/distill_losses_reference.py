#!/usr/bin/env python3
"""Writes tests/data/distill_losses_vectors.json and distill_losses_layers.json: values and gradients of every
distillation loss in PyTorch float64, written from the papers' and the released codes' formulas, example by example and
head by head where the program works on whole batches.

usage: distill_losses_reference.py FOLDER
Needs torch (2.x) and numpy.

Inputs are not stored. Element i of a tensor with seed s is scale * u(s, i) + offset, u = (z / 2^15) - 1 of the upper 16
bits z of splitmix64(s * 2^32 + i): exact in float32. "zero_rows" are rows set to 0, "absent" elements set to -infinity.
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
MASK = (1 << 64) - 1


def draw(seed, count):
    out = np.empty(count)
    for i in range(count):
        z = (((seed << 32) + i) + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out[i] = (z >> 48) / 2.0**15 - 1
    return out


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


# --- pieces -------------------------------------------------------------------------------------------------------

def unit(x, added=0.0):
    """x / |x| of one vector; a vector of no length has no direction and no gradient."""
    length = float(x.detach().pow(2).sum().sqrt())
    return torch.zeros_like(x) if length < 1e-12 else x / (x.pow(2).sum().sqrt() + added)


def units(x, added=0.0):
    return torch.stack([unit(row, added) for row in x])


def log_probabilities(z):
    z = z - z.max()
    return z - torch.exp(z).sum().log()


def kl(teacher, student):
    """of two vectors of logits"""
    p, q = log_probabilities(teacher), log_probabilities(student)
    return sum(p[i].exp() * (p[i] - q[i]) for i in range(len(p)) if float(p[i]) > -1e300)


def cross(teacher, student):
    p, q = log_probabilities(teacher), log_probabilities(student)
    return -sum(p[i].exp() * q[i] for i in range(len(p)))


def rows_of(x):
    return x.reshape(-1, x.shape[-1])


def batch_norm(x, weight, bias):
    columns = []
    for c in range(x.shape[1]):
        v = x[:, c]
        mean = v.mean()
        columns.append((v - mean) / ((v - mean).pow(2).mean() + 1e-5).sqrt() * weight[c] + bias[c])
    return torch.stack(columns, 1)


def smooth(d):
    return torch.where(d.abs() < 1, 0.5 * d * d, d.abs() - 0.5)


# --- one case -----------------------------------------------------------------------------------------------------

class Case:
    def __init__(self, name, loss, params=None, lengths=(), smooth=True, **more):
        self.json = {"name": name, "loss": loss, "params": params or {}, "lengths": list(lengths), "smooth": smooth}
        self.json.update(more)
        self.tensors, self.parameters, self.values = {}, {}, {}
        self.p = params or {}
        self.lengths = list(lengths)
        self.bounds = np.concatenate([[0], np.cumsum(self.lengths)]).astype(int).tolist() if lengths else [0]

    def _make(self, spec):
        n = int(np.prod(spec["shape"]))
        x = torch.tensor(spec.get("scale", 1.0) * draw(spec["seed"], n) + spec.get("offset", 0.0)).reshape(spec["shape"])
        for r in spec.get("zero_rows", []):
            x[r] = 0
        for r, c in spec.get("absent", []):
            x[r, c] = -math.inf
        return x

    def tensor(self, name, shape, seed, **spec):
        self.tensors[name] = dict(shape=list(shape), seed=seed, **spec)
        self.values[name] = self._make(self.tensors[name])
        if name.startswith("student"):
            self.values[name].requires_grad_(True)
        return self

    def both(self, name, student, teacher, seed, equal=False, **spec):
        self.tensor("student." + name, student, seed, **spec)
        return self.tensor("teacher." + name, teacher, seed if equal else seed + 1000, **spec)

    def rows(self, widths, seed, places=1, equal=False, **spec):
        """token rows of `places` places: widths of student and teacher"""
        total = self.bounds[-1]
        for i in range(places):
            self.both(f"{i}.rows", (total, widths[0]), (total, widths[1]), seed + 10 * i, equal, **spec)
        return self

    def scores(self, heads, seed, places=1, equal=False, **spec):
        for i in range(places):
            for k, n in enumerate(self.lengths):
                self.both(f"{i}.scores.{k}", (heads, n, n), (heads, n, n), seed + 10 * i + 100 * k, equal, **spec)
        return self

    def parameter(self, name, shape, seed, scale=0.5, offset=0.0):
        self.parameters[name] = dict(shape=list(shape), seed=seed, scale=scale, offset=offset)
        self.values["parameter." + name] = self._make(self.parameters[name]).requires_grad_(True)
        return self

    def linear(self, name, i, o, seed, bias=True):
        self.parameter(name + ".weight", (o, i), seed)
        return self.parameter(name + ".bias", (o,), seed + 1) if bias else self

    def norm(self, name, width, seed):
        return self.parameter(name + ".weight", (width,), seed, 0.25, 1.0).parameter(name + ".bias", (width,), seed + 1)

    # what formulas read
    def s(self, name):
        return self.values["student." + name]

    def t(self, name):
        return self.values["teacher." + name]

    def w(self, name):
        return self.values["parameter." + name]

    def apply(self, name, x):
        bias = self.values.get(f"parameter.{name}.bias")
        y = x @ self.w(name + ".weight").t()
        return y if bias is None else y + bias

    def sequences(self, x):
        return [x[a:b] for a, b in zip(self.bounds, self.bounds[1:])]

    def finish(self, value):
        value = value if isinstance(value, torch.Tensor) else torch.tensor(float(value))
        leaves = {k: v for k, v in self.values.items() if v.requires_grad}
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True) if value.requires_grad else [None] * len(leaves)
        self.json["tensors"], self.json["parameters"] = self.tensors, self.parameters
        self.json["value"] = float(value.detach())
        self.json["gradients"] = {}
        for (name, leaf), g in zip(leaves.items(), grads):
            if g is None or not bool(g.abs().max() > 0):
                self.json["gradients"][name] = 0
            else:
                assert bool(torch.isfinite(g).all()), (self.json["name"], name)
                self.json["gradients"][name] = [float(f"{v:.10e}") for v in g.flatten().tolist()]
        assert math.isfinite(self.json["value"]), self.json["name"]
        return self.json


L = (4, 1, 3)  # lengths of most cases
T = sum(L)


# --- losses of one vector an example or token ----------------------------------------------------------------------

def pick(c, of, side):
    if of == "logits":
        return side("logits")
    if of == "embeddings":
        return side("embeddings")
    rows = side("0.rows")
    if of == "rows":
        return rows
    parts = c.sequences(rows)
    return torch.stack([p[0] if of == "first" else p.sum(0) / len(p) for p in parts])


def kd(c):
    tau = c.p.get("temperature", 4)
    f = cross if c.p.get("form") == "cross_entropy" else kl
    s, t = c.s("logits"), c.t("logits")
    total = 0
    for a, b in zip(s, t):
        keep = [i for i in range(len(b)) if float(b[i]) > -math.inf]
        total = total + f(b[keep] / tau, a[keep] / tau)
    value = total / len(s)
    if c.p.get("square", True):
        value = value * tau**2
    return value / s.shape[1] if c.p.get("over") == "elements" else value


def mse(c):
    of = c.p.get("of", "rows")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    per_vector = [(a - b).pow(2).sum() for a, b in zip(s, t)]
    value = sum(per_vector) / len(per_vector)
    return value if c.p.get("over") == "vectors" else value / s.shape[1]


def cosine(c):
    of = c.p.get("of", "rows")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    return sum(1 - unit(a) @ unit(b) for a, b in zip(s, t)) / len(s)


def pkd(c):
    value = 0
    for i in range(c.json.get("num_places", 1)):
        firsts = [(a[0], b[0]) for a, b in zip(c.sequences(c.s(f"{i}.rows")), c.sequences(c.t(f"{i}.rows")))]
        if c.p.get("normalise", True):
            firsts = [(unit(a), unit(b)) for a, b in firsts]
        v = sum((a - b).pow(2).sum() for a, b in firsts) / len(firsts)
        value = value + (v if c.p.get("form") == "paper" else v / len(firsts[0][0]))
    return value


def sp(c):
    of = c.p.get("of", "mean")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    b = len(s)
    gs = units(torch.stack([torch.stack([x @ y for y in s]) for x in s]))
    gt = units(torch.stack([torch.stack([x @ y for y in t]) for x in t]))
    return (gs - gt).pow(2).sum() / b**2


def cc(c):
    of = c.p.get("of", "first")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    b = len(s)
    if c.p.get("form") == "paper":
        g, order = c.p.get("gamma", 0.4), c.p.get("order", 2)

        def k(x, y):
            return sum(math.exp(-2 * g) * (2 * g) ** p / math.factorial(p) * (unit(x) @ unit(y)) ** p
                       for p in range(order + 1))
        return sum((k(s[i], s[j]) - k(t[i], t[j])) ** 2 for i in range(b) for j in range(b)) / b**2
    d = (c.apply("0.student", s) - c.apply("0.teacher", t)).abs()
    return sum((d[i] * d[i + 1]).sum() for i in range(b - 1)) / (b - 1) if b > 1 else 0 * d.sum()


def adversarial(c):
    of = c.p.get("of", "first")
    s, t = pick(c, of, c.s), pick(c, of, c.t)

    def told(x, constant):
        weights = {k: (v.detach() if constant else v) for k, v in c.values.items() if k.startswith("parameter.")}
        for name in ("0.inner", "0.outer"):
            w = weights.get(f"parameter.{name}.weight")
            if w is None:
                continue
            x = w @ x + weights[f"parameter.{name}.bias"]
            if name == "0.inner":
                x = torch.where(x > 0, x, 0.2 * x)
        return x[0]

    def minus_log_sigmoid(z):
        return torch.logaddexp(torch.zeros(()), -z)

    value = 0
    for a, b in zip(s, t):
        value = value + minus_log_sigmoid(told(b, False)) + minus_log_sigmoid(-told(a.detach(), False))
        taken = told(a, True)
        value = value + (-minus_log_sigmoid(-taken) if c.p.get("form") == "minimax" else minus_log_sigmoid(taken))
    return value / len(s)


def rkd(c):
    of = c.p.get("of", "first")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    n = len(s)
    paper = c.p.get("form") == "paper"

    def distances(x):
        d = {(i, j): (x[i] - x[j]).pow(2).sum().clamp(min=1e-12).sqrt() for i in range(n) for j in range(n) if i != j}
        mean = sum(d.values()) / len(d)
        return {k: v / mean for k, v in d.items()}

    def angle(x, i, j, k):  # at i
        return unit(x[j] - x[i]) @ unit(x[k] - x[i])
    if n < 2:
        return 0 * s.sum()
    ds, dt = distances(s), distances(t)
    distance = sum(smooth(ds[k] - dt[k]) for k in ds) / (n * (n - 1) if paper else n * n)
    value = c.p.get("distance", 25) * distance
    if n > 2:
        total, count = 0, 0
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    if i != j and i != k and (j != k or not paper):
                        total = total + smooth(angle(s, i, j, k) - angle(t, i, j, k))
                        count += 1
        value = value + c.p.get("angle", 50) * total / (count if paper else n**3)
    return value


def pkt(c):
    of = c.p.get("of", "first")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    n, e = len(s), 1e-7
    paper = c.p.get("form") == "paper"

    def probabilities(x):
        x = units(x, 0 if paper else e)
        rows = []
        for i in range(n):
            r = torch.stack([(x[i] @ x[j] + 1) / 2 * (0 if paper and i == j else 1) for j in range(n)])
            rows.append(r / r.sum())
        return rows
    p, q = probabilities(t), probabilities(s)
    total = sum(p[i][j] * ((p[i][j] + e) / (q[i][j] + e)).log() for i in range(n) for j in range(n)
                if not (paper and i == j))
    return total / n if paper else total / n**2


def crd(c):
    j = c.json
    of = c.p.get("of", "first")
    s, t = pick(c, of, c.s), pick(c, of, c.t)
    tau, count, m = c.p.get("temperature", 0.07), c.p["negatives"], j["num_examples"]
    state = {k: c._make(v) for k, v in j["state"].items() if k != "normalisers"}
    gs, gt = units(c.apply("0.student", s)), units(c.apply("0.teacher", t))
    labels = j.get("example_labels")
    chosen = []
    for e in j["examples"]:
        others = [x for x in range(m)] if c.p.get("candidates") == "all" else [
            x for k in sorted(set(labels)) for x in range(m) if labels[x] == k and k != labels[e]]
        row = [e]
        for i in range(count):
            number = philox((i // 4, e, j["step"], 0), (j["seed"] & 0xFFFFFFFF, j["seed"] >> 32))[i % 4]
            row.append(others[number * len(others) >> 32])
        chosen.append(row)
    value = 0
    paper = c.p.get("form") == "paper"
    for k, (anchor, bank) in enumerate([(gs, state["teacher_bank"]), (gt, state["student_bank"])]):
        h = torch.stack([torch.stack([(anchor[i] @ bank[x] / tau).exp() for x in row]) for i, row in enumerate(chosen)])
        z = j["state"]["normalisers"][k]
        if z < 0:
            z = float(h.detach().mean()) * m
        p, ratio, e = h / z, count / m, 0 if paper else 1e-7
        for i in range(len(p)):
            value = value - (p[i, 0] / (p[i, 0] + ratio + e)).log()
            value = value - sum((ratio / (p[i, x] + ratio + e)).log() for x in range(1, count + 1))
    return value / len(s)


def contrastive(c):
    of = c.p.get("of", "embeddings")
    s, t = units(pick(c, of, c.s)), units(pick(c, of, c.t))
    n, tau, tau_t = len(s), c.p.get("temperature", 0.05), c.p.get("teacher_temperature", 0.05)
    if c.p.get("form") == "teacher":
        return -sum(log_probabilities(torch.stack([s[i] @ t[j] for j in range(n)]) / tau)[i] for i in range(n)) / n
    if n < 3:
        return 0 * s.sum()
    total = 0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        total = total + kl(torch.stack([t[i] @ t[j] for j in others]) / tau_t,
                           torch.stack([s[i] @ s[j] for j in others]) / tau)
    return total / n


def masked_lm(c):
    s, t, labels = c.s("logits"), c.t("logits"), c.json.get("labels")
    f = cross if c.p.get("form") == "cross_entropy" else kl
    rows = range(len(s))
    if c.p.get("positions", "masked") == "masked" and labels is not None:
        rows = [i for i in rows if labels[i] != -100]
    tau, h = c.p.get("temperature", 2), c.p.get("hard_share", 0)
    value = (1 - h) * tau**2 * sum(f(t[i] / tau, s[i] / tau) for i in rows) / len(rows)
    if h:
        value = value - h * sum(log_probabilities(s[i])[labels[i]] for i in rows) / len(rows)
    return value


def margin_mse(c):
    s, t = c.s("logits"), c.t("logits")
    total, count = 0, 0
    for a, b in zip(s, t):
        for i in range(1 if c.p.get("pairs", "first") == "first" else len(a)):
            for j in range(i + 1, len(a)):
                if float(b[i]) > -math.inf and float(b[j]) > -math.inf:
                    total, count = total + ((a[i] - a[j]) - (b[i] - b[j])) ** 2, count + 1
    return total / count


def vector_cases():
    def logits(name, loss, params, shape, seed, f, equal=False, **spec):
        more = {k: spec.pop(k) for k in ("labels", "smooth") if k in spec}
        c = Case(name, loss, params, **more).both("logits", shape, shape, seed, equal, **spec)
        return c.finish(f(c))

    def vectors(name, loss, params, widths, seed, f, of, n=4, equal=False, more=None, learned=None,
                discriminator=None, **spec):
        if of == "embeddings":
            c = Case(name, loss, {**params}, **(more or {})).both("embeddings", (n, widths[0]), (n, widths[1]), seed,
                                                                  equal, **spec)
        else:
            c = Case(name, loss, {**params}, L if n == 4 else (2,) * n, **(more or {})).rows(widths, seed, 1, equal,
                                                                                             **spec)
        if learned:
            c.linear("0.student", widths[0], learned, 61).linear("0.teacher", widths[1], learned, 71)
        if discriminator is not None:
            if discriminator > 0:
                c.linear("0.inner", widths[1], discriminator, 61)
            c.linear("0.outer", discriminator or widths[1], 1, 71)
        return c.finish(f(c))
    absent = [[1, 3], [2, 2], [2, 3]]
    yield logits("kd", "kd", {}, (4, 3), 1, kd, scale=4.0)
    yield logits("kd_tinybert_code", "kd", dict(temperature=1, form="cross_entropy", square=False, over="elements"),
                 (4, 3), 2, kd, scale=4.0)
    yield logits("kd_huge", "kd", dict(temperature=1), (4, 5), 3, kd, scale=512.0)
    yield logits("kd_equal", "kd", dict(temperature=2), (4, 3), 4, kd, equal=True, scale=4.0)
    c = Case("kd_lists", "kd", dict(temperature=1)).tensor("student.logits", (3, 4), 5, scale=4.0)
    yield c.tensor("teacher.logits", (3, 4), 6, scale=4.0, absent=absent).finish(kd(c))
    yield logits("mse_logits", "mse", dict(of="logits", over="vectors"), (4, 3), 7, mse, scale=4.0)
    yield vectors("mse_rows", "mse", {}, (5, 5), 8, mse, "rows")
    yield vectors("mse_first", "mse", dict(of="first"), (5, 5), 9, mse, "first")
    yield vectors("mse_mean", "mse", dict(of="mean", over="vectors"), (5, 5), 10, mse, "mean")
    yield vectors("mse_embeddings", "mse", dict(of="embeddings"), (5, 5), 11, mse, "embeddings")
    yield vectors("mse_equal", "mse", {}, (5, 5), 12, mse, "rows", equal=True)
    yield vectors("cosine_rows", "cosine", {}, (5, 5), 13, cosine, "rows", scale=8.0)
    yield vectors("cosine_zero_rows", "cosine", {}, (5, 5), 14, cosine, "rows", zero_rows=[2, 5], more=dict(smooth=False))
    yield vectors("cosine_embeddings", "cosine", dict(of="embeddings"), (5, 5), 15, cosine, "embeddings")
    yield vectors("cosine_equal", "cosine", {}, (5, 5), 16, cosine, "rows", equal=True)
    yield vectors("pkd_code", "pkd", {}, (5, 5), 17, pkd, "rows")
    yield vectors("pkd_paper", "pkd", dict(form="paper"), (5, 5), 18, pkd, "rows")
    yield vectors("pkd_zero", "pkd", dict(form="paper"), (5, 5), 19, pkd, "rows", zero_rows=[4], more=dict(smooth=False))
    yield vectors("pkd_plain", "pkd", dict(normalise=False), (5, 5), 20, pkd, "rows")
    c = Case("pkd_layers", "pkd", {}, L, num_places=2).rows((5, 5), 21, 2)
    yield c.finish(pkd(c))
    yield vectors("sp_mean", "sp", {}, (5, 6), 22, sp, "mean")
    yield vectors("sp_first", "sp", dict(of="first"), (5, 6), 23, sp, "first", zero_rows=[4], more=dict(smooth=False))
    yield vectors("sp_one", "sp", {}, (5, 6), 24, sp, "mean", n=1)
    yield vectors("sp_equal", "sp", dict(of="embeddings"), (5, 5), 25, sp, "embeddings", equal=True)
    yield vectors("cc_code", "cc", dict(dim=4), (5, 6), 26, cc, "first", learned=4)
    yield vectors("cc_code_one", "cc", dict(dim=4), (5, 6), 27, cc, "first", n=1, learned=4)
    yield vectors("cc_paper", "cc", dict(form="paper", of="embeddings", order=3), (5, 6), 28, cc, "embeddings")
    yield vectors("cc_paper_equal", "cc", dict(form="paper", of="mean"), (5, 5), 29, cc, "mean", equal=True)
    for name, params, of in (("adversarial", dict(hidden=4), "first"), ("adversarial_minimax", dict(form="minimax",
                             of="embeddings", hidden=3), "embeddings"), ("adversarial_linear", dict(of="rows", hidden=0), "rows")):
        h = params["hidden"]
        yield vectors(name, "adversarial", params, (5, 5), 90 + h, adversarial, of, discriminator=h,
                      more=dict(smooth=False))
    yield vectors("rkd_code", "rkd", dict(of="embeddings"), (5, 6), 30, rkd, "embeddings")
    yield vectors("rkd_paper", "rkd", dict(form="paper", of="mean", distance=2, angle=3), (5, 6), 31, rkd, "mean")
    yield vectors("rkd_far", "rkd", {}, (5, 6), 32, rkd, "first", scale=128.0)
    yield vectors("rkd_same_examples", "rkd", dict(of="embeddings"), (5, 6), 33, rkd, "embeddings", zero_rows=[0, 2],
                  more=dict(smooth=False))
    yield vectors("rkd_two", "rkd", {}, (5, 6), 34, rkd, "first", n=2)
    yield vectors("rkd_one", "rkd", {}, (5, 6), 35, rkd, "first", n=1)
    yield vectors("rkd_equal", "rkd", {}, (5, 5), 36, rkd, "first", equal=True)
    yield vectors("pkt_code", "pkt", dict(of="embeddings"), (5, 6), 37, pkt, "embeddings")
    yield vectors("pkt_paper", "pkt", dict(form="paper"), (5, 6), 38, pkt, "first")
    yield vectors("pkt_zero", "pkt", dict(of="embeddings"), (5, 6), 39, pkt, "embeddings", zero_rows=[1],
                  more=dict(smooth=False))
    yield vectors("pkt_equal", "pkt", {}, (5, 5), 40, pkt, "first", equal=True)
    bank = dict(student_bank=dict(shape=[7, 4], seed=81, scale=0.5), teacher_bank=dict(shape=[7, 4], seed=82, scale=0.5))
    base = dict(num_examples=7, examples=[5, 0, 3], seed=0x1234500000007, step=11)
    classes = [0, 1, 2, 1, 0, 2, 1]
    yield vectors("crd_code", "crd", dict(dim=4, negatives=6), (5, 6), 41, crd, "first", learned=4,
                  more=dict(base, example_labels=classes, state=dict(bank, normalisers=[5.5, 6.5])))
    yield vectors("crd_first_batch", "crd", dict(dim=4, negatives=5, candidates="all", temperature=0.5), (5, 6), 42, crd,
                  "first", learned=4, more=dict(base, state=dict(bank, normalisers=[-1, -1])))
    yield vectors("crd_paper", "crd", dict(form="paper", dim=4, negatives=9, of="mean", temperature=0.25), (5, 6), 43, crd,
                  "mean", learned=4, more=dict(base, example_labels=classes, state=dict(bank, normalisers=[1, 1])))
    yield vectors("contrastive", "contrastive", {}, (5, 6), 44, contrastive, "embeddings")
    yield vectors("contrastive_mean", "contrastive", dict(of="mean", temperature=0.5, teacher_temperature=0.25), (5, 6),
                  45, contrastive, "mean")
    yield vectors("contrastive_teacher", "contrastive", dict(form="teacher"), (5, 5), 46, contrastive, "embeddings")
    yield vectors("contrastive_two", "contrastive", {}, (5, 6), 47, contrastive, "embeddings", n=2)
    yield vectors("contrastive_equal", "contrastive", {}, (5, 5), 48, contrastive, "embeddings", equal=True)
    yield logits("masked_lm", "masked_lm", {}, (5, 7), 49, masked_lm, scale=4.0, labels=[3, -100, 6, 0, -100])
    yield logits("masked_lm_mobilebert", "masked_lm", dict(temperature=1, hard_share=0.5, form="cross_entropy"), (5, 7),
                 50, masked_lm, scale=4.0, labels=[3, -100, 6, 0, 1])
    yield logits("masked_lm_all", "masked_lm", dict(positions="all"), (5, 7), 51, masked_lm, scale=4.0,
                 labels=[3, -100, 6, 0, 1])
    yield logits("masked_lm_huge", "masked_lm", {}, (3, 9), 52, masked_lm, scale=256.0)
    yield logits("margin_mse", "margin_mse", {}, (4, 3), 53, margin_mse, scale=4.0)
    yield logits("margin_mse_equal", "margin_mse", {}, (4, 3), 54, margin_mse, equal=True, scale=4.0)
    c = Case("margin_mse_absent", "margin_mse", dict(pairs="all")).tensor("student.logits", (3, 4), 55, scale=4.0)
    yield c.tensor("teacher.logits", (3, 4), 56, scale=4.0, absent=absent).finish(margin_mse(c))


# --- losses of matched layers ---------------------------------------------------------------------------------------

def layers(c, f):
    return sum(f(c, i) for i in range(c.json["num_places"]))


def fitnet(c, i):
    y, t = c.apply(f"{i}.regressor", c.s(f"{i}.rows")), c.t(f"{i}.rows")
    if c.p.get("form") == "paper":
        return sum(0.5 * (a - b).pow(2).sum() for a, b in zip(y, t)) / len(y)
    y = batch_norm(y, c.w(f"{i}.norm.weight"), c.w(f"{i}.norm.bias"))
    if c.p.get("relu", True):
        y = torch.where(y > 0, y, torch.zeros_like(y))
    return (y - t).pow(2).sum() / y.numel()


def attention_maps(x, power=2):
    return unit(x.abs().pow(power).sum(1) / x.shape[1])


def at(c, i):
    p = c.p.get("power", 2)
    maps = [(attention_maps(a, p), attention_maps(b, p))
            for a, b in zip(c.sequences(c.s(f"{i}.rows")), c.sequences(c.t(f"{i}.rows")))]
    if c.p.get("form") == "paper":
        return sum(0.5 * torch.linalg.norm(a - b) for a, b in maps) / len(maps)
    return sum((a - b).pow(2).sum() for a, b in maps) / c.bounds[-1]


def vid(c, i):
    x = c.s(f"{i}.rows")
    for k in range(3):
        x = c.apply(f"{i}.regressor.{k}", x)
        x = torch.where(x > 0, x, torch.zeros_like(x)) if k < 2 else x
    v = torch.log(1 + torch.exp(c.w(f"{i}.scale"))) + c.p.get("epsilon", 1e-5)
    t = c.t(f"{i}.rows")
    return sum(0.5 * ((x[a, b] - t[a, b]) ** 2 / v[b] + torch.log(v[b]))
               for a in range(x.shape[0]) for b in range(x.shape[1])) / x.numel()


def ab(c, i):
    s, t, m = c.s(f"{i}.rows"), c.t(f"{i}.rows"), c.p.get("margin", 1)
    if f"{i}.connector.weight" in c.parameters:
        s = c.apply(f"{i}.connector", s)
    if f"{i}.norm.weight" in c.parameters:
        s = batch_norm(s, c.w(f"{i}.norm.weight"), c.w(f"{i}.norm.bias"))
    total = 0
    for x, y in zip(s.flatten(), t.flatten()):
        if float(y) <= 0 and float(x) > -m:
            total = total + (x + m) ** 2
        if float(y) > 0 and float(x) <= m:
            total = total + (x - m) ** 2
    total = total * 2.0 ** (i - c.json["num_places"] + 1)
    return total / s.numel() if c.p.get("over") == "elements" else total / len(c.lengths) / 1000 * 3


def ofd(c, i):
    s, t = c.apply(f"{i}.connector", c.s(f"{i}.rows")), c.t(f"{i}.rows")
    if c.p.get("norm", True):
        s = batch_norm(s, c.w(f"{i}.norm.weight"), c.w(f"{i}.norm.bias"))
    total = 0
    for k in range(t.shape[1]):
        column = t[:, k].tolist()
        if c.p.get("margin", "mean") == "mean":
            negative = [x for x in column if x < 0]
            margin = sum(negative) / len(negative) if negative else 0.0
        else:
            mean = sum(column) / len(column)
            std = math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))
            cdf = 0.5 * (1 + math.erf(-mean / std / math.sqrt(2)))
            margin = -std * math.exp(-((mean / std) ** 2) / 2) / math.sqrt(2 * math.pi) / cdf + mean if cdf > 1e-3 else -3 * std
        for a in range(t.shape[0]):
            goal = max(float(t[a, k]), margin)
            if float(s[a, k]) > goal or goal > 0:
                total = total + (s[a, k] - goal) ** 2
    total = total / 2 ** (c.json["num_places"] - i - 1)
    return total / s.numel() if c.p.get("over") == "elements" else total / len(c.lengths) / 1000


def ft(c, i):
    def conv(name, x):
        if c.p.get("kernel", "3") == "1":
            return c.apply(name, x)
        w, n = c.w(name + ".weight"), x.shape[1]
        zero = torch.zeros_like(x[:1])
        before, after = torch.cat([zero, x[:-1]]), torch.cat([x[1:], zero])
        return before @ w[:, :n].t() + x @ w[:, n:2 * n].t() + after @ w[:, 2 * n:].t() + c.w(name + ".bias")

    def run(name, x):
        for k in range(3):
            x = torch.cat([conv(f"{i}.{name}.{k}", p) for p in c.sequences(x)])
            if f"{i}.{name}.{k}.norm.weight" in c.parameters:
                x = batch_norm(x, c.w(f"{i}.{name}.{k}.norm.weight"), c.w(f"{i}.{name}.{k}.norm.bias"))
            x = torch.where(x > 0, x, 0.1 * x)
        return x
    t = c.t(f"{i}.rows")
    goal = run("paraphraser.encoder", t)
    if c.json["progress"] < c.p.get("paraphraser", 0.1):
        return (run("paraphraser.decoder", goal) - t).pow(2).sum() / t.numel()
    goal, factor = c.sequences(goal.detach()), c.sequences(run("translator", c.s(f"{i}.rows")))
    if c.p.get("form") == "paper":
        return sum((unit(a.flatten()) - unit(b.flatten())).abs().sum() for a, b in zip(factor, goal)) / len(goal)
    return sum((attention_maps(a) - attention_maps(b)).abs().sum() for a, b in zip(factor, goal)) / c.bounds[-1]


def fsp(c):
    value = 0
    for i in range(c.json["num_places"] - 1):
        def flow(side, k):
            x, y = c.sequences(side(f"{i}.rows"))[k], c.sequences(side(f"{i + 1}.rows"))[k]
            return sum(torch.outer(a, b) for a, b in zip(x, y)) / len(x)
        for k in range(len(c.lengths)):
            d = flow(c.s, k) - flow(c.t, k)
            value = value + d.pow(2).sum() / d.numel() / len(c.lengths)
    return value


def nst(c, i):
    value = 0
    for s, t in zip(c.sequences(c.s(f"{i}.rows")), c.sequences(c.t(f"{i}.rows"))):
        if c.p.get("form") == "gram":
            d = s @ s.t() / s.shape[1] - t @ t.t() / t.shape[1]
            value = value + d.pow(2).sum() / sum(n * n for n in c.lengths)
            continue
        a, b = [unit(x) for x in s.t()], [unit(x) for x in t.t()]

        def mean(x, y):
            return sum((p @ q) ** 2 for p in x for q in y) / (len(x) * len(y))
        value = value + (mean(b, b) + mean(a, a) - 2 * mean(a, b)) / len(c.lengths)
    return value


def attention_mse(c, i):
    value, heads = 0, c.json["heads"][0]
    for k in range(len(c.lengths)):
        s, t = c.s(f"{i}.scores.{k}"), c.t(f"{i}.scores.{k}")
        if c.p.get("of") == "attention":
            s, t = (torch.stack([log_probabilities(r).exp() for r in rows_of(x)]) for x in (s, t))
        elif c.p.get("form") == "code":
            s, t = (torch.where(x <= -100, torch.zeros_like(x), x) for x in (s, t))
        value = value + (s - t).pow(2).sum()
    return value / heads / sum(n * n for n in c.lengths)


def attention_kl(c, i):
    f = cross if c.p.get("form") == "cross_entropy" else kl
    value = 0
    for k in range(len(c.lengths)):
        for a, b in zip(rows_of(c.s(f"{i}.scores.{k}")), rows_of(c.t(f"{i}.scores.{k}"))):
            value = value + f(b, a)
    return value / c.json["heads"][0] / c.bounds[-1]


def minilm(c, i):
    value = 0
    for name in c.p.get("relations", ["query", "key", "value"]):
        left, right = ("query", "key") if name == "attention" else (name, name)
        heads = c.p.get("relation_heads", 0) or c.json["heads"][0]
        for k in range(len(c.lengths)):
            def logits(side):
                x, y = c.sequences(side(f"{i}.{left}"))[k], c.sequences(side(f"{i}.{right}"))[k]
                d = x.shape[1] // heads
                return [x[:, h * d:(h + 1) * d] @ y[:, h * d:(h + 1) * d].t() / math.sqrt(d) for h in range(heads)]
            for a, b in zip(logits(c.s), logits(c.t)):
                value = value + sum(kl(q, p) for p, q in zip(a, b)) / heads / c.bounds[-1]
    return value


def feature_map(c, i):
    s, n = c.s(f"{i}.rows"), c.json["num_places"]

    def layer_norm(x):
        return torch.stack([(r - r.mean()) / ((r - r.mean()).pow(2).mean() + 1e-12).sqrt() for r in x])

    def variance(x):
        return torch.stack([(r - r.mean()).pow(2).mean() for r in x])
    others = [c.t(f"{k}.rows") for k in range(n)] if c.p.get("form") == "released" else [c.t(f"{i}.rows")]
    means = sum((s.mean(1) - t.mean(1)).pow(2).mean() for t in others) / len(others)
    variances = sum((variance(s) - variance(t)).abs().mean() for t in others) / len(others)
    feature = (layer_norm(s) - layer_norm(c.t(f"{i}.rows"))).pow(2).mean()
    return c.p.get("feature", 100) * feature + c.p.get("mean", 5000) * means + c.p.get("variance", 5) * variances


def layer_cases():
    def case(name, loss, params, f, widths=(5, 6), seed=1, places=1, equal=False, learned=None, lengths=L, **spec):
        more = {k: spec.pop(k) for k in ("smooth", "progress") if k in spec}
        c = Case(name, loss, params, lengths, num_places=places, **more).rows(widths, seed, places, equal, **spec)
        if learned:
            for i in range(places):
                learned(c, i)
        return c.finish(f(c) if f is fsp else layers(c, f))

    def scores(name, loss, params, f, heads=2, seed=1, equal=False, lengths=(3, 1, 2), **spec):
        c = Case(name, loss, params, lengths, num_places=1, heads=[heads, heads]).scores(heads, seed, 1, equal, **spec)
        return c.finish(layers(c, f))

    def relations(name, params, names, widths, heads, seed, equal=False, lengths=(3, 1, 2), **spec):
        c = Case(name, "minilm", params, lengths, num_places=1, heads=heads)
        for k, part in enumerate(names):
            c.both(f"0.{part}", (sum(lengths), widths[0]), (sum(lengths), widths[1]), seed + k, equal, **spec)
        return c.finish(layers(c, minilm))

    def hint(c, i):
        c.linear(f"{i}.regressor", 5, 6, 100 + 10 * i)
        if c.p.get("form") != "paper":
            c.norm(f"{i}.norm", 6, 105 + 10 * i)

    def connector(norm, bias=True, widths=(5, 6)):
        def add(c, i):
            c.linear(f"{i}.connector", widths[0], widths[1], 110 + 10 * i, bias)
            if norm:
                c.norm(f"{i}.norm", widths[1], 115 + 10 * i)
        return add

    def regressors(c, i):
        for k, n in enumerate((5, 6, 6)):
            c.linear(f"{i}.regressor.{k}", n, 6, 120 + 10 * i + k, False)
        c.parameter(f"{i}.scale", (6,), 129 + 10 * i, 0.5, 1.0)

    def factors(norm, kernel=3):
        def add(c, i):
            seed = 140
            for name, widths in (("paraphraser.encoder", (4, 4, 2, 2)), ("paraphraser.decoder", (2, 2, 4, 4)),
                                 ("translator", (3, 3, 2, 2))):
                for k in range(3):
                    c.linear(f"{i}.{name}.{k}", widths[k] * kernel, widths[k + 1], seed)
                    if norm and name == "translator":
                        c.norm(f"{i}.{name}.{k}.norm", widths[k + 1], seed + 2)
                    seed += 4
        return add
    yield case("fitnet_code", "fitnet", {}, fitnet, seed=1, places=2, learned=hint)
    yield case("fitnet_signed", "fitnet", dict(relu=False), fitnet, seed=2, learned=hint)
    yield case("fitnet_paper", "fitnet", dict(form="paper"), fitnet, seed=3, learned=hint)
    yield case("at_code", "at", {}, at, seed=4, places=2)
    yield case("at_paper", "at", dict(form="paper", power=3), at, seed=5, lengths=(4, 2, 3))
    yield case("at_zero_sequence", "at", {}, at, seed=6, zero_rows=[4], smooth=False)
    yield case("at_equal", "at", {}, at, (5, 5), seed=7, equal=True)
    yield case("at_paper_equal", "at", dict(form="paper"), at, (5, 5), seed=8, equal=True, smooth=False)
    yield case("vid", "vid", {}, vid, seed=9, places=2, learned=regressors)
    yield case("ab_equal_widths", "ab", {}, ab, (5, 5), seed=10, places=2, scale=2.0)
    yield case("ab_connector", "ab", {}, ab, seed=11, places=1, scale=2.0, learned=connector(True))
    yield case("ab_elements", "ab", dict(over="elements", connector="linear", margin=0.5), ab, seed=12, scale=2.0,
               learned=connector(False))
    yield case("ofd_code", "ofd", {}, ofd, seed=13, places=2, learned=connector(True, False))
    yield case("ofd_gaussian", "ofd", dict(margin="gaussian", over="elements", norm=False), ofd, seed=14, offset=0.25,
               learned=connector(False, False))
    yield case("ofd_no_negatives", "ofd", dict(norm=False), ofd, seed=15, offset=1.5, learned=connector(False, False))
    yield case("ofd_gaussian_positive", "ofd", dict(margin="gaussian", norm=False), ofd, seed=16, offset=4.0,
               learned=connector(False, False))
    yield case("ft_code", "ft", {}, ft, (3, 4), seed=17, progress=0.5, learned=factors(True))
    yield case("ft_paraphraser", "ft", {}, ft, (3, 4), seed=18, progress=0.05, learned=factors(True))
    yield case("ft_paper", "ft", dict(form="paper", kernel="1", norm=False), ft, (3, 4), seed=19, progress=0.5,
               learned=factors(False, 1))
    yield case("fsp", "fsp", {}, fsp, (4, 4), seed=20, places=3)
    yield case("fsp_equal", "fsp", {}, fsp, (4, 4), seed=21, places=2, equal=True)
    yield case("nst_code", "nst", {}, nst, seed=22)
    yield case("nst_gram", "nst", dict(form="gram"), nst, seed=23)
    yield case("nst_zero", "nst", {}, nst, seed=24, zero_rows=[4], smooth=False)
    yield case("nst_equal", "nst", {}, nst, (5, 5), seed=25, equal=True)
    yield scores("attention_mse_scores", "attention_mse", {}, attention_mse, seed=26, scale=4.0)
    yield scores("attention_mse_code", "attention_mse", dict(form="code"), attention_mse, seed=27, scale=256.0)
    yield scores("attention_mse_after", "attention_mse", dict(of="attention"), attention_mse, seed=28, scale=4.0)
    yield scores("attention_kl", "attention_kl", {}, attention_kl, seed=29, scale=4.0)
    yield scores("attention_kl_code", "attention_kl", dict(form="cross_entropy"), attention_kl, seed=30, scale=4.0)
    yield scores("attention_kl_huge", "attention_kl", {}, attention_kl, seed=31, scale=512.0)
    yield scores("attention_kl_equal", "attention_kl", {}, attention_kl, seed=32, equal=True, scale=4.0)
    yield relations("minilm_v2", dict(relation_heads=2), ("query", "key", "value"), (4, 8), [1, 4], 33, scale=2.0)
    yield relations("minilm_v1", dict(relations=["attention", "value"]), ("query", "key", "value"), (4, 8), [2, 2], 36,
                    scale=2.0)
    yield relations("minilm_equal", {}, ("query", "key", "value"), (4, 4), [2, 2], 40, equal=True)
    yield case("feature_map_paper", "feature_map", {}, feature_map, (5, 5), seed=44, places=2)
    yield case("feature_map_released", "feature_map", dict(form="released", mean=50, feature=1), feature_map, (5, 5),
               seed=45, places=3)
    yield case("feature_map_constant_row", "feature_map", {}, feature_map, (5, 5), seed=46, zero_rows=[2], smooth=False)
    yield case("feature_map_equal", "feature_map", {}, feature_map, (5, 5), seed=47, equal=True, smooth=False)


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if sys.argv[-1] in ("-h", "--help") else 2)
    for name, cases in (("vectors", vector_cases), ("layers", layer_cases)):
        path = pathlib.Path(sys.argv[1]) / f"distill_losses_{name}.json"
        lines = [json.dumps(case, separators=(",", ":")) for case in cases()]
        path.write_text('{"cases":[\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
        print(path, len(lines), "cases", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
