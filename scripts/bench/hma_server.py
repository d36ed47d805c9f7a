"""Hasher-Matcher-Actioner as its users run it, set up from nothing: a PostgreSQL cluster of its own and two gunicorns on loopback.

What `scripts/bench-hma.sh` installed stands in the folder HMA_HOME: `venv`, HMA's source in `src`. Two sync workers answer (`OMP_NUM_THREADS=1`, or
faiss's threads fight for the cores: the *tuned* variant; `tuned=False` leaves it out), one more process fetches and indexes, as HMA asks for when
there are several workers. jemalloc is preloaded as in its Dockerfile. The timers are HMA's own unless `timers` says otherwise.

Alone: `hma_server.py [--port 5100] [--fast]` serves until interrupted; `--fast` sets the timers to a second, for conformance checks.
"""
import argparse
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

# HMA's reference configuration (`development_omm_config.py`), with `local_file` beside its exchanges; secrets are for loopback only.
CONFIG = """
from logging.config import dictConfig

from OpenMediaMatch.storage.postgres.impl import DefaultOMMStore
from threatexchange.signal_type.pdq.signal import PdqSignal
from threatexchange.signal_type.md5 import VideoMD5Signal
from threatexchange.content_type.photo import PhotoContent
from threatexchange.content_type.video import VideoContent
from threatexchange.exchanges.impl.static_sample import StaticSampleSignalExchangeAPI
from threatexchange.exchanges.impl.file_api import LocalFileSignalExchangeAPI
from threatexchange.exchanges.impl.ncmec_api import NCMECSignalExchangeAPI
from threatexchange.exchanges.impl.stop_ncii_api import StopNCIISignalExchangeAPI
from threatexchange.exchanges.impl.fb_threatexchange_api import FBThreatExchangeSignalExchangeAPI

PRODUCTION = True
UI_ENABLED = True
ROLE_HASHER = ROLE_MATCHER = ROLE_CURATOR = True
INDEX_CACHE_MAX_STALE_SEC = 65
MAX_REMOTE_FILE_SIZE = 100 * 1024 * 1024
STORAGE_IFACE_INSTANCE = DefaultOMMStore(
    signal_types=[PdqSignal, VideoMD5Signal],
    content_types=[PhotoContent, VideoContent],
    exchange_types=[StaticSampleSignalExchangeAPI, LocalFileSignalExchangeAPI, FBThreatExchangeSignalExchangeAPI, NCMECSignalExchangeAPI,
                    StopNCIISignalExchangeAPI],
)
dictConfig({
    "version": 1,
    "formatters": {"default": {"format": "[%(asctime)s] %(levelname)s in %(module)s: %(message)s"}},
    "handlers": {"wsgi": {"class": "logging.StreamHandler", "stream": "ext://flask.logging.wsgi_errors_stream", "formatter": "default"}},
    "root": {"level": "INFO", "handlers": ["wsgi"]},
})
"""
# HMA's defaults, in seconds.
TIMERS = {"FETCHER": 240, "INDEXER": 60, "INDEX_CACHE": 30}
FAST = {"FETCHER": 2, "INDEXER": 1, "INDEX_CACHE": 1}
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"


class Hma:
    """A running HMA; `with Hma(home) as hma` starts it and ends what it started. `base` is its base URL."""

    def __init__(self, home, port=5100, timers=None, tuned=True, workers=2):
        self.home = pathlib.Path(home).absolute()
        self.port, self.database_port = port, port + 1
        self.timers = TIMERS | (timers or {})
        self.tuned, self.workers = tuned, workers
        self.base = f"http://127.0.0.1:{port}"
        self.postgres = self.web = self.jobs = None

    def __enter__(self):
        try:
            self.start_database()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        if self.postgres:
            # SIGINT is PostgreSQL's fast shutdown.
            self.postgres.send_signal(signal.SIGINT)
            self.postgres.wait(60)

    # The database

    def start_database(self):
        """Starts PostgreSQL; makes the cluster and HMA's tables when they are not there."""
        cluster = self.home / "postgres"
        # PostgreSQL refuses to run as root.
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if not (cluster / "PG_VERSION").is_file():
            cluster.mkdir(parents=True, exist_ok=True)
            if user:
                entry = pwd.getpwnam("postgres")
                os.chown(cluster, entry.pw_uid, entry.pw_gid)
            cluster.chmod(0o700)
            subprocess.run([binary("initdb"), "-D", cluster, "-U", "hma", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"], check=True, cwd="/",
                           stdout=subprocess.DEVNULL, **user)
        log = (self.home / "postgres.log").open("ab")
        self.postgres = subprocess.Popen(
            [binary("postgres"), "-D", cluster, "-p", str(self.database_port), "-c", "listen_addresses=127.0.0.1", "-k", cluster],
            stdout=log, stderr=log, cwd="/", **user)
        wait_for(lambda: self.postgres.poll() is not None or self.sql("select 1", database="postgres", quiet=True) is not None, 60,
                 "PostgreSQL does not answer: see postgres.log")
        if self.postgres.poll() is not None:
            raise RuntimeError("PostgreSQL ended at once, perhaps because another one has the folder: see postgres.log")
        if self.sql("select 1 from pg_database where datname = 'hma'", database="postgres") == "":
            self.sql("create database hma", database="postgres")
        environment = self.environment() | {"MIGRATION_COMMAND": "1"}
        self.flask("db", "upgrade", "--directory", str(self.source() / "OpenMediaMatch/migrations"), environment=environment)

    def sql(self, statement, database="hma", quiet=False, stdin=None):
        """What `psql` prints for this statement; `None` when it failed and that is no error."""
        command = [binary("psql"), "-h", "127.0.0.1", "-p", str(self.database_port), "-U", "hma", "-d", database, "-qAt", "-v", "ON_ERROR_STOP=1",
                   "-c", statement]
        done = subprocess.run(command, stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            if quiet:
                return None
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def empty(self):
        """Takes everything out of the database, indices included; their large objects are only freed by hand."""
        self.sql("truncate bank, bank_content, content_signal, signal_index, exchange, exchange_data, exchange_fetch_status cascade; "
                 "select count(lo_unlink(oid)) from pg_largeobject_metadata")

    def fill(self, bank, path):
        """Writes the hashes of a file (64 hex digits a line) into this bank, with the content ids 1, 2, …: rows as HMA writes them, by COPY."""
        self.sql(f"insert into bank (id, name, enabled_ratio) values (1, '{bank}', 1) on conflict do nothing")
        # The 1 of "enabled" (BankContentConfig.ENABLED).
        with subprocess.Popen(["awk", '{print NR "\\t1\\t1"}', path], stdout=subprocess.PIPE) as rows:
            self.sql("copy bank_content (id, bank_id, disable_until_ts) from stdin", stdin=rows.stdout)
        with subprocess.Popen(["awk", '{print NR "\\tpdq\\t" $1}', path], stdout=subprocess.PIPE) as rows:
            self.sql("copy content_signal (content_id, signal_type, signal_val) from stdin", stdin=rows.stdout)
        self.sql("select setval('bank_content_id_seq', (select max(id) from bank_content)); "
                 "select setval('bank_id_seq', 1); analyze")

    # HMA itself

    def source(self):
        return self.home / "src/hasher-matcher-actioner/src"

    def environment(self, **settings):
        config = self.home / "omm_config.py"
        config.write_text(CONFIG)
        environment = os.environ | {
            "OMM_CONFIG": str(config), "PYTHONPATH": str(self.source()), "PYTHONDONTWRITEBYTECODE": "1",
            "OMM_DATABASE_URI": f"postgresql+psycopg2://hma@127.0.0.1:{self.database_port}/hma",
        }
        if self.tuned:
            environment["OMP_NUM_THREADS"] = "1"
        if pathlib.Path(JEMALLOC).is_file():
            environment["LD_PRELOAD"] = JEMALLOC
        environment |= {f"OMM_TASK_{name}_INTERVAL_SECONDS": str(seconds) for name, seconds in self.timers.items()}
        return environment | {f"OMM_{name}": value for name, value in settings.items()}

    def flask(self, *arguments, environment=None):
        """Runs a command of HMA's own command line."""
        subprocess.run([self.home / "venv/bin/flask", "--app", "OpenMediaMatch.app", *arguments], check=True, env=environment or self.environment(),
                       cwd=self.home, stdout=(self.home / "flask.log").open("ab"), stderr=subprocess.STDOUT)

    def start(self, jobs=True):
        """Starts the workers, and the process of the background tasks; returns once the port answers."""
        log = self.home / "gunicorn.log"
        self.log_at = log.stat().st_size if log.is_file() else 0
        serving = self.environment(TASK_FETCHER="false", TASK_INDEXER="false", TASK_INDEX_CACHE="true")
        self.web = self.gunicorn(self.port, self.workers, serving)
        if jobs:
            working = self.environment(TASK_FETCHER="true", TASK_INDEXER="true", TASK_INDEX_CACHE="false")
            self.jobs = self.gunicorn(self.port + 2, 1, working)
        wait_for(lambda: self.get("/status/live"), 60, "HMA does not answer: see gunicorn.log")

    def loaded(self, seconds=600):
        """Waits until every worker has loaded the PDQ index; asking tells little, since the one that has it answers for the one that is busy."""
        def count():
            with (self.home / "gunicorn.log").open("rb") as log:
                log.seek(self.log_at)
                return log.read().count(b"CachedIndex[pdq] Updated checkpoint")
        return wait_for(lambda: count() >= self.workers, seconds, "HMA does not load its index: see gunicorn.log")

    def gunicorn(self, port, workers, environment):
        log = (self.home / "gunicorn.log").open("ab")
        command = [self.home / "venv/bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--timeout", "600",
                   "OpenMediaMatch.app:create_app()"]
        return subprocess.Popen(command, env=environment, cwd=self.home, stdout=log, stderr=log)

    def stop(self):
        """Ends the workers and the background tasks; the database stays up."""
        for process in (self.jobs, self.web):
            if process:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.web = self.jobs = None

    def get(self, path):
        """The body of an answer of status 200, else nothing."""
        try:
            with urllib.request.urlopen(self.base + path, timeout=30) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError):
            return None

    def roots(self):
        """The process ids under which everything of HMA runs, PostgreSQL included."""
        return [process.pid for process in (self.web, self.jobs, self.postgres) if process]


def binary(name):
    """A program of PostgreSQL; Debian keeps the server's out of the PATH."""
    found = shutil.which(name) or next(map(str, sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)
    if not found:
        sys.exit(f"no {name}: apt-get install postgresql")
    return found


def wait_for(condition, seconds, message):
    """Returns the seconds until the condition held."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise TimeoutError(message)
        time.sleep(0.1)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", default=os.environ.get("HMA_HOME", ".nightlight/hma"))
    parser.add_argument("--port", type=int, default=5100, help="this and the two after it are used")
    parser.add_argument("--fast", action="store_true", help="all timers at a second")
    parser.add_argument("--keep", action="store_true", help="keep what the database holds")
    options = parser.parse_args()
    hma = Hma(options.home, options.port, timers=FAST if options.fast else None)
    try:
        hma.start_database()
        if not options.keep:
            hma.empty()
        hma.start()
        print(hma.base, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        hma.__exit__()


if __name__ == "__main__":
    main()
