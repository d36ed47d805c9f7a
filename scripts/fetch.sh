#!/usr/bin/env bash
# Puts ONNX Runtime's shared library and the models into .nightlight/ (or the folder given with --home DIR).
# Every file is pinned by version and SHA-256 in models/; what is there and right is kept, so a second run takes a second.
# Needs Python 3.11 or newer with pip or venv (Debian: python3 python3-venv).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "fetch: Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)" >&2
    exit 1
fi
exec "$python" -B "$root/scripts/fetch.py" --models "$root/models" --default-home "$root/.nightlight" "$@"
