#!/usr/bin/env bash
# Measures Nightlight against its peers on this machine, interleaved in one run, and prints ratios; answers are checked to be equal first.
# Absolute figures of a shared machine mean little.
#   score       the whole of POST /score against what a competent Python team would run (baseline_server.py): same ONNX Runtime, model, bank, files
#   pdq         pixels to hashes against Meta's C++        files    files to hashes against threatexchange's way, as many processes as cores
#   preprocess  pixels to a tensor against Pillow          hamming  hash search against faiss
#   calibrate   ten million scores to a certificate against pandas, numpy, scipy and scikit-learn
#   evaluate    ten million scores to bootstrap intervals, clusters of ten and items, against vectorised numpy
#   robustness  which altered pictures are found again, beside pdqhash and imagehash on the same files (no timing)
# usage: scripts/bench-peers.sh [--peers FOLDER, default ../shared/peers] [score|pdq|files|preprocess|hamming|calibrate|evaluate|robustness …, default all]
#   score: ROUNDS=5 SECONDS_EACH=10 CONNECTIONS=8 BANK_SIZE=1000000 FILES=48 SEED=1; hamming: BANKS="1000000 10000000";
#   calibrate: ROWS=10000000; evaluate: ROWS=10000000 REPLICATES=20; robustness: SCENES=200
source "$(dirname "$0")/setup.sh"

peers=../shared/peers
if [[ "${1:-}" == --peers ]]; then peers=$2; shift 2; fi
peers=$(realpath "$peers")
parts=("${@:-}")
[[ -n "${parts[0]}" ]] || parts=(pdq preprocess files hamming calibrate evaluate robustness score)
[[ -f "$peers/baseline_server.py" ]] || die "no baseline_server.py in $peers: give the folder of the peers with --peers"

require_rust
install_packages wrk
scripts/fetch.sh
say "release build"
cargo build --release --locked --bin nightlight
nightlight=$PWD/target/release/nightlight
KERNELS=$(cargo build --release --locked --bench kernels --message-format=json 2>/dev/null |
  python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')
export KERNELS NIGHTLIGHT="$nightlight" PEERS="$peers"
venv=.nightlight/bench-venv
if [[ ! -x $venv/bin/uvicorn ]]; then
  say "the peers' Python packages"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r "$peers/requirements.txt"
fi

for part in "${parts[@]}"; do
  say "$part"
  # The peer of `files` is no part of the servers' requirements.
  [[ "$part" != files ]] || "$venv/bin/pip" install -q threatexchange==1.2.17
  [[ "$part" != calibrate && "$part" != evaluate ]] || "$venv/bin/pip" install -q pandas==3.1.1 scikit-learn==1.9.1 scipy==1.17.1
  [[ "$part" != robustness ]] || "$venv/bin/pip" install -q imagehash==4.3.2 scipy==1.17.1 scikit-image==0.26.0 scikit-learn==1.9.1 matplotlib==3.11.2
  case "$part" in
    score) (source scripts/bench/score.sh) ;;
    pdq|preprocess|files|hamming|calibrate) PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "scripts/bench/$part.py" ;;
    evaluate)
      for clusters in "$((${ROWS:-10000000} / 10))" 0; do
        CLUSTERS=$clusters PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" scripts/bench/evaluate.py
      done
      ;;
    robustness) PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" scripts/bench/robustness.py --photographs --scenes "${SCENES:-200}" ;;
    *) die "unknown part $part: use score, pdq, files, preprocess, hamming, calibrate, evaluate or robustness" ;;
  esac
done
