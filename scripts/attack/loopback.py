"""A small HTTP client of Nightlight for the attacks beside it; it speaks to loopback alone."""

import http.client
import json
import sys
import urllib.parse


class Server:
    """One key's connection."""

    def __init__(self, url, key_file):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            wrong("--url must be http:// on loopback: these programs attack nobody else")
        self.address = (parts.hostname, parts.port or 80)
        with open(key_file, encoding="ascii") as file:
            self.key = file.read().strip()
        self.connection = None
        # Seconds for an answer.
        self.patience = 120

    def close(self):
        """Goes away, whatever is under way."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def status(self, path):
        """Status of a page that needs no key, on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=self.patience)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def ask(self, method, path, body=None, kind="application/json"):
        """Status and JSON of one call; a connection that the server closed is opened again once."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": kind}
        for attempt in (0, 1):
            self.connection = self.connection or http.client.HTTPConnection(*self.address, timeout=self.patience)
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                data = answer.read()
                return answer.status, json.loads(data) if data else None
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if attempt:
                    raise

    def need(self, method, path, body=None, kind="application/json"):
        """JSON of a call that must succeed."""
        status, answer = self.ask(method, path, body, kind)
        if status >= 300:
            wrong(f"{method} {path}: {status} {answer}")
        return answer


def wrong(text):
    """Ends a program that could not attack."""
    print(text, file=sys.stderr)
    sys.exit(2)


def verdict(failures):
    """Ends a program with what it found."""
    for failure in failures:
        print(f"THE ATTACK SUCCEEDED: {failure}")
    if not failures:
        print("the server held")
    sys.exit(1 if failures else 0)
