#!/usr/bin/env python3
"""Every frame, page and picture of random files, with its alpha and its time, against Pillow (PNG: against the specification, drawn in NumPy).

usage: frames.py [--count 2000] [--seed N] [--keep FOLDER] [--kinds gif,webp,…]   (needs Pillow 13 and NumPy)

Each file is written by blocks or by Pillow from its format's options (`frame_files.py`, `png_files.py`): disposal, blending, offsets, transparent
indices, local palettes, delays, interlacing, extra samples, circles of pages, orientation. The decoder is asked through the integration tests'
`decode_frames::dump` (or the program in NIGHTLIGHT_FRAMES, which does the same). Without a seed, a fresh one is taken and printed. Exit 1 when
any frame differs: by a bit for GIF, WebP, PNG, TIFF and BMP (one level where half-transparent pixels are mixed), by 3 levels in the mean for MPO.
"""
import argparse
import collections
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from PIL import Image, ImageOps

import frame_files
from png_files import png

MAKERS = {"gif": frame_files.gif, "gif-pillow": frame_files.gif_by_pillow, "webp": frame_files.webp, "webp-pillow": frame_files.webp_by_pillow,
          "png": png, "tiff": frame_files.tiff, "tiff-pillow": frame_files.tiff_by_pillow, "bmp": frame_files.bmp, "mpo": frame_files.mpo}
CARGO = ["cargo", "test", "--quiet", "--locked", "--features", "testing", "--test", "integration", "--", "--ignored", "--exact", "decode_frames::dump"]


def by_pillow(data):
    """The frames as Pillow shows them, one after the other. A WebP has alpha wherever some viewer shows it, whatever its header says: what an
    animation's frames leave uncovered (Pillow gives it when the header's flag is set), what a still holds although the flag is not set (dwebp), and what
    a VP8L image of an extended file holds although it says that it does not (Chromium)."""
    frames = shown_by_pillow(data)
    if data[:4] == b"RIFF" and data[12:16] == b"VP8X":
        animated, lossless, said = data[20] & 2, data[30:34] == b"VP8L", bytearray(data)
        if animated or lossless or data[30:34] == b"ALPH":
            said[20] |= 0x10
            said[42] |= 0x10 if lossless else 0
        if said != data:
            frames = [(rgb, alpha, seconds) for (rgb, _, seconds), (_, alpha, _) in zip(frames, shown_by_pillow(bytes(said)), strict=True)]
    return frames


def shown_by_pillow(data):
    frames, seconds = [], 0.0
    with Image.open(io.BytesIO(data)) as image:
        timed, number = image.format in ("GIF", "WEBP"), 0
        while True:
            try:
                image.seek(number)
            except EOFError:
                break
            image.load()
            shown = ImageOps.exif_transpose(image)
            if shown.mode.startswith("I;16"):
                rgb = np.repeat((np.asarray(shown) >> 8).astype(np.uint8)[:, :, None], 3, 2)
            elif shown.mode == "La":
                rgb = None
            else:
                rgb = np.asarray(shown.convert("RGB"))
            clear = shown.mode in ("RGBA", "LA", "PA") or "transparency" in shown.info
            alpha = np.asarray(shown.convert("RGBA"))[:, :, 3] if clear else None
            frames.append((rgb, alpha, round(seconds, 6) if timed else None))
            seconds += image.info.get("duration", 0) / 1000
            number += 1
            if number >= getattr(image, "n_frames", 1) and image.format != "GIF":
                break
    if len(frames) == 1:
        frames = [(*frames[0][:2], None)]
    return frames


def ask(files, folder):
    """What the decoder gives for each file: frames, and the last line with what viewers draw of which frame."""
    names, out = folder / "list", folder / "out"
    names.write_text("\n".join(str(file) for file in files))
    command = os.environ["NIGHTLIGHT_FRAMES"].split() if "NIGHTLIGHT_FRAMES" in os.environ else CARGO
    subprocess.run(command, check=True, env={**os.environ, "NIGHTLIGHT_FRAMES_LIST": str(names), "NIGHTLIGHT_FRAMES_OUT": str(out)})
    with out.open("rb") as lines:
        for _ in files:
            frames, drawn = [], {}
            while True:
                line = json.loads(lines.readline())
                if "width" not in line:
                    break
                frames.append((*raster(lines, line), line["time_s"]))
                if line["drawn"]:
                    drawn[len(frames) - 1] = raster(lines, line["drawn"])
            yield frames, {**line, "drawn": drawn}


def raster(lines, said):
    width, height = said["width"], said["height"]
    rgb = np.frombuffer(lines.read(3 * width * height), np.uint8).reshape(height, width, 3)
    return rgb, np.frombuffer(lines.read(width * height), np.uint8).reshape(height, width) if said["alpha"] else None


def difference(kind, ours, right):
    """What is wrong with one frame, or `None`."""
    (rgb, alpha, seconds), (right_rgb, right_alpha, right_seconds) = ours, right
    if right_rgb is not None:
        if rgb.shape != right_rgb.shape:
            return f"{rgb.shape} instead of {right_rgb.shape}"
        apart = np.abs(rgb.astype(int) - right_rgb)
        if kind == "mpo":
            if apart.mean() > 3:
                return f"colours differ by {apart.mean():.1f} in the mean"
        elif apart.max() > 0:
            if kind != "png" or apart.max() > 1:
                return f"colours of {(apart.max(2) > 0).sum()} of {apart.shape[0] * apart.shape[1]} pixels differ by up to {apart.max()}"
    opaque = np.full(rgb.shape[:2], 255)
    apart = np.abs((opaque if alpha is None else alpha.astype(int)) - (opaque if right_alpha is None else right_alpha))
    if apart.max() > (1 if kind == "png" else 0):
        return f"alpha of {(apart > 0).sum()} of {apart.size} pixels differs by up to {apart.max()}"
    if alpha is not None and alpha.min() == 255:
        return "an alpha that is opaque"
    if (seconds is None) != (right_seconds is None) or (seconds is not None and abs(seconds - right_seconds) > 1e-5):
        return f"at {seconds} instead of {right_seconds}"
    return None


def judge(kind, right, ours, last):
    if isinstance(right, str):
        return None if "frames" not in last or "failed" in last else f"Pillow refuses it ({right})"
    if "error" in last or "failed" in last:
        return f"{last} instead of {len(right)} frames"
    if len(ours) != len(right) or last["frames"] != len(right):
        return f"{len(ours)} frames, stated {last['frames']}, instead of {len(right)}"
    for number, pair in enumerate(zip(ours, right)):
        wrong = difference(kind, *pair)
        if wrong:
            return f"frame {number}: {wrong}"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments.add_argument("--keep", help="a folder for the files that differ")
    arguments.add_argument("--kinds", default=",".join(MAKERS))
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    if arguments.keep:
        pathlib.Path(arguments.keep).mkdir(parents=True, exist_ok=True)
    kinds, bad, frames, refused = arguments.kinds.split(","), collections.Counter(), collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = []
        for number in range(arguments.count):
            kind = kinds[number % len(kinds)]
            made = MAKERS[kind](np.random.default_rng([arguments.seed, number]))
            data, right = made if isinstance(made, tuple) else (made, None)
            if right is None:
                try:
                    right = by_pillow(data)
                except Exception as error:  # whatever Pillow stumbles over
                    right = f"{type(error).__name__}: {error}"
                    refused[kind] += 1
            file = folder / f"{number:06d}.{kind}"
            file.write_bytes(data)
            files.append((file, kind, right))
        for (file, kind, right), (ours, last) in zip(files, ask([file for file, _, _ in files], folder)):
            wrong = judge(kind, right, ours, last)
            frames[kind] += len(ours)
            if wrong:
                bad[kind] += 1
                if bad[kind] <= 5:
                    print(f"{file.name}: {wrong}")
                if arguments.keep:
                    (pathlib.Path(arguments.keep) / file.name).write_bytes(file.read_bytes())
    print(f"seed {arguments.seed}: {arguments.count} files, {sum(frames.values())} frames {dict(frames)}; refused by Pillow {dict(refused)}; "
          f"different {dict(bad) or 0}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
