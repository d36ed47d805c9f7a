"""Random files of several frames, pages or pictures, and files with alpha, from the options of their formats: what `frames.py` compares.

Each maker takes a NumPy generator and gives the bytes, and where Pillow cannot be the judge, the right frames: a list of
(RGB array, alpha array or None, seconds or None).
"""
import io
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin


def chance(rng, probability):
    return rng.random() < probability


def colours(rng, height, width, channels):
    """Pixels of few or many colours, with smooth and noisy parts."""
    few = rng.integers(0, 256, (rng.integers(1, 9), channels))
    pixels = few[rng.integers(0, len(few), (height, width))]
    if chance(rng, 0.5):
        pixels = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, 255)
    return pixels.astype(np.uint8)


def alphas(rng, height, width, sharp):
    choice = rng.integers(0, 4)
    if choice == 0:
        return np.full((height, width), 255, np.uint8)
    if choice == 1 or sharp:
        return (rng.integers(0, 2, (height, width)) * 255).astype(np.uint8)
    return rng.integers(0, 256, (height, width)).astype(np.uint8)


# GIF

def lzw(indices, bits):
    """Codes of a byte or less each, and a clear code often enough that none grows: bits of an index, then sub-blocks."""
    clear, width, held, number, data = 1 << bits, bits + 1, 0, 0, bytearray()
    codes = []
    for at, index in enumerate(indices):
        if at % ((1 << bits) - 2 or 1) == 0:
            codes.append(clear)
        codes.append(int(index))
    for code in codes + [clear + 1]:
        held |= code << number
        number += width
        while number >= 8:
            data.append(held & 255)
            held, number = held >> 8, number - 8
    data.append(held & 255)
    blocks = b"".join(bytes([len(data[at:at + 255])]) + bytes(data[at:at + 255]) for at in range(0, len(data), 255))
    return bytes([bits]) + blocks + b"\0"


def palette(rng, bits):
    table = rng.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    table[0] = (1, 2, 3)  # never a ramp of greys, of which Pillow keeps indices
    return table.tobytes()


def gif(rng):
    width, height = (int(side) for side in rng.integers(1, 24, 2))
    has_global, bits = chance(rng, 0.8), int(rng.integers(1, 5))
    file = b"GIF89a" + struct.pack("<HHBBB", width, height, (0x80 if has_global else 0) | (bits - 1), int(rng.integers(0, 1 << bits)), 0)
    file += palette(rng, bits) if has_global else b""
    steady = chance(rng, 0.5)
    control_usual, inside_usual = chance(rng, 0.8), chance(rng, 0.85)
    for number in range(int(rng.integers(1, 6))):
        if chance(rng, 0.15):
            file += b"!\xfe\x05hello\0" if chance(rng, 0.5) else b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
        local = not has_global or chance(rng, 0.3)
        own = int(rng.integers(1, 5)) if local else bits
        if control_usual and chance(rng, 0.9):
            transparent = chance(rng, 0.6)
            disposal = int(rng.integers(0, 4)) if chance(rng, 0.95) else int(rng.integers(4, 8))
            flags = disposal << 2 | transparent
            file += b"!\xf9\x04" + struct.pack("<BHB", flags, int(rng.choice([0, 1, 10, 65535])), int(rng.integers(0, 1 << own))) + b"\0"
        if steady or chance(rng, 0.2):
            left, top, wide, high = 0, 0, width, height
        else:
            left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
            wide, high = int(rng.integers(1, width - left + 1)), int(rng.integers(1, height - top + 1))
            if not inside_usual and chance(rng, 0.4):
                wide, high = wide + int(rng.integers(0, 6)), high + int(rng.integers(0, 6))
        interlaced = chance(rng, 0.3)
        file += b"," + struct.pack("<HHHHB", left, top, wide, high, (0x80 if local else 0) | (0x40 if interlaced else 0) | (own - 1))
        file += palette(rng, own) if local else b""
        code_bits = max(2, own)
        file += lzw(rng.integers(0, 1 << (code_bits if chance(rng, 0.1) else own), wide * high), code_bits)
    return file + b";"


def gif_by_pillow(rng):
    width, height = (int(side) for side in rng.integers(2, 40, 2))
    frames = []
    for _ in range(int(rng.integers(2, 6))):
        frame = np.dstack([colours(rng, height, width, 3), alphas(rng, height, width, True)])
        frames.append(Image.fromarray(frame, "RGBA") if chance(rng, 0.6) else Image.fromarray(frame[:, :, :3]))
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=[int(d) * 10 for d in rng.integers(0, 90, len(frames))],
                   disposal=int(rng.integers(0, 4)), optimize=chance(rng, 0.5), loop=0)
    return out.getvalue()


# WebP

def chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def bitstream(rng, width, height):
    """The chunks of a picture: lossless or lossy, with alpha or without."""
    pixels = np.dstack([colours(rng, height, width, 3), alphas(rng, height, width, False)])
    image = Image.fromarray(pixels, "RGBA") if chance(rng, 0.7) else Image.fromarray(pixels[:, :, :3])
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=chance(rng, 0.5), quality=int(rng.integers(30, 101)), exact=chance(rng, 0.7))
    body, at, kept = out.getvalue()[12:], 0, b""
    while at < len(body):
        length = struct.unpack_from("<I", body, at + 4)[0]
        if body[at:at + 4] in (b"ALPH", b"VP8 ", b"VP8L"):
            data = bytearray(body[at + 8:at + 8 + length])
            if body[at:at + 4] == b"VP8L" and chance(rng, 0.1):
                data[4] ^= 0x10  # says the contrary of whether it has alpha
            kept += chunk(body[at:at + 4], bytes(data))
        at += 8 + length + length % 2
    return kept


def orientation_block(rng):
    return b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HHI", int(rng.integers(1, 9)), 0, 0)


def webp(rng):
    width, height = (int(side) for side in rng.integers(1, 40, 2))
    triple = lambda value: struct.pack("<I", value)[:3]
    exif, still = chance(rng, 0.2), chance(rng, 0.15)
    flags = (0x10 if chance(rng, 0.8) else 0) | (0 if still else 2) | (8 if exif else 0)
    body = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + triple(width - 1) + triple(height - 1))
    if still:
        body += bitstream(rng, width, height)
    else:
        body += chunk(b"ANIM", rng.bytes(4) + b"\0\0")
    for _ in range(0 if still else int(rng.integers(1, 7))):
        left, top, wide, high = 0, 0, width, height
        if chance(rng, 0.7):
            left, top = (int(rng.integers(0, (side + 1) // 2)) * 2 for side in (width, height))
            wide, high = int(rng.integers(1, width - left + 1)), int(rng.integers(1, height - top + 1))
        header = triple(left // 2) + triple(top // 2) + triple(wide - 1) + triple(high - 1) + triple(int(rng.choice([0, 1, 40, 1000])))
        body += chunk(b"ANMF", header + bytes([int(rng.integers(0, 4))]) + bitstream(rng, wide, high))
    body += chunk(b"EXIF", orientation_block(rng)) if exif else b""
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_by_pillow(rng):
    width, height = (int(side) for side in rng.integers(1, 40, 2))
    frames = [Image.fromarray(np.dstack([colours(rng, height, width, 3), alphas(rng, height, width, False)]), "RGBA")
              for _ in range(int(rng.integers(1, 6)))]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=int(rng.integers(1, 500)), lossless=chance(rng, 0.5),
                   allow_mixed=chance(rng, 0.3), minimize_size=chance(rng, 0.3))
    return out.getvalue()


# TIFF

def strip_page(rng, order):
    """One page, uncompressed, with any kind of extra samples: its entries and the bytes of its samples."""
    width, height = (int(side) for side in rng.integers(1, 30, 2))
    kind = rng.choice(["grey", "rgb", "cmyk"], p=[0.3, 0.6, 0.1])
    base, photometric = {"grey": (1, 1), "rgb": (3, 2), "cmyk": (4, 5)}[kind]
    extra = [] if kind == "cmyk" or chance(rng, 0.3) else [int(rng.choice([0, 2]))] if kind == "grey" else \
        [[0], [1], [2], [999], None, [1, 0], [2, 0], [0, 0]][int(rng.integers(0, 8))]
    samples = base + (1 if extra is None else len(extra))
    bits = 16 if kind == "rgb" and samples <= 4 and extra != [999] and chance(rng, 0.3) else 8
    planar = 2 if bits == 8 and kind == "rgb" and samples == 3 and chance(rng, 0.2) else 1
    pixels = rng.integers(0, 1 << bits, (height, width, samples)).astype(order + ("u2" if bits == 16 else "u1"))
    if samples > base and chance(rng, 0.2):
        pixels[:, :, base] = (1 << bits) - 1
    planes = [np.ascontiguousarray(pixels[:, :, at]).tobytes() for at in range(samples)] if planar == 2 else [pixels.tobytes()]
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [1]), (262, 3, [photometric]), (273, 4, None),
               (277, 3, [samples]), (278, 4, [height]), (279, 4, [len(plane) for plane in planes]), (284, 3, [planar])]
    if chance(rng, 0.3):
        entries.append((274, 3, [int(rng.integers(1, 9))]))
    if extra:
        entries.append((338, 3, extra))
    return sorted(entries, key=lambda entry: entry[0]), planes


def tiff(rng):
    """Pages of any kind; their chain may end in a circle."""
    order = "<" if chance(rng, 0.5) else ">"
    file, offsets, links = (b"II*\0" if order == "<" else b"MM\0*") + b"\0" * 4, [], [4]
    file = bytearray(file)
    for _ in range(int(rng.integers(1, 5))):
        entries, planes = strip_page(rng, order)
        starts = []
        for plane in planes:
            starts.append(len(file))
            file += plane + b"\0" * (len(plane) % 2)
        body = b""
        values = bytearray()
        place = len(file) + 2 + 12 * len(entries) + 4
        for tag, kind, numbers in entries:
            numbers = starts if numbers is None else numbers
            data = b"".join(struct.pack(order + "HI"[kind == 4], number) for number in numbers)
            if len(data) > 4:
                body += struct.pack(order + "HHII", tag, kind, len(numbers), place + len(values))
                values += data + b"\0" * (len(data) % 2)
            else:
                body += struct.pack(order + "HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
        offsets.append(len(file))
        file += struct.pack(order + "H", len(entries)) + body
        links.append(len(file))
        file += b"\0" * 4 + values
    circle = offsets[int(rng.integers(0, len(offsets)))] if chance(rng, 0.2) else 0
    for link, offset in zip(links, offsets + [circle]):
        struct.pack_into(order + "I", file, link, offset)
    return bytes(file)


def tiff_by_pillow(rng):
    pages = []
    for _ in range(int(rng.integers(1, 5))):
        width, height = (int(side) for side in rng.integers(1, 40, 2))
        image = Image.fromarray(np.dstack([colours(rng, height, width, 3), alphas(rng, height, width, False)]), "RGBA")
        mode = str(rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]))
        page = image.convert(mode) if mode not in ("1", "P", "CMYK") else image.convert("RGB").convert(mode)
        if chance(rng, 0.3):
            page.encoderinfo = {"tiffinfo": {}}
        pages.append(page)
    out = io.BytesIO()
    compression = rng.choice(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], compression=str(compression))
    return out.getvalue()


# BMP

def bmp(rng):
    """32 bits with the masks that Pillow knows, from headers that have one for alpha, or from the one that has none."""
    width, height = (int(side) for side in rng.integers(1, 30, 2))
    length = int(rng.choice([40, 56, 108, 124]))
    masks = [(0xff0000, 0xff00, 0xff, 0xff000000), (0xff, 0xff00, 0xff0000, 0xff000000), (0xff000000, 0xff0000, 0xff00, 0xff),
             (0xff0000, 0xff00, 0xff, 0), (0, 0, 0, 0)][int(rng.integers(0, 5))]
    masks = masks if length > 40 else masks[:3] if masks[3] == 0 else (0xff0000, 0xff00, 0xff)
    pixels = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
    if chance(rng, 0.3):
        pixels[:, :, 3] = 255
    header = struct.pack("<IiiHHIIIIII", length, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + struct.pack(f"<{len(masks)}I", *masks)
    header = header.ljust(length, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + pixels.size, 0, 0, 14 + len(header)) + header + pixels.tobytes()


# MPO

def mpo(rng):
    pictures = []
    for _ in range(int(rng.integers(1, 4))):
        width, height = (int(side) for side in rng.integers(8, 90, 2))
        y, x = np.mgrid[0:height, 0:width]
        waves = [128 + 100 * np.sin(x / rng.uniform(4, 30) + y / rng.uniform(4, 30) + phase) for phase in range(3)]
        pictures.append(Image.fromarray(np.dstack(waves).astype(np.uint8)))
    out = io.BytesIO()
    exif = Image.Exif()
    exif[274] = int(rng.integers(1, 9))
    pictures[0].save(out, "MPO", save_all=True, append_images=pictures[1:], quality=int(rng.integers(60, 100)), exif=exif)
    return out.getvalue()


# Profiles

def icc(curves, colorants):
    """A minimal display profile of RGB: tables of 256 values, and the XYZ of the three colours."""
    fixed = lambda value: struct.pack(">i", round(value * 65536))
    tags = {b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))}
    for name, curve, xyz in zip((b"r", b"g", b"b"), curves, colorants):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))
        tags[name + b"TRC"] = b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + np.asarray(curve, ">u2").tobytes()
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    header = struct.pack(">I4xI4s4s4s12x4s24x", 128 + len(table) + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + body


SRGB = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139)]


def profiled(rng):
    """A still whose profile or gamma may show another picture than its values: PNG, JPEG or WebP."""
    height, width = (int(side) for side in rng.integers(16, 40, 2))
    down, along = np.mgrid[0:height, 0:width]
    waves = [127 + 127 * np.sin(rng.uniform(0, 0.3) * along + rng.uniform(0, 0.3) * down + rng.uniform(0, 7)) for _ in range(3)]
    image = Image.fromarray(np.dstack(waves).astype(np.uint8))
    out, level = io.BytesIO(), np.arange(256) / 255
    if chance(rng, 0.4):
        image.save(out, "PNG")
        data = out.getvalue()
        words = struct.pack(">I", int(10 ** rng.uniform(3, 5.5)))
        extra = [(b"gAMA", words)]
        if chance(rng, 0.7):
            extra.append((b"cHRM", struct.pack(">8I", 31270, 32900, *[int(part) for xy in rng.permutation(
                [[64000, 33000], [30000, 60000], [15000, 6000]]) for part in xy])))
        if chance(rng, 0.2):
            extra.append((b"sRGB", b"\0"))
        made = b"".join(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in extra)
        return data[:33] + made + data[33:]
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    curves = [[light, light[::-1], level, (level * 4 % 1), light ** 0.2][int(rng.choice([0, 0, 1, 2, 3, 4]))] for _ in range(3)]
    profile = icc([np.round(curve * 65535) for curve in curves], [SRGB[at] for at in (rng.permutation(3) if chance(rng, 0.3) else range(3))])
    kind = str(rng.choice(["PNG", "JPEG", "WEBP"]))
    image.save(out, kind, icc_profile=profile, **{"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}[kind])
    return out.getvalue()
