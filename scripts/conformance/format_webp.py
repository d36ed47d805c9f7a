"""WebP files from the options of `cwebp` and of the container (RFC 9649)."""
import io
import os
import struct
import subprocess
import tempfile
import threading

import numpy as np
from PIL import Image

from format_files import exif, picture, size

SCRATCH = tempfile.TemporaryDirectory(prefix="format_webp")


def riff(chunks, extra=0):
    body = b"WEBP" + b"".join(struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + extra) + body


def chunks_of(file):
    at, found = 12, []
    while at + 8 <= len(file):
        kind, length = struct.unpack_from("<4sI", file, at)
        found.append((kind, file[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def encoded(draw, image):
    """What cwebp makes of it, with options of every kind."""
    way = draw.pick("coding", ["lossy", "lossless", "near lossless"], [4, 3, 0.5])
    options = ["-m", str(draw.pick("method", [0, 2, 4, 6]))]
    if way == "lossy":
        options += ["-q", str(draw.pick("quality", [0, 10, 50, 75, 95, 100]))]
        options += ["-segments", str(draw.pick("segments", [1, 2, 3, 4])), "-sns", str(draw.pick("sns", [0, 50, 100]))]
        options += ["-f", str(draw.pick("loop filter", [0, 20, 60, 100])), "-sharpness", str(draw.pick("sharpness", [0, 3, 7]))]
        options += [draw.pick("filter kind", ["-strong", "-nostrong"])]
        options += ["-alpha_method", str(draw.pick("alpha compression", [0, 1])), "-alpha_filter", draw.pick("alpha filter", ["none", "fast", "best"])]
        options += ["-alpha_q", str(draw.pick("alpha quality", [0, 40, 100]))]
        options += ["-partition_limit", str(draw.pick("partition limit", [0, 100]))]
        options += ["-pass", "3"] if draw.chance("passes", 0.1) else []
        options += ["-pre", "2"] if draw.chance("dithering", 0.1) else []
    else:
        options += ["-lossless", "-z", str(draw.pick("effort", [0, 3, 6, 9]))]
        options += ["-exact"] if draw.chance("exact", 0.5) else []
        options += ["-near_lossless", "40"] if way == "near lossless" else []
    file = os.path.join(SCRATCH.name, f"{threading.get_ident()}")
    image.save(file + ".png")
    subprocess.run(["cwebp", "-quiet", *options, file + ".png", "-o", file + ".webp"], check=True)
    with open(file + ".webp", "rb") as made:
        return made.read()


def content(draw, width, height):
    """Pixels of a kind that the lossless coder has a transform for."""
    kind = draw.pick("content", ["photo", "2 colours", "4 colours", "16 colours", "200 colours", "grey", "flat"], [5, 1, 1, 1, 1, 1, 0.5])
    rgb = picture(draw, width, height)
    if kind == "grey":
        rgb = np.repeat(rgb[..., :1], 3, 2)
    elif kind == "flat":
        rgb[:] = rgb[0, 0]
    elif kind != "photo":
        count = int(kind.split()[0])
        rgb = draw.rng.integers(0, 256, (count, 3), dtype=np.uint8)[rgb[..., 0].astype(int) * count // 256]
    alpha = draw.pick("alpha", ["none", "gradient", "binary", "transparent"], [4, 2, 1, 0.5])
    if alpha == "none":
        return Image.fromarray(rgb)
    y, x = np.mgrid[0:height, 0:width]
    veil = {"gradient": (x * 5 + y * 3) % 256, "binary": (x + y) // 5 % 2 * 255, "transparent": x * 0}[alpha]
    return Image.fromarray(np.dstack([rgb, veil.astype(np.uint8)]))


def container(draw, file, width, height, has_alpha):
    """The same bitstream in a container of drawn shape."""
    coded = [(kind, data) for kind, data in chunks_of(file) if kind in (b"VP8 ", b"VP8L", b"ALPH")]
    form = draw.pick("container", ["as written", "extended", "animation"], [2, 4, 2])
    if form == "as written":
        return file
    flags, before, behind = 0x10 if has_alpha else 0, [], []
    if draw.chance("ICCP", 0.25):
        flags |= 0x20
        before.append((b"ICCP", draw.bytes(draw.number(1, 99))))
    if draw.chance("EXIF", 0.4):
        flags |= 0x08
        block = exif(draw.pick("orientation", [1, 2, 3, 4, 5, 6, 7, 8, 0]), draw.pick("exif order", ["<", ">"]), draw.pick("exif type", [3, 4, 1], [6, 1, 1]))
        block = b"Exif\0\0" + block if draw.chance("EXIF with its JPEG prefix", 0.3) else block
        (before if draw.chance("EXIF before the picture", 0.2) else behind).append((b"EXIF", block))
        if draw.chance("EXIF twice", 0.1):
            behind.append((b"EXIF", exif(draw.number(1, 8))))
    if draw.chance("XMP", 0.2):
        flags |= 0x04
        (before if draw.chance("XMP before the picture", 0.2) else behind).append((b"XMP ", b"<x:xmpmeta/>" + bytes(draw.number(0, 3))))
    if draw.chance("unknown chunks", 0.25):
        before.append((b"ABCD", draw.bytes(draw.number(0, 30))))
        behind.append((b"efgh", draw.bytes(draw.number(0, 30))))
    wrong = draw.pick("flags", ["right", "alpha wrong", "metadata wrong", "reserved"], [8, 1, 1, 1])
    flags ^= {"right": 0, "alpha wrong": 0x10, "metadata wrong": 0x2C, "reserved": 0xC1}[wrong]
    three = lambda number: struct.pack("<I", number)[:3]
    screen = (width, height)
    if form == "animation":
        flags |= 0x02
        left, top = 2 * draw.number(0, 5), 2 * draw.number(0, 5)
        if draw.pick("frame", ["whole", "within"], [2, 1]) == "within":
            screen = (left + width + draw.number(0, 9), top + height + draw.number(0, 9))
        else:
            left = top = 0
        parts = b"".join(struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2) for kind, data in coded)
        if draw.chance("unknown chunk in a frame", 0.1):
            parts += struct.pack("<4sI", b"zzzz", 4) + b"abcd"
        frames = []
        for _ in range(draw.number(1, 3)):
            control = draw.pick("blend and dispose", [0, 1, 2, 3])
            frames.append((b"ANMF", three(left // 2) + three(top // 2) + three(width - 1) + three(height - 1) + three(100) + bytes([control]) + parts))
        coded = [(b"ANIM", draw.bytes(4) + b"\0\0"), *frames]
    head = (b"VP8X", bytes([flags, 0, 0, 0]) + three(screen[0] - 1) + three(screen[1] - 1))
    file = riff([head, *before, *coded, *behind])
    return file


def generate(draw):
    """A file; its pixels are libwebp's affair, so none are known."""
    width, height = size(draw)
    image = content(draw, width, height)
    file = encoded(draw, image)
    has_alpha = image.mode == "RGBA"
    file = container(draw, file, width, height, has_alpha)
    end = draw.pick("end", ["exact", "bytes behind", "length too large", "last pad byte missing"], [10, 1, 0.5, 0.5])
    if end == "bytes behind":
        file += draw.bytes(draw.number(1, 40))
    elif end == "length too large":
        file = file[:4] + struct.pack("<I", len(file) + 10) + file[8:]
    elif end == "last pad byte missing":
        file = file[:-1] if file[-1] == 0 else file
    return file, None


def second_opinion(file):
    """dwebp's pixels; None when it refuses (it does not read animations) and it draws no alpha into them."""
    done = subprocess.run(["dwebp", "-quiet", "-ppm", "-o", "-", "--", "-"], input=file, capture_output=True)
    return np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGB")) if done.returncode == 0 and done.stdout else None

