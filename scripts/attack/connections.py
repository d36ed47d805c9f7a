#!/usr/bin/env python3
"""Holds a server's connections, permits and memory with callers who say little, and measures whether others are still answered.

    scripts/attack/connections.py --binary target/release/nightlight     starts a server of its own on loopback, in a folder that is removed
    scripts/attack/connections.py --only silent_tcp,idle_http2           some of the attacks
    scripts/attack/connections.py --scale 0.1                            a tenth of the connections

During each attack fresh callers ask GET /livez and POST /score. The attack succeeds, and this exits 1, when one of them is not answered 200 within
--patience seconds, when the server's memory grows by more than --memory MB, or when the attack's own condition fails (see each docstring). Loopback only; at most
5,000 connections and a minute for each attack. Needs Python 3.10 and its standard library.
"""

import argparse
import contextlib
import os
import pathlib
import re
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Short, so that a run is short; what is held against them is counts.
SETTINGS = {
    "NIGHTLIGHT__SERVER__WRITE_TIMEOUT_MS": "3000",
    "NIGHTLIGHT__SERVER__IDLE_TIMEOUT_MS": "5000",
    "NIGHTLIGHT__SERVER__HEAD_TIMEOUT_MS": "10000",
    "NIGHTLIGHT__SERVER__DRAIN_MS": "0",
    "NIGHTLIGHT__LOG__LEVEL": "warn",
}


class Server:
    """A server of our own on a free port of loopback."""

    def __init__(self, binary, folder):
        environment = {**os.environ, **SETTINGS}
        command = [binary, "--data-dir", folder, "serve", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.address = ("127.0.0.1", int(found[1]))
                break
        else:
            sys.exit("the server ended before it listened")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.key = pathlib.Path(folder, "admin.key").read_text().strip()
        until = time.monotonic() + 120
        while self.ask("GET", "/readyz") != 200:
            if time.monotonic() > until:
                sys.exit("the server did not become ready")
            time.sleep(0.2)

    def head(self, method, path, *lines):
        """The beginning of a request with the key, without its last line end."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *lines, ""]).encode()

    def ask(self, method, path, body=b"", patience=10.0):
        """One request on a connection of its own; its status, or 0."""
        head = self.head(method, path, "Connection: close", "Content-Type: text/plain", f"Content-Length: {len(body)}")
        return status(self.talk(head + b"\r\n" + body, patience))

    def talk(self, data, patience=10.0):
        """Sends, and reads to the end."""
        said = b""
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=patience) as caller:
            caller.sendall(data)
            while piece := caller.recv(65536):
                said += piece
        return said

    def connect(self, data=b""):
        """A connection that has sent `data`, and will not be read; None when it was refused."""
        try:
            caller = socket.create_connection(self.address, timeout=10)
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.send(data)
            return caller
        except OSError:
            return None

    def memory(self):
        """Megabytes that it has in memory."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def status(said):
    found = re.match(rb"HTTP/1\.1 (\d+)", said)
    return int(found[1]) if found else 0


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2 (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header that is not indexed, without Huffman coding (RFC 7541, section 6.2.2)."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def open_connections(server, count, data):
    return [caller for caller in (server.connect(data) for _ in range(count)) if caller]


def is_closed(caller):
    """Whether the server has closed it; what it said before is thrown away."""
    try:
        while caller.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def silent_tcp(server, scale):
    """5,000 connections that never send a byte."""
    yield open_connections(server, int(5000 * scale), b"")


def idle_http2(server, scale):
    """4,100 HTTP/2 connections without a request; all are closed after the head's time."""
    callers = open_connections(server, int(4100 * scale), PREFACE + frame(4, 0, 0) + frame(4, 1, 0))
    yield callers
    wait_for("idle HTTP/2 connections are closed", lambda: all(map(is_closed, callers)), 25)


def slow_heads(server, scale):
    """2,000 heads of 400 kB that never end."""
    yield open_connections(server, int(2000 * scale), b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 400_000)


def slow_heads_within_the_bound(server, scale):
    """4,000 heads of 60 kB that never end: each is short enough."""
    yield open_connections(server, int(4000 * scale), b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 60_000)


def never_reading(server, scale):
    """200 callers who ask for a large answer again and again and read none; all are cut off."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    callers = open_connections(server, int(200 * scale), request)
    yield callers
    # Reading would be what they do not do: only an error tells.
    wait_for("who never reads is cut off", lambda: all(map(is_reset, callers)), 25)


def is_reset(caller):
    poll = select.poll()
    poll.register(caller, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    return bool(poll.poll(0))


def slow_bodies(server, scale):
    """200 senders of a byte a second, with a key; each gets a 408."""
    head = server.head("POST", "/score", "Content-Type: text/plain", "Content-Length: 100000") + b"\r\n"
    callers = open_connections(server, int(200 * scale), head)
    stop = threading.Event()
    threading.Thread(target=drip, args=(callers, stop), daemon=True).start()
    yield callers
    stop.set()
    said = [read_all(caller) for caller in callers]
    if not all(status(answer) == 408 for answer in said):
        raise Failed(f"slow bodies were not told so: {[status(answer) for answer in said][:10]} …")


def drip(callers, stop):
    while not stop.wait(1.0):
        for caller in callers:
            with contextlib.suppress(OSError):
                caller.send(b"x")


def read_all(caller):
    caller.settimeout(20)
    said = b""
    with contextlib.suppress(OSError):
        while piece := caller.recv(65536):
            said += piece
    return said


def open_bodies_http2(server, scale):
    """4 HTTP/2 connections with 128 bodies each that have begun and do not go on."""
    # POST and http are indexed 3 and 6; :path is 4, :authority 1 (RFC 7541, appendix A).
    block = bytes([0x83, 0x86, 0x04, 6]) + b"/score" + bytes([0x01, 1]) + b"x"
    block += literal("authorization", f"Bearer {server.key}") + literal("content-type", "text/plain")
    streams = b"".join(frame(1, 4, stream, block) + frame(0, 0, stream, b"x") for stream in range(1, 257, 2))
    yield open_connections(server, max(1, int(4 * scale)), PREFACE + frame(4, 0, 0) + streams)


def smuggling(server, _scale):
    """Requests that two servers could read differently: 400, closed, and what stood behind them is not answered."""
    behind = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    shapes = [
        server.head("POST", "/score", "Transfer-Encoding: gzip, chunked") + b"\r\n0\r\n\r\n",
        server.head("POST", "/score", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"\r\n0\r\n\r\n",
        server.head("POST", "/score", "Transfer-Encoding: chunked, gzip") + b"\r\n0\r\n\r\n",
        server.head("POST", "/score", "Transfer-Encoding: xchunked") + b"\r\n0\r\n\r\n",
        server.head("GET", "/livez", "Host: x") + b"\r\n",
        server.head("GET", "/livez", "Host: y") + b"\r\n",
        server.head("GET", "http://y/livez") + b"\r\n",
        server.head("POST", "/score", "Content-Length: 1", "Content-Length: 2") + b"\r\nxx",
        server.head("POST", "/score", "Content-Length: +1") + b"\r\nx",
    ]
    yield []
    for shape in shapes:
        said = server.talk(shape + behind)
        if status(said) != 400 or said.count(b"HTTP/1.1 ") != 1:
            raise Failed(f"{shape!r}: {said[:200]!r}")


class Failed(Exception):
    """An attack's own condition did not hold."""


def wait_for(what, condition, seconds):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.25)


ATTACKS = [silent_tcp, idle_http2, slow_heads, slow_heads_within_the_bound, never_reading, slow_bodies, open_bodies_http2, smuggling]


def probe(server, patience, results, stop):
    """Asks as others would, until told to stop."""
    while not stop.is_set():
        for method, path, body in [("GET", "/livez", b""), ("POST", "/score", b"see you at practice")]:
            asked = time.monotonic()
            answer = server.ask(method, path, body, patience)
            results.append((path, answer, time.monotonic() - asked))
        time.sleep(0.02)


def run(attack, server, options):
    """Whether others were answered all the while; prints what was measured."""
    before, results, stop, told = server.memory(), [], threading.Event(), None
    asking = threading.Thread(target=probe, args=(server, options.patience, results, stop))
    asking.start()
    steps = attack(server, options.scale)
    callers = next(steps)
    time.sleep(8)
    grown = server.memory() - before
    try:
        next(steps, None)
    except Failed as failure:
        told = str(failure)
    stop.set()
    asking.join()
    for caller in callers:
        caller.close()
    unanswered = [result for result in results if result[1] != 200 or result[2] > options.patience]
    slowest = {path: max(taken for asked, _, taken in results if asked == path) for path in ["/livez", "/score"]}
    ok = not unanswered and told is None and grown <= options.memory
    print(
        f"{'ok' if ok else 'ATTACK SUCCEEDED':16} {attack.__name__:28} {len(callers):5} connections, {len(results)} questions, {len(unanswered)} unanswered, "
        f"slowest /livez {slowest['/livez']:.2f} s, /score {slowest['/score']:.2f} s, memory {grown:+.0f} MB{'; ' + told if told else ''}",
        flush=True,
    )
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/nightlight"))
    parser.add_argument("--only", default="", help="names of attacks between commas")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=5.0, help="seconds for an ordinary answer")
    parser.add_argument("--memory", type=float, default=250.0, help="MB that an attack may cost")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20_000), most))
    chosen = [attack for attack in ATTACKS if not options.only or attack.__name__ in options.only.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options.binary, folder)
        try:
            held = [run(attack, server, options) for attack in chosen]
        finally:
            server.stop()
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
