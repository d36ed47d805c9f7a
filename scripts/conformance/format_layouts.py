#!/usr/bin/env python3
"""Holds our decoding of PNG, WebP, GIF, TIFF and BMP against Pillow's (and dwebp's) on files made from the formats' options.

usage: NIGHTLIGHT=target/release/nightlight format_layouts.py [--formats png,webp,gif,tiff,bmp] [--count 2000] [--seed 1] [--keep DIR]
       format_layouts.py --fixtures DIR [--seed 7]     writes the committed set: few small files that cover the options, with their truth
       (needs Pillow 13, NumPy, and Debian's `webp`)

Each generator (`format_png.py` and its neighbours) draws a file's options by chance and writes the file; where the format leaves no choice it
also says which pixels the file stands for ("known"). The truth is `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`; where Pillow
refuses, or is known to be wrong, the known pixels. Our pixels come out of `nightlight preprocess` with a specification that changes nothing.

- equal: our pixels are the truth, byte for byte (JPEG in TIFF: mean difference at most 3, or 12 of less than 8 pixels).
- Pillow's slip: Pillow shows other pixels than the file stands for, we show the right ones.
- differs: neither. None may.
- refused: the truth has pixels, we answer an error. Listed by reason and share.
- also read: Pillow refuses, we show the known pixels (or there are none to hold them against: "unproven").

Exit 1 when a file differs.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import importlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps

from format_files import Draw

FORMATS = ["png", "webp", "gif", "tiff", "bmp"]
# Lossy pictures inside TIFF: IDCTs are not defined to the bit.
# Of a picture a few pixels wide the edges, where readers differ, are most.
MEAN_OF_LOSSY = {"small": 12.0, "large": 3.0}
SPEC = """resize = {{ to = "exact", width = {width}, height = {height} }}
filter = "bilinear"
rounding = "pillow-u8"
channels = "rgb"
layout = "nhwc"
scale = 1.0
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
"""


def by_pillow(data):
    """Pillow's pixels, or None with its reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")), ""
    except Exception as error:  # whatever Pillow raises is its refusal
        return None, f"{type(error).__name__}: {error}"


def ours(binary, folder, number, data, shape):
    """Our pixels as an array of `shape`, or None with the reason."""
    file, out = folder / f"{number}.bin", folder / f"{number}.npy"
    file.write_bytes(data)
    spec = folder / f"{shape[1]}x{shape[0]}.toml"
    if not spec.exists():
        spec.write_text(SPEC.format(width=shape[1], height=shape[0]))
    command = [binary, "preprocess", "--backend", "cpu", "--spec", str(spec), "--out", str(out), str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            return None, lines[-1].split(f"{number}.bin: ", 1)[-1]
        pixels = np.load(out).reshape(-1, *np.load(out).shape[-3:])[0]
        return pixels.astype(np.uint8), ""
    finally:
        file.unlink()
        out.unlink(missing_ok=True)


def same(a, b, lossy=False):
    if a is None or b is None or a.shape != b.shape:
        return False
    return np.abs(a.astype(int) - b).mean() <= MEAN_OF_LOSSY["small" if min(a.shape[:2]) < 8 else "large"] if lossy else np.array_equal(a, b)


def judge(case, got, reason):
    """One word for how our answer stands to the truth."""
    pillow, known, lossy = case["pillow"], case["known"], case["lossy"]
    if got is None:
        return "refused" if pillow is not None or known is not None else "refused by both"
    if pillow is not None:
        return "equal" if same(got, pillow, lossy) else "Pillow's slip" if same(got, known) else "differs"
    if known is not None:
        return "also read" if same(got, known) else "differs"
    return "unproven"


def slip_of(options):
    """Why Pillow may be wrong here, in words; an empty text when no reason is known."""
    kinds = [
        (options.get("depth") == "16" and options.get("colour type") == "0", "16-bit grey PNG, which Pillow clips at 255"),
        (options.get("bits") == "16" and options.get("photometric") in "01", "16-bit grey TIFF, which Pillow clips at 255"),
        (options.get("bits") == "16" and (options.get("planar"), options.get("compression")) == ("2", "1"), "16-bit TIFF in planes, uncompressed"),
        ("extra samples not named" in options, "4 samples without ExtraSamples in a TIFF of planes, which Pillow divides by the fourth"),
        (options.get("palette") in ("black and white", "only blacks"), "BMP palette of black and white"),
        (options.get("palette") == "grey ramp" and options.get("bits") == "4", "BMP of 4 bits with a ramp of greys, which Pillow reads as 8 bits"),
    ]
    return "; ".join(text for holds, text in kinds if holds)


def make(name, seed, number):
    generator = importlib.import_module(f"format_{name}")
    draw = Draw([seed, FORMATS.index(name), number])
    data, known = generator.generate(draw)
    lossy, known = isinstance(known, str), None if isinstance(known, str) else known
    pillow, reason = by_pillow(data)
    if pillow is None and known is None and hasattr(generator, "second_opinion") and draw.options.get("orientation", "1") in "01":
        known = generator.second_opinion(data)
    return {"number": number, "data": data, "options": draw.options, "known": known, "lossy": lossy, "pillow": pillow, "why": reason}


def run(name, arguments, binary, folder):
    """All files of one format; True when none differs."""
    verdicts, reasons, slips = collections.Counter(), collections.Counter(), collections.Counter()
    options = collections.defaultdict(collections.Counter)
    second = getattr(importlib.import_module(f"format_{name}"), "second_opinion", None)
    opinions = collections.Counter()

    def one(number):
        case = make(name, arguments.seed, number)
        truth = case["pillow"] if case["pillow"] is not None else case["known"]
        got, reason = ours(binary, folder, f"{name}{number}", case["data"], (8, 8) if truth is None else truth.shape)
        other = second(case["data"]) if second and case["options"].get("orientation", "1") in "01" and number % 4 == 0 else None
        return case, judge(case, got, reason), reason, None if other is None or got is None else same(other, got)

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for case, verdict, reason, agreed in pool.map(one, range(arguments.count)):
            verdicts[verdict] += 1
            opinions[agreed] += agreed is not None
            for option in case["options"].items():
                options[option][verdict] += 1
            if verdict in ("refused", "differs", "unproven"):
                text = re.sub(r"0x[0-9a-f]+|\d{3,}", "N", reason or f"Pillow: {case['why']}")
                reasons[verdict, text] += 1
            if verdict == "Pillow's slip":
                slips[slip_of(case["options"])] += 1
            if verdict == "differs" or (arguments.keep and verdict in arguments.verdicts.split(",")):
                print(f"  {verdict}: {name} {case['number']}: {reason or case['why']} {json.dumps(case['options'])}")
                if arguments.keep:
                    pathlib.Path(arguments.keep, f"{name}{case['number']}.{name}").write_bytes(case["data"])
    print(f"{name}: {arguments.count} files, seed {arguments.seed}: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    if second:
        print(f"  dwebp: {opinions[True]} equal to ours, {opinions[False]} not")
    for text, count in slips.most_common():
        print(f"  Pillow's slip {count}: {text or 'for no known reason'}")
    for (verdict, text), count in reasons.most_common():
        print(f"  {verdict} {count} ({100 * count / arguments.count:.2f} %): {text}")
    for (key, value), row in sorted(options.items()):
        line = ", ".join(f"{count} {verdict}" for verdict, count in row.most_common())
        print(f"    {key} = {value}: {line}") if arguments.options else None
    return verdicts["differs"] == 0 and opinions[False] == 0


# Options that went wrong together; the committed set holds each of these.
TOGETHER = {
    "bmp": [{"top down": "yes", "compression": "runs"}, {"jumps": "yes", "bits": "4"}, {"header": "64"}],
    "webp": [{"container": "animation", "frame": "within"}, {"flags": "metadata wrong", "container": "animation"}],
    "png": [{"interlaced": "1", "end": "no IEND"}, {"eXIf": "twice"}],
    "gif": [{"stream": "8 bytes or less", "place": "whole screen"}, {"code size": "1"}],
    "tiff": [{"no byte counts": "yes"}],
}


def fixtures(arguments):
    """A greedy choice of small files that shows each option once, with the truth that Pillow and the generator agree on."""
    folder, truth = pathlib.Path(arguments.fixtures), {}
    for name in FORMATS:
        shown, sets = set(), []
        for number in range(600):
            case = make(name, arguments.seed, number)
            options = set(case["options"].items())
            missing = [wanted for wanted in TOGETHER[name] if wanted.items() <= options and not any(wanted.items() <= other for other in sets)]
            pixels = case["pillow"] if case["pillow"] is not None else case["known"]
            if case["known"] is not None and not same(pixels, case["known"]):
                pixels = case["known"]
            small = len(case["data"]) < 4500 and pixels is not None and not case["lossy"]
            fresh = len(options - shown) >= (3 if len(sets) < 7 else 1) and len(sets) < arguments.each
            if small and (fresh or missing):
                shown |= options
                sets.append(options)
                file = f"{name}-{number:03d}.{name}"
                (folder / file).write_bytes(case["data"])
                digest = hashlib.sha256(pixels.tobytes()).hexdigest()
                truth[file] = {"width": pixels.shape[1], "height": pixels.shape[0], "sha256": digest, "options": case["options"]}
    lines = ",\n".join(f"{json.dumps(file)}: {json.dumps(entry)}" for file, entry in truth.items())
    (folder / "truth.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(truth)} files, {sum((folder / file).stat().st_size for file in truth)} bytes")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--formats", default=",".join(FORMATS))
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments.add_argument("--options", action="store_true", help="print the verdicts of every option")
    arguments.add_argument("--keep", help="a folder for the files of --verdicts")
    arguments.add_argument("--verdicts", default="differs")
    arguments.add_argument("--fixtures")
    arguments.add_argument("--each", type=int, default=11)
    arguments = arguments.parse_args()
    if arguments.fixtures:
        return fixtures(arguments)
    with tempfile.TemporaryDirectory() as folder:
        fine = [run(name, arguments, os.environ["NIGHTLIGHT"], pathlib.Path(folder)) for name in arguments.formats.split(",")]
    print("nothing differs" if all(fine) else "DIFFERENCES")
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
