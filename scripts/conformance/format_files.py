"""What the generators of `format_layouts.py` share: small busy pictures, and options that are drawn and remembered."""
import io
import struct

import numpy as np
from PIL import Image


class Draw:
    """A seeded source of options. `options` says what was drawn, by name; a file's row in the report is made from it."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.options = {}

    def pick(self, name, values, weights=None):
        """One of `values`, remembered under `name`."""
        share = None if weights is None else np.array(weights) / sum(weights)
        value = values[int(self.rng.choice(len(values), p=share))]
        self.options[name] = str(value)
        return value

    def chance(self, name, share):
        """True in that share of the files; remembered only when true, as most files have few oddities."""
        drawn = bool(self.rng.random() < share)
        if drawn:
            self.options[name] = "yes"
        return drawn

    def number(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def bytes(self, length):
        return self.rng.integers(0, 256, length, dtype=np.uint8).tobytes()


def size(draw):
    """Width and height: mostly odd and small, now and then one pixel thin or some hundreds wide."""
    kind = draw.rng.random()
    if kind < 0.1:
        sides = (draw.number(1, 3), draw.number(1, 40))
    elif kind < 0.16:
        sides = (draw.number(100, 400), draw.number(3, 40))
    else:
        sides = (draw.number(4, 70), draw.number(4, 70))
    sides = sides if draw.rng.random() < 0.5 else sides[::-1]
    draw.options["size"] = "1 wide or high" if min(sides) == 1 else "long" if max(sides) >= 100 else "small"
    return sides


def picture(draw, width, height):
    """RGB: a gradient with hard-edged shapes and grain, so that a wrong row, channel or sample shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 5 + y / 9)], 2)
    for _ in range(3):
        left, top = draw.number(0, width - 1), draw.number(0, height - 1)
        rgb[top : top + draw.number(1, 20), left : left + draw.number(1, 20)] = draw.rng.integers(0, 256, 3)
    return np.clip(rgb + draw.rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def indices(draw, width, height, colours):
    """Samples below `colours`: a gradient in steps with blocks and stray pixels."""
    y, x = np.mgrid[0:height, 0:width]
    samples = (x * draw.number(1, 5) + y * draw.number(0, 7)) // draw.number(1, 9) % colours
    stray = draw.rng.random((height, width)) < 0.1
    return np.where(stray, draw.rng.integers(0, colours, (height, width)), samples).astype(np.int64)


def pack(rows, depth, order=">"):
    """Rows of samples (rows x samples a row) to bytes, most significant bit first."""
    if depth == 16:
        return [row.astype(order + "u2").tobytes() for row in rows]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in rows]
    bits = ((rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits]


def exif(orientation, order="<", kind=3):
    """A smallest EXIF block with tag 274 as SHORT (3), LONG (4) or BYTE (1)."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = {1: "B3x", 3: "H2x", 4: "I"}[kind]
    return mark + struct.pack(order + "IHHHI" + value + "I", 8, 1, 274, kind, 1, orientation, 0)


def turn(pixels, orientation):
    """What Pillow's `exif_transpose` makes of stored pixels."""
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    if method is None:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(Image.Transpose(method)))


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
