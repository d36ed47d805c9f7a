#!/usr/bin/env python3
"""This build of Nightlight against another one: is it slower for ordinary pictures and texts? Answers are compared before anything is timed.

usage: NIGHTLIGHT=… AGAINST=… [NIGHTLIGHT_HOME=…] [AGAINST_HOME=…] [PEERS=…] against.py [score|known|files|pdq …]
  score  POST /score over sockets: pictures, texts and chats apart, against a bank of BANK_SIZE=1000000 random hashes; CONNECTIONS=8 at once
  known  POST /score of a picture that a bank holds, by one caller and by CONNECTIONS: each is in the review queue, on disk, before it is answered. Without models; not judged, because what is
         written beside the database so that a loss is noticed is worth its time. Few posts, as an item that matches a thousand times is put out of force by older builds
  files  `nightlight hash` of files, all cores
  pdq    `nightlight hash --dihedral` of uncompressed grey bitmaps, plain and mirrored (these take the exact way). A kernel alone is in no program that is
         shipped, so reading and three digests of each file are in it, on both sides
ROUNDS=5 interleaved rounds of some SECONDS_EACH=5 seconds of processor time, FILES=48 pictures of SEED=1. What counts is processor time for the same work
(scripts/bench/builds.py); the exit code is 1 when the answers differ or a median is below 0.97.
Pictures with an alpha channel are a row of their own that is not judged: a build that looks at what a viewer shows on white and on black does more.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest.mock

import numpy as np
from PIL import Image

from answers import Comparison
from builds import Server, both, duel
from duel import picture
from ordinary import chats, texts

HERE = pathlib.Path(__file__).parent
PEERS = pathlib.Path(os.environ.get("PEERS", HERE / "peers"))
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "5")), float(os.environ.get("SECONDS_EACH", "5"))
CONNECTIONS, BANK_SIZE = int(os.environ.get("CONNECTIONS", "8")), os.environ.get("BANK_SIZE", "1000000")
FILES, SEED = os.environ.get("FILES", "48"), os.environ.get("SEED", "1")
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def corpus(folder):
    """Files of the corpus, those with alpha apart."""
    subprocess.run([sys.executable, PEERS / "make_corpus.py", folder, FILES, SEED], check=True)
    truth = list(map(json.loads, open(folder / "truth.jsonl")))
    return {"pictures": [folder / row["file"] for row in truth if row["kind"] != "alpha"],
            "pictures with alpha": [folder / row["file"] for row in truth if row["kind"] == "alpha"]}


def requests_of(work):
    """Requests of each kind: media type and body."""
    pictures = {name: [(TYPES[path.suffix], path.read_bytes()) for path in paths] for name, paths in corpus(work / "corpus").items()}
    return pictures | {"texts": [("text/plain", text.encode()) for text in texts(256)],
                       "chats": [("application/json", chat.encode()) for chat in chats(64)]}


def score(work):
    requests, builds = requests_of(work), both()
    bank = subprocess.run([sys.executable, PEERS / "random_bank.py", BANK_SIZE], check=True, capture_output=True).stdout
    (work / "bank.txt").write_bytes(bank)
    for build in builds:
        build.run("--data-dir", work / build.name, "bank", "import", "--bank", "RANDOM", work / "bank.txt")
    good = True
    with Server(builds[0], work / builds[0].name) as this, Server(builds[1], work / builds[1].name) as other:
        counts = {}
        for name, some in requests.items():
            comparison, judged = Comparison(f"score, {name}"), name != "pictures with alpha"
            for number, (media_type, body) in enumerate(some):
                comparison.scores(f"{name} {number}", this.ask(media_type, body), other.ask(media_type, body))
            good = (comparison.end() or not judged) and good
            # Whole turns through the requests, so that both have the same work.
            first = other.load(some, len(some), CONNECTIONS)
            counts[name] = len(some) * max(1, round(SECONDS / max(first["cpu"], 0.01)))
        for name, some in requests.items():
            sides = [lambda server=server: server.load(some, counts[name], CONNECTIONS) for server in (this, other)]
            good = duel(f"score, {name}", *sides, rounds=ROUNDS, judged=name != "pictures with alpha", requests=counts[name]) and good
    return good


@unittest.mock.patch.dict(os.environ, NIGHTLIGHT__MODELS__IMAGE="[]", NIGHTLIGHT__MODELS__CONVERSATION="[]")
def known(work):
    sample, builds = HERE.parent / "samples" / "known.jpg", both()
    for build in builds:
        (work / "known.txt").write_text(json.loads(build.run("hash", sample)[0])["pdq"] + "\n")
        build.run("--data-dir", work / build.name, "bank", "import", "--bank", "KNOWN", work / "known.txt")
    post = [("image/jpeg", sample.read_bytes())]
    with Server(builds[0], work / builds[0].name) as this, Server(builds[1], work / builds[1].name) as other:
        assert all(server.ask(*post[0])["matches"] for server in (this, other))
        for connections in (1, CONNECTIONS):
            for server in (this, other):
                server.load(post, 40, connections)
            sides = [lambda server=server: server.load(post, 60, connections) for server in (this, other)]
            duel(f"known, {connections} at once", *sides, rounds=min(ROUNDS, 7), judged=False, requests=60)
    return True


def hash_duel(name, files, judged=True, *options):
    """`nightlight hash` of these files by both builds."""
    builds = both()
    command = ["hash", "--backend", "cpu", *options]
    comparison, seconds = Comparison(name), []
    found = []
    for build in builds:
        text, cpu = build.run(*command, *files)
        # Either may name files in the order in which they were done.
        found.append({row["file"]: row for row in map(json.loads, text.splitlines())})
        seconds.append(cpu)
    for file in map(str, files):
        comparison.hashes(found[0].get(file, {}), found[1].get(file, {}))
    good = comparison.end() or not judged
    files = files * max(1, round(SECONDS / max(seconds[1], 0.01)))
    sides = [lambda build=build: {"cpu": build.run(*command, *files)[1]} for build in builds]
    return duel(name, *sides, rounds=ROUNDS, judged=judged, files=len(files)) and good


def files(work):
    good = True
    for name, paths in corpus(work / "corpus").items():
        good = hash_duel(f"files, {name}", paths, name != "pictures with alpha") and good
    return good


def pdq(work):
    good = True
    for mirrored in (False, True):
        paths = []
        for number in range(12):
            width, height = (512, 512) if number % 2 else (1152, 864)
            pixels = picture(width, height, number)
            if mirrored:
                pixels = ((pixels.astype(np.uint16) + pixels[:, ::-1]) // 2).astype(np.uint8)
            paths.append(work / f"{number}-{mirrored}.bmp")
            Image.fromarray(pixels).convert("L").save(paths[-1])
        good = hash_duel("pdq, mirrored bitmaps" if mirrored else "pdq, bitmaps", paths, True, "--dihedral") and good
    return good


def main():
    parts = {"score": score, "known": known, "files": files, "pdq": pdq}
    for name in sys.argv[1:]:
        if name not in parts:
            sys.exit(f"no duel of two builds in {name}: use score, known, files or pdq")
    good = True
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            good = parts[name](pathlib.Path(folder)) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
