"""GIF files from the format's options (Graphics Interchange Format, Version 89a, CompuServe 1990)."""
import struct

import numpy as np

from format_files import indices


def lzw(draw, samples, code_size):
    """Compressed codes of one frame, least significant bit first."""
    clear, end = 1 << code_size, (1 << code_size) + 1
    way = draw.pick("codes", ["usual", "deferred clear", "cleared often", "literals only"], [5, 1, 1, 1])
    state = {"bits": 0, "held": 0}
    out = bytearray()

    def put(code, width):
        state["held"] |= code << state["bits"]
        state["bits"] += width
        while state["bits"] >= 8:
            out.append(state["held"] & 255)
            state["held"] >>= 8
            state["bits"] -= 8

    width = code_size + 1
    if not draw.chance("no clear code first", 0.08):
        put(clear, width)
    table, top, prefix, since = {}, end, None, 0
    often = draw.number(1, 30)
    for value in map(int, samples.reshape(-1)):
        since += 1
        longer = (prefix, value)
        if prefix is None:
            prefix = value
            continue
        if longer in table and way != "literals only":
            prefix = table[longer]
            continue
        put(prefix, width)
        prefix = value
        full = top == 4095
        if not full:
            top += 1
            table[longer] = top
            # The reader is one entry behind the writer.
            if top == 1 << width and width < 12:
                width += 1
        if (full and way not in ("deferred clear",)) or (way == "cleared often" and since >= often):
            put(clear, width)
            table, top, width, since = {}, end, code_size + 1, 0
    put(prefix, width)
    # The decoder adds an entry for the last code too, which may widen the next one.
    if top < 4095:
        top += 1
        if top == 1 << width and width < 12:
            width += 1
    finish = draw.pick("end code", ["there", "missing", "twice"], [8, 1, 0.5])
    for _ in range({"there": 1, "missing": 0, "twice": 2}[finish]):
        put(end, width)
    if state["bits"]:
        out.append(state["held"])
    return bytes(out)


def blocks(draw, data):
    """Sub-blocks and their terminator."""
    way = draw.pick("sub-blocks", ["full", "any", "bytes"], [5, 2, 1])
    out, at = b"", 0
    while at < len(data):
        count = {"full": 255, "any": draw.number(1, 255), "bytes": 1}[way]
        out += bytes([len(data[at : at + count])]) + data[at : at + count]
        at += count
    return out + (b"" if draw.chance("no terminator", 0.02) else b"\0")


def interlaced(rows):
    return np.concatenate([rows[0::8], rows[4::8], rows[2::4], rows[1::2]])


def table(draw, colours):
    """A palette of a power of two, and its bits in a flag byte."""
    return draw.rng.integers(0, 256, (colours, 3), dtype=np.uint8), 0x80 | (colours.bit_length() - 2)


def extension(draw):
    kind = draw.number(0, 3)
    return [b"!\xfe\x05hello\0", b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\0", b"!\x01\x0c" + bytes(12) + b"\x02hi\0", b"!\xfe\x00"][kind]


def frame(draw, screen, colour_count, place, transparent):
    """Descriptor, palette and data of one frame; its samples and local palette."""
    left, top, width, height = place
    local = None
    flags = 0x40 if draw.chance("interlaced", 0.3) else 0
    where = draw.options["palette"]
    body = b""
    if where in ("local", "both"):
        local, bits = table(draw, colour_count)
        flags |= bits
        body = local.tobytes()
    samples = indices(draw, width, height, colour_count)
    smallest = max(1, (colour_count - 1).bit_length())
    # Code size 1 is not of the format: readers differ on when its codes grow, and no pixels are known.
    code_size = draw.pick("code size", [size for size in range(1, 9) if size >= smallest], None)
    coded = interlaced(samples) if flags & 0x40 else samples
    count = draw.pick("pixels", ["all", "too few", "too many"], [20, 1, 1])
    if count == "too few" and coded.size > 1:
        coded = coded.reshape(-1)[: draw.number(1, coded.size - 1)]
    elif count == "too many":
        coded = np.concatenate([coded.reshape(-1), coded.reshape(-1)[: draw.number(1, 20)]])
    data = lzw(draw, coded, code_size)
    draw.options["stream"] = "8 bytes or less" if len(data) <= 8 else "longer"
    control = b""
    if transparent is not None or draw.rng.random() < 0.2:
        disposal = draw.pick("disposal", [0, 1, 2, 3, 5])
        control = b"!\xf9\x04" + bytes([disposal << 2 | (transparent is not None)]) + struct.pack("<HB", 10, transparent or 0) + b"\0"
    descriptor = b"," + struct.pack("<HHHHB", left, top, width, height, flags)
    between = extension(draw) if control and draw.chance("extension behind the control", 0.1) else b""
    return control + between + descriptor + body + bytes([code_size]) + blocks(draw, data), samples, local


def generate(draw):
    """A file, and the RGB pixels of its first frame (None where the frame does not cover the screen)."""
    kind = draw.pick("frame", ["tiny", "small", "long"], [1, 4, 1])
    sides = {"tiny": [(1, 4), (1, 3)], "small": [(1, 60), (1, 60)], "long": [(100, 300), (20, 90)]}[kind]
    width, height = (draw.number(least, most) for least, most in sides)
    place = draw.pick("place", ["whole screen", "within", "beyond", "screen of 0"], [6, 2, 1, 0.3])
    left, top = (0, 0) if place == "whole screen" else (draw.number(0, 9), draw.number(0, 9))
    if place == "screen of 0":
        screen = (0, 0)
    elif place == "beyond":
        screen = (max(1, left + width - draw.number(1, 9)), max(1, top + height - draw.number(0, 9)))
    else:
        screen = (left + width, top + height) if place == "whole screen" else (left + width + draw.number(0, 9), top + height + draw.number(0, 9))
    colours = draw.pick("colours", [2, 4, 8, 16, 32, 64, 128, 256])
    where = draw.pick("palette", ["global", "local", "both", "none"], [5, 3, 2, 0.5])
    out = draw.pick("version", [b"GIF87a", b"GIF89a"])
    flags, shared = draw.number(0, 7) << 4 | draw.number(0, 1) << 3, None
    if where in ("global", "both"):
        # A file's palette may be shorter than its samples allow.
        shared, bits = table(draw, colours // 2 if where == "global" and colours > 2 and draw.chance("palette too short", 0.06) else colours)
        flags |= bits
    out += struct.pack("<HHBBB", *screen, flags, draw.number(0, 255), draw.number(0, 1) * 49) + (shared.tobytes() if shared is not None else b"")
    for _ in range(draw.number(0, 2)):
        out += extension(draw)
    out += bytes(draw.number(1, 3)) if draw.chance("zero bytes between blocks", 0.03) else b""
    transparent = draw.number(0, colours - 1) if draw.chance("transparency", 0.25) else None
    first, samples, local = frame(draw, screen, colours, (left, top, width, height), transparent)
    out += first
    remembered = dict(draw.options)
    for _ in range(draw.number(1, 3) if draw.rng.random() < 0.2 else 0):
        out += frame(draw, screen, colours, (0, 0, draw.number(1, width), draw.number(1, height)), None)[0]
        remembered["frames"] = "many"
    draw.options = remembered
    out += draw.pick("end", [b";", b"", b";junk behind the trailer", b"\0\0;"], [8, 1, 1, 1])
    palette = np.zeros((256, 3), np.uint8)
    chosen = local if local is not None else shared
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1) if chosen is None else np.concatenate([chosen, palette[len(chosen) :]])
    covered = (left, top) == (0, 0) and screen[0] <= width and screen[1] <= height
    if "no terminator" in remembered or remembered["pixels"] == "too few" or remembered["code size"] == "1":
        covered = False
    return out, palette[samples] if covered else None
