#!/usr/bin/env python3
"""What the device does in a second, and which share of its limits that is. Needs Python alone.

usage: KERNELS=… gpu.py CORPUS RESULT.json

PDQ and preprocessing of 1 MP pictures, resident (the stages alone, by the device's clock) and with upload; files to hashes and tensors end to
end. Every answer is compared with the processor's before a figure is printed. Limits: memory bandwidth (each pixel read once is the least a
stage can do) and PCIe, from the makers' data sheets, by the adapter's name; unknown adapters get no share. A software adapter's figures say
that the script works and nothing else.
"""
import datetime
import json
import os
import platform
import statistics
import sys

from duel import Kernels

# Bytes per second of device memory, and of PCIe in one direction: the makers' data sheets (SXM where there are several).
LIMITS = {"h200": (4.8e12, 64e9), "h100": (3.35e12, 64e9), "a100": (2.0e12, 32e9), "l40s": (864e9, 32e9), "l4": (300e9, 32e9)}
SIZES = [(512, 512, 64), (1152, 864, 64), (4000, 3000, 8)]


def pixels(kernels, limits, rounds, binding_bytes):
    for width, height, batch in SIZES:
        # What a binding holds, with some room for tables; the program asks for at most 1 GiB.
        batch = max(1, min(batch, int(0.9 * min(binding_bytes, 2**30)) // (3 * width * height)))
        for stages in ("pdq", "preprocess", "both"):
            request = {"op": "gpu_pixels", "width": width, "height": height, "batch": batch, "rounds": rounds, "stages": stages}
            kernels.ask(**request | {"rounds": 1})  # warm: buffers grow on the first batch
            reply = kernels.ask(**request)
            assert reply["answer"]["equal"], f"{stages} at {width}x{height} differs from the processor's"
            middle = lambda key: statistics.median(reply[key])
            size = 3 * width * height * batch
            row = {"bench": f"{stages} {width}x{height}", "batch": batch, "with_upload_per_s": round(batch / middle("seconds"), 1),
                   "upload_bytes_per_s": round(size / middle("upload")), "stages_ms": {name: round(statistics.median(took) * 1e3, 4) for name, took in reply["stages"].items()}}
            if middle("kernels") > 0:
                row["resident_per_s"] = round(batch / middle("kernels"), 1)
            if limits:
                memory, pcie = limits
                row["share_of_pcie"] = round(size / middle("seconds") / pcie, 3)
                if middle("kernels") > 0:
                    row["share_of_memory_bandwidth"] = round(size / middle("kernels") / memory, 3)
            yield row


def end_to_end(kernels, corpus, images):
    """Decode, hash and tensor on all cores, against torchvision's CUDA decoder where that is at hand."""
    for backend in ("gpu", "cpu"):
        reply = kernels.ask(op="soak", folder=corpus, images=images, batch=16, threads=os.cpu_count() or 1, backend=backend)
        yield {"bench": f"files to hashes and tensors, {backend}", "per_s": round(images / reply["seconds"], 1), "trouble": reply["trouble"]}
    try:
        import torch
        import torchvision.io
    except ImportError:
        yield {"bench": "torchvision CUDA decode", "per_s": None, "note": "not measured: torchvision is not installed here"}
        return
    files = [torchvision.io.read_file(os.path.join(corpus, name)) for name in sorted(os.listdir(corpus)) if name.endswith((".jpg", ".jpeg"))]
    files = (files * (images // max(1, len(files)) + 1))[:images]
    start = datetime.datetime.now()
    for at in range(0, len(files), 16):
        for picture in torchvision.io.decode_jpeg(files[at:at + 16], device="cuda"):
            torch.nn.functional.interpolate(picture[None].float(), (224, 224), mode="bilinear", antialias=True)
    torch.cuda.synchronize()
    yield {"bench": "torchvision CUDA decode and resize", "per_s": round(images / (datetime.datetime.now() - start).total_seconds(), 1)}


def main():
    corpus, result = sys.argv[1:3]
    kernels = Kernels()
    adapter = kernels.ask(op="device")["answer"]
    limits = next((value for name, value in LIMITS.items() if name in adapter["name"].lower()), None)
    rounds, images = (3, 64) if adapter["is_software"] else (20, 20000)
    rows = []
    for row in [*pixels(kernels, limits, rounds, adapter["binding_bytes"]), *end_to_end(kernels, corpus, images)]:
        print(json.dumps(row), flush=True)
        rows.append(row)
    kernels.close()
    head = {"date": datetime.date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores", "adapter": adapter}
    with open(result, "w") as file:
        json.dump(head | {"rows": rows}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
