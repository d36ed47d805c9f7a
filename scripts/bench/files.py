#!/usr/bin/env python3
"""Files to hashes: `nightlight hash` on all cores against as many Python processes doing it threatexchange's way (Pillow, then `pdqhash`).

usage: NIGHTLIGHT=… PEERS=… files.py [FILES] [SEED]   (needs threatexchange, pdqhash, Pillow, numpy)

Both give the PDQ hash and MD5, SHA-1 and SHA-256 of each file. The peer's processes are a pool that is kept, so their start is not counted;
Nightlight's is. Files for which the peer is known to be wrong (its pixels of CMYK, palette and turned pictures are not the picture's) are
timed like all others and compared with the corpus' truth instead.
"""
import hashlib
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from duel import duel
from threatexchange.signal_type.pdq.signal import PdqSignal

WRONG_AT_PEERS = {"cmyk", "palette", "exif"}


def peer(path):
    """What a Python team writes around threatexchange."""
    warnings.simplefilter("ignore")
    data = pathlib.Path(path).read_bytes()
    digests = [hashlib.new(name, data).hexdigest() for name in ("md5", "sha1", "sha256")]
    return [PdqSignal.hash_from_bytes(data), *digests]


def distance(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


class Ours:
    def __init__(self, files):
        self.command, self.peak = [os.environ["NIGHTLIGHT"], "hash", "--backend", "cpu", *map(str, files)], 0

    def __call__(self):
        start = time.perf_counter()
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(self.command, stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, self.command[:4]
            out.seek(0)
            self.rows = [json.loads(line) for line in out]
        self.peak = max(self.peak, usage.ru_maxrss // 1024)
        return [seconds]


class Theirs:
    def __init__(self, pool, files):
        self.pool, self.files = pool, list(map(str, files))

    def __call__(self):
        start = time.perf_counter()
        self.rows = self.pool.map(peer, self.files, chunksize=1)
        return [time.perf_counter() - start]


def compare(name, files, truth, ours, theirs):
    """Both answers, before any figure."""
    ours(), theirs()
    to_peer, to_truth = [], []
    for file, a, b in zip(files, ours.rows, theirs.rows):
        assert [a["md5"], a["sha1"], a["sha256"]] == b[1:], file
        known = truth[file.name]
        if known["quality"] >= 80:
            to_truth.append(distance(a["pdq"], known["pdq"]))
            if known["kind"] not in WRONG_AT_PEERS and b[0]:
                to_peer.append(distance(a["pdq"], b[0]))
    print(f"{name}: {len(files)} files; distance to the peer: median {statistics.median(to_peer)}, largest {max(to_peer)} of {len(to_peer)}; "
          f"to the truth: median {statistics.median(to_truth)}, largest {max(to_truth)} of {len(to_truth)}")
    assert statistics.median(to_peer) == 0 and max(to_peer) <= 10 and max(to_truth) <= 10


def main():
    count, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2] if len(sys.argv) > 2 else "77"
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(cores) as pool:
        corpus = pathlib.Path(folder)
        subprocess.run([sys.executable, pathlib.Path(os.environ["PEERS"]) / "make_corpus.py", folder, str(count), seed], check=True)
        truth = {row["file"]: row for row in map(json.loads, open(corpus / "truth.jsonl"))}
        everything = [corpus / name for name in truth]
        for name, files in [("files to hashes, all", everything), ("files to hashes, JPEG", [file for file in everything if file.suffix == ".jpg"])]:
            ours, theirs = Ours(files), Theirs(pool, files)
            compare(name, files, truth, ours, theirs)
            duel(name, ours, theirs, files=len(files), cores=cores, peer="threatexchange PdqSignal + hashlib", peak_mib=ours.peak)


if __name__ == "__main__":
    main()
