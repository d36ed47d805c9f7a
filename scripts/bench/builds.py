"""Two builds of Nightlight, this one and another, as programs and as servers: what the `--against` duels of bench-peers.sh and bench-hma.sh stand on.

NIGHTLIGHT is the program to judge, AGAINST the one it is held against. What counts is processor time (user and system, from /proc and from wait4) for the
same work, since wall time of a shared machine says who else was busy. A round runs both, the first one alternating; the ratio of a round is the
other's time by ours, so that 1.00 is as fast and less is slower. The verdict is the median of the rounds' ratios.
"""
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from processes import cpu_seconds

# "Not slower": below this the median is more than what processor time of the very same program differs by on a shared machine.
LEAST = 0.97
ROUNDS = 5


class Build:
    """One program; `home` is the folder with its `models` and `lib`, since a build reads the manifests of its own time."""

    def __init__(self, name, program, home=None):
        self.name, self.program, self.home = name, str(pathlib.Path(program).resolve()), home and pathlib.Path(home).resolve()

    def environment(self, **settings):
        environment = os.environ | {"NIGHTLIGHT__LOG__LEVEL": "warn", "NIGHTLIGHT__ENGINE__BACKEND": "cpu"} | settings
        if self.home:
            environment |= {"NIGHTLIGHT__MODELS__DIRECTORY": str(self.home / "models"),
                            "NIGHTLIGHT__MODELS__ONNXRUNTIME": str(self.home / "lib/libonnxruntime.so")}
        return environment

    def run(self, *words):
        """Runs a command to its end; its standard output, and the seconds of processor time it took. Files that it cannot read are in its output."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen([self.program, *map(str, words)], env=self.environment(), stdout=out, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0), errors.seek(0)
            text = out.read().decode()
            if process.returncode not in (0, 1) or not text:
                raise RuntimeError(f"{self.name}: {words[0]} ended with {process.returncode}: {errors.read().decode()[-2000:]}")
        return text, usage.ru_utime + usage.ru_stime


def both():
    """This build and the other, from the environment."""
    return (Build("this", os.environ["NIGHTLIGHT"], os.environ.get("NIGHTLIGHT_HOME")),
            Build("other", os.environ["AGAINST"], os.environ.get("AGAINST_HOME")))


class Server:
    """A build that serves on loopback with a data directory of its own; `with Server(build, folder):`."""

    def __init__(self, build, folder):
        self.build, self.folder, self.port = build, pathlib.Path(folder), free_port()

    def __enter__(self):
        self.log = (self.folder.parent / f"{self.build.name}.log").open("wb")
        self.process = subprocess.Popen([self.build.program, "--data-dir", self.folder, "serve", "--listen", f"127.0.0.1:{self.port}"],
                                        env=self.build.environment(), stdout=self.log, stderr=self.log)
        try:
            for _ in range(600):
                if self.process.poll() is not None or self.answers("/readyz"):
                    break
                time.sleep(0.2)
            if self.process.poll() is not None or not self.answers("/readyz"):
                raise RuntimeError(f"the {self.build.name} build does not serve:\n{pathlib.Path(self.log.name).read_text()[-3000:]}")
        except BaseException:
            self.__exit__()
            raise
        self.key = (self.folder / "admin.key").read_text().strip()
        return self

    def __exit__(self, *_):
        # SIGINT: nobody else is served here, so there is nothing to drain.
        self.process.send_signal(2)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def answers(self, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False

    def post(self, connection, media_type, body):
        """Status and body of one answer of POST /score."""
        connection.request("POST", "/score", body, {"Content-Type": media_type, "X-API-Key": self.key})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def ask(self, media_type, body):
        """One answer, read."""
        status, text = self.post(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60), media_type, body)
        if status != 200:
            raise RuntimeError(f"the {self.build.name} build answers {status}: {text[:500]}")
        return json.loads(text)

    def load(self, requests, count, connections):
        """Posts `count` requests, the given ones in turn, as fast as it answers; processor seconds, wall seconds and latencies."""
        numbers, lock, latencies, wrong = iter(range(count)), threading.Lock(), [], []

        def client():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                start = time.perf_counter()
                status, text = self.post(connection, *requests[number % len(requests)])
                latencies.append(time.perf_counter() - start)
                if status != 200:
                    wrong.append((status, text[:300]))

        before, start = cpu_seconds([self.process.pid]), time.perf_counter()
        threads = [threading.Thread(target=client) for _ in range(connections)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        wall, cpu = time.perf_counter() - start, cpu_seconds([self.process.pid]) - before
        if wrong or len(latencies) != count:
            raise RuntimeError(f"the {self.build.name} build: {len(latencies)} of {count} requests answered, {len(wrong)} not with 200: {wrong[:2]}")
        return {"cpu": cpu, "wall": wall, "p50_ms": statistics.median(latencies) * 1e3}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def duel(name, this, other, rounds=ROUNDS, judged=True, **facts):
    """Runs both in turn; each returns a row with `cpu`, its seconds for the same work. Prints the ratios; whether this build is not slower, always true
    of what is not judged."""
    a, b = [], []
    for number in range(rounds):
        turns = [(a, this), (b, other)]
        for rows, side in turns if number % 2 == 0 else reversed(turns):
            rows.append(side())
    ratios = [theirs["cpu"] / ours["cpu"] for ours, theirs in zip(a, b)]
    middle = statistics.median(ratios)
    fast = middle >= LEAST
    row = {"duel": name, "median": round(middle, 3), "ratios": [round(ratio, 3) for ratio in ratios],
           "this_cpu_s": round(statistics.median(row["cpu"] for row in a), 3), "other_cpu_s": round(statistics.median(row["cpu"] for row in b), 3)}
    if "wall" in a[0]:
        row["wall_ratio"] = round(statistics.median(theirs["wall"] / ours["wall"] for ours, theirs in zip(a, b)), 3)
    if "p50_ms" in a[0]:
        row |= {f"{side}_p50_ms": round(statistics.median(row["p50_ms"] for row in rows), 2) for side, rows in (("this", a), ("other", b))}
    row["verdict"] = ("not slower" if fast else "SLOWER") if judged else "not judged"
    print(json.dumps(row | facts), flush=True)
    return fast or not judged
