#!/usr/bin/env python3
"""Tries to switch an item of a bank off by posting what matches it many times.

    scripts/attack/flood.py --url http://127.0.0.1:8080 --admin-key-file data/admin.key [--posts 10000] [--accounts 100] [--picture FILE]

Known material is posted by one account, by --accounts accounts, and asked for by /match, --posts times each. Each answer must find it and route it to review, whether or not the item is
quarantined meanwhile, and what waits for reviewers must be one item. It makes a bank ATTACK_FLOOD and deletes it; the review items stay. To see a flood, start the server with
NIGHTLIGHT__FLOOD__LEAST_HITS below --accounts. Exit code: 0 the server held, 1 it did not, 2 a wrong call.
"""

import argparse
import pathlib
import time

from loopback import Server, verdict

BANK = "ATTACK_FLOOD"
SAMPLE = pathlib.Path(__file__).resolve().parent.parent / "samples" / "known.jpg"
# Signals of one /match call: the most that one may have.
SIGNALS = 1000
# Seconds within which a server follows a bank and writes hits down.
SETTLES = 3


def make_bank(server, picture):
    """A bank with the picture's hash alone, so that no exact digest helps; the hash."""
    server.ask("DELETE", f"/banks/{BANK}")
    found = server.need("POST", "/match", picture, "image/jpeg")
    pdq = found["hashes"]["pdq"]["hash"]
    server.need("POST", "/banks", {"name": BANK})
    server.need("POST", f"/banks/{BANK}/items", {"items": [{"signals": [{"signal_type": "pdq", "signal": pdq}]}]})
    return pdq


def post(server, picture, posts, account_of, seen):
    """Posts the picture; how many answers were silent."""
    silent = 0
    for number in range(posts):
        path = f"/score?item_id=flood-{number}&account_id={account_of(number)}"
        answer = server.need("POST", path, picture, "image/jpeg")
        hits = [hit for hit in answer["matches"] if hit["bank"] == BANK]
        silent += not hits or answer["decision"]["route"] != "review"
        seen["quarantined"] += any(hit.get("quarantined") for hit in hits)
        seen["review_items"].add(answer["review_item"])
    return silent


def look_up(server, pdq, lookups):
    """Asks for the hash; how many signals were answered with nothing."""
    silent = 0
    for start in range(0, lookups, SIGNALS):
        many = min(SIGNALS, lookups - start)
        answer = server.need("POST", "/match", {"signals": [{"signal_type": "pdq", "signal": pdq}] * many, "banks": [BANK]})
        silent += many - len({hit["signal"] for hit in answer["matches"]})
    return silent


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--admin-key-file", required=True)
    arguments.add_argument("--posts", type=int, default=10_000)
    arguments.add_argument("--accounts", type=int, default=100)
    arguments.add_argument("--picture", type=pathlib.Path, default=SAMPLE)
    given = arguments.parse_args()
    server, picture = Server(given.url, given.admin_key_file), given.picture.read_bytes()
    pdq = make_bank(server, picture)
    seen = {"quarantined": 0, "review_items": set()}
    silent = {
        "/match": look_up(server, pdq, given.posts),
        "one account": post(server, picture, given.posts, lambda _: "one", seen),
    }
    time.sleep(SETTLES)
    by_one = seen["quarantined"]
    silent["many accounts"] = post(server, picture, given.posts, lambda number: f"account-{number % given.accounts}", seen)
    time.sleep(SETTLES)
    silent["afterwards"] = post(server, picture, 10, lambda _: "one", seen)
    silent["/match afterwards"] = look_up(server, pdq, 10)
    print(f"{given.posts} posts each; {seen['quarantined']} answers said that the item is quarantined; {len(seen['review_items'])} review items")
    server.need("DELETE", f"/banks/{BANK}")
    failures = [f"{count} silent answers: {what}" for what, count in silent.items() if count]
    if by_one:
        failures.append("one account and look-ups put the item in quarantine")
    if len(seen["review_items"]) > 1:
        failures.append(f"reviewers have {len(seen['review_items'])} items of one cluster")
    verdict(failures)


if __name__ == "__main__":
    main()
