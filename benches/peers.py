#!/usr/bin/env python3
"""Times the peer of the preprocess bench on the same pictures, single-threaded: Pillow's resize.

usage: peers.py            (needs Pillow, numpy); one JSON line for each, milliseconds, median and least of 31.
"""
import json
import statistics
import time

import numpy as np
from PIL import Image, __version__


def picture(width, height):
    at = np.arange(3 * width * height, dtype=np.uint32)
    return ((at // 7) ^ (at >> 9)).astype(np.uint8).reshape(height, width, 3)


def timed(function, rounds=31):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), min(times)


def tensor(image):
    """What `preprocess/cpu` makes: 256 x 256, centre 224, BGR, minus the mean."""
    return np.asarray(image.resize((256, 256), Image.BILINEAR))[16:240, 16:240, ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)


def say(peer, width, height, times, **more):
    print(json.dumps({"peer": peer, "size": f"{width}x{height}", "median_ms": round(times[0], 3), "least_ms": round(times[1], 3)} | more))


for width, height in [(512, 512), (1152, 864), (864, 1152), (4000, 3000)]:
    pixels = picture(width, height)
    image = Image.fromarray(pixels)
    say("pillow_resize_256", width, height, timed(lambda: image.resize((256, 256), Image.BILINEAR)), version=__version__)
    say("pillow_numpy_tensor", width, height, timed(lambda: tensor(image)), version=__version__)
