#!/usr/bin/env python3
"""Random pictures and random specs through `nightlight preprocess` and through Pillow: how far apart are the tensors?

usage: NIGHTLIGHT=… preprocess_check.py [--cases 300] [--seed 1] [--backend cpu|gpu] [--torch]

`pillow-u8` must be equal to the bit and `float` within 0.002 of a pixel's step (elements are multiplied with std / scale first; halves get
their last digit besides). Prints the deviations beyond that and a summary in JSON; exit code 1 when there are any. `--torch` adds
torchvision's functions as further references, where they can do the same: on doubles to 0.002 of a step, and on floats to 0.1 of one, because
torch then computes the places of its taps in single precision too.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

from pillow_reference import FILTERS, resized_size, tensor

STEPS = {"pillow-u8": 0, "float": 0.002, "torchvision-double": 0.002, "torchvision-float": 0.1}


def random_pixels(rng):
    side = lambda: int(rng.choice([1, 2, 3, int(rng.integers(4, 40)), int(rng.integers(40, 400)), int(rng.integers(400, 1500))], p=[0.05, 0.03, 0.02, 0.25, 0.5, 0.15]))
    width, height = side(), side()
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    if rng.random() < 0.5:  # blocks: edges, at which filters overshoot
        block = int(rng.integers(2, 20))
        noise = np.where(noise[::block, ::block] > 127, 255, 0).astype(np.uint8).repeat(block, 0).repeat(block, 1)[:height, :width]
    return np.ascontiguousarray(noise)


def random_spec(rng, width, height):
    side = lambda: int(rng.integers(1, 300))
    kind = rng.choice(["exact", "shortest_side", "letterbox"])
    if kind == "shortest_side":
        # What Pillow makes as a whole before it crops must fit this machine.
        resize = {"to": str(kind), "side": min(side(), max(1, 20000 * min(width, height) // max(width, height)))}
    else:
        resize = {"to": str(kind), "width": side(), "height": side()}
    if kind == "letterbox" and rng.random() < 0.7:
        resize["fill"] = rng.integers(0, 256, 3).tolist()
    spec = {"resize": resize, "filter": str(rng.choice(list(FILTERS))), "rounding": str(rng.choice(["pillow-u8", "float"])),
            "channels": str(rng.choice(["rgb", "bgr"])), "layout": str(rng.choice(["nchw", "nhwc"]))}
    if kind != "letterbox" and rng.random() < 0.5:
        least = (resize["side"],) * 2 if kind == "shortest_side" else (resize["width"], resize["height"])
        spec["crop"] = {"width": int(rng.integers(1, least[0] + 1)), "height": int(rng.integers(1, least[1] + 1))}
        if rng.random() < 0.7:
            spec["crop_margin"] = str(rng.choice(["floor", "half-even"]))
    if rng.random() < 0.5:
        spec |= {"scale": float(np.float32(1 / 255)), "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    else:
        spec |= {"scale": 1.0, "mean": [104.0, 117.0, 123.0], "std": [1.0, 1.0, 1.0]}
    if rng.random() < 0.25:
        spec["dtype"] = "f16"
    return spec


def toml(spec):
    def value(item):
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{key} = {value(inner)}" for key, inner in item.items()) + " }"
        return json.dumps(item)

    return "".join(f"{key} = {value(item)}\n" for key, item in spec.items())


def steps_apart(ours, theirs, spec):
    """The largest difference in steps of a pixel, less what halves cannot say."""
    wide, other = ours.astype(np.float64), theirs.astype(np.float64)
    apart = np.abs(wide - other)
    if spec.get("dtype") == "f16":
        apart = np.maximum(0, apart - np.spacing(np.abs(theirs)).astype(np.float64))
    shape = (1, 1, 1, 3) if spec["layout"] == "nhwc" else (1, 3, 1, 1)
    return float((apart * np.array(spec["std"]).reshape(shape) / spec["scale"]).max())


def torchvision_tensor(pixels, spec, dtype):
    """The spec by torchvision's own functions on a tensor of floats or doubles; None where they cannot do it."""
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    resize = spec["resize"]
    if spec["rounding"] != "float" or spec["filter"] == "lanczos" or resize["to"] == "letterbox" or spec.get("dtype") == "f16":
        return None
    if "crop" in spec and spec.get("crop_margin") != "half-even":
        return None
    size = [resize["side"]] if resize["to"] == "shortest_side" else [resize["height"], resize["width"]]
    planes = torch.from_numpy(pixels).permute(2, 0, 1).to(getattr(torch, dtype))
    made = functional.resize(planes, size, InterpolationMode(spec["filter"]), antialias=True)
    if "crop" in spec:
        made = functional.center_crop(made, [spec["crop"]["height"], spec["crop"]["width"]])
    if spec["channels"] == "bgr":
        made = made.flip(0)
    made = functional.normalize(made * spec["scale"], spec["mean"], spec["std"])
    return (made if spec["layout"] == "nchw" else made.permute(1, 2, 0))[None].float().numpy()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--cases", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--backend", default="cpu")
    options.add_argument("--torch", action="store_true")
    options = options.parse_args()
    rng = np.random.default_rng(options.seed)
    worst = dict.fromkeys(STEPS, 0.0)
    counts, wrong, backends = dict.fromkeys(worst, 0), 0, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for case in range(options.cases):
            pixels = random_pixels(rng)
            spec = random_spec(rng, pixels.shape[1], pixels.shape[0])
            (folder / "spec.toml").write_text(toml(spec))
            Image.fromarray(pixels).save(folder / "picture.png")
            command = [os.environ["NIGHTLIGHT"], "preprocess", "--spec", folder / "spec.toml", "--backend", options.backend, folder / "picture.png", "--out", folder / "tensor.npy"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                print(json.dumps({"case": case, "size": pixels.shape, "spec": spec, "error": done.stderr}))
                wrong += 1
                continue
            line = json.loads(done.stdout)
            backends[line["backend"]] = backends.get(line["backend"], 0) + 1
            ours = np.load(folder / "tensor.npy")
            references = {spec["rounding"]: tensor(pixels, spec)}
            for dtype in ("double", "float") if options.torch else ():
                if (made := torchvision_tensor(pixels, spec, dtype)) is not None:
                    references[f"torchvision-{dtype}"] = made
            for name, theirs in references.items():
                counts[name] += 1
                same_form = ours.shape == theirs.shape == tuple(line["shape"]) and ours.dtype == theirs.dtype
                apart = steps_apart(ours, theirs, spec) if same_form else float("inf")
                equal = same_form and ours.tobytes() == theirs.tobytes()
                worst[name] = max(worst[name], apart)
                if not (equal if name == "pillow-u8" else apart <= STEPS[name]):
                    wrong += 1
                    resized = resized_size(spec["resize"], pixels.shape[1], pixels.shape[0])
                    print(json.dumps({"case": case, "reference": name, "size": pixels.shape, "resized": resized, "spec": spec, "steps_apart": apart}))
    print(json.dumps({"cases": options.cases, "seed": options.seed, "ran_on": backends, "compared": counts, "largest_steps_apart": worst, "wrong": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
