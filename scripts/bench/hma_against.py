"""Look-ups by hash of this build against another one, as hma.py measures them beside HMA; HMA itself is not needed.

    NIGHTLIGHT=… AGAINST=… hma_against.py --sizes 10000,100000,1000000 [--kinds uniform,correlated] [--rounds 5] [--seconds 4] [--connections 8]

The same banks, queries and endpoints. Answers are compared first; what counts is look-ups per second of the server's processor time, in interleaved
rounds whose first alternates. The exit code is 1 when answers differ or the median of a cell's ratios is below 0.97.
"""
import argparse
import pathlib
import random
import sys
import tempfile

from builds import ROUNDS, both, duel
from hma import Load, Nightlight, matches_and_rest, near_and_fresh, path_of, written_bank


def compare(this, other, queries):
    """Stops at a difference; the number of matches in all. A build that leaves matches out must say how many, and have the nearest."""
    total = 0
    for query in queries:
        for endpoint in ["lookup", "raw_lookup"]:
            (ours, left), (theirs, others) = matches_and_rest(this, endpoint, query), matches_and_rest(other, endpoint, query)
            farthest = max((int(distance) for _, distance in ours), default=0)
            nearest = all(int(distance) >= farthest for _, distance in theirs - ours)
            if ours - theirs or len(ours) + left != len(theirs) + others or not nearest:
                sys.exit(f"answers differ for {endpoint} of {query}: only this build {sorted(ours - theirs)[:5]}, only the other {sorted(theirs - ours)[:5]}")
        total += len(ours)
    return total


def cell(options, load, name, servers, paths):
    """One endpoint and mix of queries. A round's work is a time, not a number of requests, so its figure is the processor time of a look-up."""
    def side(server):
        row = load.run(server, paths, options.seconds)
        if row["errors"]:
            raise RuntimeError(f"{name}: {row['errors']} errors at {server.base}")
        return {"cpu": row["cpu"] / row["requests"] * 1000, "wall": row["seconds"] / row["requests"], "p50_ms": row["p50_ms"]}
    for server in servers:
        load.run(server, paths, 1)
    return duel(name, *(lambda server=server: side(server) for server in servers), rounds=options.rounds, of="1000 look-ups")


def bank(options, kind, size, folder):
    path, rows, generator = written_bank(kind, size, options.seed, folder)
    near, fresh = near_and_fresh(generator, rows)
    del rows
    mixed = [near[i] if i % 10 == 0 else fresh[i] for i in range(len(fresh))]
    servers = [Nightlight(folder / build.name, options.port + number, build.program) for number, build in enumerate(both())]
    good = True
    try:
        for server in servers:
            server.fill(path)
            server.start()
        total = compare(*servers, mixed[:200] + near[:300])
        print(f"{kind}, {size} hashes: 500 queries answered alike, {total} matches", flush=True)
        load = Load(folder, options.connections)
        for endpoint in ["lookup", "raw_lookup"]:
            for hits, asked in (("none", fresh), ("10 %", mixed)):
                name = f"{endpoint}, {kind}, {size} hashes, hits {hits}"
                good = cell(options, load, name, servers, [path_of(endpoint, query) for query in asked]) and good
    finally:
        for server in servers:
            server.stop()
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--kinds", default="uniform,correlated")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=4, help="of each round and build")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--port", type=int, default=5110, help="this and the next one are used")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    good = True
    for size in map(int, options.sizes.split(",")):
        for kind in options.kinds.split(","):
            with tempfile.TemporaryDirectory() as folder:
                good = bank(options, kind, size, pathlib.Path(folder)) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
