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
    """A writer of bits, least significant first."""

    def __init__(self):
        self.number, self.length = 0, 0
        self.parts, self.written = [], 0

    def put(self, value, bits):
        self.number |= value << self.length
        self.length += bits
        if self.length >= 4096:
            self.flush()

    def flush(self):
        whole = self.length // 8
        self.parts.append((self.number & (1 << 8 * whole) - 1).to_bytes(whole, "little"))
        self.written += whole
        self.number >>= 8 * whole
        self.length -= 8 * whole

    def repeat(self, unit, times):
        """All that was put into another writer, so often."""
        whole, bits = int.from_bytes(unit.bytes(), "little"), unit.total()
        # Eight of them end at a whole byte where they begin at one.
        eight = sum(whole << bits * at for at in range(8)).to_bytes(bits, "little")
        number = int.from_bytes(eight * (times // 8), "little") | sum(whole << bits * at for at in range(times % 8)) << 8 * bits * (times // 8)
        self.put(number, bits * times)

    def total(self):
        return 8 * self.written + self.length

    def bytes(self):
        return b"".join(self.parts) + self.number.to_bytes((self.length + 7) // 8, "little")


# Deflate

def canonical(lengths):
    """Codes of symbols by their lengths (RFC 1951, section 3.2.2), as they are written: least significant bit first."""
    codes, code = {}, 0
    for length in range(1, 16):
        for symbol in sorted(symbol for symbol, its in lengths.items() if its == length):
            codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
            code += 1
        code <<= 1
    return codes


def repeated(lengths):
    """Lengths of codes as symbols, each with its extra bits and their number: runs as 16, 17 and 18."""
    out, at = [], 0
    while at < len(lengths):
        value, run = lengths[at], 1
        while at + run < len(lengths) and lengths[at + run] == value:
            run += 1
        at += run
        if value == 0:
            while run >= 11:
                out.append((18, min(run, 138) - 11, 7))
                run -= min(run, 138)
        else:
            out.append((value, 0, 0))
            run -= 1
            while run >= 3:
                out.append((16, min(run, 6) - 3, 2))
                run -= min(run, 6)
        out += [(value, 0, 0)] * run
    return out


#: Lengths of the codes of literals (256 ends the block) and of distances; those that are "told" are written one by one.
CODES = {
    "told": ([8] * 226 + [9] * 60, [4] * 2 + [5] * 28),
    "runs": ([8] * 226 + [9] * 60, [4] * 2 + [5] * 28),
    "one": ([1] + [0] * 255 + [1], [1]),
    "pairs": ([6] * 63 + [0] * 193 + [6], [1, 1]),
    "sevens": ([7] * 127 + [0] * 129 + [7], [1, 1]),
    "deep": ([8] * 255 + [15, 9, 10, 11, 12, 13, 14, 15], list(range(1, 16)) + [15]),
    "wide": ([9] * 256 + [2, 3, 3], [1, 1]),
}


def dynamic_block(kind):
    """An empty block that is all tables, as short as it gets."""
    literals, distances = CODES[kind]
    lengths = [(length, 0, 0) for length in literals + distances] if kind == "told" else repeated(literals + distances)
    symbols = sorted({symbol for symbol, _, _ in lengths}, key=lambda symbol: -sum(symbol == other for other, _, _ in lengths))
    if len(symbols) <= 8:
        # Codes of one bit, two, and so on; the last two have the same.
        told = {symbol: min(at + 1, len(symbols) - 1) for at, symbol in enumerate(symbols)}
    else:
        # Codes of four bits for all but the first, which have three.
        told = {symbol: 3 if at < 16 - len(symbols) else 4 for at, symbol in enumerate(symbols)}
    codes = canonical(told)
    order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    last = max(at for at, symbol in enumerate(order) if symbol in told) + 1
    bits = Bits()
    bits.put(0, 1), bits.put(2, 2), bits.put(len(literals) - 257, 5), bits.put(len(distances) - 1, 5), bits.put(max(4, last) - 4, 4)
    for symbol in order[:max(4, last)]:
        bits.put(told.get(symbol, 0), 3)
    for symbol, extra, width in lengths:
        bits.put(codes[symbol], told[symbol])
        bits.put(extra, width)
    end = {symbol: length for symbol, length in enumerate(literals) if length}
    bits.put(canonical(end)[256], end[256])
    return bits


def deflated(rows):
    """A zlib stream of rows, each so often, made in a time that does not grow with their number."""
    out, sum_of_all = b"\x78\xda", 1
    for row, times in rows:
        # The second piece refers back to the first as every later one to that before it, and each ends at a whole byte.
        at_once = max(1, 65_536 // max(1, len(row)))
        pieces, rest = divmod(times, at_once)
        raw = zlib.compressobj(9, zlib.DEFLATED, -15)
        for piece, repeated in ((row * at_once, min(pieces, 1)), (row * at_once, max(0, pieces - 1)), (row * rest, 1)):
            if repeated:
                out += (raw.compress(piece) + raw.flush(zlib.Z_SYNC_FLUSH)) * repeated
                for _ in range(repeated):
                    sum_of_all = zlib.adler32(piece, sum_of_all)
    return out + b"\x03\x00" + struct.pack(">I", sum_of_all)


def blocks(rng, data, budget, behind=False):
    """A zlib stream behind as many empty blocks as fit the budget, or before them: then without its end."""
    kind = rng.choice(["none", "stored", "fixed", "dynamic"])
    if kind == "none":
        return data
    block = Bits()
    if kind == "stored":
        block.put(0, 3), block.put(0, 5), block.put(0xffff0000, 32)
    elif kind == "fixed":
        # Ten bits: 0, 01, and the end of the block.
        block.put(0, 1), block.put(1, 2), block.put(0, 7)
    else:
        block = dynamic_block(rng.choice(list(CODES)))
    empty = Bits()
    empty.repeat(block, 8 * (count(rng, budget) // block.total() + 1))
    # Of a stream, its end is an empty block of two bytes and the sum.
    return data[:-6] + empty.bytes() if behind else data[:2] + empty.bytes() + data[2:]


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
        for x, y, across, down in passes:
            columns, lines = -(-(width - x) // across), -(-(height - y) // down)
            if width > x and height > y:
                yield bytes([filter_type]) + bytes(columns * samples * depth // 8), lines

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    what = rng.choice(["plain", "plain", "chunks", "texts", "profile", "profiles", "animation"])
    frames = count(rng, 4096) if what == "animation" else 1
    if what == "chunks":
        out += rng.choice([chunk(b"teSt"), chunk(b"tEXt", b"a\0"), chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"eXIf", b"II*\0")]) * count(rng, MOST_BYTES // 16)
    if what == "texts":
        out += chunk(b"zTXt", b"a\0\0" + deflated([(bytes(60_000), 500)])) * rng.randint(1, 9)
    if what == "profile":
        out += chunk(b"iCCP", b"a\0\0" + deflated([(icc(rng), 1), (bytes(60_000), rng.choice([0, 0, 500]))]))
    if what == "profiles":
        # None of them can be read: they are empty, or have no end, or are no profile.
        data = rng.choice([b"", b"\0", deflated([(b"ab" * 30_000, rng.choice([1, 34]))])[:-6], deflated([(bytes(60_000), 34)]), blocks(rng, deflated([(b"ab", 100)]), 5000)])
        one = chunk(b"iCCP", b"a\0\0" + data)
        out += one * (count(rng, MOST_BYTES) // len(one) + 1)
    if what == "animation":
        out += chunk(b"acTL", struct.pack(">II", frames, 0)) + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 100, rng.randint(0, 2), 0))
    data = blocks(rng, deflated(rows(width, height)), MOST_BYTES, rng.random() < 0.3)
    step = rng.choice([len(data), 8192, 1]) if len(data) < 100_000 else len(data)
    out += b"".join(chunk(b"IDAT", data[at:at + step]) for at in range(0, len(data), max(1, step)))
    sequence, crowded = 1, rng.random() < 0.5
    for _ in range(frames - 1):
        part = (width, height) if rng.random() < 0.1 else (1, 1)
        small = deflated(rows(*part))
        if crowded:
            small = blocks(rng, small, 5000, rng.random() < 0.5)
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, *part, 0, 0, 1, 100, rng.randint(0, 2), rng.randint(0, 1)))
        out += chunk(b"fdAT", struct.pack(">I", sequence + 1) + small)
        sequence += 2
        if len(out) > MOST_BYTES:
            break
    return out + chunk(b"IEND"), width * height * frames


# GIF

def gif_codes(rng, pixels):
    """Codes of a frame: clear codes that say nothing, then one index again and again."""
    bits, clear = Bits(), Bits()
    clear.put(4, 3)
    bits.repeat(clear, count(rng, 400_000) if rng.random() < 0.5 else 1)
    known, width, left = 6, 3, pixels
    # A run that grows by one with each code.
    bits.put(0, width)
    left, length, code = left - 1, 2, 6
    while left > 0 and bits.total() < 8 * MOST_BYTES:
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
    if step == 1:
        alone = bytearray(b"\1" * (2 * len(data)))
        alone[1::2] = data
        return b"\2" + bytes(alone) + b"\0"
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
    raw = min(40_000_000, width * min(rows, height) * (samples if planar == 1 else 1) * bits // 8)
    nothing = count(rng, MOST_BYTES)
    if compression == 1:
        data = bytes(min(raw, MOST_BYTES))
    elif compression == 5:
        data = lzw_nothing(nothing)
    elif compression == 7:
        data, nothing = jpeg_file(rng, width, min(rows, height), samples, min(nothing, 20_000)), 0
    elif compression == 8:
        data = blocks(rng, deflated([(bytes(65_536), raw // 65_536), (bytes(raw % 65_536), 1)]), nothing)
    else:
        data = b"\x80" * nothing + b"\x81\0" * (raw // 128 + 1)
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
    group = Bits()
    simple(group, 9)
    for _ in range(3):
        even(group) if large and groups else simple(group, 9)
    simple(group, 0)
    bits.repeat(group, min(groups + 1, 8 * MOST_BYTES // group.total()))
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
