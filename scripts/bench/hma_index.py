"""HMA's PDQ index without HMA, for banks that two of its workers cannot hold: what a lookup costs at least, and whether its build fits into memory.

    hma_index.py query BANK QUERIES…    the index filled straight from numpy, then every query alone, one thread: processor seconds a query
    hma_index.py build BANK GIBIBYTES   HMA's `_prepare_index` (background_tasks/build_index.py) in a process that may take so much memory

BANK and QUERIES hold 64 hex digits a line. Prints a JSON object for each list of queries, or for the build. When the machine runs out of memory, this process is the one to be ended.
"""
import json
import pathlib
import resource
import sys
import time

import faiss
import numpy as np

CHUNK = 500_000


def query(bank, *lists):
    """`PDQIndex` as pytx builds it: 16 maps of 16 bits, one bit turned, radius 31 (`pdq_index.py`, `pdq_faiss_matcher.py`)."""
    faiss.omp_set_num_threads(1)
    inner = faiss.IndexBinaryMultiHash(256, 16, 16)
    inner.nflip = 31 // 16
    index = faiss.IndexBinaryIDMap2(inner)
    start = time.monotonic()
    with open(bank, "rb") as file:
        while lines := file.read(65 * CHUNK):
            rows = np.frombuffer(bytes.fromhex(lines.decode()), np.uint8).reshape(-1, 32)
            index.add_with_ids(rows, np.arange(index.ntotal + 1, index.ntotal + 1 + len(rows)))
    built = time.monotonic() - start
    for queries in lists:
        asked = [np.frombuffer(bytes.fromhex(line), np.uint8)[None] for line in pathlib.Path(queries).read_text().split()]
        index.range_search(asked[0], 32)
        start, matches = time.process_time(), 0
        for row in asked:
            matches += int(index.range_search(row, 32)[0][-1])
        seconds = time.process_time() - start
        yield {"queries": len(asked), "matches": matches, "per_core": round(len(asked) / seconds, 1), "build_s": round(built, 1)}


def build(bank, gibibytes):
    from threatexchange.signal_type.pdq.signal import PdqSignal

    resource.setrlimit(resource.RLIMIT_AS, (int(float(gibibytes) * 2**30),) * 2)
    start = time.monotonic()
    try:
        with open(bank) as lines:
            index = PdqSignal.get_index_cls().build([(line.strip(), at + 1) for at, line in enumerate(lines)])
        outcome = "built" if index else "nothing built"
    except MemoryError:
        outcome = "out of memory"
    yield {"outcome": outcome, "seconds": round(time.monotonic() - start, 1)}


if __name__ == "__main__":
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    for row in {"query": query, "build": build}[sys.argv[1]](*sys.argv[2:]):
        print(json.dumps(row | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)
