#!/usr/bin/env python3
"""Work-amplifying files against `nightlight hash`: the processor time of each is held against what its bytes and pixels earn.

    scripts/attack/amplify.py [--count 10000] [--seed N] [--minutes M] [--formats tiff,png] [--nightlight target/release/nightlight] [--keep FOLDER]
    scripts/attack/amplify.py --server http://127.0.0.1:8080 --key-file .nightlight/data/admin.key --pid PID [...]

Files are made from the formats' options (`amplify_files.py`), from a seed: file N of seed S is always the same. Each may take

    50 ms + 400 ns per pixel of every frame + 20 ns per byte

of processor time, times the scale of this machine, which a calibration run gives: ordinary pictures through the same program, at the worst of a few, beside the figure of
the machine that the sum was made on. With --server files are posted to `/match` of a server on loopback, which stores nothing, and the time is that of the process PID.
Give it a release build, and a machine that does nothing else.

The worst ten are listed. Exit status 1 when a file takes more than it may, ends the program, or is answered by nothing; such files are kept in --keep.
Python's standard library alone.
"""
import argparse
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

from amplify_files import MAKERS, chunk

#: The sum, in nanoseconds.
FILE, PIXEL, BYTE = 50_000_000, 400, 20
#: What a pixel of the calibration's picture takes on the machine of the sum: decoding, three views, and a hash of each.
ORDINARY = 60
#: Files that one process looks at.
BATCH = 100
#: A file is looked at again, alone, when it took more than this share of what it may.
SUSPECT = 0.5
#: And so often while it takes more than all of it.
TRIES = 4
#: Nobody waits longer for a file.
PATIENCE = 120


def processor_time(pid):
    """Nanoseconds that a process's threads have run, those that ended among them if they ended before a moment ago."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Command:
    """`nightlight hash`, on one core: lines come in the order of the files."""

    def __init__(self, program):
        self.program = program
        self.environment = dict(os.environ, NIGHTLIGHT__ENGINE__BACKEND="cpu")

    def one_core(self):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def batch(self, paths):
        """The time of each file, as it is seen between two lines; less than all of them where the program ended."""
        process = subprocess.Popen([self.program, "hash", *paths], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment,
                                   preexec_fn=self.one_core)
        times, before = [], None
        for _ in process.stdout:
            now = processor_time(process.pid)
            times.append(now - (before or 0))
            before = now
        process.wait()
        return times

    def alone(self, path):
        """Nanoseconds of a process that looks at one file, and what it said; None where it said nothing."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            done = subprocess.run([self.program, "hash", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment,
                                  preexec_fn=self.one_core, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return PATIENCE * 10**9, None
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9
        lines = done.stdout.splitlines()
        return took, json.loads(lines[0]) if lines else None


class Server:
    """A running server, on loopback."""

    def __init__(self, url, key, pid):
        self.url, self.key, self.pid = url.rstrip("/"), key, pid

    def batch(self, paths):
        return [self.alone(path)[0] for path in paths]

    def alone(self, path):
        with open(path, "rb") as file:
            body = file.read()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/octet-stream"}
        before = processor_time(self.pid)
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + "/match", body, headers), timeout=PATIENCE) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
        except OSError:
            said = None
        return processor_time(self.pid) - before, said


def ordinary(width, height):
    """A picture with transparency and some detail, as every program writes it."""
    row = b"\1" + b"".join(bytes([x * 7 & 31, x & 63, x >> 4 & 255, 200 + x % 50]) for x in range(width))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height, 6)) + chunk(b"IEND")


def calibrate(target, folder):
    """How many times slower than the sum's machine this one is, at least 1; and what a process takes before it looks at anything."""
    path = os.path.join(folder, "ordinary.png")
    with open(path, "wb") as file:
        file.write(ordinary(1, 1))
    start = min(target.alone(path)[0] for _ in range(3))
    with open(path, "wb") as file:
        file.write(ordinary(2000, 1500))
    took = max(target.alone(path)[0] for _ in range(3)) - start
    return max(1.0, took / (2000 * 1500) / ORDINARY), start


def made(seed, number, formats):
    name = formats[number % len(formats)]
    data, pixels = MAKERS[name](random.Random(f"{seed}/{number}"))
    return name, data, pixels


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--minutes", type=float, default=60, help="stop then, and say how far it came")
    parser.add_argument("--formats", default=",".join(MAKERS))
    parser.add_argument("--nightlight", default=os.environ.get("NIGHTLIGHT", "target/release/nightlight"))
    parser.add_argument("--server")
    parser.add_argument("--key-file")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--keep", default=".nightlight/amplify")
    return parser.parse_args()


def main():
    options = arguments()
    formats = options.formats.split(",")
    if options.server:
        if not options.server.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
            sys.exit("--server: loopback alone")
        with open(options.key_file) as file:
            target = Server(options.server, file.read().strip(), options.pid)
    else:
        target = Command(options.nightlight)
    until, wrong, results = time.monotonic() + 60 * options.minutes, [], []
    with tempfile.TemporaryDirectory() as folder:
        scale, start = calibrate(target, folder)
        print(f"seed {options.seed}; this machine takes {scale:.2f} times the sum's; a process takes {start / 1e6:.0f} ms to begin", flush=True)
        number = options.first
        while number < options.first + options.count and time.monotonic() < until:
            batch = range(number, min(number + BATCH, options.first + options.count))
            number = batch.stop
            files = []
            for at in batch:
                name, data, pixels = made(options.seed, at, formats)
                path = os.path.join(folder, f"{at:07}.{name}")
                with open(path, "wb") as file:
                    file.write(data)
                files.append((path, scale * (FILE + PIXEL * pixels + BYTE * len(data)), len(data), pixels))
            times = target.batch([path for path, *_ in files])
            for at, (path, most, length, pixels) in enumerate(files):
                took, said = times[at] if at < len(times) else most, True
                if took > SUSPECT * most:
                    # What else a machine does makes the same work slower, never faster.
                    for _ in range(TRIES):
                        again, said = target.alone(path)
                        took = min(took, again - start)
                        if said is None or took <= most:
                            break
                results.append((took / most, took / 1e6, most / 1e6, os.path.basename(path), length, pixels))
                if took > most or said is None:
                    wrong.append((path, said))
                    os.makedirs(options.keep, exist_ok=True)
                    os.replace(path, os.path.join(options.keep, f"{options.seed}-{os.path.basename(path)}"))
                elif os.path.exists(path):
                    os.remove(path)
    results.sort(reverse=True)
    print("of what it may   took ms   may ms  file             bytes      pixels")
    for share, took, most, name, length, pixels in results[:10]:
        print(f"{100 * share:13.1f} % {took:9.1f} {most:8.1f}  {name:15} {length:7} {pixels:11}")
    for path, said in wrong:
        print(f"WRONG: {os.path.basename(path)} {'was answered by nothing' if said is None else 'took more than it may'}; kept in {options.keep}")
    print(f"amplify: {len(results)} files, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
