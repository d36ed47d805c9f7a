#!/usr/bin/env python3
"""The cluster bootstrap of `nightlight evaluate scores` against the same in vectorised numpy: same file, same clusters, same number of replicates.

usage: NIGHTLIGHT=… [ROWS=10000000] [CLUSTERS=1000000] [REPLICATES=20] [ROUNDS=3] evaluate.py   (needs numpy, pandas)

Both sides read the same CSV, sort once, and compute for each replicate AUROC and average precision with ties, Brier, log-loss and calibration error, true and
false positives at three thresholds, and precision at a hundred recalls. First the answers are compared: our replicates (`--replicates`) say how often they
drew each cluster, and numpy's metrics of those draws must agree to 1e-9. Then both are timed in turn, whole processes: with and without replicates, so that
what a replicate costs is the difference; a thousand are what a report takes. Memory is the process's peak. CLUSTERS=0 draws items.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

THRESHOLDS = [0.5, 0.8, 0.95]
RECALLS = np.arange(1, 101) / 100
NIGHTLIGHT = os.environ.get("NIGHTLIGHT", "target/release/nightlight")


class Numpy:
    """What does not change between replicates, and one replicate."""

    def __init__(self, path, grouped):
        import pandas as pd

        names = ["score", "label"] + (["group"] if grouped else [])
        table = pd.read_csv(path, usecols=names, dtype={"score": np.float64, "label": np.int8})
        scores, labels = table["score"].to_numpy(), table["label"].to_numpy()
        codes = pd.factorize(table["group"])[0].astype(np.int32) if grouped else None
        del table
        order = np.argsort(-scores, kind="stable")
        self.scores, self.labels = scores[order], labels[order]
        # Without groups the drawn counts are of rows.
        self.codes = order.astype(np.int32) if codes is None else codes[order]
        self.clusters = len(scores) if codes is None else int(codes.max()) + 1
        self.ends = np.append(np.flatnonzero(np.diff(self.scores)), len(self.scores) - 1)
        self.cuts = [int(np.searchsorted(-self.scores, -threshold, side="right")) for threshold in THRESHOLDS]
        edges = np.linspace(0, 1, 16)[1:-1]
        starts = [int(np.searchsorted(-self.scores, -edge, side="left")) for edge in edges[::-1]]
        self.bins = np.unique([0] + [start for start in starts if start < len(self.scores)])
        clipped = np.clip(np.where(self.labels == 1, self.scores, 1 - self.scores), np.finfo(float).eps, 1 - np.finfo(float).eps)
        sums = lambda values: np.bincount(self.codes, values, self.clusters)
        self.brier, self.log = sums((self.scores - self.labels) ** 2), sums(-np.log(clipped))
        self.sizes = np.bincount(self.codes, minlength=self.clusters).astype(float)
        self.gaps = self.scores - self.labels

    def draw(self, rng):
        return np.bincount(rng.integers(0, self.clusters, self.clusters, dtype=np.int32), minlength=self.clusters)

    def replicate(self, drawn):
        mass = drawn[self.codes]
        positive = np.cumsum(mass * self.labels)
        everything = np.cumsum(mass)
        tp, flagged = positive[self.ends], everything[self.ends]
        fp = flagged - tp
        positives, negatives = tp[-1], fp[-1]
        new_tp = np.diff(tp, prepend=0)
        with np.errstate(invalid="ignore"):
            precision = tp / flagged
        precision[flagged == 0] = 1
        auroc = float(np.sum(np.diff(fp, prepend=0) * (2.0 * tp - new_tp))) / 2 / positives / negatives
        total = float(drawn @ self.sizes)
        reached = np.searchsorted(tp, RECALLS * positives)
        return {"auroc": auroc, "average_precision": float(np.sum(new_tp * precision)) / positives, "brier": float(drawn @ self.brier) / total,
                "log_loss": float(drawn @ self.log) / total, "ece": float(np.abs(np.add.reduceat(mass * self.gaps, self.bins)).sum()) / total,
                "at": [(int(positive[cut - 1]), int(everything[cut - 1] - positive[cut - 1])) if cut else (0, 0) for cut in self.cuts],
                "band": precision[reached]}


def data(path, rows, clusters):
    rng = np.random.default_rng(rows + clusters)
    with path.open("w") as file:
        file.write("score,label" + (",group" if clusters else "") + "\n")
        for _ in range(0, rows, 100_000):
            labels = rng.random(100_000) < 0.1
            scores = np.where(labels, rng.beta(5, 2, 100_000), rng.beta(2, 5, 100_000)).astype(np.float32)
            groups = [f",g{group}" for group in rng.integers(0, clusters, 100_000)] if clusters else [""] * 100_000
            file.writelines(f"{score},{int(label)}{group}\n" for score, label, group in zip(scores, labels, groups))


def command(path, grouped, replicates, *more):
    words = [NIGHTLIGHT, "evaluate", "scores", "--scores", str(path), "--json", "--examples", "0", "--bootstrap", str(replicates), "--seed", "1", *more]
    words += [word for threshold in THRESHOLDS for word in ("--threshold", str(threshold))]
    return words + (["--group-column", "group"] if grouped else [])


def peer(path, grouped, replicates):
    """The peer's whole process: read, sort, draw, compute, percentiles."""
    side, rng = Numpy(path, grouped), np.random.default_rng(1)
    found = [side.replicate(side.draw(rng)) for _ in range(replicates)]
    return {name: np.percentile([one[name] for one in found], [2.5, 97.5]).tolist() for name in ("auroc", "average_precision", "brier")} if found else {}


def run(words):
    """Seconds and the peak of memory in MiB of a process that ends well."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def check(folder, path, grouped):
    """The largest difference between our replicates and numpy's of the same draws."""
    run(command(path, grouped, 2, "--replicates", str(folder / "drawn")))
    lines = [json.loads(line) for line in (folder / "drawn/replicates.jsonl").read_text().splitlines()]
    side = Numpy(path, grouped)
    counts = np.fromfile(folder / "drawn/drawn.u8", np.uint8).reshape(len(lines), -1)
    worst = 0.0
    for drawn, line in zip(counts, lines):
        theirs = side.replicate(drawn.astype(np.int64))
        worst = max([worst] + [abs(line[name] - theirs[name]) for name in ("auroc", "average_precision", "brier", "log_loss", "ece")])
        assert [tuple(map(int, pair)) for pair in line["at"]] == theirs["at"], (line["at"], theirs["at"])
        assert np.abs(np.array(line["band"]) - theirs["band"]).max() < 1e-6, "the band is kept as 32-bit floats"
    assert worst < 1e-9, worst
    return worst


def main():
    rows, clusters = int(os.environ.get("ROWS", 10_000_000)), int(os.environ.get("CLUSTERS", 1_000_000))
    replicates, rounds = int(os.environ.get("REPLICATES", 20)), int(os.environ.get("ROUNDS", 3))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = folder / "scores.csv"
        data(path, rows, clusters)
        # In a process of its own: a child's peak of memory begins at its parent's.
        checked = subprocess.run([sys.executable, __file__, "check", str(folder), str(path), str(int(bool(clusters)))], check=True, stdout=subprocess.PIPE)
        worst = json.loads(checked.stdout)
        took = {side: {0: [], replicates: []} for side in ("ours", "peer")}
        memory = {"ours": 0.0, "peer": 0.0}
        for _ in range(rounds):
            for count in (0, replicates):
                for side, words in (("ours", command(path, bool(clusters), count)),
                                    ("peer", [sys.executable, __file__, "peer", str(path), str(int(bool(clusters))), str(count)])):
                    seconds, peak, _ = run(words)
                    took[side][count].append(seconds)
                    memory[side] = max(memory[side], peak)
        each = {side: [(many - none) / replicates for none, many in zip(of[0], of[replicates])] for side, of in took.items()}
        ratios = sorted(b / a for a, b in zip(each["ours"], each["peer"]))
        # What the whole of a thousand takes: once what it takes without, and a thousand times what each takes.
        whole = {side: statistics.median(took[side][0]) + 1000 * statistics.median(each[side]) for side in took}
        print(json.dumps({
            "bench": f"evaluate {rows} rows, {clusters or rows} clusters", "ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in ratios],
            "ratio_of_1000": round(whole["peer"] / whole["ours"], 2), "ratio_without_replicates": round(statistics.median(took["peer"][0]) / statistics.median(took["ours"][0]), 2),
            "ours_ms_each": round(statistics.median(each["ours"]) * 1e3, 1), "peer_ms_each": round(statistics.median(each["peer"]) * 1e3, 1),
            "ours_mib": round(memory["ours"]), "peer_mib": round(memory["peer"]), "largest_difference": worst, "peer": f"numpy {np.__version__}, one process"}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        print(json.dumps(peer(pathlib.Path(sys.argv[2]), sys.argv[3] == "1", int(sys.argv[4]))))
    elif sys.argv[1:2] == ["check"]:
        print(json.dumps(check(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4] == "1")))
    else:
        main()
