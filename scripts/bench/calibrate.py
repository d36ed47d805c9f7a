#!/usr/bin/env python3
"""`nightlight calibrate` against a vectorised Python script that does the same, from CSV to threshold and calibrators, each in a process of its own.

usage: NIGHTLIGHT=… [ROWS=10000000] [ROUNDS=3] calibrate.py

The peer reads with pandas, sorts with numpy, fits scikit-learn's isotonic regression and Platt's sigmoid on everything and on five folds, scores them by cross-fitted
log-loss, and walks Learn then Test over every distinct score with scipy's exact tails (only where Chernoff's bound does not decide already, as we do). The certified threshold and the
log-losses are compared before anything is timed. One line of JSON: the ratio of seconds and of peak memory. Both use all cores they can.
"""
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from duel import duel

TARGET, CONFIDENCE = 0.95, 0.95


def peer(file):
    """Everything that nightlight does, in numpy, scipy and scikit-learn."""
    import numpy as np
    import pandas as pd
    from scipy.stats import binom
    from sklearn.calibration import _sigmoid_calibration
    from sklearn.isotonic import IsotonicRegression

    data = pd.read_csv(file, usecols=["score", "label"], dtype={"score": np.float64, "label": np.int8})
    score, label = data["score"].to_numpy(), data["label"].to_numpy()
    n, alpha, delta = len(score), 1 - TARGET, 1 - CONFIDENCE
    order = np.argsort(-score)
    score, label = score[order], label[order]
    errors_above = np.concatenate([[0], np.cumsum(1 - label)])
    begin = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
    cuts = np.concatenate([begin, [n]])
    size = lambda delta: math.ceil(math.log(delta) / math.log1p(-alpha))
    first, ranks = size(delta / 2), []
    while (rank := math.ceil(first * 2 ** (len(ranks) / 2))) < n:
        ranks.append(rank)
    starts = ranks + [n, 0]
    shares = [delta / 2] + [delta / 2 / (len(starts) - 1)] * (len(starts) - 1)
    flagged, errors = cuts, errors_above[cuts]
    best = 0
    for share in sorted(set(shares)):
        rate = errors / np.maximum(flagged, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(rate > 0, rate * np.log(rate / alpha), 0) + np.where(rate < 1, (1 - rate) * np.log((1 - rate) / (1 - alpha)), 0)
        sure = (rate < alpha) & (flagged * kl >= -math.log(share))
        open_ = (rate < alpha) & ~sure & (flagged > 0)
        passes = sure.copy()
        passes[open_] = binom.cdf(errors[open_], flagged[open_], alpha) <= share
        fails = np.flatnonzero(~passes)
        for start, own in zip(starts, shares):
            if own != share or (start == 0 and flagged[1] < max(300, starts[0])):
                continue
            at = 1 if start == 0 else len(cuts) - 1 if start >= n else int(np.searchsorted(begin, start, side="right")) - 1
            end = np.searchsorted(fails, at)
            last = (fails[end] if end < len(fails) else len(cuts)) - 1
            best = max(best, last if last >= at else 0)
    fold = np.random.default_rng(1).integers(0, 5, size=n)
    losses = {"platt": 0.0, "isotonic": 0.0}
    for k in [None, *range(5)]:
        train = fold != k if k is not None else slice(None)
        slope, intercept = _sigmoid_calibration(score[train], label[train].astype(float))
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score[train], label[train])
        if k is None:
            continue
        test = fold == k
        for name, p in (("platt", 1 / (1 + np.exp(slope * score[test] + intercept))), ("isotonic", isotonic.predict(score[test]))):
            p = np.clip(p, 1 / (n + 2), 1 - 1 / (n + 2))
            losses[name] -= np.where(label[test] == 1, np.log(p), np.log1p(-p)).sum() / n
    print(json.dumps({"n_flagged": int(flagged[best]), "n_errors": int(errors[best]), "log_loss": losses}))


def measured(command):
    """The answer, the seconds, and the peak memory in MiB of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"XDG_RUNTIME_DIR": "/tmp"})
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise RuntimeError(f"{command}: {status}")
    return json.loads(out), time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    import numpy as np

    rows, rounds = int(os.environ.get("ROWS", 10_000_000)), int(os.environ.get("ROUNDS", 3))
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "scores.csv"
        rng = np.random.default_rng(1)
        label = (rng.uniform(size=rows) < 0.1).astype(np.int8)
        score = (1 / (1 + np.exp(-(rng.normal(size=rows) + 3.5 * label - 2)))).astype(np.float32)
        import pandas as pd

        pd.DataFrame({"id": np.arange(rows), "score": score, "label": label}).to_csv(file, index=False)
        del label, score
        ours = [os.environ["NIGHTLIGHT"], "--data-dir", folder, "calibrate", "--scores", str(file), "--target-precision", str(TARGET), "--confidence",
                str(CONFIDENCE), "--json"]
        theirs = [sys.executable, __file__, "peer", str(file)]
        (a, _, a_memory), (b, _, b_memory) = measured(ours), measured(theirs)
        assert (a["n_flagged"], a["n_errors"]) == (b["n_flagged"], b["n_errors"]), (a["n_flagged"], a["n_errors"], b)
        for name, loss in b["log_loss"].items():
            assert abs(a["calibrator"]["log_loss"][name] - loss) < 1e-4, (name, a["calibrator"]["log_loss"], b["log_loss"])
        duel(f"calibrate {rows} rows of CSV", lambda: [measured(ours)[1]], lambda: [measured(theirs)[1]], rounds=rounds, peer="pandas, numpy, scipy, scikit-learn",
             flagged=a["n_flagged"], errors=a["n_errors"], our_peak_mib=round(a_memory), peer_peak_mib=round(b_memory),
             memory_ratio=round(b_memory / a_memory, 2))


if __name__ == "__main__":
    peer(sys.argv[2]) if sys.argv[1:2] == ["peer"] else main()
