#!/usr/bin/env python3
"""Tries to make ordinary texts and pictures wait, or to take all memory, by sending long texts and large pictures behind the same key.

    scripts/attack/starve.py --url http://127.0.0.1:8080 --admin-key-file data/admin.key [--seconds 60] [--hostile 8] [--accounts [N]] [--leave] [--pid PID --memory BYTES]

Two ordinary callers send a short text, two others a small photo, every half second; first beside harmless load (the same from --hostile senders, one call after the other), then beside as many senders of
what is dear: long chats, 32 KiB of punctuation, texts at the limit, interlaced pictures of 100 megapixels in 16 bits, animations. With --accounts the senders of either load name one account,
or N between them, without it none; ordinary callers name one each. With --leave they go away before they are answered. With --pid and --memory the resident memory of that process is held against a limit.

Prints the latencies. The attack has succeeded when an ordinary call is refused or times out, when its p99 is more than three times what it is beside the harmless load (and more
than 0.2 s: the clock of a busy machine), when the server's memory goes beyond the limit, or when /livez is not answered. Nothing is left behind but counters and review items. Exit code: 0 the server held, 1 it did not, 2 a wrong call.
"""

import argparse
import json
import pathlib
import struct
import threading
import time
import zlib

from loopback import Server, verdict

# Seconds between two calls of an ordinary caller, and how many callers of each kind there are.
EVERY = 0.5
ORDINARY = 2
LIGHT = b"see you at the match on saturday, bring the ball"
PHOTO = (pathlib.Path(__file__).parent.parent / "samples" / "known.jpg").read_bytes()
WORDS = "the bus was late again and we missed the first half of the game so we went home and made soup".split()
TEXT, FILE = "text/plain", "application/octet-stream"


def chunk(kind, data=b""):
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def wide_png(side):
    """A blank interlaced picture of 16 bits a channel: few bytes, 8 of memory a pixel."""
    passes = [(8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2)]
    data = zlib.compressobj(9)
    parts = []
    for across, down in passes:
        row = bytes(1 + 6 * -(-side // across))
        parts.extend(data.compress(row) for _ in range(-(-side // down)))
    parts.append(data.flush())
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND")


def animation(side, frames):
    """A grey animated PNG, each frame another one."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) + chunk(b"acTL", struct.pack(">II", frames, 0))
    body, number = [], 0
    for frame in range(frames):
        rows = b"".join(bytes([0]) + bytes([(frame * 7 + at // 8) % 256]) * side for at in range(side))
        body.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 10, 0, 0)))
        number += 1
        data = zlib.compress(rows, 1)
        body.append(chunk(b"IDAT", data) if frame == 0 else chunk(b"fdAT", struct.pack(">I", number) + data))
        number += frame > 0
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(body) + chunk(b"IEND")


def dear():
    """Bodies that cost much."""
    chat = [{"author": "ab"[at % 2], "text": f"{at} " + " ".join(WORDS[at % 7 :])} for at in range(1000)]
    return [
        (json.dumps({"attachment": {"conversation": {"messages": chat}}}).encode(), "application/json"),
        (wide_png(10_000), FILE),
        (b"!" * (32 << 10), TEXT),
        (animation(1000, 60), FILE),
        ((" ".join(WORDS) + " ").encode() * 500, TEXT),
        ((" ".join(WORDS) + " ").encode() * 11, TEXT),
    ]


def percentile(values, share):
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ordinary(arguments, account, body, kind, until, seen):
    """Sends the same again and again until then; notes how long each took, and its status where that is wrong."""
    server = Server(arguments.url, arguments.admin_key_file)
    while time.monotonic() < until:
        began = time.monotonic()
        status, answer = server.ask("POST", f"/score?account_id={account}", body, kind)
        took = time.monotonic() - began
        seen.append((took, None if status == 200 and answer["scores"] else status))
        time.sleep(max(0.0, EVERY - took))


def load(arguments, number, bodies, until, sent):
    """Sends these bodies one after the other until then."""
    account = f"hostile-{number % arguments.accounts}" if arguments.accounts else None
    path = f"/score?account_id={account}" if account else "/score"
    server = Server(arguments.url, arguments.admin_key_file)
    server.patience = 0.5 if arguments.leave and len(bodies) > 2 else 120
    at = number
    while time.monotonic() < until:
        body, kind = bodies[at % len(bodies)]
        where = "/score" if kind == "application/json" else path
        if kind == "application/json" and account:
            body = body[:-1] + f', "context": {{"account_id": "{account}"}}}}'.encode()
        try:
            sent.append(server.ask("POST", where, body, kind)[0])
        except TimeoutError:
            sent.append("left")
            server.close()
        at += 1


def watch(arguments, until, worst):
    """Asks whether the server lives, and how much memory it has."""
    server = Server(arguments.url, arguments.admin_key_file)
    while time.monotonic() < until:
        began = time.monotonic()
        status = server.status("/livez")
        worst["livez"] = max(worst["livez"], time.monotonic() - began if status == 200 else float("inf"))
        if arguments.pid:
            for line in pathlib.Path(f"/proc/{arguments.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmRSS:"):
                    worst["memory"] = max(worst["memory"], int(line.split()[1]) << 10)
        time.sleep(0.1)


def measure(arguments, bodies):
    """Latencies of ordinary texts and photos beside senders of these bodies, each with its failures; what was sent, and the worst of what was watched."""
    until = time.monotonic() + arguments.seconds
    seen, sent, worst = {"text": [], "photo": []}, [], {"livez": 0.0, "memory": 0}
    threads = [threading.Thread(target=load, args=(arguments, number, bodies, until, sent)) for number in range(arguments.hostile)]
    threads.append(threading.Thread(target=watch, args=(arguments, until, worst)))
    for number in range(ORDINARY):
        for what, body, kind in (("text", LIGHT, TEXT), ("photo", PHOTO, FILE)):
            threads.append(threading.Thread(target=ordinary, args=(arguments, f"ordinary-{what}-{number}", body, kind, until, seen[what])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen, sent, worst


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--admin-key-file", required=True)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--hostile", type=int, default=8)
    arguments.add_argument("--accounts", type=int, nargs="?", const=1, default=0)
    arguments.add_argument("--leave", action="store_true")
    arguments.add_argument("--pid", type=int)
    arguments.add_argument("--memory", type=int)
    arguments = arguments.parse_args()
    p99, failures = {}, []
    for name, bodies in (("harmless", [(LIGHT, TEXT), (PHOTO, FILE)]), ("hostile", dear())):
        seen, sent, worst = measure(arguments, bodies)
        answers = {str(status): sent.count(status) for status in sorted(set(sent), key=str)}
        print(f"beside {name} load (answers {answers}): /livez within {worst['livez']:.3f} s, resident {worst['memory'] >> 20} MiB")
        if worst["livez"] > 5:
            failures.append(f"/livez was not answered within 5 s beside {name} load")
        if arguments.memory and worst["memory"] > arguments.memory:
            failures.append(f"{worst['memory'] >> 20} MiB were resident beside {name} load")
        for what, calls in seen.items():
            latencies, failed = [took for took, _ in calls], [status for _, status in calls if status is not None]
            p99[name, what] = percentile(latencies, 0.99)
            print(f"  {len(calls)} ordinary {what}s: p50 {percentile(latencies, 0.5):.3f} s, p99 {p99[name, what]:.3f} s, failed {failed}")
            failures += [f"an ordinary {what} got {status} beside {name} load" for status in failed]
    for what in ("text", "photo"):
        if p99["hostile", what] > max(0.2, 3 * p99["harmless", what]):
            failures.append(f"p99 of ordinary {what}s is {p99['hostile', what] / p99['harmless', what]:.1f} times what it is beside harmless load")
    verdict(failures)


if __name__ == "__main__":
    main()
