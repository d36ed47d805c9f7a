#!/usr/bin/env python3
"""PDQ from RGB pixels, one thread, all eight hashes here, against Meta's C++ (PyPI `pdqhash`) less the luma it makes with numpy.

usage: KERNELS=… pdq.py
"""
import pathlib
import statistics
import tempfile

import numpy as np
import pdqhash

from duel import Kernels, duel, picture, timed


def main():
    kernels = Kernels()
    with tempfile.TemporaryDirectory() as folder:
        for width, height in [(512, 512), (1152, 864)]:
            pixels = picture(width, height)
            file = pathlib.Path(folder) / "picture.rgb"
            file.write_bytes(pixels.tobytes())
            request = {"op": "pdq", "file": str(file), "width": width, "height": height}
            answer = kernels.ask(**request, rounds=1)["answer"]
            bits, quality = pdqhash.compute(pixels)
            distance = (int(answer["pdq"], 16) ^ int(np.packbits(bits).tobytes().hex(), 16)).bit_count()
            assert distance == 0 and answer["quality"] == quality, (distance, answer, quality)
            luma = lambda: (pixels[:, :, 0] * 0.299 + pixels[:, :, 1] * 0.587 + pixels[:, :, 2] * 0.114).astype("float32")
            core = lambda: [statistics.median(timed(lambda: pdqhash.compute(pixels), 9)) - statistics.median(timed(luma, 9))]
            duel(f"pdq {width}x{height}", lambda: kernels.ask(**request, rounds=40)["seconds"], core, peer="pdqhash (C++) less its luma", distance=distance)
    kernels.close()


if __name__ == "__main__":
    main()
