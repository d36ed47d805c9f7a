"""Installs what the manifests under models/ name; started by scripts/fetch.sh, which says how.

    <home>/lib/libonnxruntime.so         from models/onnxruntime.toml
    <home>/models/<model>/               manifest, labels and card copied; files of wheels extracted, committed ones copied

A file is trusted only by its SHA-256. It is written under a temporary name, checked, and renamed, so that an interrupted
run leaves either nothing or the right file. A wheel is checked too, kept until its files are extracted, then deleted.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

INSTALLED_TEXTS = ("CARD.md", "labels.txt", "manifest.toml")  # the manifest last: its presence says the folder is whole


def say(text: str) -> None:
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> None:
    sys.exit(f"fetch: error: {text}")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and digest(path) == sha256


def install(path: Path, sha256: str, write) -> None:
    """Lets `write(file)` fill a temporary file beside `path`, checks it, and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            found = digest(part)
            if found != sha256:
                fail(f"{path.name} has SHA-256 {found}, the manifest says {sha256}; nothing was installed")
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def pip(home: Path) -> list[str]:
    """A command that runs pip: this Python's, or one in an own virtual environment."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    python = home / "pip" / "bin" / "python"
    if not (python.is_file() and subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0):
        say("making a virtual environment for pip")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", home / "pip"], stdout=subprocess.DEVNULL)
        if made.returncode != 0:
            fail("neither pip nor venv is there (Debian: apt-get install python3-venv)")
    return [str(python), "-m", "pip"]


def wheel(source: dict, home: Path) -> Path:
    """The verified wheel of `source`, downloaded unless an interrupted run left it."""
    kept = home / "wheels" / f"{source['wheel']}-{source['version']}-{source['wheel_sha256'][:12]}.whl"
    if is_right(kept, source["wheel_sha256"]):
        return kept
    requirement = f"{source['wheel']}=={source['version']}"
    say(f"downloading {requirement}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        command = pip(home) + ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        if not sys.stderr.isatty():
            command += ["--progress-bar", "off"]
        for option in ("python_version", "pip_platform"):
            if option in source:
                command += [f"--{option.removeprefix('pip_').replace('_', '-')}", source[option]]
        got = subprocess.run(command + ["--dest", folder, requirement], stdout=sys.stderr)
        found = list(Path(folder).glob("*.whl"))
        if got.returncode != 0 or len(found) != 1:
            fail(f"pip could not download {requirement} (its own message stands above); run this again to go on")
        with found[0].open("rb") as file:
            install(kept, source["wheel_sha256"], lambda part: shutil.copyfileobj(file, part))
    return kept


def fetch(path: Path, file: dict, origin: Path, home: Path) -> list[Path]:
    """Installs one file; returns the wheels that are no longer needed."""
    if is_right(path, file["sha256"]):
        return []
    if "source" not in file:
        with origin.open("rb") as committed:
            install(path, file["sha256"], lambda part: shutil.copyfileobj(committed, part))
        say(f"installed {path.relative_to(home)}")
        return []
    archive = wheel(file["source"], home)
    with zipfile.ZipFile(archive) as members, members.open(file["source"]["member"]) as member:
        install(path, file["sha256"], lambda part: shutil.copyfileobj(member, part))
    say(f"installed {path.relative_to(home)} ({file['bytes'] / 1e6:.1f} MB)")
    return [archive]


def main() -> None:
    arguments = argparse.ArgumentParser(prog="scripts/fetch.sh", description="Fetch ONNX Runtime and the models, by SHA-256.")
    arguments.add_argument("--models", type=Path, required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--default-home", type=Path, required=True, help=argparse.SUPPRESS)
    arguments.add_argument("--home", type=Path, help="where to install (default: .nightlight in the repository)")
    chosen = arguments.parse_args()
    home = (chosen.home or chosen.default_home).resolve()
    home.mkdir(parents=True, exist_ok=True)

    with (home / "fetch.lock").open("w") as lock:  # two runs at once would only waste the network
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is at work here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)

        runtime = tomllib.loads((chosen.models / "onnxruntime.toml").read_text())
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
        if platform.system() != "Linux" or machine not in runtime["platform"]:
            fail(f"no ONNX Runtime is pinned for {platform.system()} {machine}; models/onnxruntime.toml has Linux on {', '.join(runtime['platform'])}")
        used = fetch(home / "lib" / runtime["file"], runtime["platform"][machine], chosen.models, home)

        for manifest in sorted(chosen.models.glob("*/manifest.toml")):
            model = tomllib.loads(manifest.read_text())
            target = home / "models" / model["name"]
            for file in model["file"]:
                used += fetch(target / file["name"], file, manifest.parent / file["name"], home)
            for name in INSTALLED_TEXTS:
                text = manifest.parent / name
                if text.is_file():
                    sha256 = digest(text)
                    if not is_right(target / name, sha256):
                        install(target / name, sha256, lambda part, text=text: part.write(text.read_bytes()))
        for archive in set(used):
            archive.unlink(missing_ok=True)
        say(f"ONNX Runtime {runtime['version']} and the models are in {home}")


if __name__ == "__main__":
    main()
