"""PNG files from the format's options (PNG third edition, W3C 2025)."""
import struct
import zlib

import numpy as np

from format_files import exif, indices, pack, picture, size, turn

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
DEPTHS = {0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16]}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data, crc=True):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (not crc))


def paeth(left, up, corner):
    guess = left + up - corner
    distances = np.stack([abs(guess - left), abs(guess - up), abs(guess - corner)])
    nearest = distances.argmin(0)
    return np.choose(nearest, [left, up, corner])


def filtered(rows, pixel_bytes, kinds):
    """Filter bytes and filtered rows; `kinds` gives each row's filter."""
    out, before = b"", None
    for row, kind in zip(rows, kinds):
        row = np.frombuffer(row, np.uint8).astype(np.int64)
        up = np.zeros_like(row) if before is None else before
        left, corner = (np.concatenate([np.zeros(pixel_bytes, np.int64), line])[: len(row)] for line in (row, up))
        guess = [0, left, up, (left + up) // 2, paeth(left, up, corner)][kind]
        out += bytes([kind]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        before = row
    return out


def samples_of(draw, colour, depth, width, height):
    """Samples (rows x columns x channels), the palette of colour type 3, and the pixels that they stand for."""
    top = (1 << depth) - 1
    if colour == 3:
        most = 1 << depth
        length = draw.pick("palette", ["full", "short", "one"], [4, 4, 1])
        colours = {"full": most, "short": draw.number(1, most), "one": 1}[length]
        beyond = draw.chance("index beyond the palette", 0.08)
        samples = indices(draw, width, height, most if beyond else colours)
        palette = draw.rng.integers(0, 256, (colours, 3), dtype=np.uint8)
        table = np.zeros((256, 3), np.uint8)
        table[:colours] = palette
        return samples[..., None], palette, table[samples]
    if depth == 16:
        channels = np.asarray(picture(draw, width, height), np.int64) * 257 - draw.rng.integers(0, 200, (height, width, 3))
        channels = np.clip(channels, 0, 65535)
    else:
        channels = np.asarray(picture(draw, width, height), np.int64) >> (8 - depth)
    if colour in (0, 4):
        channels = channels[..., :1]
    known = channels >> 8 if depth == 16 else channels * 255 // top
    known = np.broadcast_to(known, (height, width, 3)).astype(np.uint8)
    if colour in (4, 6):
        channels = np.concatenate([channels, draw.rng.integers(0, top + 1, (height, width, 1))], 2)
    return channels, None, known


def transparency(draw, colour, samples, palette):
    """A tRNS chunk, or nothing."""
    if colour not in (0, 2, 3) or draw.pick("tRNS", ["none", "there"], [2, 1]) == "none":
        return []
    if colour == 3:
        return [chunk(b"tRNS", draw.bytes(draw.number(1, len(palette))))]
    return [chunk(b"tRNS", struct.pack(f">{samples.shape[2]}H", *map(int, samples[0, 0])))]


def ancillary(draw, colour, depth):
    """Ancillary chunks that may stand before PLTE, behind it, and behind the image data."""
    channels = CHANNELS[colour]
    early = {
        "gAMA": struct.pack(">I", draw.number(1, 200000)), "cHRM": draw.bytes(32), "sRGB": b"\1", "pHYs": draw.bytes(8) + b"\1",
        "sBIT": bytes([draw.number(1, 8 if colour == 3 else depth)] * (3 if colour == 3 else channels)),
        "iCCP": b"name\0\0" + zlib.compress(draw.bytes(200)), "broken iCCP": b"name\0\0" + draw.bytes(40), "cICP": bytes([9, 16, 0, 1]),
        "mDCV": draw.bytes(24), "cLLI": draw.bytes(8),
    }
    middle = {"bKGD": bytes([0]) if colour == 3 else b"\0\1" * (1 if colour in (0, 4) else 3), "sPLT": b"s\0\x08" + draw.bytes(12)}
    anywhere = {
        "tEXt": b"Comment\0" + b"x" * draw.number(0, 300), "zTXt": b"Comment\0\0" + zlib.compress(b"y" * 2000), "tIME": draw.bytes(7),
        "broken zTXt": b"Comment\0\0" + draw.bytes(30), "iTXt": b"Comment\0\0\0\0\0hello", "ruSt": draw.bytes(draw.number(0, 400)),
        "vpAg": draw.bytes(9), "dSIG": draw.bytes(20), "oFFs": draw.bytes(9),
    }

    def some(kinds, share):
        names = [name for name in kinds if draw.rng.random() < share]
        for name in names:
            draw.options[name] = "yes"
        return [chunk(name[-4:].encode(), kinds[name]) for name in names]

    before, between, behind = some(early | anywhere, 0.08), some(middle | anywhere, 0.08), some(anywhere, 0.08)
    for part in (before, between, behind):
        draw.rng.shuffle(part)
    return before, between, behind


def image_data(draw, raw):
    """The IDAT chunks."""
    strategy = draw.pick("zlib", ["default", "stored", "fixed", "window 512", "best", "filtered"])
    level, window, kind = {
        "default": (6, 15, 0), "stored": (0, 15, 0), "fixed": (6, 15, zlib.Z_FIXED), "window 512": (6, 9, 0), "best": (9, 15, 0), "filtered": (6, 15, 1),
    }[strategy]
    deflate = zlib.compressobj(level, zlib.DEFLATED, window, 9, kind)
    stored = deflate.compress(raw)
    if draw.chance("flushes", 0.1):
        deflate = zlib.compressobj(level, zlib.DEFLATED, window, 9, kind)
        cut = draw.number(0, len(raw))
        stored = deflate.compress(raw[:cut]) + deflate.flush(zlib.Z_FULL_FLUSH) + deflate.compress(raw[cut:])
    stored += deflate.flush()
    if draw.chance("bytes behind the zlib stream", 0.04):
        stored += draw.bytes(draw.number(1, 9))
    split = draw.pick("IDATs", ["one", "some", "bytes", "empty ones"], [4, 3, 1, 1])
    if split == "one":
        parts = [stored]
    elif split == "bytes":
        parts = [stored[at : at + 1] for at in range(min(len(stored), 60))] + [stored[60:]]
    else:
        cuts = sorted(draw.number(0, len(stored)) for _ in range(draw.number(1, 6)))
        parts = [stored[a:b] for a, b in zip([0, *cuts], [*cuts, len(stored)])]
        if split == "empty ones":
            parts = [b"", *parts, b""]
    return [chunk(b"IDAT", part) for part in parts]


def generate(draw):
    """A file, and the RGB pixels that it stands for (None where the format leaves them open)."""
    width, height = size(draw)
    colour = draw.pick("colour type", list(DEPTHS))
    depth = draw.pick("depth", DEPTHS[colour])
    interlaced = draw.pick("interlaced", [0, 1], [2, 1])
    samples, palette, known = samples_of(draw, colour, depth, width, height)
    filters, raw = draw.pick("filter", ["any", 0, 1, 2, 3, 4], [5, 1, 1, 1, 1, 1]), b""
    for left, top, right, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::right]
        if part.size:
            rows = pack(part.reshape(part.shape[0], -1), depth)
            kinds = draw.rng.integers(0, 5, len(rows)) if filters == "any" else [filters] * len(rows)
            raw += filtered(rows, max(1, CHANNELS[colour] * depth // 8), kinds)
    if draw.chance("rows too many", 0.03):
        raw += bytes(draw.number(1, 200))
    before, between, behind = ancillary(draw, colour, depth)
    if colour == 3 or (colour in (2, 6) and draw.chance("suggested palette", 0.1)):
        between.insert(0, chunk(b"PLTE", (palette if palette is not None else draw.rng.integers(0, 256, (9, 3), dtype=np.uint8)).tobytes()))
    between[1 if between and b"PLTE" in between[0][:8] else 0 : 0] = transparency(draw, colour, samples, palette)
    animated = draw.pick("animation", ["no", "default is first frame", "default is apart"], [8, 1, 1])
    place = draw.pick("eXIf", ["none", "before", "behind", "twice"], [6, 1, 1, 0.5])
    if place != "none":
        first, last = draw.pick("orientation", [1, 2, 3, 4, 5, 6, 7, 8, 0, 9]), draw.number(1, 8)
        block = chunk(b"eXIf", exif(first, draw.pick("exif order", ["<", ">"])))
        (behind if place == "behind" else before).append(block)
        if place == "twice":  # which the format forbids
            behind.append(chunk(b"eXIf", exif(last)))
        # Pillow reads an animation up to its second frame.
        known = turn(known, (last if place == "twice" else first) if animated == "no" else first if place != "behind" else 1)
    data = image_data(draw, raw)
    if animated != "no":
        control = lambda number: chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 1, 10, 0, 0))
        other = zlib.compress(bytes(len(raw)))
        first = animated == "default is first frame"
        before.append(chunk(b"acTL", struct.pack(">II", 2 if first else 1, 0)))
        between += [control(0)] if first else []
        behind = [control(int(first)), chunk(b"fdAT", struct.pack(">I", int(first) + 1) + other), *behind]
    end = draw.pick("end", ["IEND", "no IEND", "bytes behind"], [12, 1, 1])
    tail = {"IEND": chunk(b"IEND", b""), "no IEND": b"", "bytes behind": chunk(b"IEND", b"") + draw.bytes(30)}[end]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    if draw.chance("bad CRC of an ancillary chunk", 0.03):
        before.append(chunk(b"tEXt", b"Comment\0z", crc=False))
    parts = [chunk(b"IHDR", header), *before, *between, *data, *behind]
    return SIGNATURE + b"".join(parts) + tail, known
