#!/usr/bin/env python3
"""Measures how far the fast PDQ operators are from the reference's rounding, and how often that leaves a hash in doubt.

usage: KERNELS=… margins.py [--count 2000] [--seed 1] [--raw FILE.jsonl]   (needs Pillow, numpy)

The figures behind the bounds in src/engines/hashing/margins.rs.
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
    unit = lambda row: 2.0**-24 * row["brightest"]
    gap = lambda row, way: row[way]["gap"] / max(unit(row), 1e-30)
    large = lambda row, way: row[way]["sum"] - row[way]["barely"] >= 9000 and min(row["width"], row["height"]) >= 64
    ruled_in = lambda row, way: large(row, way) and row[way]["still"] < 806 and gap(row, way) > 1000
    for way in ["cpu", "gpu"]:
        for what, chosen in [("sure of quality 100, 64 pixels, grain, a gap over 1000 units", True), ("all others", False)]:
            print(f"{way}, {what}: largest error of a step; of a coefficient, as a multiple of 2^-24 times the brightest sample; by the longer side")
            for low, high in [(0, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 2048), (2048, 1 << 30)]:
                some = [row for row in rows if low < max(row["width"], row["height"]) <= high and ruled_in(row, way) == chosen and row["brightest"]]
                if some:
                    worst = max(some, key=lambda row: row[way]["coefficient_error"] / unit(row))
                    print(f"  to {high}: {len(some)} pictures: {max(row[way]['step_error'] for row in some):.2e}; "
                          f"{worst[way]['coefficient_error'] / unit(worst):.0f} ({worst['name']})")
        share = max(row[way]["coefficient_error"] / row[way]["allowed"] for row in rows if ruled_in(row, way))
        worst = max(row[way]["coefficient_error"] / unit(row) for row in rows if large(row, way))
        print(f"{way}: the largest error of a coefficient is {share:.3f} of what is allowed; without the rules of grain and gap {worst:.0f} units")
        wrong = [row for row in rows if row[way]["decided"] and (row[way]["distance"] or row[way]["quality"] != row["quality"])]
        print(f"{way}: wrong although decided: {[row['name'] for row in wrong]}; "
              f"would be wrong without the exact way: {sum(row[way]['distance'] > 0 or row[way]['quality'] != row['quality'] for row in rows)}")
        undecided = collections.defaultdict(list)
        for row in rows:
            undecided[row["kind"]].append(not row[way]["decided"])
            if row["kind"] == "photo" and min(row["width"], row["height"]) >= 64 and row["quality"] == 100:
                undecided["photo of quality 100 and 64 pixels"].append(not row[way]["decided"])
        print(f"{way}: undecided: " + ", ".join(f"{kind} {100 * np.mean(values):.1f} %" for kind, values in undecided.items()))


if __name__ == "__main__":
    main()
