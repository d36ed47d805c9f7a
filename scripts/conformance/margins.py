#!/usr/bin/env python3
"""Measures how far the fast PDQ operators are from the reference's rounding, and how often that leaves a hash in doubt.

usage: KERNELS=… margins.py [--count 2000] [--seed 1] [--raw FILE.jsonl]   (needs Pillow, numpy)

The figures behind `coefficient_error` and `step_error` in src/engines/hashing/margins.rs.
"""
import argparse
import collections
import json
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "bench"))
from duel import Kernels
from pictures import pictures


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--largest", type=int, default=3000)
    arguments.add_argument("--raw")
    arguments = arguments.parse_args()
    kernels, rows = Kernels(), []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "picture.rgb"
        for name, pixels in pictures(arguments.count, arguments.seed, arguments.largest):
            file.write_bytes(pixels.tobytes())
            height, width, _ = pixels.shape
            row = kernels.ask(op="pdq_margins", file=str(file), width=width, height=height)
            rows.append(row | {"name": name, "kind": name.split("-")[1], "width": width, "height": height})
    kernels.close()
    if arguments.raw:
        pathlib.Path(arguments.raw).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for way in ["cpu", "gpu"]:
        print(f"{way}: largest errors of a sample, a step, a coefficient, as shares of what is allowed; by the longer side")
        for low, high in [(0, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 2048), (2048, 1 << 30)]:
            some = [row for row in rows if low < max(row["width"], row["height"]) <= high]
            if some:
                most = lambda key: max(row[way][key] for row in some)
                share = lambda key: max(row[way][f"{key}_error"] / row[f"{key}_allowed"] for row in some)
                print(f"  to {high}: {len(some)} pictures: {most('sample_error'):.2e}, {most('step_error'):.2e} ({share('step'):.3f}), "
                      f"{most('coefficient_error'):.2e} ({share('coefficient'):.3f})")
        wrong = [row for row in rows if row[way]["decided"] and (row[way]["distance"] or row[way]["quality"] != row["quality"])]
        print(f"{way}: wrong although decided: {[row['name'] for row in wrong]}")
        undecided = collections.defaultdict(list)
        for row in rows:
            undecided[row["kind"]].append(not row[way]["decided"])
        print(f"{way}: undecided: " + ", ".join(f"{kind} {100 * np.mean(values):.1f} %" for kind, values in undecided.items()))


if __name__ == "__main__":
    main()
