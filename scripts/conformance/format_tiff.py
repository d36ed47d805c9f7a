"""TIFF files from the format's options (TIFF 6.0, Adobe 1992, and its technical notes)."""
import pathlib
import shutil
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from PIL import Image

from format_files import indices, pack, picture, saved, size, turn

TIFFCP = shutil.which("tiffcp")  # Debian's `libtiff-tools`; without it fewer layouts of JPEG are made
SHORT, LONG, ASCII, BYTE = 3, 4, 2, 1


def packbits(draw, row):
    out, at = b"", 0
    while at < len(row):
        run = 1
        while run < 128 and at + run < len(row) and row[at + run] == row[at]:
            run += 1
        if run > 1:
            out += bytes([257 - run]) + row[at : at + 1]
        else:
            run = min(draw.number(1, 128), len(row) - at)
            out += bytes([run - 1]) + row[at : at + run]
        at += run
        if draw.rng.random() < 0.02:
            out += b"\x80"
    return out


def lzw(data):
    """TIFF's LZW: most significant bit first, codes grow one early."""
    out, held, bits = bytearray(), 0, 0
    table, top, width, prefix = {}, 257, 9, b""

    def put(code):
        nonlocal held, bits
        held = held << width | code
        bits += width
        while bits >= 8:
            out.append(held >> (bits - 8) & 255)
            bits -= 8
        held &= (1 << bits) - 1

    code_of = lambda text: text[0] if len(text) == 1 else table[text]
    put(256)
    for value in data:
        longer = prefix + bytes([value])
        if len(longer) == 1 or longer in table:
            prefix = longer
            continue
        put(code_of(prefix))
        top += 1
        table[longer] = top
        prefix = bytes([value])
        if top == 4094:
            put(256)
            table, top, width = {}, 257, 9
        elif top in (511, 1023, 2047):
            width += 1
    if prefix:
        put(code_of(prefix))
        top += 1
        if top in (511, 1023, 2047):
            width += 1
    put(257)
    if bits:
        out.append(held << (8 - bits) & 255)
    return bytes(out)


def compressed(draw, rows, compression, mirrored):
    """Packed rows of one strip or tile."""
    data = b"".join(rows)
    if compression == 32773:
        data = b"".join(packbits(draw, row) for row in rows)
    elif compression == 5:
        data = lzw(data)
    elif compression in (8, 32946):
        data = zlib.compress(data, draw.number(0, 9))
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data) if mirrored else data


class Writer:
    """Entries and parts of one file, laid out at the end."""

    def __init__(self, order):
        self.order, self.entries, self.file = order, {}, bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4)

    def put(self, tag, kind, *values):
        """`values` of a kind, or one run of bytes."""
        if isinstance(values[0], bytes):
            return self.entries.update({tag: (kind, len(values[0]), values[0])})
        code = {SHORT: "H", LONG: "I", BYTE: "B"}[kind]
        self.entries[tag] = (kind, len(values), struct.pack(f"{self.order}{len(values)}{code}", *values))

    def append(self, data):
        """Where the data begins, on an even byte."""
        self.file += bytes(len(self.file) % 2)
        self.file += data
        return len(self.file) - len(data)

    def finish(self, previous, following=0):
        """Writes the directory and hangs it at `previous`; returns where the next directory's offset stands."""
        body = b""
        for tag, (kind, count, data) in sorted(self.entries.items()):
            field = data + bytes(4 - len(data)) if len(data) <= 4 else struct.pack(self.order + "I", self.append(data))
            body += struct.pack(self.order + "HHI", tag, kind, count) + field
        start = self.append(struct.pack(self.order + "H", len(self.entries)) + body + struct.pack(self.order + "I", following))
        struct.pack_into(self.order + "I", self.file, previous, start)
        return start + 2 + len(body)


def samples_of(draw, photometric, bits, width, height):
    """Colour samples (rows x columns x channels), the palette, and the pixels that they stand for."""
    top = (1 << bits) - 1
    if photometric == 3:
        samples = indices(draw, width, height, min(256, 1 << bits))
        table = draw.rng.integers(0, 65536, (1 << bits, 3))
        if bits == 8 and draw.chance("palette of 8-bit values", 0.1):
            table >>= 8
        return samples[..., None], table, (table >> 8).astype(np.uint8)[samples]
    rgb = np.asarray(picture(draw, width, height), np.int64)
    channels = rgb >> (8 - bits) if bits <= 8 else np.clip(rgb * 257 - draw.rng.integers(0, 200, rgb.shape), 0, 65535)
    if photometric in (0, 1):
        channels = channels[..., :1]
        light = channels >> 8 if bits == 16 else channels * 255 // top
        light = 255 - light if photometric == 0 else light
        return channels, None, np.broadcast_to(light, rgb.shape).astype(np.uint8)
    if photometric == 5:
        channels = np.concatenate([channels, channels[..., :1] // 3], 2)
        eight = (channels >> 8 if bits == 16 else channels).astype(np.uint8)
        return channels, None, np.asarray(Image.fromarray(eight, "CMYK").convert("RGB"))
    return channels, None, (channels >> 8 if bits == 16 else channels).astype(np.uint8)


def predicted(rows, samples, bits):
    """Differences to the left neighbour, sample by sample."""
    rows = rows.reshape(rows.shape[0], -1, samples)
    before = np.concatenate([np.zeros_like(rows[:, :1]), rows[:, :-1]], 1)
    return ((rows - before) & ((1 << bits) - 1)).reshape(rows.shape[0], -1)


def by_tiffcp(draw, image):
    """JPEG in strips, tiles or planes: RGB as YCbCr with shared tables, unless told otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        image.save(f"{folder}/in.tif")
        options = ["-c", f"jpeg:{'r:' if draw.chance('RGB kept', 0.3) else ''}{draw.number(60, 100)}"]
        cut = draw.pick("cut into", ["strips", "tiles"])
        across, down = str(16 * draw.number(1, 3)), str(16 * draw.number(1, 3))
        options += ["-r", down] if cut == "strips" else ["-t", "-w", across, "-l", down]
        options += ["-p", "separate"] if draw.chance("planes", 0.2) else []
        options += [draw.pick("order", ["-B", "-L"])]
        done = subprocess.run([TIFFCP, *options, f"{folder}/in.tif", f"{folder}/out.tif"], capture_output=True)
        if done.returncode:  # planes of YCbCr
            return saved(image, "TIFF", compression="jpeg")
        return pathlib.Path(folder, "out.tif").read_bytes()


def by_pillow(draw, width, height):
    """What libtiff writes, for the compressions that only it writes here."""
    kind = draw.pick("compression", ["jpeg", "tiff_ccitt", "group3", "group4", "zstd", "lzma"], [6, 0.3, 0.3, 0.5, 0.3, 0.3])
    image = Image.fromarray(picture(draw, width, height))
    if kind in ("tiff_ccitt", "group3", "group4"):
        image = image.convert("1")
    elif kind == "jpeg":
        mode = draw.pick("mode", ["RGB", "L", "CMYK", "YCbCr"])
        image = image.convert(mode)
        if TIFFCP and mode in ("RGB", "L", "CMYK") and draw.pick("tool", ["Pillow", "tiffcp"]) == "tiffcp":
            return by_tiffcp(draw, image), "lossy"
        return saved(image, "TIFF", compression="jpeg", quality=draw.number(60, 100)), "lossy"
    return saved(image, "TIFF", compression=kind), None


def generate(draw):
    """A file, and the RGB pixels of its first page."""
    width, height = size(draw)
    if draw.pick("writer", ["ours", "libtiff"], [9, 1]) == "libtiff":
        return by_pillow(draw, width, height)
    order = draw.pick("order", ["<", ">"])
    photometric = draw.pick("photometric", [0, 1, 2, 3, 5])
    bits = draw.pick("bits", {2: [8, 16], 5: [8, 16], 3: [1, 2, 4, 8]}.get(photometric, [1, 2, 4, 8, 16]))
    samples, table, known = samples_of(draw, photometric, bits, width, height)
    extra = draw.pick("extra samples", ["none", "unassociated", "associated", "unspecified", "two"], [8, 1, 1, 1, 0.5]) if bits >= 8 else "none"
    kinds = {"none": [], "unassociated": [2], "associated": [1], "unspecified": [0], "two": [2, 0]}[extra]
    named = not (kinds and draw.chance("extra samples not named", 0.05))
    if kinds:
        veil = draw.rng.integers(1, 1 << bits, (height, width, len(kinds)))
        if extra == "associated" and named and photometric in (0, 1, 2):
            samples = samples * veil[..., :1] // ((1 << bits) - 1)
            known = None  # as Pillow divides
        samples = np.concatenate([samples, veil], 2)
    count = samples.shape[2]
    planar = draw.pick("planar", [1, 2], [3, 1]) if count > 1 else 1
    tiled = draw.pick("cut into", ["one strip", "strips", "tiles"], [2, 3, 2])
    compression = draw.pick("compression", [1, 32773, 5, 8, 32946])
    predictor = draw.pick("predictor", [1, 2]) if compression in (5, 8, 32946) and bits >= 8 else 1
    mirrored = draw.chance("fill order 2", 0.08)
    across, down = {
        "one strip": (width, height), "strips": (width, draw.number(1, height)), "tiles": (16 * draw.number(1, 3), 16 * draw.number(1, 3)),
    }[tiled]
    writer = Writer(order)
    offsets, counts = [], []
    for plane in range(count) if planar == 2 else [slice(None)]:
        part = samples[..., plane].reshape(height, width, -1)
        for top in range(0, height, down):
            for left in range(0, width, across):
                chunk = part[top : top + down, left : left + across]
                if tiled == "tiles":
                    chunk = np.pad(chunk, ((0, down - chunk.shape[0]), (0, across - chunk.shape[1]), (0, 0)), "edge")
                rows = chunk.reshape(chunk.shape[0], -1)
                rows = predicted(rows, chunk.shape[2], bits) if predictor == 2 else rows
                data = compressed(draw, pack(rows, bits, order), compression, mirrored)
                offsets.append(writer.append(data))
                counts.append(len(data))
    either = lambda name: SHORT if draw.pick(name, ["short", "long"]) == "short" else LONG
    kind = either("sizes")
    writer.put(256, kind, width)
    writer.put(257, kind, height)
    if bits > 1 or draw.rng.random() < 0.7:
        writer.put(258, SHORT, *([bits] * (1 if draw.chance("one value of bits", 0.05) else count)))
    if compression != 1 or draw.rng.random() < 0.8:
        writer.put(259, SHORT, compression)
    writer.put(262, SHORT, photometric)
    if count > 1 or draw.rng.random() < 0.7:
        writer.put(277, SHORT, count)
    if planar == 2 or draw.rng.random() < 0.5:
        writer.put(284, SHORT, planar)
    tag = 324 if tiled == "tiles" else 273
    small = SHORT if max(offsets) < 65536 and draw.chance("short offsets", 0.2) else LONG
    writer.put(tag, small, *offsets)
    lonely = len(offsets) == 1 and compression == 1 and draw.chance("no byte counts", 0.1)
    if not lonely:
        writer.put(325 if tiled == "tiles" else 279, SHORT if max(counts) < 65536 and draw.rng.random() < 0.5 else LONG, *counts)
    if tiled == "tiles":
        writer.put(322, kind, across)
        writer.put(323, kind, down)
    elif tiled == "strips" or draw.rng.random() < 0.7:
        largest = tiled == "one strip" and draw.chance("rows per strip 2^32-1", 0.2)
        writer.put(278, LONG, 0xFFFFFFFF if largest else down)
    if predictor == 2:
        writer.put(317, SHORT, 2)
    if mirrored:
        writer.put(266, SHORT, 2)
    if table is not None:
        writer.put(320, SHORT, *map(int, table.T.reshape(-1)))
    if kinds and named:
        writer.put(338, SHORT, *kinds)
    if draw.chance("sample format", 0.1):
        writer.put(339, SHORT, *([1] * count))
    orientation = draw.pick("orientation", [1, 2, 3, 4, 5, 6, 7, 8], [9, 1, 1, 1, 1, 1, 1, 1])
    if orientation > 1:
        writer.put(274, SHORT, orientation)
        known = known if known is None else turn(known, orientation)
    if draw.chance("other tags", 0.3):
        writer.put(305, ASCII, b"a writer\0")
        writer.put(40000, BYTE, *range(9))
        writer.put(254, LONG, 0)
    pages = 2 if draw.chance("two pages", 0.15) else 1
    after = writer.finish(4)
    if pages == 2:
        writer.entries |= {256: (SHORT, 1, struct.pack(order + "H", 1)), 257: (SHORT, 1, struct.pack(order + "H", 1))}
        writer.finish(after)
    return bytes(writer.file), known
