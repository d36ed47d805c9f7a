#!/usr/bin/env python3
"""Holds `nightlight evaluate scores` against scikit-learn and scipy on random score files, through the command line.

usage: NIGHTLIGHT=target/release/nightlight evaluation.py [--seed 1] [--files 40] [--big 1000000]   (needs scikit-learn, scipy, pyarrow)

Each file has a shape of its own: ties, scores of 0 and 1 only, one class, scores outside 0..=1, weights, clusters; as CSV, JSON lines or Parquet. Every
metric must agree to 1e-9, be null where scikit-learn has nothing to say, and bootstrap replicates must agree with scikit-learn's metrics of the same
drawn clusters. Bad files (NaN, wrong labels, missing columns) must end with exit code 2 and name the line. A metric that is computed wrongly on
purpose must be noticed. Prints one line of JSON for each kind of file, with the largest difference.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile
import warnings

import numpy as np
import pyarrow
import pyarrow.parquet
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

TOLERANCE = 1e-9
NIGHTLIGHT = os.environ.get("NIGHTLIGHT", "target/release/nightlight")


def draw(rng, shape, n):
    """Scores, labels, weights or none, groups or none."""
    labels = rng.random(n) < rng.uniform(0.02, 0.6)
    scores = np.where(labels, rng.beta(3, 1.5, n), rng.beta(1.5, 4, n))
    weights = groups = None
    if shape == "ties":
        scores = np.round(scores, 1)
    elif shape == "float32":
        scores = scores.astype(np.float32).astype(np.float64)
    elif shape == "zeros_and_ones":
        scores = np.round(scores)
    elif shape == "all_equal":
        scores = np.full(n, 0.25)
    elif shape == "positives_only":
        labels[:] = True
    elif shape == "negatives_only":
        labels[:] = False
    elif shape == "logits":
        scores = scores * 12 - 6
    elif shape == "edges":
        # Exactly the edges of the calibration bins, and their neighbours.
        edges = np.linspace(0, 1, 16)
        scores = rng.choice(np.concatenate([edges, np.nextafter(edges, 2)[:-1], np.nextafter(edges, -1)[1:]]), n)
    elif shape == "weights":
        weights = rng.exponential(1, n) * (rng.random(n) > 0.1)
        scores = np.round(scores, 2)
    elif shape == "clusters":
        groups = rng.integers(0, max(2, n // 4), n)
    elif shape == "weighted_clusters":
        weights, groups = rng.uniform(0.1, 5, n), rng.integers(0, max(2, n // 3), n)
        scores = np.round(scores, 2)
    return scores, labels, weights, groups


SHAPES = ["plain", "ties", "float32", "zeros_and_ones", "all_equal", "positives_only", "negatives_only", "logits", "edges", "weights", "clusters",
          "weighted_clusters"]


def write(path, scores, labels, weights, groups):
    n = len(scores)
    columns = {"id": [f"i{at}" for at in range(n)], "score": scores.tolist(), "label": [int(label) for label in labels]}
    if weights is not None:
        columns["weight"] = weights.tolist()
    if groups is not None:
        columns["group"] = [f"group {group}" for group in groups]
    if path.suffix == ".parquet":
        columns["label"] = [bool(label) for label in labels]
        pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=max(1, n // 3))
        return
    with path.open("w") as file:
        if path.suffix == ".csv":
            print(*columns, sep=",", file=file)
            file.writelines(",".join(map(str, row)) + "\n" for row in zip(*columns.values()))
        else:
            file.writelines(json.dumps(dict(zip(columns, row))) + "\n" for row in zip(*columns.values()))


def ours(path, *words):
    ran = subprocess.run([NIGHTLIGHT, "evaluate", "scores", "--scores", str(path), "--json", *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def sklearn_metrics(scores, labels, weights, thresholds):
    """What scikit-learn says; None where it has nothing to say."""
    found, y = {}, labels.astype(int)
    mass = np.ones(len(y)) if weights is None else weights
    both = mass[labels].sum() > 0 and mass[~labels].sum() > 0
    found["auroc"] = metrics.roc_auc_score(y, scores, sample_weight=weights) if both else None
    found["average_precision"] = metrics.average_precision_score(y, scores, sample_weight=weights) if mass[labels].sum() > 0 else None
    probabilities = scores.min() >= 0 and scores.max() <= 1
    found["brier"] = metrics.brier_score_loss(y, scores, sample_weight=weights, pos_label=1) if probabilities else None
    found["log_loss"] = metrics.log_loss(y, scores, sample_weight=weights, labels=[0, 1]) if probabilities else None
    if probabilities and weights is None:
        shares, means = calibration_curve(y, scores, n_bins=15)
        bins = np.searchsorted(np.linspace(0, 1, 16)[1:-1], scores)
        counts = np.bincount(bins, minlength=15)
        found["ece"] = float(np.sum(counts[counts > 0] / len(y) * np.abs(shares - means)))
    for threshold in thresholds:
        flagged = scores >= threshold
        some = mass[flagged].sum() > 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[f"precision@{threshold}"] = metrics.precision_score(y, flagged, sample_weight=weights) if some else None
            found[f"recall@{threshold}"] = metrics.recall_score(y, flagged, sample_weight=weights) if mass[labels].sum() > 0 else None
            negatives = mass[~labels].sum()
            found[f"fpr@{threshold}"] = float(mass[flagged & ~labels].sum() / negatives) if negatives > 0 else None
            defined = mass[flagged | labels].sum() > 0
            for beta, name in ((1, "f1"), (0.5, "f0_5"), (2, "f2")):
                found[f"{name}@{threshold}"] = metrics.fbeta_score(y, flagged, beta=beta, sample_weight=weights) if defined else None
    return found


def clopper_pearson(k, n, confidence=0.95):
    if n == 0:
        return None
    half = (1 - confidence) / 2
    return [0.0 if k == 0 else stats.beta.ppf(half, k, n - k + 1), 1.0 if k == n else stats.beta.ppf(1 - half, k + 1, n - k)]


def difference(name, left, right):
    if left is None or right is None:
        assert left is None and right is None, f"{name}: ours {left}, theirs {right}"
        return 0.0
    return abs(left - right)


def compare(json_, theirs, worst):
    at = {point["threshold"]: point for point in json_["at"]}
    for name, right in theirs.items():
        metric, _, threshold = name.partition("@")
        left = at[float(threshold)][metric] if threshold else json_[metric]
        worst[metric] = max(worst.get(metric, 0.0), difference(name, left, right))


def intervals(json_, worst):
    """Clopper-Pearson and Wilson, by scipy."""
    for point in json_["at"]:
        if point["interval_method"] != "clopper-pearson":
            continue
        for metric, k, n in (("precision", point["tp"], point["tp"] + point["fp"]), ("recall", point["tp"], point["tp"] + point["fn"]),
                             ("fpr", point["fp"], point["fp"] + point["tn"])):
            exact = clopper_pearson(k, n)
            if exact is None:
                assert point[f"{metric}_interval"] is None
                continue
            wilson = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
            for name, left, right in (("clopper_pearson", point[f"{metric}_interval"], exact), ("wilson", point["wilson"][metric], wilson)):
                worst[name] = max(worst.get(name, 0.0), *(abs(a - b) for a, b in zip(left, right)))


def replicates(folder, path, words, data, thresholds, worst):
    """Every replicate against scikit-learn's metrics of the clusters that it drew."""
    scores, labels, weights, groups = data
    ours(path, *words, "--bootstrap", "4", "--replicates", str(folder / "drawn"))
    lines = [json.loads(line) for line in (folder / "drawn/replicates.jsonl").read_text().splitlines()]
    drawn = np.fromfile(folder / "drawn/drawn.u8", np.uint8).reshape(len(lines), -1)
    codes = np.arange(len(scores)) if groups is None else np.unique(groups, return_inverse=True)[1]
    if groups is not None:
        # Groups are numbered by first appearance.
        first = np.full(codes.max() + 1, len(codes))
        np.minimum.at(first, codes, np.arange(len(codes)))
        codes = np.argsort(np.argsort(first))[codes]
    for counts, line in zip(drawn, lines):
        assert counts.sum() == len(counts), "as many draws as clusters"
        mass = counts[codes].astype(float) * (1 if weights is None else weights)
        if mass.sum() == 0:
            continue
        theirs = sklearn_metrics(scores, labels, mass, thresholds)
        for metric in ("auroc", "average_precision", "brier", "log_loss"):
            worst["replicate"] = max(worst.get("replicate", 0.0), difference(metric, line[metric], theirs[metric]))
        for (tp, fp), threshold in zip(line["at"], thresholds):
            flagged = scores >= threshold
            expected = (mass[flagged & labels].sum(), mass[flagged & ~labels].sum())
            worst["replicate"] = max(worst["replicate"], abs(tp - expected[0]), abs(fp - expected[1]))


BAD = {
    "score,label\n0.1,1\nnan,0\n": "line 3", "score,label\n0.1,1\n0.2,2\n": "line 3", "score,label\n0.1,1,4\n": "line 2", "score,truth\n1,1\n": "label",
    "": "empty", "score,label\ninf,1\n": "line 2", "score,label,weight\n1,1,-1\n": "line 2", "score,label\n0.1,\n": "line 2",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=40, help="of each shape")
    parser.add_argument("--big", type=int, default=1_000_000, help="rows of one large file of each of a few shapes; 0 for none")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for shape in SHAPES + ["big_ties", "big_clusters", "big_float32"]:
            worst, big = {}, shape.startswith("big_")
            if big and not options.big:
                continue
            for number in range(1 if big else options.files):
                n = options.big if big else int(math.exp(rng.uniform(math.log(2), math.log(5000))))
                data = draw(rng, shape.removeprefix("big_"), n)
                scores, labels, weights, groups = data
                path = folder / f"s{rng.choice(['.csv', '.jsonl', '.parquet'])}"
                write(path, *data)
                thresholds = sorted({float(value) for value in rng.choice(scores, 2)} | {float(scores.max()) + 1})
                words = [word for threshold in thresholds for word in ("--threshold", repr(threshold))]
                words += ["--weight-column", "weight"] if weights is not None else []
                words += ["--group-column", "group"] if groups is not None else []
                theirs = sklearn_metrics(scores, labels, weights, thresholds)
                found = ours(path, *words, "--bootstrap", "0")
                assert found["n"] == n and found["positives"] == labels.sum()
                compare(found, theirs, worst)
                intervals(found, worst)
                if number < 5:
                    replicates(folder, path, words, data, thresholds, worst)
            failed |= max(worst.values()) > TOLERANCE
            print(json.dumps({"files": shape, "worst": max(worst.values()), "by": {k: float(f"{v:.2g}") for k, v in worst.items()}}), flush=True)
        for text, expected in BAD.items():
            path = folder / "bad.csv"
            path.write_text(text)
            words = ["--weight-column", "weight"] if "weight" in text else []
            ran = subprocess.run([NIGHTLIGHT, "evaluate", "scores", "--scores", str(path), "--json", *words], capture_output=True, text=True)
            assert ran.returncode == 2 and expected in ran.stderr, (text, ran.returncode, ran.stderr)
        print(json.dumps({"files": "bad", "count": len(BAD), "refused": len(BAD)}))
        # A check that cannot fail is none: ties counted for the positive, as a naive rank sum does.
        scores, labels, weights, groups = draw(rng, "ties", 1000)
        write(folder / "ties.csv", scores, labels, None, None)
        naive = float(np.mean(scores[labels][:, None] >= scores[~labels][None, :]))
        seen = abs(ours(folder / "ties.csv", "--bootstrap", "0")["auroc"] - naive) > TOLERANCE
        print(json.dumps({"wrong_twin": "ties counted whole", "noticed": bool(seen)}))
        failed |= not seen
    if failed:
        raise SystemExit("differences above the tolerance")


if __name__ == "__main__":
    main()
