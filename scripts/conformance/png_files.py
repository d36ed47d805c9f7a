"""Random PNG and APNG files of every colour type and depth, with the right frames: drawn here by the specification, in floating point."""
import struct
import zlib

import numpy as np

from frame_files import chance

#: Colour type, depths, samples.
KINDS = [(0, [1, 2, 4, 8, 16], 1), (2, [8, 16], 3), (3, [1, 2, 4, 8], 1), (4, [8, 16], 2), (6, [8, 16], 4)]
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, depth):
    """Rows of samples, each with filter 0 before it."""
    out = b""
    for row in samples:
        flat = row.reshape(-1)
        if depth == 16:
            data = flat.astype(">u2").tobytes()
        elif depth == 8:
            data = flat.astype(np.uint8).tobytes()
        else:
            bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(-1)
            data = np.packbits(bits.astype(np.uint8)).tobytes()
        out += b"\0" + data
    return out


def compressed(samples, depth, interlaced):
    if not interlaced:
        return zlib.compress(packed(samples, depth), 1)
    passes = [samples[y::down, x::across] for x, y, across, down in PASSES]
    return zlib.compress(b"".join(packed(part, depth) for part in passes if part.size), 1)


class Kind:
    """What the samples of one file stand for."""

    def __init__(self, rng):
        self.colour, depths, self.samples = KINDS[int(rng.integers(0, len(KINDS)))]
        self.depth = int(rng.choice(depths))
        most = (1 << self.depth) - 1
        self.palette = rng.integers(0, 256, (int(rng.integers(1, min(most + 1, 40) + 1)), 3)) if self.colour == 3 else None
        self.key = self.table = None
        if self.colour in (0, 2) and chance(rng, 0.5):
            self.key = rng.integers(0, most + 1, self.samples)
        if self.colour == 3 and chance(rng, 0.6):
            self.table = rng.integers(0, 256, int(rng.integers(1, len(self.palette) + 1)))
            if chance(rng, 0.5):
                self.table = np.where(self.table < 100, 0, 255)

    def chunks(self):
        out = chunk(b"PLTE", self.palette.astype(np.uint8).tobytes()) if self.palette is not None else b""
        if self.key is not None:
            out += chunk(b"tRNS", self.key.astype(">u2").tobytes())
        if self.table is not None:
            out += chunk(b"tRNS", self.table.astype(np.uint8).tobytes())
        return out

    def draw(self, rng, width, height):
        """Samples of a picture."""
        most = len(self.palette) - 1 if self.colour == 3 else (1 << self.depth) - 1
        samples = rng.integers(0, most + 1, (height, width, self.samples))
        if self.key is not None:
            samples[rng.random((height, width)) < 0.3] = self.key
        if self.colour in (4, 6):
            sharp = rng.integers(0, 2, (height, width)) * most
            choice = rng.integers(0, 3)
            samples[:, :, -1] = most if choice == 0 else sharp if choice == 1 else samples[:, :, -1]
        return samples

    def seen(self, samples):
        """RGB and alpha of 8 bits."""
        alpha = np.full(samples.shape[:2], 255)
        if self.key is not None:
            alpha = np.where((samples == self.key).all(2), 0, 255)
        if self.colour == 3:
            if self.table is not None:
                whole = np.full(256, 255)
                whole[:len(self.table)] = self.table
                alpha = whole[samples[:, :, 0]]
            return self.palette[samples[:, :, 0]], alpha
        eight = samples >> 8 if self.depth == 16 else samples * 255 // ((1 << self.depth) - 1)
        if self.colour in (4, 6):
            alpha = eight[:, :, -1]
        return (eight[:, :, :3] if self.colour in (2, 6) else np.repeat(eight[:, :, :1], 3, 2)), alpha


def over(canvas, frame):
    """The "over" of Porter and Duff on straight alpha; a canvas is RGBA."""
    upper, lower = frame[:, :, 3:] / 255, canvas[:, :, 3:] / 255
    alpha = upper + lower * (1 - upper)
    colour = (frame[:, :, :3] * upper + canvas[:, :, :3] * lower * (1 - upper)) / np.where(alpha == 0, 1, alpha)
    mixed = np.floor(np.dstack([colour, alpha * 255]) + 0.5)
    clear = frame[:, :, 3:] == 0
    return np.where(clear, canvas, mixed)


def png(rng):
    """A still or an animation, and its right frames."""
    kind, interlaced = Kind(rng), chance(rng, 0.25)
    width, height = (int(side) for side in rng.integers(1, 30, 2))
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, kind.depth, kind.colour, 0, 0, int(interlaced)))
    still, apart = chance(rng, 0.3), chance(rng, 0.25)
    frames = 0 if still else int(rng.integers(1, 6))
    file += b"" if still else chunk(b"acTL", struct.pack(">II", frames, 0))
    file += kind.chunks()
    truth, canvas, sequence, time = [], np.zeros((height, width, 4)), 0, 0.0
    if still or apart:
        samples = kind.draw(rng, width, height)
        file += chunk(b"IDAT", compressed(samples, kind.depth, interlaced))
        rgb, alpha = kind.seen(samples)
        truth.append((rgb, alpha, None))
    for number in range(frames):
        left, top, wide, high = 0, 0, width, height
        if (number or apart) and chance(rng, 0.7):
            left, top = int(rng.integers(0, width)), int(rng.integers(0, height))
            wide, high = int(rng.integers(1, width - left + 1)), int(rng.integers(1, height - top + 1))
        dispose, blend = int(rng.integers(0, 3)), int(rng.integers(0, 2))
        delay = int(rng.choice([0, 1, 7, 100])), int(rng.choice([0, 1, 30, 1000]))
        file += chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, wide, high, left, top, *delay, dispose, blend))
        sequence += 1
        samples = kind.draw(rng, wide, high)
        data = compressed(samples, kind.depth, interlaced)
        cuts = [0, *sorted(rng.integers(0, len(data), int(rng.integers(0, 3)))), len(data)]
        for start, end in zip(cuts, cuts[1:]):
            if number or apart:
                file += chunk(b"fdAT", struct.pack(">I", sequence) + data[start:end])
                sequence += 1
            else:
                file += chunk(b"IDAT", data[start:end])
        before = canvas.copy()
        frame = np.dstack(kind.seen(samples)).astype(float)
        part = canvas[top:top + high, left:left + wide]
        canvas[top:top + high, left:left + wide] = over(part, frame) if blend and number else frame
        truth.append((canvas[:, :, :3].astype(int), canvas[:, :, 3].astype(int), time))
        time += delay[0] / (delay[1] or 100)
        if dispose == 1 or (dispose == 2 and number == 0):
            canvas[top:top + high, left:left + wide] = 0
        elif dispose == 2:
            canvas = before
    if len(truth) == 1:
        truth = [(truth[0][0], truth[0][1], None)]
    return file + chunk(b"IEND", b""), truth
