#!/usr/bin/env python3
"""Fits the constants of src/kernels/pointwise (exp and erf polynomials) and prints them with their error.

|x| < 1:   erf(x) = x P(x^2), P of degree 6, minimax in relative error.
|x| >= 1:  erf(x) = sign(x) (1 - exp(G(min(|x|, 4)))), G of degree 8 fitted to log(erfc), minimax in absolute error
           of erf (beyond 4, erf is 1 to 1.6e-8).
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


def fit_erf_small():
    x = nodes(0.0, 1.0, 2000)
    t = x * x
    y = np.array([math.erf(v) / v for v in x])
    return lawson(np.array([t**i for i in range(7)]).T, y, 1 / y)


def fit_erf_large():
    a = nodes(1.0, 4.0, 3000)
    y = np.array([math.log(math.erfc(v)) for v in a])
    return lawson(np.array([a**i for i in range(9)]).T, y, np.exp(y))


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
    c = fit_erf_small()
    x = np.linspace(0, 1, 20001)
    show("erf P", c, np.abs(x * value(c, x * x) - np.array([math.erf(v) for v in x])).max())
    c = fit_erf_large()
    x = np.linspace(1, 4, 20001)
    show("erf G", c, np.abs(1 - np.exp(value(c, x)) - np.array([math.erf(v) for v in x])).max())
    c = fit_exp()
    r = np.linspace(-math.log(2) / 2, math.log(2) / 2, 20001)
    show("exp E", c, np.abs((1 + r + r * r * value(c, r)) / np.exp(r) - 1).max())


if __name__ == "__main__":
    main()
