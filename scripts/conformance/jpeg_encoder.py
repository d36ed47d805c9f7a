"""A JPEG encoder for any layout that ITU-T T.81 allows with Huffman coding and 8 bits a sample. Slow and plain: it exists to write files that no other encoder writes.

`Component`s hold quantized coefficients; `scan` turns those of one scan into bytes, with the tables that it needs; `segment` frames what stands before a scan.
"""
import struct

import numpy as np
from PIL import Image

ZIGZAG = np.array([
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56,
    57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63])
_N = np.arange(8)
DCT = np.sqrt(np.where(_N == 0, 1, 2) / 8)[:, None] * np.cos((2 * _N[None] + 1) * _N[:, None] * np.pi / 16)

LUMA_FACTORS = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99])


def factors(quality, wide=False):
    """A quantization table in natural order, scaled as libjpeg does."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMA_FACTORS * scale + 50) // 100, 1, 2000 if wide else 255).astype(int)


class Component:
    """One plane: `samples` is the whole picture's plane at full size, `largest` the largest sampling factors of the frame."""

    def __init__(self, identity, h, v, table, quantization, samples, largest):
        height, width = samples.shape
        self.id, self.h, self.v, self.table = identity, h, v, table
        self.width, self.height = -(-width * h // largest[0]), -(-height * v // largest[1])
        self.blocks = -(-self.height // 8), -(-self.width // 8)
        units = -(-height // (8 * largest[1])), -(-width // (8 * largest[0]))
        rows, columns = units[0] * v, units[1] * h
        small = np.asarray(Image.fromarray(samples).resize((self.width, self.height), Image.BOX)).astype(float)
        small = np.pad(small, ((0, 8 * rows - self.height), (0, 8 * columns - self.width)), mode="edge") - 128
        blocks = small.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
        blocks = np.round((DCT @ blocks @ DCT.T).reshape(rows, columns, 64) / quantization).astype(int)
        self.coefficients = blocks[..., ZIGZAG].tolist()


def segment(marker, content=b"", fill=0):
    return b"\xff" * (1 + fill) + bytes([marker]) + struct.pack(">H", 2 + len(content)) + content


def quantization_segment(tables, wide=False):
    """`tables` by number, in natural order."""
    content = b""
    for number, table in tables.items():
        values = [int(table[place]) for place in ZIGZAG]
        content += bytes([number | (16 if wide else 0)]) + (struct.pack(">64H", *values) if wide else bytes(values))
    return segment(0xDB, content)


def frame_segment(marker, width, height, components, precision=8):
    parts = b"".join(bytes([c.id, c.h << 4 | c.v, c.table]) for c in components)
    return segment(marker, struct.pack(">BHHB", precision, height, width, len(components)) + parts)


class Code:
    """A Huffman code as counts and symbols."""

    def __init__(self, counts, symbols):
        self.counts, self.symbols, self.codes = list(counts), list(symbols), {}
        code, rest = 0, iter(self.symbols)
        for length, count in enumerate(self.counts, 1):
            for _ in range(count):
                self.codes[next(rest)] = format(code, f"0{length}b")
                code += 1
            code <<= 1

    def content(self, kind, number):
        return bytes([kind << 4 | number]) + bytes(self.counts) + bytes(self.symbols)


def code_for(rng, symbols):
    """A code for those symbols and perhaps others: short codes for few of them, or all of about one length."""
    symbols = sorted(set(symbols)) or [0]
    rng.shuffle(symbols)
    counts, left = [0] * 16, len(symbols)
    # From each length some codes are taken; `free` are left at this length, one of which must stay unused in the end.
    free = 1
    for length in range(1, 17):
        free *= 2
        if length == 16 or left < free:
            take = min(left, free - 1)
        else:
            # As many as leave room for all others.
            most = free - 1 - max(0, -(-(left - free) // (2 ** (16 - length) - 1)))
            take = int(rng.integers(0, max(0, min(most, left, free // 2)) + 1)) if length > 1 else 0
        counts[length - 1] = take
        free, left = free - take, left - take
        if left == 0:
            break
    assert left == 0
    return Code(counts, [int(symbol) for symbol in symbols])


STANDARD_DC = [Code([0, 1, 5, 1, 1, 1, 1, 1, 1] + [0] * 7, range(12)), Code([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1] + [0] * 5, range(12))]


def size(value):
    return abs(value).bit_length()


def signed(value):
    """The bits that follow a size."""
    length = size(value)
    return format(value if value > 0 else value + (1 << length) - 1, f"0{length}b") if length else ""


class Tokens:
    """What a scan says before its codes are chosen: pieces between restart markers, of (kind, table, symbol) and of plain bits."""

    def __init__(self):
        self.pieces = [[]]

    def symbol(self, kind, table, symbol, bits=""):
        self.pieces[-1].append((kind, table, symbol))
        if bits:
            self.pieces[-1].append(bits)

    def bits(self, bits):
        if bits:
            self.pieces[-1].append(bits)

    def used(self):
        tables = {}
        for piece in self.pieces:
            for token in piece:
                if not isinstance(token, str):
                    tables.setdefault(token[:2], []).append(token[2])
        return tables

    def bytes(self, codes, rng, fill):
        out = b""
        for number, piece in enumerate(self.pieces):
            if number:
                out += b"\xff" * (1 + (int(rng.integers(0, 3)) if fill else 0)) + bytes([0xD0 + (number - 1) % 8])
            text = "".join(token if isinstance(token, str) else codes[token[:2]].codes[token[2]] for token in piece)
            text += "1" * (-len(text) % 8)
            if text:
                out += int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
        return out


def units(components):
    """The blocks of a scan, in units of (number in the scan, coefficients)."""
    if len(components) == 1:
        [c] = components
        for y in range(c.blocks[0]):
            for x in range(c.blocks[1]):
                yield [(0, c.coefficients[y][x])]
        return
    first = components[0]
    rows, columns = len(first.coefficients) // first.v, len(first.coefficients[0]) // first.h
    for y in range(rows):
        for x in range(columns):
            yield [(n, c.coefficients[y * c.v + j][x * c.h + i]) for n, c in enumerate(components) for j in range(c.v) for i in range(c.h)]


def sequential(components, tables, restart):
    """Tokens of a sequential scan; `tables` are (DC, AC) per component."""
    tokens, predictions = Tokens(), [0] * len(components)
    for number, unit in enumerate(units(components)):
        if restart and number and number % restart == 0:
            tokens.pieces.append([])
            predictions = [0] * len(components)
        for n, block in unit:
            dc, ac = tables[n]
            difference, predictions[n] = block[0] - predictions[n], block[0]
            tokens.symbol("dc", dc, size(difference), signed(difference))
            run = 0
            last = max((k for k in range(1, 64) if block[k]), default=0)
            for k in range(1, last + 1):
                if block[k] == 0:
                    run += 1
                    continue
                while run > 15:
                    tokens.symbol("ac", ac, 0xF0)
                    run -= 16
                tokens.symbol("ac", ac, run << 4 | size(block[k]), signed(block[k]))
                run = 0
            if last < 63:
                tokens.symbol("ac", ac, 0)
    return tokens


def progressive(components, tables, restart, band, high, low):
    """Tokens of a progressive scan of coefficients `band` = (first, last), of which bit `high` was sent before (0: nothing), down to bit `low`."""
    tokens, predictions = Tokens(), [0] * len(components)
    ending = Ending(tokens, tables[0][1])
    for number, unit in enumerate(units(components)):
        if restart and number and number % restart == 0:
            ending.flush()
            tokens.pieces.append([])
            predictions = [0] * len(components)
        for n, block in unit:
            if band[0] == 0 and high:
                tokens.bits(str(block[0] >> low & 1))
            elif band[0] == 0:
                value = block[0] >> low
                difference, predictions[n] = value - predictions[n], value
                tokens.symbol("dc", tables[n][0], size(difference), signed(difference))
            else:
                values = [abs(value) >> low for value in block[band[0]:band[1] + 1]]
                signs = [value < 0 for value in block[band[0]:band[1] + 1]]
                (ending.refine if high else ending.first)(values, signs)
    ending.flush()
    return tokens


class Ending:
    """The AC part of a progressive scan, with its runs of blocks that hold nothing more."""

    def __init__(self, tokens, table):
        self.tokens, self.table, self.run, self.pending = tokens, table, 0, ""

    def flush(self):
        if self.run:
            length = self.run.bit_length() - 1
            self.tokens.symbol("ac", self.table, length << 4, format(self.run - (1 << length), f"0{length}b") if length else "")
            self.run = 0
        self.tokens.bits(self.pending)
        self.pending = ""

    def end(self, bits=""):
        self.run += 1
        self.pending += bits
        if self.run == 0x7FFF:
            self.flush()

    def first(self, values, signs):
        zeros = 0
        last = max((k for k, value in enumerate(values) if value), default=-1)
        for value, negative in list(zip(values, signs))[:last + 1]:
            if value == 0:
                zeros += 1
                continue
            self.flush()
            while zeros > 15:
                self.tokens.symbol("ac", self.table, 0xF0)
                zeros -= 16
            self.tokens.symbol("ac", self.table, zeros << 4 | size(value), signed(-value if negative else value))
            zeros = 0
        if last < len(values) - 1:
            self.end()

    def refine(self, values, signs):
        zeros, corrections = 0, ""
        last_new = max((k for k, value in enumerate(values) if value == 1), default=-1)
        for k, (value, negative) in enumerate(zip(values, signs)):
            if value == 0:
                zeros += 1
                continue
            while zeros > 15 and k <= last_new:
                self.flush()
                self.tokens.symbol("ac", self.table, 0xF0)
                self.tokens.bits(corrections)
                zeros, corrections = zeros - 16, ""
            if value > 1:
                corrections += str(value & 1)
                continue
            self.flush()
            self.tokens.symbol("ac", self.table, zeros << 4 | 1, "0" if negative else "1")
            self.tokens.bits(corrections)
            zeros, corrections = 0, ""
        if zeros or corrections:
            self.end(corrections)


def scan_segment(components, tables, band=(0, 63), high=0, low=0):
    parts = b"".join(bytes([c.id, dc << 4 | ac]) for c, (dc, ac) in zip(components, tables))
    return segment(0xDA, bytes([len(components)]) + parts + bytes([*band, high << 4 | low]))
