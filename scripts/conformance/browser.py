#!/usr/bin/env python3
"""What is looked at of random files, against what Chromium shows of them on a white and on a black page.

usage: browser.py [--count 600] [--seed N] [--keep FOLDER] [--kinds gif,webp,…]   (needs Chromium, Pillow 13 and NumPy)

Files are those of `frames.py`. Chromium's ImageDecoder reads each frame of an animation, an image element each still, and a canvas shows it on both pages; each page must be among
what we look at of that frame (pixels, on white, on black, and the same of what viewers draw): to the bit for GIF, within a few levels where colours are
mixed, and in the mean for WebP, whose chroma Chromium spreads in another way. ImageDecoder does not turn pictures upright, so one page may be the other
turned; it leaves out an alpha that a WebP animation's header denies, which pages do not; of a PNG whose first image is apart from its animation it gives the animation alone. Chromium is talked to on loopback alone. Without a seed, a fresh one is taken and printed. Exit 1 when a page is not looked at.
"""
import argparse
import base64
import collections
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import numpy as np

import frame_files
from frames import ask
from png_files import png

MAKERS = {"gif": frame_files.gif, "gif-pillow": frame_files.gif_by_pillow, "webp": frame_files.webp, "webp-pillow": frame_files.webp_by_pillow,
          "png": png, "profiled": frame_files.profiled}
TYPES = {b"GIF": "image/gif", b"RIF": "image/webp", b"\x89PN": "image/png", b"\xff\xd8\xff": "image/jpeg"}
PAGE = """<!doctype html><script>
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
function text(array) { let out = ""; for (let at = 0; at < array.length; at += 8192) out += String.fromCharCode(...array.subarray(at, at + 8192)); return btoa(out); }
function pages(picture, width, height) {
  return ["white", "black"].map(page => {
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", {willReadFrequently: true});
    context.fillStyle = page; context.fillRect(0, 0, width, height); context.drawImage(picture, 0, 0);
    return text(context.getImageData(0, 0, width, height).data);
  });
}
async function look({type, data}) {
  const decoder = new ImageDecoder({type, data: bytes(data)}), frames = [];
  try {
    await decoder.tracks.ready; await decoder.completed;
    const count = decoder.tracks.selectedTrack.frameCount;
    if (count == 1 && !decoder.tracks.selectedTrack.animated) {
      const image = new Image();
      image.src = `data:${type};base64,${data}`;
      await image.decode();
      return {frames: [{width: image.naturalWidth, height: image.naturalHeight, pages: pages(image, image.naturalWidth, image.naturalHeight)}]};
    }
    for (let frameIndex = 0; frameIndex < count; frameIndex++) {
      const {image} = await decoder.decode({frameIndex});
      frames.push({width: image.displayWidth, height: image.displayHeight, pages: pages(image, image.displayWidth, image.displayHeight)});
      image.close();
    }
  } catch { /* what it does not show */ }
  return {frames};
}
(async () => {
  const files = await (await fetch("/files")).json();
  for (let at = 0; at < files.length; at += 20)
    await fetch("/seen", {method: "POST", body: JSON.stringify(await Promise.all(files.slice(at, at + 20).map(look)))});
  await fetch("/done", {method: "POST"});
})();
</script>"""


def chromium_shows(files):
    """For each (type, bytes): frames of (white, black) arrays, as far as it decodes them."""
    seen, done = [], threading.Event()
    listed = json.dumps([{"type": kind, "data": base64.b64encode(data).decode()} for kind, data in files]).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body, kind="application/json"):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(*((listed,) if self.path == "/files" else (PAGE.encode(), "text/html")))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/seen":
                seen.extend(json.loads(body))
            else:
                done.set()
            self.answer(b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = subprocess.Popen(
            [os.environ.get("CHROMIUM", "chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
             "--force-color-profile=srgb", f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done.wait(60 + len(files))
        browser.terminate()
        browser.wait()
    server.shutdown()
    if len(seen) != len(files):
        sys.exit(f"Chromium answered for {len(seen)} of {len(files)} files")
    for file in seen:
        frames = []
        for frame in file["frames"]:
            arrays = [np.frombuffer(base64.b64decode(page), np.uint8).reshape(frame["height"], frame["width"], 4)[:, :, :3] for page in frame["pages"]]
            frames.append(arrays)
        yield frames


def on(page, rgb, alpha):
    if alpha is None:
        return rgb
    alpha = alpha[:, :, None].astype(int)
    return ((rgb * alpha + page * (255 - alpha) + 127) // 255).astype(np.uint8)


def looks(frame, drawn):
    for rgb, alpha in [frame[:2]] + ([drawn] if drawn else []):
        yield rgb
        yield on(255, rgb, alpha)
        yield on(0, rgb, alpha)


def turned(page):
    for mirrored in (page, page[:, ::-1]):
        for quarters in range(4):
            yield np.rot90(mirrored, quarters)


def distance(look, page, kind):
    if look.shape != page.shape:
        return 256
    apart = np.abs(look.astype(int) - page)
    return apart.mean() if kind.startswith("webp") or kind == "profiled" else apart.max()


def judge(kind, theirs, ours, last):
    """What Chromium shows and we do not look at. What we say we cannot look at, and what Chromium does not show, is right."""
    if "error" in last or "failed" in last:
        return None
    apart = len(ours) - len(theirs) if kind == "png" else 0
    for number, pages in enumerate(theirs, apart):
        if not 0 <= number < len(ours):
            return f"frame {number} was not looked at"
        seen = list(looks(ours[number], last["drawn"].get(number)))
        for name, page in zip(("white", "black"), pages):
            nearest = min(distance(look, turn, kind) for look in seen for turn in turned(page))
            # Chromium multiplies by alpha in 8 bits and mixes again. What a mild profile does is not looked at (`media/colours.rs` says what mild is).
            if nearest > (0 if kind.startswith("gif") else 40 if kind == "profiled" else 4):
                return f"frame {number} on {name}: the nearest look differs by {nearest:.1f}"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=600)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments.add_argument("--keep", help="a folder for the files that differ")
    arguments.add_argument("--kinds", default=",".join(MAKERS))
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    if arguments.keep:
        pathlib.Path(arguments.keep).mkdir(parents=True, exist_ok=True)
    kinds, bad, shown = arguments.kinds.split(","), collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder, files = pathlib.Path(folder), []
        for number in range(arguments.count):
            kind = kinds[number % len(kinds)]
            made = MAKERS[kind](np.random.default_rng([arguments.seed, number]))
            data = made[0] if isinstance(made, tuple) else made
            file = folder / f"{number:06d}.{kind}"
            file.write_bytes(data)
            files.append((file, kind, data))
        theirs = chromium_shows([(TYPES[data[:3]], data) for _, _, data in files])
        for (file, kind, data), frames, (ours, last) in zip(files, theirs, ask([file for file, _, _ in files], folder)):
            wrong = judge(kind, frames, ours, last)
            shown[kind] += len(frames)
            if wrong:
                bad[kind] += 1
                if bad[kind] <= 5:
                    print(f"{file.name}: {wrong}")
                if arguments.keep:
                    (pathlib.Path(arguments.keep) / file.name).write_bytes(data)
    print(f"seed {arguments.seed}: {arguments.count} files, {sum(shown.values())} frames shown by Chromium {dict(shown)}; not looked at {dict(bad) or 0}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
