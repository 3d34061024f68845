#!/usr/bin/env python3
"""Fits the constants of src/kernels/pointwise (exp and erf polynomials) and prints them with their error.

erf(x), x >= 0: s = min(4 x, 15.49), i = round(s), t = s - i: a polynomial of degree 5 in t for each i, minimax in
absolute error; odd for i = 0, so that erf(0) is 0 (beyond 15.49 / 4, erf is 1 to 4.4e-8).
2^t = C(t) on |t| <= 1/2, C of degree 3, minimax in relative error: for probabilities that are kept in eight bits.
exp(r) = 1 + r + r^2 E(r) on |r| <= ln(2)/2, E of degree 4, minimax in relative error.
Each is a linear least-squares fit on Chebyshev nodes, reweighted towards the minimax solution (Lawson's algorithm).
Needs numpy."""
import math
import numpy as np


def lawson(columns, target, weight, rounds=200):
    """Minimises max |weight * (columns @ c - target)|."""
    w = np.ones(len(target))
    for _ in range(rounds):
        s = np.sqrt(w) * weight
        c, *_ = np.linalg.lstsq(columns * s[:, None], target * s, rcond=None)
        e = np.abs(weight * (columns @ c - target))
        w = w * (e + e.max() * 1e-3)
        w /= w.sum()
    return c


def nodes(lo, hi, n):
    return (lo + hi) / 2 + (hi - lo) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)


def fit_erf_interval(i):
    t = nodes(-0.5 if i else 0.0, 0.5 if i < 15 else 0.49, 1000)
    powers = range(6) if i else (1, 3, 5)
    y = np.array([math.erf((v + i) / 4) for v in t])
    c = np.zeros(6)
    c[list(powers)] = lawson(np.array([t**p for p in powers]).T, y, np.ones(len(t)))
    return c


def fit_exp2():
    t = nodes(-0.5, 0.5, 2000)
    return lawson(np.array([t**p for p in range(4)]).T, 2**t, 2**-t)


def fit_exp():
    r = nodes(-math.log(2) / 2 * 1.001, math.log(2) / 2 * 1.001, 2000)
    columns = np.array([r ** (i + 2) for i in range(5)]).T
    return lawson(columns, np.expm1(r) - r, np.exp(-r))


def show(name, c, error):
    print(f"{name}:", ", ".join(f"{v:.9e}f" for v in c))
    print(f"  max error with float32 constants, exact arithmetic: {error:.2e}")


def main():
    rounded = lambda c: [float(np.float32(v)) for v in c]
    value = lambda c, t: sum(v * t**i for i, v in enumerate(rounded(c)))
    table = [fit_erf_interval(i) for i in range(16)]
    worst = 0
    for i, c in enumerate(table):
        t = np.linspace(-0.5 if i else 0.0, 0.5 if i < 15 else 0.49, 5001)
        worst = max(worst, np.abs(value(c, t) - np.array([math.erf((v + i) / 4) for v in t])).max())
    for power in range(6):
        show(f"erf, t^{power}", [c[power] for c in table], worst)
    c = fit_exp2()
    t = np.linspace(-0.5, 0.5, 20001)
    show("exp2 C", c, np.abs(value(c, t) / 2**t - 1).max())
    c = fit_exp()
    r = np.linspace(-math.log(2) / 2, math.log(2) / 2, 20001)
    show("exp E", c, np.abs((1 + r + r * r * value(c, r)) / np.exp(r) - 1).max())


if __name__ == "__main__":
    main()
