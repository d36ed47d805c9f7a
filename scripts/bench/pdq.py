#!/usr/bin/env python3
"""PDQ from RGB pixels, one thread, all eight hashes here, against Meta's C++ (PyPI `pdqhash`) less the luma it makes with numpy.

usage: KERNELS=… pdq.py

A mirrored picture is timed too: half of its coefficients are rounding noise, so it takes the exact way, which costs several times the other.
"""
import pathlib
import statistics
import tempfile

import numpy as np
import pdqhash

from duel import Kernels, duel, picture, timed


def luma(pixels):
    return (pixels[:, :, 0] * 0.299 + pixels[:, :, 1] * 0.587 + pixels[:, :, 2] * 0.114).astype("float32")


def main():
    kernels = Kernels()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "picture.rgb"
        for width, height in [(512, 512), (1152, 864)]:
            plain = picture(width, height)
            mirrored = ((plain.astype(np.uint16) + plain[:, ::-1]) // 2).astype(np.uint8)
            for kind, pixels in [("", plain), (" mirrored", mirrored)]:
                file.write_bytes(pixels.tobytes())
                request = {"op": "pdq", "file": str(file), "width": width, "height": height}
                reply = kernels.ask(**request, rounds=1)
                bits, quality = pdqhash.compute(pixels)
                distance = (int(reply["answer"]["pdq"], 16) ^ int(np.packbits(bits).tobytes().hex(), 16)).bit_count()
                assert distance == 0 and reply["answer"]["quality"] == quality, (distance, reply, quality)
                core = lambda: [statistics.median(timed(lambda: pdqhash.compute(pixels), 9)) - statistics.median(timed(lambda: luma(pixels), 9))]
                way = "fast" if reply["decided"] else "exact"
                duel(f"pdq {width}x{height}{kind}", lambda: kernels.ask(**request, rounds=40)["seconds"], core, way=way,
                     peer="pdqhash (C++) less its luma", distance=distance)
    kernels.close()


if __name__ == "__main__":
    main()
