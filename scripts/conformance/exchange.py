#!/usr/bin/env python3
"""Holds the readers and writers of hash lists against Meta's python-threatexchange, where both know the format, through the command line.

usage: NIGHTLIGHT=target/release/nightlight exchange.py [--count 40] [--seed 1]   (needs threatexchange)

Lists of random signals in the formats of NCMEC, ThreatExchange, StopNCII and of local files are made here, read by both, and compared as sets of (type, signal);
then the bank is exported in each format, read by python-threatexchange, and compared with the bank. Deleted, withdrawn and unmatched entries are among them.
Known difference: python-threatexchange never drops a withdrawn StopNCII record, because it looks for the status in the hash (stop_ncii_api.py); the
record's own status is asked here. A wrong twin (one digit of one signal changed) has to be found every time. Exit 1 when anything differs.
"""
import argparse
import collections
import csv
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import dacite
import enum
from threatexchange.exchanges.clients.fb_threatexchange.threat_updates import ThreatUpdateJSON
from threatexchange.exchanges.clients.ncmec.hash_api import GetEntriesResponse, _XMLWrapper
from threatexchange.exchanges.clients.stopncii.api import StopNCIICaseStatus, StopNCIIHashRecord, StopNCIISignalType
from threatexchange.exchanges.impl.fb_threatexchange_api import FBThreatExchangeIndicatorRecord
from threatexchange.exchanges.impl.file_api import FileCollaborationConfig, LocalFileSignalExchangeAPI

BINARY = os.environ.get("NIGHTLIGHT", "target/release/nightlight")
NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
failures = collections.Counter()
checks = collections.Counter()


def run(folder, *words, stdin=""):
    done = subprocess.run([os.path.abspath(BINARY), "--data-dir", "d", *words], cwd=folder, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def ours(folder, bank, text):
    """What our bank holds after importing a list."""
    run(folder, "bank", "import", "--bank", bank, "-", stdin=text)
    rows = csv.DictReader(io.StringIO(run(folder, "bank", "export", "--bank", bank, "--format", "csv")))
    return {(row["signal_type"], row["signal"]) for row in rows}


def check(what, theirs, found):
    checks[what] += 1
    if theirs != found:
        failures[what] += 1
        print(f"{what}: {len(theirs)} expected, {len(found)} found, {len(theirs ^ found)} differ")
    # A check that cannot fail is none.
    kind, signal = next(iter(theirs))
    twin = (theirs - {(kind, signal)}) | {(kind, ("0" if signal[0] != "0" else "1") + signal[1:])}
    if twin == found:
        failures[f"{what}: wrong twin"] += 1


def digits(rng, count):
    return "".join(rng.choice("0123456789abcdef") for _ in range(count))


def of_ncmec(text):
    root = ET.fromstring(text)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    found = set()
    for update in GetEntriesResponse.from_xml(_XMLWrapper(root), 0).updates:
        if not update.deleted:
            found |= {(kind, value) for kind, value in update.fingerprints.items() if kind in ("md5", "sha1", "sha256", "pdq")}
    return found


def of_threatexchange(text):
    kinds = {"HASH_PDQ": "pdq", "HASH_MD5": "md5", "HASH_VIDEO_MD5": "md5", "HASH_SHA1": "sha1", "HASH_SHA256": "sha256"}
    found = set()
    for raw in json.loads(text)["data"]:
        update = ThreatUpdateJSON(raw)
        record = FBThreatExchangeIndicatorRecord.from_threatexchange_json(1, update)
        if record is not None and update.threat_type in kinds:
            if record.get_as_aggregate_opinion().category.name != "NEGATIVE_CLASS":
                found.add((kinds[update.threat_type], update.indicator))
    return found


def of_stopncii(text):
    kinds = {StopNCIISignalType.ImagePDQ: "pdq", StopNCIISignalType.VideoMD5: "md5"}
    gone = (StopNCIICaseStatus.Withdrawn, StopNCIICaseStatus.Deleted)
    found = set()
    for raw in json.loads(text)["hashRecords"]:
        record = dacite.from_dict(StopNCIIHashRecord, raw, config=dacite.Config(cast=[enum.Enum, set]))
        if record.signalType in kinds and record.hashStatus not in gone:
            found.add((kinds[record.signalType], record.hashValue))
    return found


def of_file(folder, text):
    path = pathlib.Path(folder) / "list.txt"
    path.write_text(text)
    api = LocalFileSignalExchangeAPI(FileCollaborationConfig(name="x", api="local_file", enabled=True, filename=str(path)))
    found = set()
    for delta in api.fetch_iter([], None):
        found |= {(kind.replace("video_md5", "md5"), signal) for kind, signal in delta.updates if kind in ("pdq", "md5", "video_md5", "sha1", "sha256")}
    return found


def make_ncmec(rng, size):
    parts = [f'<?xml version="1.0" encoding="UTF-8"?><queryResult xmlns="{NAMESPACE}">']
    for group, tag in (("images", "image"), ("videos", "video")):
        parts.append(f'<{group} count="{size}" maxTimestamp="2017-10-24T15:10:00Z">')
        for number in range(size):
            name = escape(rng.choice(["Member", "A & B", "<x>"]))
            head = f'<member id="{rng.randint(1, 99)}">{name}</member><id>{tag}{number}</id>'
            if rng.random() < 0.1:
                parts.append(f"<deleted{tag.title()}>{head}</deleted{tag.title()}>")
                continue
            prints = f"<md5>{digits(rng, 32)}</md5>"
            if rng.random() < 0.5:
                prints += f"<sha1>{digits(rng, 40)}</sha1>"
            if rng.random() < 0.5:
                prints += f"<pdq>{digits(rng, 64)}</pdq>"
            if rng.random() < 0.2:
                prints += '<tmk-pdqf rel="self" href="/v2/entries/1/fingerprints/TMK_PDQF"/>'
            parts.append(f"<{tag}>{head}<classification>A1</classification><fingerprints>{prints}</fingerprints></{tag}>")
        parts.append(f"</{group}>")
    return "".join(parts) + "</queryResult>"


def make_threatexchange(rng, size):
    data = []
    for number in range(size):
        kind, length = rng.choice([("HASH_PDQ", 64), ("HASH_MD5", 32), ("HASH_VIDEO_MD5", 32), ("HASH_SHA256", 64), ("URI", 20)])
        descriptors = [
            {"id": str(number * 10 + at), "owner": {"id": str(rng.randint(1, 9))}, "status": rng.choice(["MALICIOUS", "NON_MALICIOUS", "UNKNOWN"]), "tags": ["t"]}
            for at in range(rng.randint(1, 3))
        ]
        update = {"id": str(number), "indicator": digits(rng, length), "type": kind, "last_updated": number, "should_delete": rng.random() < 0.1}
        if rng.random() < 0.9:
            update["descriptors"] = {"data": descriptors}
        data.append(update)
    return json.dumps({"data": data})


def make_stopncii(rng, size):
    records = []
    for number in range(size):
        kind, length = rng.choice([("ImagePDQ", 64), ("VideoMD5", 32), ("URL", 20)])
        status = rng.choice(["Active", "Received", "Active", "Withdrawn", "Deleted"])
        records.append({"lastModtimestamp": number, "hashValue": digits(rng, length), "hashStatus": status, "caseNumbers": {"c": status}, "signalType": kind})
    return json.dumps({"count": size, "hashRecords": records})


def make_file(rng, size):
    lines = []
    for _ in range(size):
        kind, length = rng.choice([("pdq", 64), ("video_md5", 32), ("raw_text", 10)])
        lines.append(f"{kind} {digits(rng, length)}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        readers = {
            "ncmec": (make_ncmec, of_ncmec),
            "threatexchange": (make_threatexchange, of_threatexchange),
            "stopncii": (make_stopncii, of_stopncii),
            "lines": (make_file, lambda text: of_file(folder, text)),
        }
        for number in range(options.count):
            for format, (make, theirs) in readers.items():
                bank = f"{format} {number}"
                text = make(rng, rng.randint(5, 60))
                held = ours(folder, bank, text)
                check(f"read {format}", theirs(text), held)
                # What a format cannot hold is left out by both.
                for written, (_, read) in readers.items():
                    exported = run(folder, "bank", "export", "--bank", bank, "--format", written)
                    kinds = {"stopncii": ("pdq", "md5")}.get(written, ("pdq", "md5", "sha1", "sha256"))
                    wanted = {(kind, signal) for kind, signal in held if kind in kinds}
                    if wanted:
                        check(f"write {written}", wanted, read(exported))
    for what, count in sorted(checks.items()):
        print(f"{what}: {count - failures[what]} of {count} lists equal")
    print("differences:", sum(failures.values()))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
