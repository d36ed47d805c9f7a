#!/usr/bin/env python3
"""Tries to find out the hashes of a bank with a key that may not read it.

    scripts/attack/recover_hash.py --url http://127.0.0.1:8080 --admin-key-file data/admin.key --scorer-key-file A --scorer-key-file B [--calls 100000] [--stated 32] [--seed 1]

A key for each walk comes from `nightlight key create --name NAME --role scorer --output FILE`. Three attacks: starts beyond the bank's radius, with radius 256, whose distances would tell every
hash; with the first key, a walk from a near copy by distances; with the second, one by match and no match alone. Hashes are random, in a bank ATTACK_RECOVER that it makes and deletes.
--calls counts signals of the first attack; --stated is matching.near_queries_stop, which counts a walk's answers from its first match on. The walkers' keys stay stopped for matching.near_queries_stop_s. Exit code: 0 the server held, 1 it did not,
2 a wrong call.
"""

import argparse
import random

from loopback import Server, verdict, wrong

BANK = "ATTACK_RECOVER"
BITS = 256
RADIUS = 31
HASHES = 50
SIGNALS = 1000


def text(bits):
    return f"{bits:064x}"


def apart(left, right):
    return (left ^ right).bit_count()


def make_bank(admin, hashes):
    admin.ask("DELETE", f"/banks/{BANK}")
    admin.need("POST", "/banks", {"name": BANK, "max_distance": RADIUS})
    items = [{"signals": [{"signal_type": "pdq", "signal": text(bits)}]} for bits in hashes]
    admin.need("POST", f"/banks/{BANK}/items", {"items": items})


def look_up(scorer, queries, **more):
    signals = [{"signal_type": "pdq", "signal": text(bits)} for bits in queries]
    return scorer.ask("POST", "/match", {"signals": signals, "banks": [BANK], **more})


def from_afar(scorer, chance, hashes, calls):
    """Distances of random points to hashes beyond the radius; from 256 of them a hash follows."""
    told = 0
    for start in range(0, calls, SIGNALS):
        queries = [chance.getrandbits(BITS) for _ in range(min(SIGNALS, calls - start))]
        status, answer = look_up(scorer, queries, radius={"pdq": BITS})
        if status != 200:
            wrong(f"/match: {status} {answer}")
        told += len(answer["matches"])
    print(f"from afar: {calls} signals, {told} distances beyond the radius, {len(hashes) if told else 0} of {len(hashes)} hashes within reach")
    return [f"{told} distances beyond the radius were told"] if told else []


def walk(scorer, chance, secret, stated, by_distance):
    """Turns single bits of a near copy. A bit that brings it nearer is one that the copy has wrong."""
    copy = secret
    for bit in chance.sample(range(BITS), RADIUS - 1 if by_distance else RADIUS):
        copy ^= 1 << bit
    guess, before, answered, bits = copy, 0, 0, list(range(BITS))
    chance.shuffle(bits)
    for bit in bits:
        status, answer = look_up(scorer, [copy ^ (1 << bit)])
        if status == 429:
            code = answer["error"]["code"]
            if code != "lookups_stopped":
                wrong(f"/match: {status} {code}")
            break
        hits = [hit["distance"] for hit in answer["matches"]]
        # Until something matches there is no item to be near to, and nothing is counted.
        if hits or answered:
            answered += 1
        else:
            before += 1
        # At the radius itself a match alone says that the bit was wrong.
        nearer = hits and (not by_distance or hits[0] < RADIUS - 1)
        guess ^= (1 << bit) if nearer else 0
    status, _ = look_up(scorer, [chance.getrandbits(BITS)])
    how = "distances" if by_distance else "match and no match"
    print(f"a walk by {how}: {before} misses, then {answered} answers, {apart(guess, secret)} bits are wrong of {apart(copy, secret)} at the start; a query far away then: {status}")
    failures = []
    if guess == secret:
        failures.append(f"a walk by {how} recovered a hash")
    if answered > stated:
        failures.append(f"a walk by {how} got {answered} answers from its first match on; {stated} are stated")
    if status != 429:
        failures.append("the refusal of near queries alone is an answer")
    return failures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--admin-key-file", required=True)
    arguments.add_argument("--scorer-key-file", required=True, action="append")
    arguments.add_argument("--calls", type=int, default=100_000)
    arguments.add_argument("--stated", type=int, default=32)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    if len(given.scorer_key_file) != 2:
        arguments.error("give --scorer-key-file twice: one key for each walk")
    chance = random.Random(given.seed)
    hashes = [chance.getrandbits(BITS) for _ in range(HASHES)]
    admin = Server(given.url, given.admin_key_file)
    first, second = (Server(given.url, file) for file in given.scorer_key_file)
    make_bank(admin, hashes)
    failures = from_afar(first, chance, hashes, given.calls)
    failures += walk(first, chance, hashes[0], given.stated, by_distance=True)
    failures += walk(second, chance, hashes[1], given.stated, by_distance=False)
    admin.need("DELETE", f"/banks/{BANK}")
    verdict(failures)


if __name__ == "__main__":
    main()
