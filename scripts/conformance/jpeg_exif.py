"""EXIF orientation of odd types, counts and segments: what Pillow's `exif_transpose` does with each, and what Nightlight does."""
import io
import pathlib
import struct
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps

import jpeg_encoder as jpeg
from pictures import photo

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def block(rng, entries, order, head=None):
    """A TIFF block; each entry is (tag, type, count, value's bytes), long ones stand behind the directory."""
    behind_at, behind, out = 8 + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            behind, value = behind + value, struct.pack(order + "L", behind_at + len(behind))
        out += struct.pack(order + "HHL", tag, kind, count) + value.ljust(4, b"\0")
    magic = (b"II" if order == "<" else b"MM") + (head or struct.pack(order + "H", 42))
    return magic + struct.pack(order + "LH", 8, len(entries)) + out + b"\0\0\0\0" + behind


def value(rng, kind, order, number):
    form = {1: "B", 2: "B", 3: "H", 4: "L", 6: "b", 7: "B", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L", 16: "Q"}
    if kind in form:
        return struct.pack(order + form[kind], number)
    factor = int(rng.choice([1, 1, 2, 5, 0]))
    return struct.pack(order + "2L", number * max(factor, 1), factor)


def blocks(rng):
    """One to three EXIF segments' contents."""
    order = str(rng.choice(["<", ">"]))
    entries = []
    for _ in range(int(rng.integers(1, 4))):
        kind = int(rng.choice(list(SIZES)))
        count = int(rng.choice([1, 1, 1, 1, 2, 3, 0]))
        content = b"".join(value(rng, kind, order, int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 6, 6, 0, 9]))) for _ in range(count))
        if rng.random() < 0.1:
            kind = int(rng.choice([0, 14, 17, 99]))
        if rng.random() < 0.1:
            count += int(rng.choice([1, 2, 100]))
        entries.append((int(rng.choice([274, 274, 270])), kind, count, content))
    whole = block(rng, entries, order, [None, None, None, b"*\0", b"\0*"][int(rng.integers(0, 5))])
    if rng.random() < 0.15:
        whole = whole[:int(rng.integers(0, len(whole) + 1))]
    more = [whole[int(rng.integers(0, len(whole) + 1)):]] if rng.random() < 0.2 else []
    if more:
        whole = whole[:len(whole) - len(more[0])]
    if rng.random() < 0.3:
        more.append(block(rng, [(274, 3, 1, struct.pack("<H", int(rng.integers(1, 9))))], "<"))
    return [b"Exif\0\0" * int(rng.choice([0, 0, 0, 1, 2])) + whole, *more]


def check(decoder, count=3000, seed=5):
    """Prints what differs; whether nothing does."""
    warnings.simplefilter("ignore")
    out, wrong = io.BytesIO(), 0
    rng = np.random.default_rng(seed)
    # So coarse that another orientation is another picture, whatever the IDCT.
    Image.fromarray(np.clip(photo(rng, 48, 32), 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90, subsampling=0)
    plain = out.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "exif.jpg"
        for number in range(count):
            contents = blocks(rng)
            segments = b"".join(jpeg.segment(0xE1, b"Exif\0\0" + content) for content in contents)
            file.write_bytes(plain[:2] + segments + plain[2:])
            try:
                theirs = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
            except Exception:  # Pillow gives up on it; upright is as good as anything
                continue
            ours = decoder(file)
            if isinstance(ours, str) or ours.shape != theirs.shape or np.abs(ours.astype(int) - theirs).mean() > 3:
                wrong += 1
                print(f"{number}: {[content.hex() for content in contents]}")
    print(f"{count} EXIF blocks: {wrong} turned another way than by Pillow")
    return wrong == 0
