#!/usr/bin/env python3
"""Posts every file of a corpus to two servers and checks that they agree: digests and scores, and the PDQ hashes of `nightlight hash`.

usage: KEY=… score_check.py CORPUS HASHES.jsonl OUR_URL PEER_URL
"""
import json
import os
import pathlib
import statistics
import sys

import requests

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


def main():
    corpus, hashes, ours, theirs = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    pdq = {pathlib.Path(row["file"]).name: row["pdq"] for row in map(json.loads, open(hashes))}
    headers = {"X-API-Key": os.environ["KEY"]}
    distances, differences = [], []
    for path in sorted(path for path in corpus.iterdir() if path.suffix in TYPES):
        body, kind = path.read_bytes(), {"Content-Type": TYPES[path.suffix]}
        a = requests.post(ours, data=body, headers=headers | kind, timeout=60)
        b = requests.post(theirs, data=body, headers=kind, timeout=60)
        a.raise_for_status(), b.raise_for_status()
        a, b = a.json(), b.json()
        assert a["attachment"]["sha256"] == b["sha256"], path.name
        nsfw = next(score["raw"] for score in a["scores"] if (score["technology"], score["label"]) == ("open-nsfw", "nsfw"))
        differences.append(abs(nsfw - b["nsfw"]))
        distances.append((int(pdq[path.name], 16) ^ int(b["pdq"], 16)).bit_count())
        matched = [(match["content_id"], match["distance"]) for match in a["matches"]]
        assert len(matched) == len(b["matches"]), (path.name, matched, b["matches"])
    print(f"{len(distances)} files: PDQ distance median {statistics.median(distances)}, largest {max(distances)}; "
          f"nsfw difference median {statistics.median(differences):.6f}, largest {max(differences):.6f}")
    if max(distances) > 10 or max(differences) > 0.01:
        sys.exit("the servers do not agree: no comparison")


if __name__ == "__main__":
    main()
