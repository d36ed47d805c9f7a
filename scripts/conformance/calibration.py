#!/usr/bin/env python3
"""Holds `nightlight calibrate` and `nightlight plan` against scikit-learn, scipy and MAPIE on seeded random score files, through the command line.

usage: NIGHTLIGHT=target/release/nightlight calibration.py [--count 120] [--seed 1] [--large 1000000]   (needs numpy, scipy, scikit-learn, mapie)

Compared: Platt's map to 1e-4 and the isotonic map to 1e-9 in probability; Clopper-Pearson intervals of recall to 1e-9; with MAPIE's candidates, sequence and
p-values the threshold (equal); with exact p-values (never higher); the search's own claim against a slow walk in Python with scipy's tails; sample sizes against
scipy. Files are CSV, JSON lines and Parquet, of many sizes and shapes: ties, 0/1 scores, float32, one class, weights, large. Bad ones
(NaN, infinity, words, missing columns) have to end with exit code 2 and the line. Exit 1 when anything differs.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from scipy.stats import beta, binom
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

warnings.filterwarnings("ignore")
failures = collections.Counter()
checks = collections.Counter()


def check(what, good, detail=""):
    checks[what] += 1
    if not good:
        failures[what] += 1
        if failures[what] <= 5:
            print(f"DIFFERS: {what}: {detail}")


def run(binary, folder, *arguments):
    command = [binary, "--data-dir", str(folder / "data"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"XDG_RUNTIME_DIR": "/tmp"})


def calibrate(binary, folder, *arguments):
    done = run(binary, folder, "calibrate", "--json", *arguments)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"exit {done.returncode}: {done.stderr}")
    document = json.loads(done.stdout)
    check("exit code", done.returncode == (0 if document["certified"] else 3), (done.returncode, document["certified"]))
    return document


def sample(rng, kind, n):
    """Scores and labels of one of ten kinds."""
    label = (rng.uniform(size=n) < rng.choice([0.02, 0.1, 0.3, 0.5, 0.9])).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=n) + rng.choice([1, 3, 5]) * label - 2)))
    match kind:
        case "ties":
            score = np.round(score, 1)
        case "decisions":
            score = (score > 0.4).astype(float)
        case "f32":
            score = score.astype(np.float32).astype(float)
        case "saturated":
            score = np.minimum(score * 1.4, 1.0)
        case "six digits":
            score = np.round(score, 6)
        case "useless":
            score = rng.uniform(size=n)
        case "noise":
            label = np.where((label == 1) & (rng.uniform(size=n) < 0.025), 0, label)
        case "all positive":
            label = np.ones(n, int)
        case "all negative":
            label = np.zeros(n, int)
        case "logits":
            score = 40 * rng.normal(size=n) + 60 * label
    return score, label


KINDS = ["good", "ties", "decisions", "f32", "saturated", "six digits", "useless", "noise", "all positive", "all negative", "logits"]


def write(file, score, label, weight=None):
    rows = list(zip(score.tolist(), label.tolist(), (weight if weight is not None else np.ones(len(score))).tolist()))
    if file.suffix == ".csv":
        file.write_text("id,score,label,weight\n" + "".join(f"{i},{s!r},{y},{w!r}\n" for i, (s, y, w) in enumerate(rows)))
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps({"id": str(i), "score": s, "label": y, "weight": w}) + "\n" for i, (s, y, w) in enumerate(rows)))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"score": score, "label": label, "weight": weight if weight is not None else np.ones(len(score))}), file)


def search(score, label, alpha, delta):
    """The documented search, slowly: every start for itself, every distinct score tested with scipy's tail."""
    n = len(score)
    size = lambda delta: math.ceil(round(math.log(delta) / math.log1p(-alpha), 9))
    first, only = size(delta / 2), size(delta)
    if first <= n:
        ranks = []
        while (rank := math.ceil(first * 2 ** (len(ranks) / 2))) < n:
            ranks.append(rank)
        starts = ranks + [n, 0]
    elif only <= n:
        starts = [only]
    else:
        return None
    shares = [delta] if len(starts) == 1 else [delta / 2] + [delta / 2 / (len(starts) - 1)] * (len(starts) - 1)
    order = np.argsort(-score, kind="stable")
    score, wrong = score[order], 1 - label[order]
    values, begin = np.unique(-score, return_index=True)
    cuts = [(begin[j], -values[j]) for j in range(len(values))]
    if score.min() >= 0 and score.max() <= 1:
        cuts.append((n, None))
    flagged = np.array([cut[0] for cut in cuts])
    errors = np.concatenate([[0], np.cumsum(wrong)])[flagged]
    p = np.where(flagged > 0, binom.cdf(errors, np.maximum(flagged, 1), alpha), 1.0)
    best = None
    for start, share in zip(starts, shares):
        if start == 0:
            at = 1 if len(cuts) > 1 and flagged[1] >= max(300, starts[0]) else None
        elif start >= n:
            at = len(cuts) - 1 if cuts[-1][1] is None else None
        else:
            at = int(np.searchsorted(begin, start, side="right")) - 1
        while at is not None and at < len(cuts) and p[at] <= share:
            best = at if best is None else max(best, at)
            at += 1
    return None if best is None else (int(flagged[best]), int(errors[best]))


def mapie(score, label, target, confidence, grid, fwer):
    from mapie.risk_control import BinaryClassificationController

    controller = BinaryClassificationController(
        predict_function=lambda x: np.stack([1 - x[:, 0], x[:, 0]], 1), risk="precision", target_level=target, confidence_level=confidence,
        list_predict_params=grid, fwer_method=fwer)
    controller.calibrate(score[:, None], label)
    return controller.best_predict_param


def compare(binary, folder, rng, kind, n, ending):
    score, label = sample(rng, kind, n)
    weight = rng.uniform(0.1, 3, size=n) if rng.uniform() < 0.2 else None
    file = folder / f"scores{ending}"
    write(file, score, label, weight)
    target, confidence = float(rng.choice([0.5, 0.8, 0.9, 0.95, 0.99])), float(rng.choice([0.8, 0.9, 0.95, 0.99]))
    common = ["--scores", file, "--target-precision", target, "--confidence", confidence]
    detail = (kind, n, ending, target, confidence)
    if label.min() != label.max():
        weights = ["--weight-column", "weight"] if weight is not None else []
        w = weight if weight is not None else np.ones(n)
        platt = calibrate(binary, folder, *common, *weights, "--calibrator", "platt")["calibrator"]["map"]
        slope, intercept = _sigmoid_calibration(score, label.astype(float), w)
        ours, theirs = (1 / (1 + np.exp(a * score + b)) for a, b in ((platt["slope"], platt["intercept"]), (slope, intercept)))
        check("Platt to 1e-4", np.abs(ours - theirs).max() <= 1e-4, (*detail, np.abs(ours - theirs).max()))
        knots = calibrate(binary, folder, *common, *weights, "--calibrator", "isotonic")["calibrator"]["map"]
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, label, sample_weight=w)
        asked = np.concatenate([score, rng.uniform(score.min() - 1, score.max() + 1, size=1000)])
        off = np.abs(np.interp(asked, knots["raw"], knots["probability"]) - isotonic.predict(asked)).max()
        check("isotonic to 1e-9", off <= 1e-9, (*detail, off))
    document = calibrate(binary, folder, *common)
    expected = search(score, label, 1 - target, 1 - confidence)
    got = (document["n_flagged"], document["n_errors"]) if document["certified"] else None
    check("the search equals its slow walk", got == expected, (*detail, got, expected))
    if document["certified"]:
        flagged = score >= document["threshold"]
        check("the threshold flags what was counted", flagged.sum() == document["n_flagged"] and (label[flagged] == 0).sum() == document["n_errors"], detail)
        if kind in ("f32", "six digits", "ties", "decisions"):
            served = score.astype(np.float32) >= np.float32(document["threshold"])
            check("f32 flags the same", (served == flagged).all(), detail)
    if document["recall_interval"] and label.sum():
        k, m, side = document["n_flagged"] - document["n_errors"], int(label.sum()), (1 - confidence) / 2
        low, high = (0.0 if k == 0 else beta.ppf(side, k, m - k + 1)), (1.0 if k == m else beta.isf(side, k + 1, m - k))
        check("Clopper-Pearson to 1e-9", np.allclose(document["recall_interval"], [low, high], rtol=1e-9, atol=0), (*detail, k, m))
    if kind != "logits" and n <= 20_000:
        number = int(rng.choice([10, 100]))
        for fwer, name in (("bonferroni", "bonferroni"), ("bonferroni_holm", "holm"), ("fixed_sequence", "fixed-sequence")):
            theirs = mapie(score, label, target, confidence, np.linspace(0, 0.99, number), fwer)
            grid = [*common, "--candidates", f"0..0.99:{number}", "--fwer", name]
            bentkus = calibrate(binary, folder, *grid, "--p-value", "hoeffding-bentkus")
            # Of candidates that flag the same scores any may be named.
            ours = bentkus["threshold"]
            same = (score >= ours) == (score >= theirs) if ours is not None and theirs is not None else ours == theirs
            check("MAPIE's threshold", np.all(same), (*detail, fwer, number, ours, theirs))
            exact = calibrate(binary, folder, *grid, "--p-value", "exact")
            checks["MAPIE certified" if theirs is not None else "MAPIE did not certify"] += 1
            if theirs is not None and not any("lax to strict" in warning for warning in bentkus["warnings"]):
                check("exact is never higher than MAPIE", exact["threshold"] is not None and exact["threshold"] <= theirs, (*detail, fwer, exact["threshold"], theirs))


def bad_files(binary, folder):
    rows = ["a,0.5,1", "b,0.25,0", "c,0.75,1"]
    for name, row in (("NaN", "x,NaN,1"), ("infinity", "x,inf,1"), ("a word", "x,high,1"), ("label 2", "x,0.5,2"), ("no label", "x,0.5,"), ("a short row", "x,0.5")):
        for at in range(3):
            file = folder / "bad.csv"
            file.write_text("\n".join(["id,score,label", *rows[:at], row, *rows[at:]]) + "\n")
            done = run(binary, folder, "calibrate", "--scores", file, "--target-precision", 0.9, "--json")
            check("bad rows are refused with their line", done.returncode == 2 and f"line {at + 2}" in done.stderr, (name, at, done.returncode, done.stderr))
    for text in ("", "id,score,label\n", "id,score\na,0.5\n"):
        file = folder / "bad.csv"
        file.write_text(text)
        done = run(binary, folder, "calibrate", "--scores", file, "--target-precision", 0.9, "--json")
        check("empty files are refused", done.returncode == 2, (text, done.returncode, done.stderr))
    for arguments in (["--target-precision", "99"], ["--target-precision", "0.9", "--prevalence", "2"], ["--target-precision", "0.9", "--confidence", "1"], []):
        done = run(binary, folder, "calibrate", "--scores", folder / "bad.csv", "--json", *arguments)
        check("bad usage is refused", done.returncode == 2, (arguments, done.returncode))


def plans(binary, folder, rng):
    for _ in range(40):
        errors, target, confidence = int(rng.integers(0, 40)), float(1 - 10 ** rng.uniform(-4, -0.5)), float(1 - 10 ** rng.uniform(-4, -0.7))
        prevalence, recall = float(10 ** rng.uniform(-6, -0.3)), float(rng.uniform(0.1, 1))
        plan = json.loads(run(binary, folder, "plan", "--json", "--target-precision", target, "--confidence", confidence, "--errors", errors,
                              "--prevalence", prevalence, "--recall", recall).stdout)
        alpha, delta, n = 1 - target, 1 - confidence, plan["flags_needed"]
        check("flags needed", binom.cdf(errors, n, alpha) <= delta < binom.cdf(errors, n - 1, alpha), (errors, target, confidence, n))
        fpr = prevalence * recall * alpha / ((1 - prevalence) * target)
        check("false positive rate needed", math.isclose(plan["fpr_needed"], fpr, rel_tol=1e-9), plan)
        clean = math.log(delta) / math.log1p(-fpr) if fpr < 1 else 1
        check("clean negatives needed", abs(plan["clean_negatives_needed"] - math.ceil(clean)) <= 1e-9 * clean + 1e-6, (plan, clean))
    for errors, sizes in {0: (299, 459, 757), 1: (473, 662, 996), 5: (1049, 1307, 1735), 10: (1693, 2010, 2518)}.items():
        for confidence, size in zip((0.95, 0.99, 0.9995), sizes):
            plan = json.loads(run(binary, folder, "plan", "--json", "--target-precision", 0.99, "--confidence", confidence, "--errors", errors).stdout)
            check("sample sizes of the exact binomial", plan["flags_needed"] == size, (errors, confidence, plan["flags_needed"], size))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=120)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--large", type=int, default=1_000_000)
    arguments = arguments.parse_args()
    binary, rng = os.environ["NIGHTLIGHT"], np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for case in range(arguments.count):
            n = int(10 ** rng.uniform(0, 4.2))
            compare(binary, folder, rng, KINDS[case % len(KINDS)], max(n, 2), [".csv", ".jsonl", ".parquet"][case % 3])
        for kind in ("good", "f32", "ties") if arguments.large else ():
            compare(binary, folder, rng, kind, arguments.large, ".csv")
        bad_files(binary, folder)
        plans(binary, folder, rng)
    for what, number in sorted(checks.items()):
        print(f"{what}: {number - failures[what]} of {number}")
    print("BROKEN" if failures else "everything agrees")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
