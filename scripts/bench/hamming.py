#!/usr/bin/env python3
"""Hash search against faiss: all hashes within 31 bits, on uniform and on correlated, clustered banks (see hashes.py), recall 1.0 on all sides.

usage: KERNELS=… [BANKS="1000000 10000000"] [KINDS="uniform correlated"] [ROUNDS=5] hamming.py

Peers: IndexBinaryFlat and IndexBinaryMultiHash(16 keys of 16 bits, 1 flip), radius 32 because theirs is exclusive, with as many threads as we. Q queries go
into one call: 32 calls of 1, 8 of 8, 1 of 1000, other queries in each call. All answers are compared as sets of (query, row, distance) before anything is
timed. The ratio is to the better peer; a peer that took more than four times the other's time while answers were
compared is not asked again for as many queries. One line of
JSON for each bank (build seconds and memory, as a multiple of the bank's 32 bytes per hash, of every variant) and each cell. A bank of 10 million
needs 6 GB and half an hour.
"""
import json
import os
import pathlib
import tempfile
import time

import faiss
import numpy as np

from duel import Kernels, duel
from hashes import KINDS

RADIUS = 31
CALLS = {1: 32, 8: 8, 1000: 1}


def resident(pid):
    """Bytes of a process in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def built(index, bank):
    """Adds the bank; seconds and memory as a multiple of the bank."""
    before, start = resident("self"), time.perf_counter()
    index.add(bank)
    return {"seconds": round(time.perf_counter() - start, 2), "memory": round((resident("self") - before) / bank.nbytes, 2)}


def search(index, queries, at_once):
    """All calls; the seconds they took together, and rows of (query, row, distance)."""
    start = time.perf_counter()
    found = [index.range_search(queries[at : at + at_once], RADIUS + 1) for at in range(0, len(queries), at_once)]
    seconds = time.perf_counter() - start
    rows = [np.stack([np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64))) + at * at_once, ids, distances.astype(np.int64)], 1)
            for at, (limits, distances, ids) in enumerate(found)]
    return seconds, np.concatenate(rows)


def in_order(rows):
    return rows[np.lexsort(rows.T)]


def main():
    kernels = Kernels()
    empty = resident(kernels.process.pid)
    rounds = int(os.environ.get("ROUNDS", 5))
    with tempfile.TemporaryDirectory() as folder:
        bank_file, query_file, out = (str(pathlib.Path(folder) / name) for name in ("bank.bin", "queries.bin", "found.bin"))
        for count in map(int, os.environ.get("BANKS", "1000000").split()):
            for kind in os.environ.get("KINDS", "uniform correlated").split():
                source = KINDS[kind](seed=count)
                bank = source.bank(count)
                bank.tofile(bank_file)
                asked = source.queries(bank, 1000)
                builds = {}
                for threads in sorted({1, os.cpu_count() or 1}):
                    reply = kernels.ask(op="hamming_bank", file=bank_file, threads=threads, backend="cpu")
                    builds[f"nightlight, {threads} threads"] = {"seconds": round(reply["seconds"], 2), "memory": round(reply["memory_ratio"], 2),
                                                               "resident": round((resident(kernels.process.pid) - empty) / bank.nbytes, 2)}
                peers = {"flat": faiss.IndexBinaryFlat(256), "multihash": faiss.IndexBinaryMultiHash(256, 16, 16)}
                peers["multihash"].nflip = 1
                faiss.omp_set_num_threads(os.cpu_count() or 1)
                builds |= {name: built(index, bank) for name, index in peers.items()}
                slow = set()
                print(json.dumps({"bench": f"hamming {kind} {count} build", "builds": builds}), flush=True)
                for threads in sorted({1, os.cpu_count() or 1}):
                    faiss.omp_set_num_threads(threads)
                    for at_once, calls in CALLS.items():
                        cell(kernels, peers, kind, asked[: at_once * calls], query_file, out, at_once, threads, rounds, count, slow)
    kernels.close()


def cell(kernels, peers, kind, queries, query_file, out, at_once, threads, rounds, count, slow):
    queries.tofile(query_file)
    request = {"op": "hamming", "file": query_file, "at_once": at_once, "radius": RADIUS, "threads": threads, "out": out}
    kernels.ask(**request, rounds=1)
    ours = in_order(np.fromfile(out, np.uint32).reshape(-1, 3).astype(np.int64))
    took = {}
    for name, index in peers.items():
        if (name, at_once) in slow:
            continue
        took[name], theirs = search(index, queries, at_once)
        theirs = in_order(theirs)
        assert ours.shape == theirs.shape and (ours == theirs).all(), f"{name} found {len(theirs)}, we found {len(ours)}"
    slow |= {(name, at_once) for name, seconds in took.items() if seconds > 4 * min(took.values())}
    for name, index in peers.items():
        if (name, at_once) in slow:
            continue
        # Ours is so much faster that it runs a few times for each of theirs.
        duel(f"hamming {kind} {count} Q={at_once}, {threads} threads", lambda: kernels.ask(**request, rounds=3)["seconds"],
             lambda: [search(index, queries, at_once)[0]], rounds=rounds if took[name] < 10 else 3, peer=f"faiss {name}",
             queries=len(queries), hits=len(ours), other_peer_ms={other: round(seconds * 1e3, 1) for other, seconds in took.items() if other != name})


if __name__ == "__main__":
    main()
