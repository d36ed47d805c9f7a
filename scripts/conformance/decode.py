#!/usr/bin/env python3
"""What decoding does to PDQ: `nightlight hash` of seeded JPEGs against the reference hash of libjpeg-turbo's pixels (Pillow decodes with it).

usage: NIGHTLIGHT=target/release/nightlight decode.py [--count 540] [--seed 91]   (needs pdqhash, Pillow, numpy)

Prints the distribution of distances for both ways of `--decode`. Exit 1 when the exact way's median is not 0 or a distance exceeds 10 at
quality 80 and more.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import pdqhash
from PIL import Image

from pictures import photo, screenshot


def write(folder, number, seed):
    """One JPEG; its path, the reference hash and quality."""
    rng = np.random.default_rng([seed, number])
    width = int(np.exp(rng.uniform(np.log(40), np.log(1800))))
    height = max(33, int(width * np.exp(rng.uniform(-0.6, 0.6))))
    pixels = np.clip((photo if number % 5 else screenshot)(rng, width, height), 0, 255).astype(np.uint8)
    quality, subsampling = int(rng.choice([20, 40, 60, 75, 85, 95])), ["4:4:4", "4:2:2", "4:2:0"][number % 3]
    file = pathlib.Path(folder) / f"{number:04d}.jpg"
    Image.fromarray(pixels).save(file, quality=quality, subsampling=subsampling, progressive=bool(rng.integers(0, 2)), optimize=bool(rng.integers(0, 2)))
    bits, pdq_quality = pdqhash.compute(np.asarray(Image.open(file).convert("RGB")))
    return file, int.from_bytes(np.packbits(bits).tobytes(), "big"), int(pdq_quality)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=540)
    arguments.add_argument("--seed", type=int, default=91)
    arguments = arguments.parse_args()
    broken = False
    with tempfile.TemporaryDirectory() as folder:
        truth = [write(folder, number, arguments.seed) for number in range(arguments.count)]
        for mode in ["exact", "luma"]:
            command = [os.environ["NIGHTLIGHT"], "hash", "--backend", "cpu", "--decode", mode, *(str(file) for file, _, _ in truth)]
            rows = [json.loads(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()]
            pairs = [((int(row["pdq"], 16) ^ bits).bit_count(), quality) for row, (_, bits, quality) in zip(rows, truth)]
            good = [distance for distance, quality in pairs if quality >= 80]
            print(f"{mode}: {len(good)} of {len(pairs)} with quality >= 80: median {statistics.median(good)}, distances {dict(sorted(collections.Counter(good).items()))}; "
                  f"largest of all {max(distance for distance, _ in pairs)}")
            broken |= mode == "exact" and (statistics.median(good) > 0 or max(good) > 10)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
