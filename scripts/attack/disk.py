#!/usr/bin/env python3
"""Tired disks: is anything that was acknowledged lost in silence, and is anything refused that needs no disk?

usage: disk.py BINARY [--rounds N, default 3] [--seed S, default 1] [PART …]

Starts the binary over folders of its own under the system's temporary folder, on loopback alone, a few minutes at most. Parts, all of them by default:
  full     a full disk: a small tmpfs where one can be mounted (root), else a limit on the size of files (ulimit -f)
  held     another program holds the database
  killed   N rounds of kill -9 while four callers post; whatever got a 200 must be there
  log      the database's log cut, garbled or deleted after kill -9: a start must refuse, or have everything
  missing  each file of the data directory missing
  flipped  N rounds of other bits in stored hashes, with and without index files, and anywhere in the database

Exit 1 when an attack succeeds: something acknowledged is gone and nobody was told, a clean attachment is refused, or the server does not recover by itself.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "scripts" / "samples"
ROUTED = (SAMPLES / "truncated.jpg").read_bytes()
CLEAN = (SAMPLES / "known.jpg").read_bytes()
# Longer than a start, or an answer, takes; a machine that is slower than this measures nothing.
PATIENCE_S = 120
# What a limit leaves of a new database: its log reaches it after some dozens of answers.
SMALL = 1 << 20
CALLERS = 4


class Held(Exception):
    """The attack succeeded; the text says how."""


class Refused(Exception):
    """The start said no, on stderr."""


RUNNING = []


class Server:
    """`serve` on a free loopback port."""

    def __init__(self, binary, data, limit=None, **settings):
        def limited():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        settings = {f"NIGHTLIGHT__{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**os.environ, "NIGHTLIGHT__SERVER__DRAIN_MS": "0", "NIGHTLIGHT__ENGINE__BACKEND": "cpu", **settings}
        environment["NIGHTLIGHT__SERVER__DEADLINE_MS"] = str(PATIENCE_S * 1000)  # a busy machine is no refusal
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [binary, "--data-dir", data, "serve", "--listen", "127.0.0.1:0"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=self.log, preexec_fn=limited
        )
        RUNNING.append(self)
        self.address = None
        for line in self.process.stdout:
            if b"http://127.0.0.1:" in line:
                self.address = line.split(b"http://")[1].split(b"/")[0].decode()
                break
        if self.address is None:
            self.process.wait()
            raise Refused(self.said())
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.key = (pathlib.Path(data) / "admin.key").read_text().strip()
        until("ready", lambda: self.ask("GET", "/readyz")[0] == 200)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.key}", "Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text.decode(), answer.headers
        finally:
            connection.close()

    def post(self, picture, item="item"):
        return self.ask("POST", f"/score?item_id={item}", picture)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait()


def until(what, ask):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask():
                return
        time.sleep(0.05)
    raise Held(f"it never came to: {what}")


def expect(right, what):
    if not right:
        raise Held(what)


def refuses(server, cause):
    """Exactly what must be written is refused, with its cause."""
    status, answer, headers = server.post(ROUTED)
    expect(status == 503 and cause in answer["error"]["message"], f"what must be written got {status}: {answer}")
    expect(int(headers.get("Retry-After", 0)) > 0, "no Retry-After")
    for _ in range(20):
        status, answer, _ = server.post(CLEAN)
        expect(status == 200 and answer["decision"]["route"] == "none", f"a clean attachment got {status}: {answer}")
    status, health, _ = server.ask("GET", "/readyz")
    expect(status == 200 and any(cause in one["why"] for one in health["degraded"]), f"readiness is {status}: {health}")
    expect(server.ask("GET", "/livez")[0] == 200, "not alive")


def recovers(server):
    until("nothing is degraded", lambda: not server.ask("GET", "/readyz")[1]["degraded"])
    status, answer, _ = server.post(ROUTED)
    expect(status == 200, f"after the disk was mended: {status} {answer}")


def full(work):
    data = work.folder("full")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", data], capture_output=True).returncode == 0
    if not mounted:
        Server(work.binary, data).end()
        server = Server(work.binary, data, limit=SMALL, matching__index_files="false")
        for _ in range(2000):
            if server.post(ROUTED)[0] != 200:
                break
        refuses(server, "ulimit -f")
        server.end()
        return "by a limit on the size of files"
    try:
        server = Server(work.binary, data, matching__index_files="false")
        expect(server.post(ROUTED)[0] == 200, "before the disk is full")
        filler = pathlib.Path(data) / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        for _ in range(2000):  # what room the log had is used up first
            if server.post(ROUTED)[0] != 200:
                break
        refuses(server, "disk is full")
        filler.unlink()
        recovers(server)
        server.end()
        return "on a tmpfs"
    finally:
        subprocess.run(["umount", "-l", data], check=False)


def held(work):
    data = work.folder("held")
    server = Server(work.binary, data, store__busy_timeout_ms=200)
    expect(server.post(ROUTED)[0] == 200, "before")
    holder = sqlite3.connect(f"{data}/nightlight.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    refuses(server, "another process holds the database")
    holder.execute("ROLLBACK")
    recovers(server)
    server.end()
    return "refused and recovered"


def load_and_kill(work, data, name, seconds):
    """Posts by four callers until kill -9; what was acknowledged."""
    server, acknowledged, stop = Server(work.binary, data), [], threading.Event()

    def poster(caller):
        for number in range(10**6):
            if stop.is_set():
                return
            item = f"{name}-{caller}-{number}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if server.post(ROUTED, item)[0] == 200:
                    acknowledged.append(item)

    threads = [threading.Thread(target=poster, args=(caller,)) for caller in range(CALLERS)]
    for thread in threads:
        thread.start()
    until("some answers", lambda: len(acknowledged) > 20)
    time.sleep(seconds)
    server.end(signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    return list(acknowledged)


def has_all(data, acknowledged):
    """How many of the acknowledged items the database lacks. Copies wait as attachments of an earlier item."""
    with contextlib.closing(sqlite3.connect(f"file:{data}/nightlight.db?mode=ro", uri=True)) as database:
        held = {row[0] for row in database.execute("SELECT item_id FROM review_items UNION SELECT item_id FROM review_attachments")}
    return sorted(set(acknowledged) - held)


def killed(work):
    data, acknowledged = work.folder("killed"), []
    for number in range(work.rounds):
        acknowledged += load_and_kill(work, data, f"k{number}", work.random.uniform(0.1, 0.8))
    server = Server(work.binary, data)
    missing = has_all(data, acknowledged)
    expect(not missing, f"{len(missing)} of {len(acknowledged)} acknowledged items are gone after kill -9")
    expect(not server.ask("GET", "/readyz")[1]["degraded"], "a kill is no damage")
    server.end()
    return f"{len(acknowledged)} acknowledged items after {work.rounds} kills"


def log(work):
    told = 0
    for number, how in enumerate(["cut", "garbled", "deleted"] * work.rounds):
        data = work.folder(f"log{number}")
        acknowledged = load_and_kill(work, data, f"l{number}", 0.2)
        wal = pathlib.Path(data) / "nightlight.db-wal"
        bytes_ = bytearray(wal.read_bytes())
        if how == "deleted":
            wal.unlink()
        elif how == "cut":
            wal.write_bytes(bytes_[: work.random.randrange(len(bytes_))])
        else:
            bytes_[work.random.randrange(len(bytes_))] ^= 1 << work.random.randrange(8)
            wal.write_bytes(bytes_)
        try:
            server = Server(work.binary, data)
        except Refused as refused:
            expect("acknowledged" in str(refused) or "missing" in str(refused), f"the start failed without saying what is lost: {refused}")
            told += 1
            continue
        missing = has_all(data, acknowledged)
        server.end()
        expect(not missing, f"a log that was {how}: {len(missing)} of {len(acknowledged)} acknowledged items are gone and nobody says so")
    return f"{told} of {3 * work.rounds} starts refused, the others had everything"


def missing(work):
    outcomes = []
    for name in ["nightlight.db", "nightlight.mark", "pseudonym.key", "index"]:
        data = work.bank(f"missing-{name}")
        server = Server(work.binary, data)
        expect(server.post(CLEAN)[1]["matches"], "the sample is in a bank")
        server.end()
        gone = pathlib.Path(data) / name
        if gone.is_dir():
            shutil.rmtree(gone)
        elif gone.exists():
            gone.unlink()
        try:
            server = Server(work.binary, data)
        except Refused as refused:
            expect(name in str(refused), f"without {name}: {refused}")
            expect(name != "nightlight.db" or not gone.exists(), "an empty database was made")
            outcomes.append(f"{name}: refused")
            continue
        expect(server.post(CLEAN)[1]["matches"], f"without {name} the start is silent and the bank is empty")
        server.end()
        outcomes.append(f"{name}: serves all")
    return ", ".join(outcomes)


def found_or_told(work, data, what):
    """A known picture is found, or somebody is told that it may be missed."""
    try:
        server = Server(work.binary, data)
    except Refused:
        return "refused"
    try:
        status, answer, _ = server.post(CLEAN)
        if status != 200:
            return "refused"
        if any(hit["bank"] == "DEMO" for hit in answer["matches"]):
            return "found"
        told = any(one["technology"] == "pdq" for one in answer["unscored"]) and answer["decision"]["route"] == "review"
        expect(told, f"{what}: a known picture gets {answer['decision']['route']}, and nobody is told")
        until("it is in /readyz", lambda: server.ask("GET", "/readyz")[1]["degraded"])
        return "told"
    finally:
        server.end(signal.SIGKILL)


def flipped(work):
    outcomes = {}
    for number in range(work.rounds):
        for keep_index in (False, True):
            data = work.bank(f"flipped{number}{keep_index}")
            database = sqlite3.connect(f"{data}/nightlight.db")
            rows = database.execute("SELECT number, signal FROM bank_signals").fetchall()
            row, signal_ = work.random.choice(rows)
            changed = bytes(byte ^ 0xFF for byte in signal_)  # far beyond the radius
            database.execute("UPDATE bank_signals SET signal = ? WHERE number = ?", (changed, row))
            database.commit()
            database.close()
            if not keep_index:
                shutil.rmtree(f"{data}/index", ignore_errors=True)
            outcome = found_or_told(work, data, "a stored hash with other bits")
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        data = work.bank(f"anywhere{number}")
        shutil.rmtree(f"{data}/index", ignore_errors=True)
        file = pathlib.Path(data) / "nightlight.db"
        bytes_ = bytearray(file.read_bytes())
        for _ in range(16):
            bytes_[work.random.randrange(len(bytes_))] ^= 1 << work.random.randrange(8)
        file.write_bytes(bytes_)
        outcome = found_or_told(work, data, "sixteen bits anywhere in the database")
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))


class Work:
    def __init__(self, arguments, folder):
        self.binary, self.rounds, self.root = os.path.abspath(arguments.binary), arguments.rounds, pathlib.Path(folder)
        self.random = random.Random(arguments.seed)

    def folder(self, name):
        path = self.root / name
        path.mkdir(mode=0o700)
        return str(path)

    def bank(self, name):
        """A closed data directory whose bank DEMO holds the sample, with its index on disk."""
        data = self.folder(name)
        run = lambda *words: subprocess.run([self.binary, "--data-dir", data, *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        hash_ = json.loads(run("hash", "--backend", "cpu", str(SAMPLES / "known.jpg")))["pdq"]
        listed = self.root / f"{name}.txt"
        listed.write_text(f"{hash_}\n")
        run("bank", "import", "--bank", "DEMO", str(listed))
        server = Server(self.binary, data)
        until("the index is on disk", lambda: list(pathlib.Path(data, "index").glob("*.bank")))
        server.end()
        return data


PARTS = {part.__name__: part for part in (full, held, killed, log, missing, flipped)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("parts", nargs="*", metavar="PART")
    arguments = parser.parse_intermixed_args()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="nightlight-disk-") as folder:
        work = Work(arguments, folder)
        for name in arguments.parts or PARTS:
            try:
                print(f"{name}: held: {PARTS[name](work)}", flush=True)
            except Held as attack:
                failures += 1
                print(f"{name}: THE ATTACK SUCCEEDED: {attack}", flush=True)
            finally:
                while RUNNING:
                    RUNNING.pop().end(signal.SIGKILL)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
