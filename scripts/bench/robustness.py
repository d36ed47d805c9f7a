#!/usr/bin/env python3
"""What hashes survive: `nightlight evaluate hashes`, Meta's pdqhash, and imagehash's phash, dhash and whash on the same altered pictures.

usage: NIGHTLIGHT=… robustness.py [--photographs] [arguments of `nightlight evaluate hashes`: files, folders, --scenes N, --seed N]
       (needs pdqhash, imagehash, scipy, Pillow, numpy; --photographs also scikit-image, scikit-learn and matplotlib, whose wheels hold public pictures)

Nightlight alters the pictures, writes them and says what it found; everybody else reads the files that it wrote. Everybody's bank holds the originals, hashed by itself. Checked
before anything is printed: our hashes and qualities against pdqhash's, file by file; and our figures against counts and scipy's Clopper-Pearson intervals made here. Prints one table
at the usual radii (PDQ 31 of 256 bits and quality 50 or more; the others 10 of 64, Krawetz, "Looks Like It", 2011), and one at each hash's own largest radius at which
no altered picture finds another picture's original: chosen on these very pictures, so it flatters everyone alike, and says what the hashes could do.
"""
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import imagehash
import numpy as np
import pdqhash
from PIL import Image
from scipy.stats import beta

NIGHTLIGHT = os.environ.get("NIGHTLIGHT", "target/release/nightlight")
PDQ_RADIUS, PDQ_QUALITY, SHORT_RADIUS = 31, 50, 10
# Of the reference's own rule for implementations that decode for themselves (pdq/README.md): up to 10 bits at quality 80. PNGs are decoded alike by
# everybody; what is left there is pdqhash's luma, which numpy rounds otherwise.
MOST_APART, MOST_APART_PNG = 10, 4
CONFIDENCE = 0.95


def photographs():
    """Public pictures out of installed wheels: photographs, scans, textures, and some patterns and logos, which every hash finds hard."""
    import matplotlib
    import skimage
    import sklearn.datasets

    folders = [pathlib.Path(skimage.__file__).parent / "data", pathlib.Path(sklearn.datasets.__file__).parent / "images",
               pathlib.Path(matplotlib.get_data_path()) / "sample_data"]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif")]
    return [str(path) for path in files]


def bits(text):
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))


class Ours:
    """As written into the list."""

    radius, quality = PDQ_RADIUS, PDQ_QUALITY

    def __init__(self, all_positions):
        self.name = "nightlight, 8 positions" if all_positions else "nightlight"
        self.all_positions = all_positions

    def hashes(self, line, _image):
        positions = line["positions"] if self.all_positions else line["positions"][:1]
        return np.array([bits(text) for text in positions], np.uint8).reshape(-1, 256), line["quality"] or 0


class Pdqhash:
    radius, quality = PDQ_RADIUS, PDQ_QUALITY

    def __init__(self, all_positions):
        self.name = "pdqhash, 8 positions" if all_positions else "pdqhash"
        self.all_positions = all_positions

    def hashes(self, _line, image):
        pixels = np.asarray(image)
        found, quality = pdqhash.compute_dihedral(pixels) if self.all_positions else pdqhash.compute(pixels)
        return np.array(found, np.uint8).reshape(-1, 256), quality


class Imagehash:
    radius, quality = SHORT_RADIUS, 0

    def __init__(self, name):
        self.name, self.make = name, getattr(imagehash, name)

    def hashes(self, _line, image):
        return self.make(image).hash.reshape(1, -1).astype(np.uint8), 100


def interval(found, of):
    side = (1 - CONFIDENCE) / 2
    low = beta.ppf(side, found, of - found + 1) if found else 0.0
    high = beta.ppf(1 - side, found + 1, of - found) if found < of else 1.0
    return float(low), float(high)


def read(folder):
    """Lines, and what every method made of each file: hashes and quality."""
    lines = [json.loads(line) for line in (folder / "pictures.jsonl").open()]
    methods = [Ours(False), Ours(True), Pdqhash(False), Pdqhash(True), Imagehash("phash"), Imagehash("dhash"), Imagehash("whash")]
    made = {method.name: [] for method in methods}
    for line in lines:
        with Image.open(folder / line["file"]) as image:
            image = image.convert("RGB")
        for method in methods:
            made[method.name].append(method.hashes(line, image))
    return lines, methods, made


def check_hashes(lines, made):
    """Our hashes against pdqhash's."""
    apart = collections.defaultdict(list)
    for line, (ours, quality), (theirs, their_quality) in zip(lines, made["nightlight"], made["pdqhash"]):
        assert abs(quality - their_quality) <= 1, (line["file"], quality, their_quality)
        if quality < 80 or not len(ours):
            continue
        kind = line["file"].rsplit(".", 1)[-1]
        apart[kind].append(int((ours[0] != theirs[0]).sum()))
        assert apart[kind][-1] <= (MOST_APART_PNG if kind == "png" else MOST_APART), (line["file"], apart[kind][-1])
    for kind, distances in sorted(apart.items()):
        print(f"{kind}: {len(distances)} files of quality 80 or more, our hash and pdqhash's apart: median {statistics.median(distances)}, "
              f"equal {sum(distance == 0 for distance in distances)}, largest {max(distances)}")


def distances(lines, made):
    """[files, pictures] from the nearest position of each file to each original; quality of each file."""
    place = {line["picture"]: at for at, line in enumerate(line for line in lines if line["alteration"] == "none")}
    bank = np.array([hashes[0] for line, (hashes, _) in zip(lines, made) if line["alteration"] == "none"])
    nearest = np.empty((len(lines), len(bank)), np.int32)
    for at, (hashes, _) in enumerate(made):
        each = (hashes[:, None, :] != bank[None]).sum(axis=2)
        nearest[at] = each.min(axis=0) if len(hashes) else 1 << 20
    own = np.zeros_like(nearest, bool)
    own[np.arange(len(lines)), [place[line["picture"]] for line in lines]] = True
    return nearest, own, np.array([quality for _, quality in made])


def table(title, lines, results, radii):
    """Recall with its interval for each alteration and method, and what was wrong."""
    names = list(dict.fromkeys(line["alteration"] for line in lines))
    of = {name: np.array([line["alteration"] == name for line in lines]) for name in names}
    print(f"\n{title}\n\n| alteration | " + " | ".join(f"{name}, {radii[name] if radii[name] >= 0 else 'none'}" for name in results) + " |\n|" + " --- |" * (len(results) + 1))
    counts = {}
    for alteration in names:
        cells = []
        for name, (nearest, own, quality, method) in results.items():
            hit = (nearest <= radii[name]) & (quality >= method.quality)[:, None]
            found, total = int((hit & own).any(axis=1)[of[alteration]].sum()), int(of[alteration].sum())
            wrong = int((hit & ~own).any(axis=1)[of[alteration]].sum())
            counts[name, alteration] = found, total, wrong
            low, high = interval(found, total)
            cells.append(f"{found / total:.2f} ({low:.2f} to {high:.2f})")
        print(f"| {alteration} | " + " | ".join(cells) + " |")
    mean = [statistics.mean(counts[name, alteration][0] / counts[name, alteration][1] for alteration in names) for name in results]
    wrong = [sum(counts[name, alteration][2] for alteration in names) for name in results]
    print("| **mean** | " + " | ".join(f"{value:.3f}" for value in mean) + " |")
    print(f"| **wrong, of {len(lines)}** | " + " | ".join(str(value) for value in wrong) + " |")
    return counts


def check_figures(rows, counts):
    """What nightlight printed against what was counted here."""
    for row in rows:
        if row["technology"] != "pdq":
            continue
        name = "nightlight, 8 positions" if row["all_positions"] else "nightlight"
        found, total, wrong = counts[name, row["alteration"]]
        assert (row["found"], row["pictures"], row["wrong"]) == (found, total, wrong), (row, found, total, wrong)
        assert np.allclose(row["recall_interval"], interval(found, total), atol=1e-9), (row, interval(found, total))


def main():
    arguments = sys.argv[1:]
    if "--photographs" in arguments:
        arguments.remove("--photographs")
        arguments += photographs()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder) / "altered"
        command = [NIGHTLIGHT, "evaluate", "hashes", "--json", "--confidence", str(CONFIDENCE), "--write", str(folder), *arguments]
        head, *rows = map(json.loads, subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines())
        print(f"{head['pictures']} pictures ({head['files']} files and {head['scenes']} scenes given), seed {head['setup']['seed']}")
        for one in head["left_out"]:
            print(f"left out: {one['name']}: {one['reason']}")
        for one in head["copies"]:
            print(f"left out: {one['name']} matches {one['of']} as it is, distance {one['distance']}")
        assert (head["setup"]["radius"], head["setup"]["minimum_quality"]) == (PDQ_RADIUS, PDQ_QUALITY)
        lines, methods, made = read(folder)
    check_hashes(lines, made)
    results = {method.name: (*distances(lines, made[method.name]), method) for method in methods}
    counts = table("At the usual radii", lines, results, {method.name: method.radius for method in methods})
    check_figures(rows, counts)
    for ours, theirs in (("nightlight", "pdqhash"), ("nightlight, 8 positions", "pdqhash, 8 positions")):
        differing = sum(abs(counts[ours, name][0] - counts[theirs, name][0]) for name in dict.fromkeys(line["alteration"] for line in lines))
        # Only hashes a bit or two from the radius can fall on either side.
        assert differing <= 0.002 * len(lines), (ours, theirs, differing)
        print(f"\n{ours} and {theirs}: {differing} of {len(lines)} verdicts differ")
    largest = {}
    for name, (nearest, own, quality, method) in results.items():
        others = np.where(own | (quality < method.quality)[:, None], 1 << 20, nearest)
        largest[name] = int(others.min()) - 1
    table("At each one's largest radius without a wrong match on these pictures", lines, results, largest)


if __name__ == "__main__":
    main()
