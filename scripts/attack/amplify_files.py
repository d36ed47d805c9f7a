"""Small files that ask for much work, made from each format's options: what a file refers to again, repeats, empties, or states and does not hold.

Each maker takes a `random.Random` and returns (bytes, pixels of all frames that it states). Sizes are drawn over orders of magnitude, so that one file may be a
kilobyte for sixteen megapixels and the next a megabyte for one pixel.
"""
import struct
import zlib

#: Bytes that one file may have, and pixels that it may state: more of either is only more of the same.
MOST_BYTES = 1_500_000
MOST_PIXELS = 16_000_000


def size(rng, most=MOST_PIXELS):
    """Width and height: anything from a pixel to a wall, square or a line."""
    pixels = 2 ** rng.uniform(0, most.bit_length() - 1)
    width = min(20_000, max(1, int(pixels ** rng.choice([0.5, 0.5, 0.5, 0.1, 0.9]))))
    return width, min(20_000, max(1, int(pixels / width)))


def count(rng, most):
    return max(1, int(2 ** rng.uniform(0, most.bit_length() - 1)))


class Bits:
    """A writer of bits, least significant first (GIF, WebP, deflate) or most significant first."""

    def __init__(self):
        self.number, self.length = 0, 0
        self.parts = []

    def put(self, value, bits):
        self.number |= value << self.length
        self.length += bits
        while self.length >= 4096:
            self.parts.append((self.number & (1 << 4096) - 1).to_bytes(512, "little"))
            self.number >>= 4096
            self.length -= 4096

    def bytes(self):
        return b"".join(self.parts) + self.number.to_bytes((self.length + 7) // 8, "little")


# Deflate

def dynamic_block():
    """An empty block that is all tables: of 286 literals and 30 distances."""
    bits = Bits()
    bits.put(0, 1), bits.put(2, 2), bits.put(29, 5), bits.put(29, 5), bits.put(14, 4)
    # Order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1: lengths 8 and 9 for literals, 5 for distances, 0 with one bit less.
    lengths = {8: 2, 9: 2, 5: 2, 4: 2}
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1]:
        bits.put(lengths.get(symbol, 0), 3)
    codes = {symbol: int(f"{at:02b}"[::-1], 2) for at, symbol in enumerate(sorted(lengths))}
    literals = [8] * 226 + [9] * 60
    distances = [4] * 2 + [5] * 28
    for length in literals + distances:
        bits.put(codes[length], 2)
    # The end of the block is literal 256: code 30 of the nine-bit ones.
    first = 226 << 1
    code = first + (256 - 226)
    bits.put(int(f"{code:09b}"[::-1], 2), 9)
    return bits


def blocks(rng, raw, budget):
    """A zlib stream of `raw`, behind as many empty blocks as fit the budget."""
    kind = rng.choice(["none", "stored", "fixed", "dynamic"])
    data = zlib.compress(raw, 9)
    if kind == "none":
        return data
    if kind == "stored":
        empty = b"\0\0\0\xff\xff" * (count(rng, budget) // 5 + 1)
    elif kind == "fixed":
        # Ten bits each: 0, 01, and the end of the block. Four of them are five bytes.
        bits = Bits()
        for _ in range(4):
            bits.put(0, 1), bits.put(1, 2), bits.put(0, 7)
        empty = bits.bytes() * (count(rng, budget) // 5 + 1)
    else:
        # Eight blocks end at a whole byte.
        block = dynamic_block()
        eight, length = 0, block.length
        whole = block.number | int.from_bytes(b"".join(block.parts), "little")
        for at in range(8):
            eight |= whole << (length * at)
        eight = eight.to_bytes(length, "little")
        empty = eight * (count(rng, budget) // len(eight) + 1)
    return data[:2] + empty + data[2:]


# PNG

def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def icc(rng):
    """A profile whose seven parts are all the same bytes, or one with a large table of colours."""
    names = [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"] if rng.random() < 0.7 else [b"A2B0"]
    length = count(rng, 1 << 22)
    head = bytearray(128)
    head[8:12], head[12:16], head[16:20], head[20:24], head[36:40] = b"\x02\x40\0\0", b"mntr", b"RGB ", b"XYZ ", b"acsp"
    start = 132 + 12 * len(names)
    table = b"".join(name + struct.pack(">II", start, length) for name in names)
    body = rng.choice([b"curv\0\0\0\0" + struct.pack(">I", max(0, length // 2 - 6)), b"mft2\0\0\0\0\3\3\x21\0", b"XYZ \0\0\0\0\0\0\x80\0\0\0\x80\0\0\0\x80\0"])
    body = (body + bytes(range(256)) * (length // 256 + 1))[:length]
    whole = bytes(head) + struct.pack(">I", len(names)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def png(rng):
    width, height = size(rng)
    colour, samples = rng.choice([(0, 1), (2, 3), (6, 4), (4, 2)])
    depth = rng.choice([8, 16])
    interlaced = rng.random() < 0.4
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    while width * height * samples * depth // 8 > 64_000_000:
        height = max(1, height // 2)
    filter_type = rng.choice([0, 1, 2, 3, 4])

    def rows(width, height):
        raw = b""
        for x, y, across, down in passes:
            columns, lines = -(-(width - x) // across), -(-(height - y) // down)
            if width > x and height > y:
                raw += (bytes([filter_type]) + bytes(columns * samples * depth // 8)) * lines
        return raw

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    what = rng.choice(["plain", "plain", "chunks", "texts", "profile", "animation"])
    frames = count(rng, 4096) if what == "animation" else 1
    if what == "chunks":
        out += rng.choice([chunk(b"teSt"), chunk(b"tEXt", b"a\0"), chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"eXIf", b"II*\0")]) * count(rng, MOST_BYTES // 16)
    if what == "texts":
        out += chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(30_000_000), 9)) * rng.randint(1, 9)
    if what == "profile":
        out += chunk(b"iCCP", b"a\0\0" + zlib.compress(icc(rng) + bytes(rng.choice([0, 0, 30_000_000])), 9))
    if what == "animation":
        out += chunk(b"acTL", struct.pack(">II", frames, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 100, rng.randint(0, 2), 0))
    data = blocks(rng, rows(width, height), MOST_BYTES)
    step = rng.choice([len(data), 8192, 1]) if len(data) < 100_000 else len(data)
    out += b"".join(chunk(b"IDAT", data[at:at + step]) for at in range(0, len(data), max(1, step)))
    sequence = 1
    for _ in range(frames - 1):
        part = (width, height) if rng.random() < 0.1 else (1, 1)
        small = zlib.compress(rows(*part), 9)
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, *part, 0, 0, 1, 100, rng.randint(0, 2), rng.randint(0, 1)))
        out += chunk(b"fdAT", struct.pack(">I", sequence + 1) + small)
        sequence += 2
        if len(out) > MOST_BYTES:
            break
    return out + chunk(b"IEND"), width * height * frames


# GIF

def gif_codes(rng, pixels):
    """Codes of a frame: clear codes that say nothing, then one index again and again."""
    bits = Bits()
    for _ in range(count(rng, 400_000) if rng.random() < 0.5 else 1):
        bits.put(4, 3)
    known, width, left = 6, 3, pixels
    # A run that grows by one with each code.
    bits.put(0, width)
    left, length, code = left - 1, 2, 6
    while left > 0 and bits.length + 4096 * len(bits.parts) < 8 * MOST_BYTES:
        bits.put(code, width)
        left, known = left - length, known + 1
        if known == 1 << width and width < 12:
            width += 1
        if known >= 4095:
            bits.put(4, width)
            known, width = 6, 3
            bits.put(0, width)
            left, length, code = left - 1, 2, 6
        else:
            code, length = code + 1, length + 1
    bits.put(5, width)
    data = bits.bytes()
    step = rng.choice([255, 255, 1])
    if len(data) * 2 > MOST_BYTES:
        step = 255
    return b"\2" + b"".join(bytes([len(data[at:at + step])]) + data[at:at + step] for at in range(0, len(data), step)) + b"\0"


def gif(rng):
    width, height = size(rng)
    frames = count(rng, 20_000)
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80 | 1, 1, 0) + bytes([9, 9, 9, 250, 0, 0, 0, 250, 0, 0, 0, 250])
    out += rng.choice([b"", b"", b"!\xfe\0", b"!\xff\0", b"x"]) * count(rng, 300_000)
    tiny = gif_codes(rng, 1) if frames > 1 else b""
    drawn = 0
    for number in range(frames):
        whole = number == 0 or rng.random() < 0.01
        part = (width, height) if whole else (1, 1)
        codes = gif_codes(rng, part[0] * part[1]) if whole else tiny
        control = bytes([0x21, 0xf9, 4, rng.randint(0, 4) << 2 | rng.randint(0, 1), 1, 0, rng.randint(0, 3), 0])
        at = (rng.randrange(width), rng.randrange(height)) if part == (1, 1) else (0, 0)
        out += control + b"," + struct.pack("<HHHHB", *at, *part, rng.choice([0, 0x40])) + codes
        drawn += 1
        if len(out) > MOST_BYTES:
            break
    return out + b";", width * height * drawn


# TIFF

def lzw_nothing(length):
    """Clear codes of nine bits, and nothing else: eight are nine bytes."""
    return int("100000000" * 8, 2).to_bytes(9, "big") * (length // 9 + 1)


def tiff(rng):
    width, height = size(rng)
    planar, samples = rng.choice([(1, 1), (1, 3), (1, 8), (2, 3), (2, 8)])
    bits = rng.choice([8, 16])
    compression = rng.choice([1, 5, 5, 7, 7, 8, 8, 32773, 32773])
    if compression == 7:
        samples, bits, planar = rng.choice([1, 3]), 8, 1
    rows = rng.choice([1, 1, 8, height])
    strips = -(-height // min(rows, height))
    strips = strips * (samples if planar == 2 else 1)
    if strips * 8 > MOST_BYTES:
        rows, strips = height, samples if planar == 2 else 1
    raw = bytes(width * min(rows, height) * (samples if planar == 1 else 1) * bits // 8)
    raw = raw[:40_000_000]
    nothing = count(rng, MOST_BYTES)
    if compression == 1:
        data = raw[:MOST_BYTES]
    elif compression == 5:
        data = lzw_nothing(nothing)
    elif compression == 7:
        data, nothing = jpeg_file(rng, width, min(rows, height), samples, min(nothing, 20_000)), 0
    elif compression == 8:
        data = blocks(rng, raw, nothing)
    else:
        data = b"\x80" * nothing + b"\x81\0" * (len(raw) // 128 + 1)
        data = data[:MOST_BYTES]
    body = b"II*\0\0\0\0\0" + data
    body += b"\0" * (len(body) % 2)
    lists = len(body)
    length = rng.choice([len(data), len(data), max(1, len(data) // 2), 1024])
    body += struct.pack("<I", 8) * strips + struct.pack("<I", length) * strips
    extra = rng.choice([0, 0, 0, 5_000, 40_000])
    pages = count(rng, 60_000 // (extra + 20) * 8 + 1)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 2 if samples >= 3 else 1),
               (273, 4, strips, lists if strips > 1 else 8), (277, 3, 1, samples), (278, 4, 1, rows), (279, 4, strips, lists + 4 * strips if strips > 1 else length),
               (284, 3, 1, planar)]
    if rng.random() < 0.1:
        profile = icc(rng)
        entries.append((34675, 7, len(profile), len(body)))
        body += profile
    entries = [struct.pack("<HHII", *entry) for entry in entries] + [struct.pack("<HHII", 1, 4, 1, 0)] * extra
    for number in range(pages):
        at = len(body)
        body = body[:4] + struct.pack("<I", at) + body[8:] if number == 0 else body
        following = at + 6 + 12 * len(entries) if number + 1 < pages and at < MOST_BYTES else 0
        body += struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)
        if following == 0:
            break
    return body, width * height * (number + 1)


# JPEG

def segment(marker, data):
    return bytes([0xff, marker]) + struct.pack(">H", len(data) + 2) + data


def huffman(kind, symbols):
    """A table in which the symbols have codes 0, 10, 110 …"""
    counts = [1 if at < len(symbols) else 0 for at in range(16)]
    return segment(0xc4, bytes([kind]) + bytes(counts) + bytes(symbols))


def scan(components, first, last, bits, data):
    parts = b"".join(bytes([number + 1, 0]) for number in components)
    return segment(0xda, bytes([len(components)]) + parts + bytes([first, last, bits])) + data


def jpeg_file(rng, width, height, components, scans_bytes):
    factors = [(rng.choice([1, 1, 2, 4]), rng.choice([1, 1, 2, 4])) for _ in range(components)]
    if sum(h * v for h, v in factors) > 10:
        factors = [(1, 1)] * components
    most_h, most_v = max(h for h, _ in factors), max(v for _, v in factors)
    if any(most_h % h or most_v % v for h, v in factors):
        factors, most_h, most_v = [(1, 1)] * components, 1, 1
    units = -(-width // (8 * most_h)) * -(-height // (8 * most_v))
    blocks_of = units * sum(h * v for h, v in factors)
    progressive = rng.random() < 0.6
    restart = rng.choice([0, 0, 0, 1]) if not progressive and units < 500_000 else 0
    frame = struct.pack(">BHHB", 8, height, width, components) + b"".join(bytes([n + 1, h << 4 | v, 0]) for n, (h, v) in enumerate(factors))
    tables = segment(0xdb, b"\0" + bytes([1]) * 64) + huffman(0, [0, 1]) + huffman(0x10, [0, 0xe0, 1])
    repeated = rng.choice([b"", b"", b"", tables, b"\xff" * 64, segment(0xfe, b"")])
    out = b"\xff\xd8" + repeated * (count(rng, scans_bytes) // max(1, len(repeated)) if repeated else 0)
    out += segment(0xc2 if progressive else 0xc0, frame) + tables
    if restart:
        out += segment(0xdd, struct.pack(">H", restart))
    if not progressive:
        # A difference of zero and the end of the block: two bits of zeros.
        if restart:
            each = bytes([0] * -(-2 * sum(h * v for h, v in factors) // 8))
            data = b"".join(each + bytes([0xff, 0xd0 + at % 8]) for at in range(min(units, MOST_BYTES // 3)))[:-2]
        else:
            data = bytes(min(-(-2 * blocks_of // 8), MOST_BYTES))
        return out + scan(range(components), 0, 63, 0, data) + b"\xff\xd9"
    out += scan(range(components), 0, 0, 0, bytes(min(-(-blocks_of // 8), MOST_BYTES)))
    for number in range(count(rng, 1200)):
        component = rng.randrange(components)
        h, v = factors[component]
        own = -(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v))
        first = rng.randint(1, 63)
        last = rng.randint(first, 63)
        # Ends of bands of up to 32,767 blocks: the code 10 and fourteen ones.
        run = b"\xbf\xff\x00" if own > 16_383 else b""
        data = run * (own // 32_767 + 1) if run else bytes(-(-own // 8))
        out += scan([component], first, last, 0, data[:MOST_BYTES])
        if len(out) > scans_bytes + MOST_BYTES // 3:
            break
    return out + b"\xff\xd9"


def jpeg(rng):
    width, height = size(rng)
    out = jpeg_file(rng, width, height, rng.choice([1, 3, 4]), MOST_BYTES)
    if rng.random() < 0.15:
        profile = icc(rng)[:16_000_000]
        parts = [profile[at:at + 65_000] for at in range(0, len(profile), 65_000)][:255]
        out = out[:2] + b"".join(segment(0xe2, b"ICC_PROFILE\0" + bytes([n + 1, len(parts)]) + part) for n, part in enumerate(parts)) + out[2:]
    if rng.random() < 0.2:
        return pictures(rng, out), width * height * 1000
    return out, width * height


def pictures(rng, first):
    """An index of up to a thousand pictures that are all the first one's bytes."""
    number = count(rng, 1000) + 1
    entries = b""
    # Offsets count from the index's own beginning, which stands 10 bytes behind the file's; the picture is repeated behind the first.
    for at in range(number):
        entries += struct.pack("<IIIHH", 0, len(first), 0, 0, 0) if at == 0 else struct.pack("<IIIHH", 0, len(first), 0x55555555, 0, 0)
    index = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + struct.pack("<HHII", 0xb001, 4, 1, number)
    index += struct.pack("<HHII", 0xb002, 7, len(entries), len(index) + 16) + struct.pack("<I", 0)
    if len(index) + len(entries) > 65_000:
        return first
    whole = segment(0xe2, b"MPF\0" + index + entries)
    second = len(first) + len(whole) - 10
    return first[:2] + whole.replace(struct.pack("<I", 0x55555555), struct.pack("<I", second)) + first[2:] + first


# BMP

def bmp(rng):
    width, height = size(rng)
    nibbles = rng.random() < 0.3
    unit = rng.choice([b"\0\0", b"\0\2\0\0", b"\xff\1", b"\1\1", b"\0\2\1\0", b"\0\3\1\2\3\0"])
    data = unit * (count(rng, MOST_BYTES) // len(unit) + 1) + rng.choice([b"\0\1", b""])
    top = rng.choice([1, -1])
    header = struct.pack("<IiiHHIIiiII", 40, width, height * top, 1, 4 if nibbles else 8, 2 if nibbles else 1, len(data), 0, 0, 4, 0)
    if rng.random() < 0.2:
        header = struct.pack("<IiiHHIIiiII", 40, width, height * top, 1, 24, 0, 0, 0, 0, 0, 0)
        data = bytes(min(MOST_BYTES, (3 * width + 3) // 4 * 4 * height))
    palette = bytes(range(16))
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(palette) + len(data), 0, 0, 14 + len(header) + len(palette)) + header + palette + data, width * height


# WebP

def simple(bits, symbol):
    """A code of one symbol."""
    bits.put(1, 1), bits.put(0, 1)
    if symbol < 2:
        bits.put(0, 1), bits.put(symbol, 1)
    else:
        bits.put(1, 1), bits.put(symbol, 8)


def even(bits):
    """A code of 256 symbols of eight bits each: of the lengths only 8 has a code, of no bits."""
    bits.put(0, 1), bits.put(8, 4)
    # Order 17 18 0 1 2 3 4 5 16 6 7 8: the twelfth has a length.
    for at in range(12):
        bits.put(1 if at == 11 else 0, 3)
    bits.put(0, 1)


def lossless(rng, width, height, most_groups=60_000):
    """A picture of one colour; perhaps under thousands of groups of codes, of which one is used."""
    bits = Bits()
    bits.put(0x2f, 8), bits.put(width - 1, 14), bits.put(height - 1, 14), bits.put(rng.randint(0, 1), 1), bits.put(0, 3)
    if rng.random() < 0.3:
        # A transform of colours by a table of two, which packs eight pixels into one.
        bits.put(1, 1), bits.put(3, 2), bits.put(1, 8)
        bits.put(0, 1)
        for _ in range(5):
            simple(bits, 0)
        bits.put(0, 1), bits.put(0, 1), bits.put(0, 1)
        for _ in range(5):
            simple(bits, 0)
        return bits.bytes()
    bits.put(0, 1)
    cache = rng.random() < 0.3
    bits.put(1 if cache else 0, 1)
    if cache:
        bits.put(rng.randint(1, 11), 4)
    groups = count(rng, most_groups) - 1 if rng.random() < 0.6 else 0
    bits.put(1 if groups else 0, 1)
    if groups:
        bits.put(rng.randint(0, 7), 3), bits.put(0, 1)
        simple(bits, groups & 255), simple(bits, groups >> 8), simple(bits, 0), simple(bits, 0), simple(bits, 0)
    large = rng.random() < 0.7
    for _ in range(groups + 1):
        simple(bits, 9)
        for _ in range(3):
            even(bits) if large and groups else simple(bits, 9)
        simple(bits, 0)
        if bits.length + 4096 * len(bits.parts) > 8 * MOST_BYTES:
            break
    data = bits.bytes()
    return data + bytes(min(MOST_BYTES, 3 * width * height) if large and groups else 8)


def riff(chunks):
    body = b"WEBP" + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def part(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp(rng):
    width, height = size(rng)
    width, height = min(width, 16_383), min(height, 16_383)
    what = rng.choice(["still", "still", "animation", "chunks"])
    if what == "still":
        return riff(part(b"VP8L", lossless(rng, width, height))), width * height
    if what == "chunks":
        header = part(b"VP8X", struct.pack("<BBH", 0, 0, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))
        return riff(header + part(b"abcd", b"") * count(rng, MOST_BYTES // 8) + part(b"VP8L", lossless(rng, width, height))), width * height
    header = part(b"VP8X", struct.pack("<BBH", 2, 0, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))
    out, frames = header + part(b"ANIM", bytes(6)), count(rng, 20_000)
    number = 0
    for number in range(frames):
        across, down = (width, height) if rng.random() < 0.02 else (1, 1)
        place = bytes(6) + (across - 1).to_bytes(3, "little") + (down - 1).to_bytes(3, "little") + b"\x0a\0\0" + bytes([rng.randint(0, 3)])
        out += part(b"ANMF", place + part(b"VP8L", lossless(rng, across, down, 300)))
        if len(out) > MOST_BYTES:
            break
    return riff(out), width * height * (number + 1)


MAKERS = {"png": png, "gif": gif, "tiff": tiff, "jpeg": jpeg, "bmp": bmp, "webp": webp}
