"""HMA's API as HMA's own tests and blueprints define it, against any server that claims to speak it: only the base URL changes.

    hma.py http://127.0.0.1:5100 --server hma                            HMA itself (`bench/hma_server.py --fast` starts one)
    hma.py http://x:KEY@127.0.0.1:8080 --server nightlight               Nightlight; the key travels as HTTP Basic

Two groups of checks. *Compatible* ones (`hma_curation.py`, `hma_matching.py`, `hma_exchanges.py`) are the same for both servers; `--server` changes nothing in
them but how long a change may take to be in force (HMA rebuilds its index; Nightlight has a second). *Quirks* (`hma_quirks.py`) are the
places where HMA is wrong: what HMA answers, what Nightlight answers by default, and what it answers to `hma_strict=1`.

Checks that fetch a URL start a web server on 127.0.0.1:PORT (`--content-port`); Nightlight must be told to fetch from there
(`outbound.url_fetch`, `allow_networks`, `ports`), and without the option they are skipped. Checks of exchanges that follow their source
need `exchange.interval_s = 1` there, and HMA's fast timers here. Exit status: 0 all passed, 1 some failed.
Standard library only. Banks and exchanges that it makes begin with `T_` and are deleted again; nothing else is touched.
"""
import argparse
import base64
import functools
import hashlib
import http.client
import http.server
import importlib
import json
import pathlib
import re
import secrets
import sys
import threading
import time
import traceback
import urllib.parse

SAMPLES = pathlib.Path(__file__).resolve().parent.parent / "samples"
# HMA's own examples (`PdqSignal.get_examples`): a picture of Meta's and an edit of it, 9 bits apart, and an unrelated one.
SPECIMEN = "facd8bcb2a49bcebdec1985298d5fe84bcd006c187c598c720c3c087b3fdb318"
SPECIMEN_EDIT = "facd8bcb2a49bcebdec1985228d5ae84bcd006c187c598c720c2b087b3fdb318"
UNRELATED = "e64cc9d91c623882f8d1f1d9a398e78c9f199b3bd83924f2b7e11e0bf861b064"


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def type(self):
        return self.headers.get_content_type()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300].decode(errors='replace')}"


class Api:
    """A client of HMA's API at one base URL; `suffix` is added to every query (`hma_strict=1`)."""

    def __init__(self, base, settle, suffix=""):
        parts = urllib.parse.urlsplit(base)
        self.host, self.port, self.prefix = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self.headers = {}
        if parts.password:
            pair = f"{urllib.parse.unquote(parts.username or '')}:{urllib.parse.unquote(parts.password)}"
            self.headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        self.settle, self.suffix = settle, suffix

    def call(self, verb, path, query=None, body=None, headers=None):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        if self.suffix:
            path += ("&" if "?" in path else "?") + self.suffix
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(verb, self.prefix + path, body=body, headers=self.headers | (headers or {}))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **query):
        return self.call("GET", path, query)

    def delete(self, path):
        return self.call("DELETE", path)

    def post(self, path, value=None, **query):
        return self.call("POST", path, query, json.dumps(value), {"Content-Type": "application/json"})

    def put(self, path, value, **query):
        return self.call("PUT", path, query, json.dumps(value), {"Content-Type": "application/json"})

    def upload(self, path, files, fields=(), **query):
        """A form; `files` are pairs of field name and bytes, `fields` pairs of name and text."""
        boundary = "conformance" + secrets.token_hex(8)
        parts = [(f'name="{name}"; filename="file"\r\nContent-Type: application/octet-stream', data) for name, data in files]
        parts += [(f'name="{name}"', text.encode()) for name, text in fields]
        body = b"".join(f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
        return self.call("POST", path, query, body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    # What most checks need

    def bank(self, **settings):
        """A new bank's name."""
        name = "T_" + secrets.token_hex(6).upper()
        status(self.post("/c/banks", {"name": name} | settings), 201)
        return name

    def signal(self, bank, **signals):
        """Adds content by its signals; its id."""
        answer = status(self.post(f"/c/bank/{bank}/signal", signals), 200, 201)
        return answer.json["id"]

    def lookup(self, pdq, **query):
        """What a lookup answers, by bank."""
        return status(self.get("/m/lookup", signal_type="pdq", signal=pdq, **query), 200).json

    def until(self, what, condition):
        """Waits until a change is in force everywhere: the condition has to hold eight times running, since HMA's workers learn of it one
        after the other."""
        end = time.monotonic() + self.settle
        run = 0
        while run < 8:
            run = run + 1 if condition() else 0
            if run == 0:
                if time.monotonic() > end:
                    raise AssertionError(f"not within {self.settle} s: {what}")
                time.sleep(0.05)


# Assertions that say what came

def equal(got, expected, what="answer"):
    assert got == expected, f"{what}: got {got!r}, expected {expected!r}"


def status(answer, *expected):
    assert answer.status in expected, f"status {' or '.join(map(str, expected))} expected, got {answer!r}"
    return answer


def message(answer, *expected):
    """An error as HMA sends it: this status and `{"message": text}`."""
    status(answer, *expected)
    assert answer.type == "application/json", f"{answer.type} instead of JSON: {answer!r}"
    body = answer.json
    assert isinstance(body, dict) and isinstance(body.get("message"), str) and body["message"], f"no message: {answer!r}"
    return answer


def includes(got, expected, what="answer"):
    """A dictionary that has at least these entries."""
    assert isinstance(got, dict), f"{what}: no object: {got!r}"
    for key, value in expected.items():
        assert key in got and got[key] == value, f"{what}: {key} should be {value!r} in {got!r}"


def flip(hash_hex, bits):
    """The PDQ hash in which the first `bits` bits are turned over."""
    return f"{int(hash_hex, 16) ^ ((1 << bits) - 1):064x}"


def random_pdq():
    """A hash that is far from any other."""
    return secrets.token_hex(32)


@functools.cache
def sample(name):
    return (SAMPLES / name).read_bytes()


def md5(data):
    return hashlib.md5(data).hexdigest()


class Content:
    """A web server with the samples on loopback; `/bare/NAME` answers without a Content-Type, `/to?URL` redirects."""

    def __init__(self, port):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/to?"):
                    self.send_response(302)
                    self.send_header("Location", self.path[4:])
                    self.end_headers()
                    return
                name = self.path.rsplit("/", 1)[-1]
                if not (SAMPLES / name).is_file():
                    return self.send_error(404)
                self.send_response(200)
                if not self.path.startswith("/bare/"):
                    self.send_header("Content-Type", "image/jpeg" if name.endswith(".jpg") else "text/plain")
                self.send_header("Content-Length", str(len(sample(name))))
                self.end_headers()
                self.wfile.write(sample(name))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


# The web server of checks that fetch, when there is one.
CONTENT = None
# The list of checks: name, function, whether it needs the web server.
CHECKS = []


def check(function=None, *, fetches=False):
    """Lists a function as a check; its name is the function's with spaces."""
    def add(function):
        CHECKS.append((function.__name__.replace("_", " "), function, fetches))
        return function
    return add(function) if function else add


class Tally:
    """Counts, and prints a line for each failure."""

    def __init__(self, only):
        self.passed = self.failed = self.skipped = 0
        self.only = re.compile(only or "")

    def run(self, name, function, skip=False):
        if not self.only.search(name):
            return
        if skip:
            self.skipped += 1
            return
        try:
            function()
            self.passed += 1
        except Exception as error:  # Whatever goes wrong in a check is that check's failure.
            self.failed += 1
            # The last line of a check, which stands in another file than this one.
            lines = [line for line in traceback.extract_tb(error.__traceback__) if line.filename != __file__]
            where = f" ({pathlib.Path(lines[-1].filename).name}:{lines[-1].lineno})" if lines else ""
            text = str(error) if isinstance(error, AssertionError) else repr(error)
            print(f"FAILED {name}{where}: {text}", flush=True)


def fill(api):
    """A bank that stands all the while: HMA's index of a lone hash answers nothing (see `hma_quirks.py`), which is no business of other checks."""
    api.post("/c/banks", {"name": "T_FILLER"})
    for _ in range(3):
        api.signal("T_FILLER", pdq=random_pdq())


def sweep(api, everything=False):
    """Deletes what earlier checks left."""
    for name in api.get("/c/exchanges").json if api.get("/c/exchanges").status == 200 else []:
        if name.startswith("T_"):
            api.delete(f"/c/exchange/{name}")
    for bank in api.get("/c/banks").json:
        if bank["name"].startswith("T_") and (everything or bank["name"] != "T_FILLER"):
            api.delete(f"/c/bank/{bank['name']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="base URL of the server, with its key as password if it has one")
    parser.add_argument("--server", choices=["hma", "nightlight"], required=True)
    parser.add_argument("--settle", type=float, help="seconds until a change must be in force; default 150 for HMA, 1 for Nightlight")
    parser.add_argument("--content-port", type=int, help="port of the web server for checks that fetch a URL")
    parser.add_argument("--only", help="regular expression: only checks whose name matches")
    options = parser.parse_args()
    settle = options.settle if options.settle is not None else {"hma": 150, "nightlight": 1}[options.server]

    # Importing them lists them.
    for module in ["hma_curation", "hma_matching", "hma_exchanges", "hma_quirks"]:
        importlib.import_module(module)
    global CONTENT
    CONTENT = Content(options.content_port) if options.content_port else None
    tally = Tally(options.only)
    api = Api(options.base, settle)
    sweep(api, everything=True)
    fill(api)
    for name, function, fetches in CHECKS:
        tally.run(name, lambda: function(api), skip=fetches and not CONTENT)
        sweep(api)
    for quirk in sys.modules["hma_quirks"].QUIRKS:
        ways = ["hma"] if options.server == "hma" else ["default", "strict"]
        for way in ways:
            asked = Api(options.base, settle, "hma_strict=1" if way == "strict" else "")
            tally.run(f"quirk, {way}: {quirk.name}", lambda: quirk.hold(asked, way), skip=quirk.fetches and not CONTENT)
            sweep(api)
    sweep(api, everything=True)
    skipped = f", {tally.skipped} skipped (they need --content-port)" if tally.skipped else ""
    print(f"{tally.passed} passed, {tally.failed} failed{skipped}")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    # The other files import this one by its name.
    sys.modules["hma"] = sys.modules["__main__"]
    main()
