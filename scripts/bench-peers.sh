#!/usr/bin/env bash
# Measures Nightlight against its peers on this machine, interleaved in one run, and prints ratios; answers are checked to be equal first.
# Absolute figures of a shared machine mean little.
#   score       the whole of POST /score against what a competent Python team would run (baseline_server.py): same ONNX Runtime, model, bank, files
#   pdq         pixels to hashes against Meta's C++        files    files to hashes against threatexchange's way, as many processes as cores
#   preprocess  pixels to a tensor against Pillow          hamming  hash search against faiss
#   calibrate   ten million scores to a certificate against pandas, numpy, scipy and scikit-learn
#   evaluate    ten million scores to bootstrap intervals, clusters of ten and items, against vectorised numpy
#   robustness  which altered pictures are found again, beside pdqhash and imagehash on the same files (no timing)
# usage: scripts/bench-peers.sh [--peers FOLDER, default scripts/bench/peers] [--against BINARY]
#                               [score|pdq|files|preprocess|hamming|calibrate|evaluate|robustness …, default all]
#   score: ROUNDS=5 SECONDS_EACH=10 CONNECTIONS=8 BANK_SIZE=1000000 FILES=48 SEED=1; hamming: BANKS="1000000 10000000";
#   calibrate: ROWS=10000000; evaluate: ROWS=10000000 REPLICATES=20; robustness: SCENES=200
#   NIGHTLIGHT=program to measure instead of a release build made here
#   --against BINARY  instead of the peers another build of Nightlight: score, known, files and pdq (scripts/bench/against.py says what is measured), answers
#     compared first; exit code 1 when they differ or the median of ROUNDS=5 ratios of processor time is below 0.97. SECONDS_EACH=5 here.
#     AGAINST_HOME=folder with that build's models and lib, since it reads the manifests of its own time; default: what the checkout that BINARY lies in
#     (BINARY is CHECKOUT/target/release/nightlight) fetches, put into .nightlight/against; without such a checkout, this checkout's.
caller=$PWD
source "$(dirname "$0")/setup.sh"

# A relative path is meant from where the caller stands.
program() {
  local path
  path=$(cd "$caller" && realpath -e -- "$1") || die "there is no $1"
  [[ -x "$path" && ! -d "$path" ]] || die "$1 is no program"
  printf '%s\n' "$path"
}

# Names the other build, and the models that it reads, for scripts/bench/builds.py.
other_build() {
  local checkout
  AGAINST=$(program "$1")
  checkout=$(dirname "$(dirname "$(dirname "$AGAINST")")")
  NIGHTLIGHT_HOME=${NIGHTLIGHT_HOME:-$PWD/.nightlight}
  if [[ -z "${AGAINST_HOME:-}" ]]; then
    AGAINST_HOME=$PWD/.nightlight
    if [[ -x "$checkout/scripts/fetch.sh" && "$checkout" != "$PWD" ]]; then
      AGAINST_HOME=$PWD/.nightlight/against
      "$checkout/scripts/fetch.sh" --home "$AGAINST_HOME"
    fi
  fi
  export AGAINST AGAINST_HOME NIGHTLIGHT_HOME
}

peers=$PWD/scripts/bench/peers against=
while [[ "${1:-}" == --* ]]; do
  case "$1" in
    --peers) peers=${2:?--peers needs a folder}; shift 2 ;;
    --against) against=${2:?--against needs a program}; shift 2 ;;
    *) die "unknown option $1: use --peers FOLDER or --against BINARY" ;;
  esac
done
peers=$(cd "$caller" && realpath -- "$peers")
parts=("${@:-}")
if [[ -z "${parts[0]}" ]]; then
  if [[ -n "$against" ]]; then parts=(score known files pdq); else parts=(pdq preprocess files hamming calibrate evaluate robustness score); fi
fi
for part in "${parts[@]}"; do
  case "$part" in
    score|files|pdq) ;;
    known) [[ -n "$against" ]] || die "$part is a duel of two builds: give the other one with --against" ;;
    preprocess|hamming|calibrate|evaluate|robustness) [[ -z "$against" ]] || die "--against duels score, known, files and pdq; $part has peers alone" ;;
    *) die "unknown part $part: use score, pdq, files, preprocess, hamming, calibrate, evaluate or robustness" ;;
  esac
done
[[ -f "$peers/baseline_server.py" ]] || die "no baseline_server.py in $peers: give the folder of the peers with --peers"

# pdqhash comes as source alone.
install_packages wrk g++ python3-dev
scripts/fetch.sh
[[ -z "$against" ]] || other_build "$against"
if [[ -n "${NIGHTLIGHT:-}" ]]; then
  nightlight=$(program "$NIGHTLIGHT")
else
  require_rust
  say "release build"
  nightlight=$(built bin nightlight --release --bin nightlight)
fi
export NIGHTLIGHT="$nightlight" PEERS="$peers"
if [[ -z "$against" && " ${parts[*]} " =~ \ (pdq|preprocess|hamming)\  ]]; then
  require_rust
  KERNELS=$(built bench kernels --release --bench kernels)
  export KERNELS
fi
venv=.nightlight/bench-venv
if [[ ! -x $venv/bin/uvicorn ]]; then
  say "the peers' Python packages"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q -r "$peers/requirements.txt"
fi

if [[ -n "$against" ]]; then
  say "${parts[*]} against $AGAINST"
  PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" scripts/bench/against.py "${parts[@]}"
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
  esac
done
