#!/usr/bin/env python3
"""Whether memory stays flat over many pictures: decoder, buffer pool, and the processor's or the device's buffers.

usage: KERNELS=… soak.py FOLDER [IMAGES, default 100000] [BACKEND, default gpu]

Exit 1 when resident memory in the second half grows by more than 2 %.
"""
import json
import sys

from duel import Kernels


def main():
    folder, images, backend = sys.argv[1], int((sys.argv[2:] or ["100000"])[0]), (sys.argv[3:] or ["gpu"])[0]
    kernels = Kernels()
    reply = kernels.ask(op="soak", folder=folder, images=images, batch=8, threads=2, backend=backend)
    kernels.close()
    for at, size in reply["resident_bytes"]:
        print(f"{at:>8} pictures {size / 2**20:8.1f} MiB")
    half = [size for at, size in reply["resident_bytes"] if at >= images / 2]
    growth = max(half) / half[0] - 1
    print(json.dumps({"bench": f"soak {backend}", "images": images, "seconds": round(reply["seconds"], 1), "growth_second_half": round(growth, 4)}))
    sys.exit(growth > 0.02 or reply["trouble"] is not None)


if __name__ == "__main__":
    main()
