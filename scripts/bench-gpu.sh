#!/usr/bin/env bash
# Measures the GPU stages on this machine's device and writes the raw figures as JSON. Needs no network and builds nothing: give it the
# program that `cargo build --release --bench kernels` made (on any x86-64 Linux machine), and Python 3.
# usage: scripts/bench-gpu.sh KERNELS-PROGRAM [FOLDER OF PICTURES, default scripts/samples] [RESULT.json, default benches/results/gpu.json]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -x "${1:-}" ]] || { echo "usage: scripts/bench-gpu.sh KERNELS-PROGRAM [FOLDER] [RESULT.json]; see the head of this script" >&2; exit 2; }
KERNELS=$(realpath "$1")
result=${3:-benches/results/gpu.json}
mkdir -p "$(dirname "$result")"
export KERNELS XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
PYTHONDONTWRITEBYTECODE=1 python3 scripts/bench/gpu.py "${2:-scripts/samples}" "$result"
