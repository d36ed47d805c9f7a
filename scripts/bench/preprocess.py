#!/usr/bin/env python3
"""A model's tensor from a decoded picture of 1 MP, one thread: Nightlight against Pillow and numpy (and torchvision's way, where torch is).

usage: KERNELS=… preprocess.py

1152x864 -> 256x256 -> centre 224x224 -> normalised f32, each filter. Peers of `pillow-u8`: Pillow + numpy making the same tensor, and Pillow's
resize alone, which makes less. Peers of `float`: Pillow in mode F, a channel at a time, and torch's antialiased interpolation of a float
tensor. Answers are compared first: `pillow-u8` to the bit, `float` to 0.002 of a pixel's step. The least time of each turn counts, on both
sides: on a shared machine the longer run meets more of the others, which would flatter the shorter one.
"""
import pathlib
import tempfile

import numpy as np
from PIL import Image

from duel import Kernels, duel, picture, timed
from pillow_reference import FILTERS, resample, tensor

try:
    import torch
except ImportError:
    torch = None

WIDTH, HEIGHT = 1152, 864
BASE = {"resize": {"to": "exact", "width": 256, "height": 256}, "crop": {"width": 224, "height": 224}, "channels": "rgb", "layout": "nchw",
        "scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
STEPS = 0.002


def torch_way(spec):
    """What torchvision does to a float tensor: resize, crop, normalise. Its bytes-to-floats conversion is counted, as ours is."""
    mean, std = (torch.tensor(spec[key])[:, None, None] for key in ("mean", "std"))

    def way(pixels):
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255)
        made = torch.nn.functional.interpolate(planes, (256, 256), mode=spec["filter"], antialias=True)
        return made[0, :, 16:240, 16:240].sub(mean).div(std)

    return way


def main():
    kernels = Kernels()
    if torch is not None:
        torch.set_num_threads(1)
    pixels = picture(WIDTH, HEIGHT)
    image = Image.fromarray(pixels)
    with tempfile.TemporaryDirectory() as folder:
        file, out = pathlib.Path(folder) / "picture.rgb", pathlib.Path(folder) / "tensor"
        file.write_bytes(pixels.tobytes())
        for rounding in ("pillow-u8", "float"):
            for name in FILTERS:
                spec = BASE | {"filter": name, "rounding": rounding}
                request = {"op": "preprocess", "file": str(file), "width": WIDTH, "height": HEIGHT, "spec": spec, "out": str(out)}
                shape = kernels.ask(**request, rounds=1)["answer"]["shape"]
                ours = np.frombuffer(out.read_bytes(), "<f4").reshape(shape)
                apart = np.abs(ours - tensor(pixels, spec)).max() * min(spec["std"]) / spec["scale"]
                assert apart <= (0 if rounding == "pillow-u8" else STEPS), (spec, apart)
                title = f"preprocess {rounding} {name}"

                def against(peer, way, apart):
                    ours = lambda: [min(kernels.ask(**request, rounds=25)["seconds"])]
                    duel(title, ours, lambda: [min(timed(way, 9))], peer=peer, apart_in_steps=float(apart))

                against("Pillow + numpy, same tensor", lambda: tensor(pixels, spec), apart)
                if rounding == "pillow-u8":
                    against("Pillow's resize alone", lambda: image.resize((256, 256), FILTERS[name]), apart)
                    continue
                against("Pillow's resize of three F planes alone", lambda: resample(pixels, (256, 256), spec), apart)
                if torch is not None and name != "lanczos":
                    way = torch_way(spec)
                    apart = np.abs(ours - way(pixels).numpy()).max() * min(spec["std"]) / spec["scale"]
                    assert apart <= STEPS, apart
                    against("torch, one thread", lambda: way(pixels), apart)
    kernels.close()


if __name__ == "__main__":
    main()
