"""Takes turns between Nightlight's kernels (benches/kernels, over a pipe) and a peer in this process, and prints ratios.

Both sides run in one process tree at one time on one machine, A B A B, and their answers are compared first: a ratio of different answers
would mean nothing. Absolute times of a shared machine mean little, so what is reported is the median of the rounds' ratios.
"""
import json
import os
import statistics
import subprocess
import time


class Kernels:
    """The bench program, `cargo bench --no-run --bench kernels`; its path comes from the environment variable KERNELS."""

    def __init__(self):
        self.process = subprocess.Popen([os.environ["KERNELS"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        """The reply to one request; raises with the program's own words when it refuses."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        reply = json.loads(line) if line else {"error": "the kernels program ended"}
        if "error" in reply:
            raise RuntimeError(f"{request}: {reply['error']}")
        return reply

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(function, times):
    """The seconds of each of `times` calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def duel(name, ours, theirs, rounds=5, **facts):
    """Runs both in turn `rounds` times; each returns a list of seconds for the same work, of which the median counts. Prints and returns a row."""
    ratios, a, b = [], [], []
    for _ in range(rounds):
        a.append(statistics.median(ours()))
        b.append(statistics.median(theirs()))
        ratios.append(b[-1] / a[-1])
    row = {"bench": name, "ratio": round(statistics.median(ratios), 2), "ratios": [round(ratio, 2) for ratio in sorted(ratios)],
           "ours_ms": round(statistics.median(a) * 1e3, 4), "peer_ms": round(statistics.median(b) * 1e3, 4)} | facts
    print(json.dumps(row), flush=True)
    return row


def picture(width, height, seed=1):
    """RGB pixels that look like a photograph to a hash: soft shapes, edges and grain. [height, width, 3] uint8."""
    import numpy as np

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, x / width
    pixels = np.zeros((height, width, 3), np.float32)
    for _ in range(24):
        frequency, phase = rng.normal(0, 9, 2), rng.uniform(0, 6.28, 3)
        wave = (frequency[0] * x + frequency[1] * y)[..., None]
        pixels += np.sin(6.28 * wave + phase) * rng.uniform(4, 40)
    for _ in range(6):
        left, top = rng.uniform(0, 0.8, 2)
        box = (x > left) & (x < left + rng.uniform(0.05, 0.4)) & (y > top) & (y < top + rng.uniform(0.05, 0.4))
        pixels[box] += rng.uniform(-80, 80, 3)
    pixels += rng.normal(0, 4, pixels.shape)
    return np.clip(pixels + 128, 0, 255).astype(np.uint8)
