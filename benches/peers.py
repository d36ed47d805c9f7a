#!/usr/bin/env python3
"""Times the peer of the PDQ bench on the same pictures, single-threaded: Meta's C++ PDQ.

usage: peers.py            (needs pdqhash, numpy); one JSON line for each, milliseconds, median and least of 31.

pdqhash makes luma with numpy before it calls the C++; `pdq_core` is the rest, which is what the reference tool itself does.
"""
import json
import statistics
import time

import numpy as np
import pdqhash


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


def say(peer, width, height, times, **more):
    print(json.dumps({"peer": peer, "size": f"{width}x{height}", "median_ms": round(times[0], 3), "least_ms": round(times[1], 3)} | more))


for width, height in [(512, 512), (1152, 864), (864, 1152), (4000, 3000)]:
    pixels = picture(width, height)
    whole = timed(lambda: pdqhash.compute(pixels))
    dihedral = timed(lambda: pdqhash.compute_dihedral(pixels))
    luma = timed(lambda: (pixels[:, :, 0] * 0.299 + pixels[:, :, 1] * 0.587 + pixels[:, :, 2] * 0.114).astype("float32"))
    bits, quality = pdqhash.compute(pixels)
    say("pdq", width, height, whole, hash=np.packbits(bits).tobytes().hex(), quality=int(quality))
    say("pdq_core", width, height, [whole[0] - luma[0], whole[1] - luma[1]])
    say("pdq_dihedral_core", width, height, [dihedral[0] - luma[0], dihedral[1] - luma[1]])
