"""Seeded pictures of many kinds and sizes, to hold an image hash against its reference: what photographs never show is what breaks it.

`pictures(count, seed)` yields (name, pixels), pixels being [height, width, 3] uint8. The same seed gives the same pictures.
"""
import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def noise(rng, width, height, octaves):
    """Soft random shapes, 0..1: coarse grids enlarged and added."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 2 ** (octave + 1) + 1
        layer = Image.fromarray(rng.random((cells, cells), dtype=np.float32)).resize((width, height), Image.BICUBIC)
        total += np.asarray(layer) / 1.7**octave
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def photo(rng, width, height):
    """Clouds of colour, filled shapes, a blur and grain."""
    planes = np.stack([noise(rng, width, height, 6) for _ in range(3)], 2)
    image = Image.fromarray((planes @ (rng.random((3, 3)) * 0.3 + np.eye(3) * 0.5) * 255).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 14))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        box = (x, y, x + int(rng.integers(1, max(2, width // 3))), y + int(rng.integers(1, max(2, height // 3))))
        (draw.ellipse, draw.rectangle)[int(rng.integers(0, 2))](box, fill=colour(rng))
    image = image.filter(ImageFilter.GaussianBlur(float(rng.random() * 1.5)))
    return (np.asarray(image) + rng.normal(0, rng.uniform(0, 8), (height, width, 3))).clip(0, 255)


def colour(rng):
    return tuple(int(value) for value in rng.integers(0, 256, 3))


def flat(rng, width, height):
    """One colour."""
    return np.full((height, width, 3), rng.integers(0, 256, 3))


def gradient(rng, width, height):
    """A ramp across, down or both ways, without grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    a, b = rng.choice([0, 1, -1, rng.uniform(-1, 1)], 2)
    ramp = a * x / max(width - 1, 1) + b * y / max(height - 1, 1)
    ramp = (ramp - ramp.min()) / max(ramp.max() - ramp.min(), 1e-9)
    low, high = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
    return low + ramp[..., None] * (high - low)


def stripes(rng, width, height):
    """Bars along one axis, of a period that may be anything from a pixel to the whole picture."""
    along = rng.integers(0, 2)
    length = (width, height)[along]
    period = max(1, int(np.exp(rng.uniform(0, np.log(max(length, 2))))))
    line = (np.arange(length) // period % 2).astype(bool)
    mask = np.broadcast_to(line[None, :] if along == 0 else line[:, None], (height, width))
    return np.where(mask[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))


def checkerboard(rng, width, height):
    """Squares, symmetric about the middle more often than not."""
    cells = int(rng.choice([2, 3, 4, 8, 16, 32, 64, int(rng.integers(2, 90))]))
    y, x = np.mgrid[0:height, 0:width]
    mask = (x * cells // width + y * cells // height) % 2 == 0
    return np.where(mask[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))


def symmetric(rng, width, height):
    """A photo mirrored about one or both axes: half of its coefficients are nothing but rounding."""
    pixels = np.asarray(photo(rng, width, height))
    if rng.integers(0, 2):
        pixels = (pixels + pixels[:, ::-1]) // 2
    else:
        pixels = (pixels + pixels[:, ::-1] + pixels[::-1] + pixels[::-1, ::-1]) // 4
    return pixels.astype(np.uint8)


def shapes(rng, width, height):
    """A few filled shapes on one colour, with hard edges."""
    image = Image.new("RGB", (width, height), colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 6))):
        xs, ys = sorted(rng.integers(0, width, 2)), sorted(rng.integers(0, height, 2))
        (draw.ellipse, draw.rectangle)[int(rng.integers(0, 2))]((int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1])), fill=colour(rng))
    return np.asarray(image)


def text(rng, width, height):
    """Lines of letters, black on white or the other way."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for top in range(2, height, 14):
        draw.text((3, top), "".join(chr(int(code)) for code in rng.integers(32, 127, max(1, min(width // 6, 400)))), fill=0)
    pixels = np.asarray(image)[..., None].repeat(3, 2)
    return 255 - pixels if rng.integers(0, 2) else pixels


def screenshot(rng, width, height):
    """Flat panels, a bar, lines of text, an inset photo."""
    pixels = np.asarray(text(rng, width, height)).copy()
    bar, side = max(1, height // 12), max(1, width // 5)
    pixels[:bar], pixels[bar:, :side] = rng.integers(0, 256, 3), rng.integers(200, 256, 3)
    w, h = max(1, width // 3), max(1, height // 3)
    pixels[height - h:, width - w:] = photo(rng, w, h)
    return pixels


def random(rng, width, height):
    """Every byte by chance, or only black and white."""
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return pixels if rng.integers(0, 2) else (pixels[..., :1] & 128).repeat(3, 2) // 128 * 255


def low_contrast(rng, width, height):
    """A photo squeezed into a few grey levels."""
    return rng.integers(0, 200) + np.asarray(photo(rng, width, height)) * (rng.uniform(2, 50) / 255)


def dark(rng, width, height):
    """A photo at night."""
    return np.asarray(photo(rng, width, height)) * rng.uniform(0.02, 0.2)


KINDS = {
    kind.__name__: (kind, weight)
    for kind, weight in [(photo, 8), (symmetric, 2), (shapes, 3), (text, 2), (screenshot, 3), (gradient, 2), (stripes, 2), (checkerboard, 2),
                         (random, 2), (low_contrast, 3), (dark, 2), (flat, 1)]
}
# Where something changes in the algorithm: the smallest side, one sample a pixel, one and two pixels a box.
EDGES = [5, 6, 7, 63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 511, 512, 513]


def size(rng, largest=3000):
    """Width and height, 5..largest: mostly ordinary, some at the algorithm's edges, some very long."""
    way = rng.random()
    if way < 0.15:
        return tuple(int(side) for side in rng.choice(EDGES, 2))
    if way < 0.3:
        long, short = int(rng.integers(largest // 2, largest + 1)), int(rng.integers(5, 60))
        return (long, short) if rng.integers(0, 2) else (short, long)
    width, aspect = np.exp(rng.uniform(np.log(5), np.log(largest))), np.exp(rng.uniform(np.log(0.5), np.log(2)))
    # Few of the largest: they cost the reference seconds and show nothing that those of two megapixels do not.
    if width * width / aspect > 2e6 and rng.random() < 0.7:
        width /= 4
    return tuple(int(min(max(side, 5), largest)) for side in (width, width / aspect))


def pictures(count, seed, largest=3000):
    names = [name for name, (_, weight) in KINDS.items() for _ in range(weight)]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = names[number % len(names)]
        width, height = size(rng, largest)
        pixels = np.clip(KINDS[kind][0](rng, width, height), 0, 255).astype(np.uint8)
        yield f"{number:05d}-{kind}-{width}x{height}", np.ascontiguousarray(pixels)
