#!/usr/bin/env python3
"""Fits the constants of src/kernels/pointwise (exp polynomial, erf rational) and prints them with their error.

erf(x) = x P(x^2) / Q(x^2) on |x| <= 4 (beyond, erf is 1 to 1.6e-8), P of degree 6, Q of degree 4, Q(0) = 1:
linearised least squares on Chebyshev nodes, reweighted towards the minimax solution (Lawson), relative error.
exp(r) = 1 + r + r^2 E(r) on |r| <= ln(2)/2, E of degree 4, the same way. Errors are of the float32 programs.
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


def fit_erf():
    x = nodes(1e-3, 4.0, 2000)
    t = x * x
    y = np.array([math.erf(v) for v in x])
    q = np.ones_like(x)
    for _ in range(30):  # Sanathanan-Koerner: divide by the last denominator
        columns = np.concatenate([[x * t**i for i in range(7)], [-y * t**i for i in range(1, 5)]]).T
        c = lawson(columns, y, 1 / (q * y), 60)
        q = 1 + sum(c[7 + i] * t ** (i + 1) for i in range(4))
    return c[:7], np.concatenate([[1.0], c[7:]])


def fit_exp():
    r = nodes(-math.log(2) / 2 * 1.001, math.log(2) / 2 * 1.001, 2000)
    columns = np.array([r ** (i + 2) for i in range(5)]).T
    return lawson(columns, np.expm1(r) - r, np.exp(-r))


def main():
    p, q = fit_erf()
    f = np.float32
    x = np.linspace(-4, 4, 400001).astype(f)
    t = x * x
    def horner(c):
        s = np.full_like(t, f(c[-1]))
        for v in c[-2::-1]:
            s = (s * t + f(v)).astype(f)
        return s
    e = x * horner(p) / horner(q) - np.array([math.erf(float(v)) for v in x])
    print("erf P:", ", ".join(f"{v:.9e}f" for v in p))
    print("erf Q:", ", ".join(f"{v:.9e}f" for v in q))
    print("erf max abs error in float32 (no FMA):", np.abs(e).max())
    c = fit_exp()
    r = np.linspace(-math.log(2) / 2, math.log(2) / 2, 200001)
    print("exp E:", ", ".join(f"{v:.9e}f" for v in c))
    approx = 1 + r + sum(float(f(c[i])) * r ** (i + 2) for i in range(5))
    print("exp relative error in exact arithmetic:", np.abs(approx / np.exp(r) - 1).max())


if __name__ == "__main__":
    main()
