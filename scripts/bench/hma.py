"""Nightlight beside Hasher-Matcher-Actioner: the same PDQ banks in both, the same queries, answers compared before anything is timed.

    hma.py --sizes 10000,100000,1000000 [--kinds uniform,correlated] [--rounds 3] [--seconds 4] [--connections 8] [--json FILE]

HMA_HOME names the folder that `scripts/bench-hma.sh` set up, NIGHTLIGHT the release build. For each bank:

* lookups: `GET /m/lookup` and `GET /m/raw_lookup` by wrk in interleaved rounds, without hits and with one query in ten a near copy of a row. Load
  generator and servers share the cores, so the figure that counts is lookups per second of processor time of all of a server's processes,
  PostgreSQL's included: that is lookups per second and core. HMA closes every connection and Nightlight keeps them;
  one cell of each bank is measured again with Nightlight closing them too.
* memory: resident and proportional set sizes after the load, by process tree.
* freshness: seconds from the answer to an added hash until a lookup finds it, at the default timers.
* updates: p95 of lookups while hashes are added all the time, against p95 without.

Above `--hma-limit` hashes Nightlight runs alone: HMA keeps about 640 bytes a hash in each worker, and twice that while it reloads.
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import numpy as np

import hashes
from hma_server import Hma, wait_for
from processes import cpu_seconds, memory

BANK = "DUEL"
WRK = """
local paths = {}
for line in io.lines("PATHS") do paths[#paths + 1] = line end
local at = START
local headers = {}
if os.getenv("KEY") then headers["Authorization"] = "Bearer " .. os.getenv("KEY") end
if os.getenv("CLOSE") then headers["Connection"] = "close" end
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at], headers)
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%.4f,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"errors":%d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""

class Nightlight:
    """A running Nightlight with one bank from a file; no models, since lookups need none."""

    def __init__(self, folder, port, program=None):
        self.folder, self.base, self.port = pathlib.Path(folder), f"http://127.0.0.1:{port}", port
        self.program, self.process = program or os.environ["NIGHTLIGHT"], None
        # What the server runs under.
        self.under = []

    def environment(self):
        return os.environ | {"NIGHTLIGHT__MODELS__IMAGE": "[]", "NIGHTLIGHT__MODELS__CONVERSATION": "[]", "NIGHTLIGHT__LOG__LEVEL": "warn",
                             "NIGHTLIGHT__ENGINE__BACKEND": "cpu"}

    def fill(self, path):
        """Seconds of an import of this file."""
        start = time.monotonic()
        subprocess.run([self.program, "--data-dir", self.folder, "bank", "import", "--bank", BANK, "--signal-type", "pdq", path],
                       check=True, env=self.environment(), stdout=subprocess.DEVNULL)
        return time.monotonic() - start

    def start(self):
        """Seconds until lookups are answered."""
        log = (self.folder / "serve.log").open("ab")
        self.process = subprocess.Popen([*self.under, self.program, "--data-dir", self.folder, "serve", "--listen", f"127.0.0.1:{self.port}"],
                                        env=self.environment(), stdout=log, stderr=log)
        seconds = wait_for(lambda: self.process.poll() is not None or fetch(self, "/status")[0] == 200, 300, "Nightlight does not answer")
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "serve.log").read_text())
        self.key = (self.folder / "admin.key").read_text().strip()
        return seconds

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
        self.process = None

    def roots(self):
        return [self.process.pid]


def fetch(server, path, body=None):
    """Status and JSON (or text) of one answer; status 0 when there is none."""
    return ask(server, path, body)[:2]


def ask(server, path, body=None):
    """The same and the answer's headers."""
    parts = urllib.parse.urlsplit(server.base)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {server.key}"} if getattr(server, "key", None) else {})
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text, answer.headers
    except OSError:
        return 0, None, {}
    finally:
        connection.close()


def path_of(endpoint, query):
    extra = "&include_distance=true" if endpoint == "raw_lookup" else ""
    return f"/m/{endpoint}?signal_type=pdq&signal={query}{extra}"


def matches(server, endpoint, query):
    """The set of (id, distance) that a server answers."""
    return matches_and_rest(server, endpoint, query)[0]


def matches_and_rest(server, endpoint, query):
    """The same, and how many farther ones it says that it leaves out."""
    status, answer, headers = ask(server, path_of(endpoint, query))
    assert status == 200, f"{server.base}: {status} {answer}"
    listed = answer["matches"] if endpoint == "raw_lookup" else answer.get(BANK, [])
    found = {(match["bank_content_id"], match["distance"]) for match in listed}
    assert len(found) == len(listed), f"{server.base}: a match twice"
    return found, int(headers.get("X-Matches-Left-Out", 0))


def compare(hma, ours, queries):
    """Asks both and stops at a difference; gives the number of matches in all."""
    total = 0
    for query in queries:
        for endpoint in ["lookup", "raw_lookup"]:
            theirs, own = matches(hma, endpoint, query), matches(ours, endpoint, query)
            if theirs != own:
                sys.exit(f"answers differ for {endpoint}: only HMA {sorted(theirs - own)[:5]}, only Nightlight {sorted(own - theirs)[:5]}")
        total += len(own)
    return total


class Load:
    """wrk over a list of paths, from a random place on each time."""

    def __init__(self, folder, connections):
        self.folder, self.connections = pathlib.Path(folder), connections

    def run(self, server, paths, seconds, close=False):
        """wrk's figures, and `cpu`, the seconds of processor time that the server's processes took meanwhile."""
        (self.folder / "paths").write_text("\n".join(paths) + "\n")
        script = self.folder / "load.lua"
        script.write_text(WRK.replace("PATHS", str(self.folder / "paths")).replace("START", str(random.randrange(len(paths)))))
        environment = os.environ | ({"KEY": server.key} if getattr(server, "key", None) else {}) | ({"CLOSE": "1"} if close else {})
        before = cpu_seconds(server.roots())
        done = subprocess.run(["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script, server.base], check=True,
                              env=environment, capture_output=True, text=True)
        row = json.loads(done.stdout.strip().splitlines()[-1])
        row["cpu"] = cpu_seconds(server.roots()) - before
        row["rate"] = row["requests"] / row["seconds"]
        row["rate_per_core"] = row["requests"] / row["cpu"]
        return row


def freshness(server, times, pause):
    """Seconds from the answer to an added hash until six lookups running find it, `times` times."""
    seconds = []
    for _ in range(times):
        time.sleep(random.uniform(0, pause))
        query = random.randbytes(32).hex()
        status, _ = fetch(server, f"/c/bank/{BANK}/signal", {"pdq": query})
        assert status in (200, 201), status
        start, run = time.monotonic(), 0
        first = None
        while run < 6:
            run = run + 1 if matches(server, "lookup", query) else 0
            first = first or (time.monotonic() if run else None)
            if not run:
                time.sleep(0.001 if time.monotonic() - start < 2 else 0.1)
        seconds.append(first - start)
    return seconds


def index_alone(report, facts, folder, bank, queries, gibibytes):
    """HMA's index without the rest of HMA (`hma_index.py`): what a lookup costs it at least, and whether its build fits into its memory."""
    lists = []
    for number, asked in enumerate(queries.values()):
        lists.append(pathlib.Path(folder) / f"queries-{number}")
        lists[-1].write_text("\n".join(asked[:300]))
    script = pathlib.Path(__file__).with_name("hma_index.py")
    for what, arguments in [("query", [bank, *lists]), ("build", [bank, gibibytes])]:
        done = subprocess.run([sys.executable, script, what, *map(str, arguments)], capture_output=True, text=True)
        for hits, line in zip(queries, done.stdout.splitlines()):
            report.row(**facts, what=f"index alone, {what}", server="hma", **({"hits": hits} if what == "query" else {"limit_gib": gibibytes}),
                       **json.loads(line))
        if done.returncode:
            # faiss, or the kernel, ends the process where there is no memory.
            report.row(**facts, what=f"index alone, {what}", server="hma", outcome=f"ended with {done.returncode}")


class Stream:
    """Adds hashes at a steady rate while it stands; `with Stream(server, 20):`."""

    def __init__(self, server, rate):
        self.server, self.rate, self.count, self.ending = server, rate, 0, threading.Event()
        self.thread = threading.Thread(target=self.add)

    def add(self):
        start = time.monotonic()
        while not self.ending.wait(max(0, start + self.count / self.rate - time.monotonic())):
            fetch(self.server, f"/c/bank/{BANK}/signal", {"pdq": random.randbytes(32).hex()})
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()


class Report:
    """Prints rows as they come and a table of the ratios at the end, and writes the rows as JSON lines where asked."""

    def __init__(self, path):
        self.file = open(path, "a") if path else None
        self.rows = []

    def row(self, **facts):
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in facts.items()}
        print("  ".join(f"{name} {value}" for name, value in rounded.items()), file=sys.stderr, flush=True)
        self.rows.append(rounded)
        if self.file:
            print(json.dumps(rounded), file=self.file, flush=True)

    def table(self):
        """Lookups per second of processor time of both, in the notation of benches/README.md."""
        print("| bank | hashes | endpoint | hits | Nightlight /s core | HMA /s core | ratio | rounds |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in self.rows:
            if "ratio_per_core" in row:
                rounds = " ".join(map(str, row["ratios"]))
                print(f"| {row['kind']} | {row['size']} | {row['what']} | {row['hits']} | {row['nightlight_per_core']:.0f} | {row['hma_per_core']:.0f} | "
                      f"{row['ratio_per_core']:.1f}x | {rounds} |")


def middle(rows, name):
    return statistics.median(row[name] for row in rows)


def lookups(options, report, load, facts, hma, ours, queries):
    """Interleaved rounds of each endpoint over queries without hits and with one in ten."""
    for endpoint in ["lookup", "raw_lookup"]:
        for hits, asked in queries.items():
            paths = [path_of(endpoint, query) for query in asked]
            servers = [server for server in (ours, hma) if server]
            rows = {server.base: [] for server in servers}
            for server in servers:
                load.run(server, paths, 1)
            for _ in range(options.rounds):
                for server in servers:
                    rows[server.base].append(load.run(server, paths, options.seconds))
            own = rows[ours.base]
            cell = facts | {"what": endpoint, "hits": hits, "nightlight_per_core": middle(own, "rate_per_core"), "nightlight_rate": middle(own, "rate"),
                            "nightlight_p95_ms": middle(own, "p95_ms"), "errors": sum(row["errors"] for some in rows.values() for row in some)}
            if hma:
                theirs = rows[hma.base]
                ratios = sorted(a["rate_per_core"] / b["rate_per_core"] for a, b in zip(own, theirs))
                cell |= {"hma_per_core": middle(theirs, "rate_per_core"), "hma_rate": middle(theirs, "rate"), "hma_p95_ms": middle(theirs, "p95_ms"),
                         "ratio_per_core": statistics.median(ratios), "ratios": [round(ratio, 1) for ratio in ratios],
                         "ratio_rate": statistics.median(a["rate"] / b["rate"] for a, b in zip(own, theirs))}
                if endpoint == "lookup" and hits == "none":
                    closing = [load.run(ours, paths, options.seconds, close=True) for _ in range(options.rounds)]
                    cell |= {"nightlight_closing_per_core": middle(closing, "rate_per_core"),
                             "ratio_closing_per_core": middle(closing, "rate_per_core") / middle(theirs, "rate_per_core")}
            report.row(**cell)


def updates(options, report, load, facts, server, name, paths, seconds):
    """p95 with a stream of added hashes against p95 without, the quiet run before and after."""
    quiet = [load.run(server, paths, max(5, seconds // 4))]
    with Stream(server, options.update_rate) as stream:
        busy = load.run(server, paths, seconds)
    quiet.append(load.run(server, paths, max(5, seconds // 4)))
    report.row(**facts, what="updates", server=name, added=stream.count, p95_ms=busy["p95_ms"], p95_quiet_ms=middle(quiet, "p95_ms"),
               ratio=busy["p95_ms"] / middle(quiet, "p95_ms"), p99_ms=busy["p99_ms"], max_ms=busy["max_ms"], rate=busy["rate"],
               rate_quiet=middle(quiet, "rate"), errors=busy["errors"])


def written_bank(kind, size, seed, folder):
    """A file of hashes in hex, one a line; its path, the rows, and the generator for queries."""
    generator = hashes.KINDS[kind](seed)
    rows = generator.bank(size)
    # An import takes a hash once, HMA's tables take it as often as it comes: with each once, ids are line numbers on both sides.
    rows = rows[np.sort(np.unique(rows.view("S32"), return_index=True)[1])]
    path = pathlib.Path(folder) / "bank.txt"
    with path.open("w") as file:
        for at in range(0, len(rows), 100_000):
            file.write("".join(row.tobytes().hex() + "\n" for row in rows[at : at + 100_000]))
    return path, rows, generator


def near_and_fresh(generator, rows):
    """2,000 near copies of rows and as many new hashes, in hex; `queries` alternates them."""
    drawn = [row.tobytes().hex() for row in generator.queries(rows, 4000)]
    return drawn[::2], drawn[1::2]


def round_of(options, report, kind, size, hma, folder):
    """Everything about one bank."""
    facts = {"kind": kind, "size": size}
    path, rows, generator = written_bank(kind, size, options.seed, folder)
    near, fresh = near_and_fresh(generator, rows)
    del rows
    queries = {"none": fresh, "10 %": [near[i] if i % 10 == 0 else fresh[i] for i in range(len(fresh))]}
    ours = Nightlight(pathlib.Path(folder) / "data", options.port + 9)
    try:
        imported = ours.fill(path)
        started = ours.start()
        report.row(**facts, what="start", server="nightlight", import_s=imported, start_s=started, **memory(ours.roots()))
        if hma:
            hma.empty()
            start = time.monotonic()
            hma.fill(BANK, path)
            filled = time.monotonic() - start
            start = time.monotonic()
            hma.flask("build_indices")
            built = time.monotonic() - start
            hma.start(jobs=False)
            loading = hma.loaded()
            report.row(**facts, what="start", server="hma", import_s=filled, build_s=built, start_s=loading, **memory(hma.roots()))
            total = compare(hma, ours, queries["10 %"][:200] + near[:options.compared])
            report.row(**facts, what="answers", equal=True, queries=200 + options.compared, matches=total)
        load = Load(folder, options.connections)
        lookups(options, report, load, facts, hma, ours, queries)
        if not hma and options.hma_memory:
            index_alone(report, facts, folder, path, queries, options.hma_memory)
        report.row(**facts, what="memory", server="nightlight", **memory(ours.roots()))
        if hma:
            report.row(**facts, what="memory", server="hma", **memory(hma.roots()), workers_pss_mib=memory([hma.web.pid])["pss_mib"])
        if options.updates:
            paths = [path_of("lookup", query) for query in queries["10 %"]]
            fresh_seconds = freshness(ours, 20, 0.1)
            report.row(**facts, what="freshness", server="nightlight", median_s=statistics.median(fresh_seconds), longest_s=max(fresh_seconds))
            updates(options, report, load, facts, ours, "nightlight", paths, options.update_seconds)
            report.row(**facts, what="memory after updates", server="nightlight", **memory(ours.roots()))
            if hma:
                hma.stop()
                hma.start()
                hma.loaded()
                fresh_seconds = freshness(hma, options.hma_adds, 30)
                report.row(**facts, what="freshness", server="hma", median_s=statistics.median(fresh_seconds), longest_s=max(fresh_seconds))
                updates(options, report, load, facts, hma, "hma", paths, options.update_seconds)
                report.row(**facts, what="memory after updates", server="hma", **memory(hma.roots()), workers_pss_mib=memory([hma.web.pid])["pss_mib"])
    finally:
        ours.stop()
        if hma:
            hma.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--kinds", default="uniform,correlated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of each round")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--compared", type=int, default=300, help="near copies of rows whose answers are compared, beside 200 mixed queries")
    parser.add_argument("--updates", action="store_true", help="freshness and p95 during updates, which take minutes with HMA")
    parser.add_argument("--update-rate", type=float, default=20, help="hashes added per second")
    parser.add_argument("--update-seconds", type=int, default=70, help="HMA builds its index anew once in 60")
    parser.add_argument("--hma-adds", type=int, default=3)
    parser.add_argument("--hma-limit", type=int, default=1_000_000)
    parser.add_argument("--hma-memory", type=float, default=0,
                        help="above the limit, ask HMA's index alone, and build it once with so many GiB; its own goal for 10 M is 8")
    parser.add_argument("--port", type=int, default=5110)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="append rows to this file as JSON lines")
    options = parser.parse_args()
    random.seed(options.seed)
    report = Report(options.json)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes = [int(size) for size in options.sizes.split(",")]
    report.row(what="machine", cores=os.cpu_count(), load=os.getloadavg()[0], connections=options.connections, rounds=options.rounds, seconds=options.seconds)
    hma = Hma(os.environ["HMA_HOME"], options.port)
    try:
        if min(sizes) <= options.hma_limit:
            hma.start_database()
        for size in sizes:
            for kind in options.kinds.split(","):
                with tempfile.TemporaryDirectory(dir=os.environ["HMA_HOME"]) as folder:
                    round_of(options, report, kind, size, hma if size <= options.hma_limit else None, folder)
    finally:
        hma.__exit__()
    report.row(what="machine", load=os.getloadavg()[0])
    report.table()


if __name__ == "__main__":
    main()
