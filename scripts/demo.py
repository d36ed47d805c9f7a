#!/usr/bin/env python3
"""Scores the sample attachments of a folder against a running server and prints a table.

usage: NIGHTLIGHT=binary DATA_DIR=folder URL=http://host:port demo.py FOLDER

First imports the PDQ hash of the folder's `known.jpg` into the bank DEMO, so that one sample is known material; `known-*` are edited copies.
"""
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".txt": "text/plain", ".json": "application/json"}


def score(url, key, path):
    request = urllib.request.Request(f"{url}/score", data=path.read_bytes(), method="POST")
    request.add_header("Content-Type", TYPES[path.suffix])
    request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path.name}: {error.code} {error.read().decode()}")


def main():
    folder, url = pathlib.Path(sys.argv[1]), os.environ["URL"]
    binary, data = os.environ["NIGHTLIGHT"], os.environ["DATA_DIR"]
    key = (pathlib.Path(data) / "admin.key").read_text().strip()
    run = lambda *words, **more: subprocess.run([binary, "--data-dir", data, *words], check=True, stdout=subprocess.PIPE, text=True, **more)
    known = json.loads(run("hash", str(folder / "known.jpg")).stdout)
    run("bank", "import", "--bank", "DEMO", "-", input=f"pdq {known['pdq']}\n")
    time.sleep(1)  # the running server polls for changed banks several times a second

    rows = [("sample", "kind", "route", "category", "priority", "why", "ms")]
    for path in sorted(path for path in folder.iterdir() if path.suffix in TYPES):
        answer = score(url, key, path)
        decision = answer["decision"]
        why = "; ".join(reason["text"] for reason in decision["reasons"])
        rows.append((path.name, answer["attachment"]["kind"], decision["route"], decision["category"], f"{decision['priority']:.2f}",
                     why if len(why) <= 78 else why[:77] + "…", f"{answer['timings_ms']['total']:.0f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    request = urllib.request.Request(f"{url}/review/items?limit=100", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        waiting = json.load(answer)["items"]
    print(f"\nin the review queue: {len(waiting)} item(s); see {url}/docs for the API")


if __name__ == "__main__":
    main()
