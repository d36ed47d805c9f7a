"""Look-ups by hash of this build against another one, as hma.py measures them beside HMA; HMA itself is not needed.

    NIGHTLIGHT=… AGAINST=… hma_against.py --sizes 10000,100000,1000000 [--kinds uniform,correlated] [--rounds 5] [--seconds 4] [--connections 8] [--instructions]

The same banks, queries and endpoints. Answers are compared first; what counts is look-ups per second of the server's processor time, in interleaved
rounds whose first alternates. With --instructions it is the instructions of a look-up outside of the kernel, as valgrind's callgrind counts them: the same in every run to a
part in a hundred with uniform hashes, and to one in twenty with correlated ones that match much, also where processor time differs by a tenth from one minute to the next. What a server does beside look-ups is in either figure; the scrub is
turned off where a build has one, since under valgrind a page of it may or may not come while it is counted.
The exit code is 1 when answers differ or the median of a cell's ratios is below 0.97.
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from builds import LEAST, ROUNDS, both, duel
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


class Counted:
    """A server under callgrind, which counts while it is told to."""

    LOOKUPS = 2000

    def __init__(self, server):
        self.server, self.out, self.dumps = server, server.folder.parent / f"{server.folder.name}.callgrind", 0
        server.under = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}"]

    def start(self):
        os.environ["NIGHTLIGHT__STORE__SCRUB_INTERVAL_S"] = "0"
        try:
            self.server.start()
        except RuntimeError as error:
            if "unknown key" not in str(error):
                raise
            del os.environ["NIGHTLIGHT__STORE__SCRUB_INTERVAL_S"]
            self.server.start()
        finally:
            os.environ.pop("NIGHTLIGHT__STORE__SCRUB_INTERVAL_S", None)

    def tell(self, *what):
        subprocess.run(["callgrind_control", *what, str(self.server.process.pid)], check=True, capture_output=True)

    def ask(self, connection, paths, count):
        for number in range(count):
            connection.request("GET", paths[number % len(paths)], headers={"Authorization": f"Bearer {self.server.key}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} at {self.server.base}")

    def instructions(self, paths):
        """Of a look-up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        self.ask(connection, paths, 100)
        self.tell("--instr=on")
        self.ask(connection, paths, 100)
        self.tell("--zero")
        self.ask(connection, paths, self.LOOKUPS)
        self.tell("--dump")
        self.tell("--instr=off")
        self.dumps += 1
        with open(f"{self.out}.{self.dumps}") as dump:
            return sum(int(line.split()[1]) for line in dump if line.startswith("totals:")) / self.LOOKUPS


def counted(name, servers, paths):
    this, other = (server.instructions(paths) for server in servers)
    ratio = other / this
    print(json.dumps({"duel": name, "ratio": round(ratio, 3), "this_instructions": round(this), "other_instructions": round(other),
                      "verdict": "not slower" if ratio >= LEAST else "SLOWER", "of": "a look-up"}), flush=True)
    return ratio >= LEAST


def bank(options, kind, size, folder):
    path, rows, generator = written_bank(kind, size, options.seed, folder)
    near, fresh = near_and_fresh(generator, rows)
    del rows
    mixed = [near[i] if i % 10 == 0 else fresh[i] for i in range(len(fresh))]
    servers = [Nightlight(folder / build.name, options.port + number, build.program) for number, build in enumerate(both())]
    under = [Counted(server) for server in servers] if options.instructions else []
    good = True
    try:
        for server in servers:
            server.fill(path)
        for server in under or servers:
            server.start()
        total = compare(*servers, mixed[:200] + near[:300])
        print(f"{kind}, {size} hashes: 500 queries answered alike, {total} matches", flush=True)
        load = Load(folder, options.connections)
        for endpoint in ["lookup", "raw_lookup"]:
            for hits, asked in (("none", fresh), ("10 %", mixed)):
                name = f"{endpoint}, {kind}, {size} hashes, hits {hits}"
                paths = [path_of(endpoint, query) for query in asked]
                good = (counted(name, under, paths) if under else cell(options, load, name, servers, paths)) and good
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
    parser.add_argument("--instructions", action="store_true", help="count them, under valgrind")
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
