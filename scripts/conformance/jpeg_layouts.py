#!/usr/bin/env python3
"""Every layout that a JPEG may have, decoded by Nightlight and by libjpeg-turbo's djpeg: the same picture or an error, never another picture.

usage: PIXELS=target/debug/examples/pixels jpeg_layouts.py [--seed N] [--count 20000] [--keep DIR]
       PIXELS=… jpeg_layouts.py --seed 12 --fixtures tests/integration/fixtures/jpeg_layouts      writes the committed set
       PIXELS=… jpeg_layouts.py --exif                                                   EXIF orientation against Pillow's

Needs djpeg, cjpeg and jpegtran (Debian's libjpeg-turbo-progs), numpy, Pillow, pdqhash; PIXELS is built with `cargo build --locked --example pixels`.

Half of the files are written by cjpeg, jpegtran and Pillow from their options, the rest by `jpeg_encoder.py`: 1 to 4 components, sampling factors 1
to 4, any partition and order of scans, progressive scripts (complete or not), restarts, tables once or anew for each scan, colour transforms, segments
missing, repeated, short, unknown, fill bytes, trailers. Each is decoded to RGB and, where it has one, to its luma plane alone.

A difference is silent where djpeg ends with 0 and we decode, but another size, a mean difference above 3 grey levels or, at a PDQ quality of 80, a PDQ
more than 10 bits off. Exit 1 when there is one, or when more than 0.1 % of what cjpeg, jpegtran and Pillow wrote is refused. Files on which djpeg warns
(exit 2) or that it refuses are counted apart.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pdqhash
from PIL import Image

from jpeg_files import write_file

REFUSALS = 0.001


class Decoder:
    """Nightlight's decoder as a child: names in, pixels out."""

    def __init__(self):
        self.child = subprocess.Popen([os.environ["PIXELS"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, file, luma=False):
        """Pixels, or the error's text; None where there is no luma plane."""
        self.child.stdin.write(f"{'luma ' if luma else ''}{file}\n".encode())
        self.child.stdin.flush()
        word, _, rest = self.child.stdout.readline().decode().strip().partition(" ")
        if word != "ok":
            return None if word == "none" else rest or "the decoder ended"
        width, height = map(int, rest.split())
        return np.frombuffer(self.child.stdout.read(3 * width * height), np.uint8).reshape(height, width, 3)


def djpeg(file, *options):
    """Exit status and pixels."""
    result = subprocess.run(["djpeg", "-pnm", *options, file], capture_output=True, check=False)
    try:
        magic, width, height, _ = result.stdout[:40].split(maxsplit=3)[:3] + [b""]
        width, height, channels = int(width), int(height), 3 if magic == b"P6" else 1
        pixels = np.frombuffer(result.stdout[len(result.stdout) - width * height * channels:], np.uint8).reshape(height, width, channels)
    except ValueError:
        return result.returncode or 1, None
    return result.returncode, np.repeat(pixels, 3 // channels, 2)


def turned(pixels, orientation):
    """As EXIF orientation 1..8 wants it."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    flips = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(orientation, (0, 0))
    return np.ascontiguousarray(pixels[::-1 if flips[0] else 1, ::-1 if flips[1] else 1])


def compare(ours, theirs):
    """(outcome, mean difference)"""
    if ours.shape != theirs.shape:
        return "size", 255.0
    mean = float(np.abs(ours.astype(np.int16) - theirs).mean())
    if mean == 0:
        return "equal", mean
    if mean > 3:
        return "mean", mean
    if min(ours.shape[:2]) >= 32:
        (a, quality), (b, _) = pdqhash.compute(theirs), pdqhash.compute(ours)
        if quality >= 80 and int((a != b).sum()) > 10:
            return "pdq", mean
    return "close", mean


def judge(decoder, file, made):
    """One row per way of decoding: (way, djpeg's exit, outcome, detail)."""
    for way, options in [("rgb", ()), ("luma", ("-grayscale",))]:
        ours = decoder(file, way == "luma")
        if ours is None:
            continue
        status, theirs = djpeg(file, *options)
        if isinstance(ours, str):
            yield way, status, "refused", ours
        elif theirs is None:
            yield way, status, "ours alone", ""
        else:
            outcome, mean = compare(ours, turned(theirs, made["orientation"]))
            yield way, status, outcome, f"{mean:.2f}"


def work(arguments):
    seed, numbers, folder, keep = arguments
    decoder, rows = Decoder(), []
    for number in numbers:
        file = pathlib.Path(folder) / f"{number:06d}.jpg"
        made = write_file(file, seed, number)
        for way, status, outcome, detail in judge(decoder, file, made):
            rows.append((made["kind"], made["ordinary"], way, status, outcome, detail))
            wrong = status == 0 and outcome in ("size", "mean", "pdq")
            if keep and (wrong or (made["ordinary"] and status == 0 and outcome == "refused")):
                (pathlib.Path(keep) / f"{outcome}-{way}-{made['kind'].replace('/', '-')}-{number:06d}.jpg").write_bytes(file.read_bytes())
        file.unlink()
    return rows


def report(rows):
    """Prints the tables; whether everything holds."""
    kinds = collections.Counter((kind, way) for kind, _, way, *_ in rows)
    outcomes = collections.Counter((kind, way, status, outcome) for kind, _, way, status, outcome, _ in rows)
    for (kind, way), count in sorted(kinds.items()):
        parts = [f"exit {status} {outcome} {n}" for (k, w, status, outcome), n in sorted(outcomes.items()) if (k, w) == (kind, way)]
        print(f"{kind:34} {way:4} {count:6}: {', '.join(parts)}")
    refused = collections.Counter((kind, detail) for kind, _, way, status, outcome, detail in rows if (way, status, outcome) == ("rgb", 0, "refused"))
    print("refused though djpeg decodes (kind, reason, count, share of the kind):")
    for (kind, detail), count in refused.most_common():
        print(f"  {kind}: {detail}: {count} ({100 * count / kinds[kind, 'rgb']:.2f} %)")
    silent = [row for row in rows if row[3] == 0 and row[4] in ("size", "mean", "pdq")]
    ordinary = [row for row in rows if row[1] and row[2] == "rgb" and row[3] == 0]
    lost = sum(row[4] == "refused" for row in ordinary)
    warned = collections.Counter(row[4] for row in rows if row[2] == "rgb" and row[3] == 2)
    files = sum(row[2] == "rgb" for row in rows)
    print(f"{files} files: silent differences {len(silent)}; refused of those that cjpeg, jpegtran and Pillow wrote {lost} of {len(ordinary)}; "
          f"where djpeg warns: {dict(warned)}")
    return not silent and lost <= REFUSALS * len(ordinary)


def fixtures(folder, seed, count=34):
    """The committed set: small files of all kinds, and the `case-*` that lie there, with djpeg's pixels as 8x8 means of RGB, so that no other picture passes."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, seen, number, decoder = {}, collections.Counter(), 0, Decoder()
    for file in folder.glob("case-*.jpg"):
        _, pixels = djpeg(file)
        pixels = turned(pixels, Image.open(file).getexif().get(274, 1))
        truth[file.name] = {"width": pixels.shape[1], "height": pixels.shape[0], "means": means(pixels)}
    count += len(truth)
    while len(truth) < count:
        number += 1
        file = folder / f"{number:05d}.jpg"
        made = write_file(file, seed, number)
        status, pixels = djpeg(file)
        fits = status == 0 and file.stat().st_size < 9000 and min(pixels.shape[:2]) >= 8 and seen[made["kind"]] < (2 if made["ordinary"] else 7)
        if not fits or isinstance(decoder(file), str):
            # What is refused is no picture; a unit test names it.
            file.unlink()
            continue
        seen[made["kind"]] += 1
        name = f"{made['kind'].replace('/', '-').replace(' ', '-')}-{number:05d}.jpg"
        file.rename(folder / name)
        pixels = turned(pixels, made["orientation"])
        truth[name] = {"width": pixels.shape[1], "height": pixels.shape[0], "means": means(pixels)}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(truth.items()))
    (folder / "truth.json").write_text(f"{{\n{lines}\n}}\n")


def means(pixels):
    """Means of R, G and B over an 8x8 grid, row by row; cell i of n pixels begins at n * i // 8."""
    height, width, _ = pixels.shape
    rows, columns = ([side * i // 8 for i in range(9)] for side in (height, width))
    cells = [pixels[rows[y]:rows[y + 1], columns[x]:columns[x + 1]].mean((0, 1)) for y in range(8) for x in range(8)]
    return [round(float(value)) for cell in cells for value in cell]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--count", type=int, default=20000)
    arguments.add_argument("--keep", type=pathlib.Path, help="where the first wrong files go")
    arguments.add_argument("--fixtures", type=pathlib.Path)
    arguments.add_argument("--exif", action="store_true")
    arguments = arguments.parse_args()
    if arguments.fixtures:
        return fixtures(arguments.fixtures, arguments.seed)
    if arguments.exif:
        from jpeg_exif import check
        sys.exit(0 if check(Decoder()) else 1)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool() as pool:
        parts = [(arguments.seed, range(first, min(first + 100, arguments.count)), folder, arguments.keep) for first in range(0, arguments.count, 100)]
        rows = [row for part in pool.imap_unordered(work, parts) for row in part]
    sys.exit(0 if report(rows) else 1)


if __name__ == "__main__":
    main()
