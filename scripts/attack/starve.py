#!/usr/bin/env python3
"""Tries to make ordinary texts wait by sending long ones behind the same key.

    scripts/attack/starve.py --url http://127.0.0.1:8080 --admin-key-file data/admin.key [--seconds 20] [--hostile 8] [--accounts]

Ordinary callers send a short text every half second, first beside harmless load (short texts from as many senders), then beside --hostile senders of long chats, 32 KiB of punctuation and texts
at the limit. With --accounts the hostile ones name one account, without it none; ordinary callers name one each. Prints both latencies. The attack has succeeded when an ordinary text is refused or
times out, or when p99 is more than three times what it is beside the harmless load and more than a second. Nothing is left behind but counters and review items. Exit code: 0 the server held,
1 it did not, 2 a wrong call.
"""

import argparse
import json
import threading
import time

from loopback import Server, verdict

# Seconds between two texts of an ordinary caller, and how many of them there are.
EVERY = 0.5
ORDINARY = 2
LIGHT = "see you at the match on saturday, bring the ball"
WORDS = "the bus was late again and we missed the first half of the game so we went home and made soup".split()


def long_texts():
    """Bodies that cost much, in turn."""
    chat = [{"author": "ab"[at % 2], "text": f"{at} " + " ".join(WORDS[at % 7 :])} for at in range(1000)]
    yield json.dumps({"messages": chat}).encode(), "application/json"
    yield b"!" * (32 << 10), "text/plain"
    yield (" ".join(WORDS) + " ").encode() * 500, "text/plain"


def percentile(values, share):
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ordinary(arguments, number, until, seen):
    """Sends short texts until then; notes how long each took, or its status."""
    server = Server(arguments.url, arguments.admin_key_file)
    while time.monotonic() < until:
        began = time.monotonic()
        status, answer = server.ask("POST", f"/score?account_id=ordinary-{number}", LIGHT.encode(), "text/plain")
        took = time.monotonic() - began
        scored = status == 200 and bool(answer["scores"])
        seen.append((took, status if not scored else None))
        time.sleep(max(0.0, EVERY - took))


def load(arguments, bodies, until, sent):
    """Sends these bodies one after the other until then."""
    server = Server(arguments.url, arguments.admin_key_file)
    path = "/score?account_id=hostile" if arguments.accounts else "/score"
    while time.monotonic() < until:
        for body, kind in bodies:
            status, _ = server.ask("POST", path, body, kind)
            sent.append(status)


def measure(arguments, bodies):
    """Latencies of ordinary texts beside so many senders of these bodies, what of them failed, and what was sent."""
    until = time.monotonic() + arguments.seconds
    seen, sent = [], []
    threads = [threading.Thread(target=load, args=(arguments, bodies, until, sent)) for _ in range(arguments.hostile)]
    threads += [threading.Thread(target=ordinary, args=(arguments, number, until, seen)) for number in range(ORDINARY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [took for took, _ in seen], [status for _, status in seen if status is not None], sent


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--admin-key-file", required=True)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--hostile", type=int, default=8)
    arguments.add_argument("--accounts", action="store_true")
    arguments = arguments.parse_args()
    p99, failures = {}, []
    for name, bodies in (("harmless", [(LIGHT.encode(), "text/plain")]), ("hostile", list(long_texts()))):
        latencies, failed, sent = measure(arguments, bodies)
        p99[name] = percentile(latencies, 0.99)
        print(f"beside {name} load of {len(sent)} calls: {len(latencies)} ordinary texts, p50 {percentile(latencies, 0.5):.3f} s, p99 {p99[name]:.3f} s, failed {failed}")
        failures += [f"an ordinary text got {status} beside {name} load" for status in failed]
    if p99["hostile"] > max(1.0, 3 * p99["harmless"]):
        failures.append(f"p99 of ordinary texts is {p99['hostile'] / p99['harmless']:.1f} times what it is beside harmless load")
    verdict(failures)


if __name__ == "__main__":
    main()
