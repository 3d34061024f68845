#!/usr/bin/env python3
"""Writes tests/data/metrics_reference.json: scores of random and degenerate inputs by scikit-learn, SciPy, seqeval
and trec_eval.

usage: metrics_reference.py OUT.json
Needs numpy, scipy, scikit-learn, seqeval, pytrec_eval (PyPI: pytrec-eval-terrier has it built).
"""

import json
import sys
import warnings

import numpy as np
import pytrec_eval
import scipy
import scipy.stats
import seqeval.metrics.sequence_labeling as seqeval
import sklearn
from sklearn import metrics

warnings.filterwarnings("ignore")


def labels(rng, count, classes, noise):
    truth = rng.integers(0, classes, count)
    predicted = np.where(rng.random(count) < noise, rng.integers(0, classes, count), truth)
    return truth.tolist(), predicted.tolist()


def retrieval_case(rng, corpus, retrieved, share):
    """A ranking of some of a corpus, judged in grades 0 to 3; relevant documents may be missing from it."""
    grades = np.where(rng.random(corpus) < share, rng.integers(1, 4, corpus), 0)
    order = rng.permutation(corpus)[:retrieved]
    judged = {"q": {f"d{i:04}": int(g) for i, g in enumerate(grades)}}

    def measure(order):
        run = {"q": {f"d{d:04}": float(len(order) - rank) for rank, d in enumerate(order)}}
        return pytrec_eval.RelevanceEvaluator(
            judged, {"ndcg_cut.10", "recip_rank", "map", "recall.10,100"}).evaluate(run)["q"]

    whole = measure(order)
    return {"ranked": grades[order].tolist(), "all": grades[grades > 0].tolist(), "ndcg_10": whole["ndcg_cut_10"],
            "mrr_10": measure(order[:10])["recip_rank"], "map": whole["map"], "recall_10": whole["recall_10"],
            "recall_100": whole["recall_100"]}


def main():
    rng = np.random.default_rng(7)
    cases = [labels(rng, int(rng.integers(1, 60)), int(rng.integers(1, 6)), rng.random()) for _ in range(60)]
    cases += [([0], [0]), ([0, 0], [0, 0]), ([0, 0], [1, 1]), ([1, 1, 1], [1, 1, 1]), ([0, 1], [1, 0]), ([3, 3], [3, 5])]
    classification = []
    for truth, predicted in cases:
        classification.append({
            "truth": truth, "predicted": predicted, "accuracy": metrics.accuracy_score(truth, predicted),
            "binary_f1": metrics.f1_score(truth, predicted, labels=[1], average="macro", zero_division=0),
            "macro_f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
            "matthews": metrics.matthews_corrcoef(truth, predicted)})
    ranking = []
    for _ in range(40):
        relevance = (rng.random(int(rng.integers(2, 30))) < 0.3).astype(float) * rng.integers(1, 3)
        scores = np.linspace(1, 0, len(relevance))
        k = int(rng.integers(1, 12))
        entry = {"ranked": relevance.tolist(), "k": k,
                 "ndcg": float(metrics.ndcg_score([relevance], [scores], k=k)) if relevance.any() else 0.0,
                 "average_precision": float(metrics.average_precision_score(relevance > 0, scores))
                 if relevance.any() else 0.0}
        ranking.append(entry)
    retrieval = [retrieval_case(rng, int(rng.integers(5, 160)), 5, rng.random()) for _ in range(10)]
    for _ in range(40):
        corpus = int(rng.integers(2, 160))
        retrieval.append(retrieval_case(rng, corpus, int(rng.integers(1, corpus + 1)), rng.random() ** 2))
    retrieval += [retrieval_case(rng, 1, 1, 1.0), retrieval_case(rng, 30, 30, 1.0), retrieval_case(rng, 150, 1, 0.5)]
    retrieval = [case for case in retrieval if case["all"]]
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "PER"]
    spans = []
    for _ in range(60):
        line = [tags[i] for i in rng.choice(len(tags) - 1, int(rng.integers(1, 12)))]
        spans.append({"tags": line, "spans": [[t, b, e + 1] for t, b, e in seqeval.get_entities(line)]})
    correlation = []
    for _ in range(40):
        n = int(rng.integers(3, 40))
        x, y = rng.integers(0, 8, n).astype(float), rng.normal(size=n) + rng.integers(0, 2)
        x[0] += 1
        correlation.append({"x": x.tolist(), "y": y.tolist(), "pearson": scipy.stats.pearsonr(x, y).statistic,
                            "spearman": scipy.stats.spearmanr(x, y).statistic})
    with open(sys.argv[1], "w") as file:
        json.dump({"versions": f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, seqeval 1.2.2",
                   "classification": classification, "ranking": ranking, "retrieval": retrieval, "spans": spans, "correlation": correlation},
                  file)
        file.write("\n")


if __name__ == "__main__":
    main()
