#!/usr/bin/env bash
# What must hold and takes longer than CI may: files of a fresh seed against the reference decoders, hashes, exchanges and statistics against their references, HMA's API, and
# generated clients. Sets up what it needs. Ends with counts; exit status 1 when a part failed.
# usage: scripts/nightly.sh [--seed N, default a fresh one] [--percent P of the usual amounts, default 100] [part …, default all]
#   jpeg exif formats frames browser decode pdq exchange calibration evaluation hma clients amplify
source "$(dirname "$0")/setup.sh"

seed=$((RANDOM * 32768 + RANDOM))
percent=100
while [[ "${1:-}" == --* ]]; do
  case "$1" in
    --seed) seed=$2; shift 2 ;;
    --percent) percent=$2; shift 2 ;;
    *) die "unknown option $1; see the head of this script" ;;
  esac
done
parts=("$@")
((${#parts[@]})) || parts=(jpeg exif formats frames browser decode pdq exchange calibration evaluation hma clients amplify)
some() { echo $((($1 * percent + 99) / 100)); }

require_rust
install_packages libjpeg-turbo-progs webp chromium
command -v node >/dev/null || install_packages nodejs npm
scripts/fetch.sh
say "release build"
cargo build --release --locked --bin nightlight --example pixels
target=$(realpath "${CARGO_TARGET_DIR:-target}")
export NIGHTLIGHT=$target/release/nightlight PIXELS=$target/release/examples/pixels PYTHONDONTWRITEBYTECODE=1
venv=.nightlight/nightly-venv
if [[ ! -x $venv/bin/python || ! -f $venv/complete ]]; then
  say "the references' Python packages"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q pillow==13.0.0 numpy pdqhash==0.2.8 threatexchange==1.2.17 scipy scikit-learn mapie pyarrow
  touch "$venv/complete"
fi
python=$venv/bin/python
logs=.nightlight/nightly
mkdir -p "$logs"

# HMA's checks against a server of ours: fetching, loopback and an exchange asked every second are what its checks need.
hma() {
  local data server status=0
  data=$(mktemp -d)
  # Hashes need no models.
  NIGHTLIGHT__MODELS__IMAGE='[]' NIGHTLIGHT__MODELS__CONVERSATION='[]' NIGHTLIGHT__OUTBOUND__URL_FETCH=true NIGHTLIGHT__OUTBOUND__ALLOW_NETWORKS='["127.0.0.0/8"]' NIGHTLIGHT__OUTBOUND__PORTS='[5199]' \
    NIGHTLIGHT__EXCHANGE__INTERVAL_S=1 "$NIGHTLIGHT" --data-dir "$data" serve --listen 127.0.0.1:5198 &
  server=$!
  for _ in $(seq 300); do curl -fsS http://127.0.0.1:5198/status >/dev/null 2>&1 && break; sleep 0.2; done
  "$python" scripts/conformance/hma.py "http://x:$(cat "$data/admin.key")@127.0.0.1:5198" --server nightlight --content-port 5199 --settle 10 || status=1
  kill "$server"
  wait "$server" || true
  rm -rf "$data"
  return "$status"
}

run() {
  case "$1" in
    jpeg) "$python" scripts/conformance/jpeg_layouts.py --seed "$seed" --count "$(some 20000)" --keep "$logs/jpeg" ;;
    exif) "$python" scripts/conformance/jpeg_layouts.py --seed "$seed" --exif ;;
    formats) "$python" scripts/conformance/format_layouts.py --seed "$seed" --count "$(some 4000)" --keep "$logs/formats" ;;
    frames) "$python" scripts/conformance/frames.py --seed "$seed" --count "$(some 800)" --keep "$logs/frames" ;;
    browser) "$python" scripts/conformance/browser.py --seed "$seed" --count "$(some 3000)" --keep "$logs/browser" ;;
    decode) "$python" scripts/conformance/decode.py --seed "$seed" --count "$(some 540)" ;;
    pdq) "$python" scripts/conformance/pdq.py --seed "$seed" --count "$(some 3000)" ;;
    exchange) "$python" scripts/conformance/exchange.py --seed "$seed" --count "$(some 40)" ;;
    calibration) "$python" scripts/conformance/calibration.py --seed "$seed" --count "$(some 60)" ;;
    evaluation) "$python" scripts/conformance/evaluation.py --seed "$seed" --files "$(some 40)" ;;
    hma) hma ;;
    clients) scripts/conformance/clients.sh "$NIGHTLIGHT" ;;
    # A part of the 10^6: one seed's first files, ten minutes of them at most.
    amplify) "$python" scripts/attack/amplify.py --seed "$seed" --count "$(some 10000)" --minutes 10 --keep "$logs/amplify" ;;
    *) die "unknown part $1; see the head of this script" ;;
  esac
}

say "seed $seed, $percent percent"
passed=0
failed=0
for part in "${parts[@]}"; do
  say "$part"
  # In a subshell, so that one part's end is not the others'.
  if (run "$part") >"$logs/$part.log" 2>&1; then
    passed=$((passed + 1))
    tail -n 2 "$logs/$part.log"
  else
    failed=$((failed + 1))
    tail -n 20 "$logs/$part.log"
    echo "FAILED: $part; $logs/$part.log has all of it"
  fi
done
echo "nightly: $passed passed, $failed failed"
((failed == 0))
