"""BMP files from the format's options (wingdi.h; OS/2 2.0 Presentation Manager)."""
import struct

import numpy as np

from format_files import indices, picture, size

# Masks of red, green and blue, and of alpha, by bits a pixel. The first of each are those that Pillow knows.
MASKS = {
    16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0xF000), (0x1F, 0x7E0, 0xF800, 0), (0xE0, 0x1C, 0x3, 0)],
    24: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF, 0xFF00, 0xFF0000, 0)],
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0),
        (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000), (0x1F, 0x3E0, 0x7C00, 0),
    ],
}


def stored_channels(rgb, masks):
    """Words with these channels, and the pixels that they stand for: the upper 8 bits, or `value * 255 / largest` rounded down."""
    words, known = np.zeros(rgb.shape[:2], np.uint64), np.zeros_like(rgb)
    for channel, mask in enumerate(masks[:3]):
        bits, shift = mask.bit_count(), (mask & -mask).bit_length() - 1
        if not mask:
            continue
        value = rgb[..., channel].astype(np.uint64)
        value = value << np.uint64(bits - 8) if bits > 8 else value >> np.uint64(8 - bits)
        words |= value << np.uint64(shift)
        known[..., channel] = (value >> np.uint64(bits - 8)) if bits > 8 else value * np.uint64(255) // np.uint64((1 << bits) - 1)
    return words, known


def run_lengths(draw, rows, nibbles):
    """A run-length stream of rows from the first stored one, by every way of the format. Pixels that it jumps over become 0 in `rows`."""
    out, width = b"", rows.shape[1]
    jumps, early = draw.chance("jumps", 0.3), draw.chance("early end of a row", 0.2)
    number, x = 0, 0
    while number < len(rows):
        row = rows[number]
        while x < width:
            way = draw.rng.random()
            left = width - x
            if way < 0.03 and jumps and number + 3 < len(rows):
                right, down = draw.number(0, min(left - 1, 255)), draw.number(1, 2)
                out += bytes([0, 2, right, down])
                row[x:], rows[number + 1 : number + down] = 0, 0
                x, number = x + right, number + down
                row = rows[number]
                row[:x] = 0
            elif way < 0.12 and jumps and left > 1:
                right = draw.number(1, min(left - 1, 255))
                row[x : x + right] = 0
                out += bytes([0, 2, right, 0])
                x += right
            elif way < 0.16 and early and number + 1 < len(rows):
                row[x:] = 0
                break
            elif way < 0.5 and left >= 3:
                count = draw.number(3, min(left, 255))
                part = row[x : x + count].astype(np.uint8)
                if nibbles:
                    part = np.concatenate([part, np.zeros(count % 2, np.uint8)])
                    part = part[0::2] << 4 | part[1::2]
                out += bytes([0, count]) + part.tobytes() + bytes(len(part) % 2)
                x += count
            elif nibbles:
                count = draw.number(1, min(left, 255))
                row[x + 2 : x + count : 2], row[x + 3 : x + count : 2] = row[x], row[x + 1] if count > 1 else 0
                out += bytes([count, int(row[x]) << 4 | (int(row[x + 1]) if count > 1 else 0)])
                x += count
            else:
                count = 1
                while count < min(left, 255) and row[x + count] == row[x]:
                    count += 1
                out += bytes([count, int(row[x])])
                x += count
        if number + 1 < len(rows) or draw.rng.random() < 0.5:
            out += b"\0\0"
        number, x = number + 1, 0
    ending = draw.pick("end of runs", ["code", "early code", "none"], [6, 1, 1])
    if ending == "early code" and len(rows) > 2:
        # The last rows are left out; they stay index 0. Pillow refuses such a file.
        out, kept = run_lengths_prefix(rows[: len(rows) - 1], nibbles)
        rows[kept:] = 0
    return out + (b"" if ending == "none" else b"\0\1")


def run_lengths_prefix(rows, nibbles):
    """The plainest stream: single pixels."""
    lines = [b"".join(bytes([1, int(value) << 4 if nibbles else int(value)]) for value in row) for row in rows]
    return b"\0\0".join(lines) + b"\0\0", len(rows)


def header_bytes(length, width, height, bits, compression, colours, data_size, masks):
    if length == 12:
        return struct.pack("<IHHHH", 12, width, height, 1, bits)
    out = struct.pack("<IiiHHIIiiII", length, width, height, 1, bits, compression, data_size, 2835, 2835, colours, 0)
    behind = b"".join(struct.pack("<I", mask) for mask in masks)
    if length in (52, 56, 108, 124):
        out += behind
    out = (out + bytes(124))[:length]
    if compression in (3, 6) and length == 40:
        out += behind[: 12 if compression == 3 else 16]
    return out


def generate(draw):
    """A file, and the RGB pixels that it stands for."""
    width, height = size(draw)
    length = draw.pick("header", [12, 16, 40, 52, 56, 64, 108, 124], [2, 1, 4, 1, 1, 1, 2, 2])
    os2 = length in (12, 16, 64)
    bits = draw.pick("bits", [1, 2, 4, 8, 16, 24, 32], [2, 0.5, 2, 3, 2, 2, 3])
    top_down = draw.chance("top down", 0.3) if length != 12 else False
    compression, masks, palette, colours = 0, (0, 0, 0, 0), b"", 0
    if bits <= 8:
        most = 1 << bits
        kind = draw.pick("palette", ["full", "short", "long", "grey ramp", "black and white", "only blacks"], [5, 3, 1, 1, 1, 0.3])
        used = {"full": most, "short": draw.number(1, most), "long": most + 5, "black and white": 2, "only blacks": 1}.get(kind, most)
        if length in (12, 16):
            used = most  # no field says how many
        table = draw.rng.integers(0, 256, (used, 3), dtype=np.uint8)
        if kind == "grey ramp":
            table = np.repeat(np.arange(used, dtype=np.uint8)[:, None], 3, 1)
        elif kind in ("black and white", "only blacks"):
            table = np.zeros((used, 3), np.uint8)
            table[1:2] = 255
        colours = 0 if used == most and draw.rng.random() < 0.5 else used
        entry = 3 if length == 12 else 4
        palette = b"".join(bytes(colour[::-1]) + bytes(entry - 3) for colour in table)
        samples = indices(draw, width, height, min(used, most))
        if bits in (4, 8) and length not in (12, 16) and draw.pick("compression", ["none", "runs"]) == "runs":
            compression = 1 if bits == 8 else 2
        stored = samples if top_down else samples[::-1]
        if compression:
            data = run_lengths(draw, stored, bits == 4)
        known = table[samples]
        if not compression:
            packed = ((stored[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).reshape(height, -1)
            rows = [np.packbits(row).tobytes() for row in packed]
    else:
        rgb = picture(draw, width, height)
        way = "none" if os2 else draw.pick("compression", ["none", "masks", "masks with alpha"], [3, 3, 1])
        if way == "none":
            masks = {16: (0x7C00, 0x3E0, 0x1F, 0)}.get(bits, (0xFF0000, 0xFF00, 0xFF, 0))
        else:
            number = draw.number(0, len(MASKS[bits]) - 1)
            masks = MASKS[bits][number]
            draw.options["masks"] = f"{bits}: " + " ".join(f"{mask:x}" for mask in masks)
            compression = 6 if way == "masks with alpha" and length == 40 else 3
        words, known = stored_channels(rgb, masks if any(masks) else (0xFF0000, 0xFF00, 0xFF, 0))
        if bits == 32:
            unused = np.uint64(masks[3] if any(masks) else 0xFF000000)
            words |= draw.rng.integers(0, 1 << 32, words.shape, dtype=np.uint64) & unused
        stored = words if top_down else words[::-1]
        rows = [row.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes() for row in stored]
        if length not in (12, 16) and draw.chance("palette of a true-colour picture", 0.05):
            colours = draw.number(1, 20)
            palette = draw.bytes(4 * colours)
    if not compression or bits > 8:
        pad = -len(rows[0]) % 4
        last = draw.chance("last row without its padding", 0.05)
        data = b"".join(row + bytes(pad) for row in rows)
        data = data[: len(data) - pad] if last and pad else data
    head = header_bytes(length, width, -height if top_down else height, bits, compression, colours, draw.number(0, 1) * len(data), masks)
    gap = draw.bytes(2 * draw.number(1, 20)) if draw.chance("gap before the rows", 0.2) else b""
    offset = 14 + len(head) + len(palette) + len(gap)
    if not gap and bits <= 8 and draw.chance("no offset", 0.05):
        offset = 0
    elif not gap and bits <= 8 and draw.chance("offset forgets the palette", 0.05):
        offset = 14 + len(head)
    tail = draw.bytes(draw.number(1, 50)) if draw.chance("bytes behind", 0.1) else b""
    file_size = draw.number(0, 1) * (14 + len(head) + len(palette) + len(gap) + len(data))
    return struct.pack("<2sIHHI", b"BM", file_size, 0, 0, offset) + head + palette + gap + data + tail, known
