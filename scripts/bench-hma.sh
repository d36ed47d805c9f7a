#!/usr/bin/env bash
# Sets Hasher-Matcher-Actioner up from nothing and measures Nightlight beside it: lookups per core, memory, seconds until an added hash matches,
# p95 while hashes are added (scripts/bench/hma.py says how). Both listen on loopback; database, source and packages of HMA stay in HMA_HOME.
# usage: scripts/bench-hma.sh [--serve | --conformance | --against BINARY | options of scripts/bench/hma.py]
#   --serve        HMA alone, with timers of a second, until interrupted: for scripts/conformance/hma.py
#   --conformance  scripts/conformance/hma.py against such an HMA, then against Nightlight
#   --against BINARY [options of scripts/bench/hma_against.py]  the same look-ups, but beside another build of Nightlight; HMA is not set up. Exit code 1 when
#                  answers differ or the median of five interleaved ratios of processor time (with --instructions: the ratio of instructions) is below 0.97
#   HMA_HOME=.nightlight/hma  HMA_SOURCE=URL or path of a clone of facebook/ThreatExchange  HMA_PYTHON=python3, 3.11 or newer (HMA's image has 3.13)
#   NIGHTLIGHT=program to measure instead of a release build made here
caller=$PWD
source "$(dirname "$0")/setup.sh"

export HMA_HOME=${HMA_HOME:-$PWD/.nightlight/hma} PYTHONDONTWRITEBYTECODE=1
# HMA 1.1.7, 17 July 2026.
commit=baefb4ed67b6cdc1d4c82dbaef858d50866ac424
python=$HMA_HOME/venv/bin/python

own_build() {
  [[ -z "${NIGHTLIGHT:-}" ]] || return 0
  require_rust
  say "release build"
  NIGHTLIGHT=$(built bin nightlight --release --bin nightlight)
  export NIGHTLIGHT
}

if [[ "${1:-}" == --against ]]; then
  # A relative path is meant from where the caller stands.
  AGAINST=$(cd "$caller" && realpath -e -- "${2:?--against needs a program}") || die "there is no $2"
  [[ -x "$AGAINST" && ! -d "$AGAINST" ]] || die "$2 is no program"
  export AGAINST
  shift 2
  install_packages wrk
  [[ " $* " != *" --instructions "* ]] || install_packages valgrind
  own_build
  # Look-ups need no models, so neither build is given any.
  if [[ ! -x $HMA_HOME/duel-venv/bin/python ]]; then
    mkdir -p "$HMA_HOME"
    "${HMA_PYTHON:-python3}" -m venv "$HMA_HOME/duel-venv"
    "$HMA_HOME/duel-venv/bin/pip" install -q numpy==2.4.6
  fi
  exec "$HMA_HOME/duel-venv/bin/python" scripts/bench/hma_against.py "$@"
fi

# psycopg2 and pdqhash come as source alone.
install_packages git postgresql libpq-dev libjemalloc2 wrk g++ python3-dev
mkdir -p "$HMA_HOME"
if [[ "$(cat "$HMA_HOME/src/COMMIT" 2>/dev/null)" != "$commit" ]]; then
  say "HMA's source"
  origin=${HMA_SOURCE:-https://github.com/facebook/ThreatExchange}
  # Of a repository of gigabytes only these two folders; a clone on this machine is read as it lies, since it may lack the large files.
  folders=(hasher-matcher-actioner python-threatexchange)
  rm -rf "$HMA_HOME/src" && mkdir "$HMA_HOME/src"
  if [[ -d $origin ]]; then
    git -C "$origin" archive "$commit" "${folders[@]}" | tar -x -C "$HMA_HOME/src"
  else
    git init -q "$HMA_HOME/src"
    git -C "$HMA_HOME/src" remote add origin "$origin"
    git -C "$HMA_HOME/src" sparse-checkout set "${folders[@]}"
    git -C "$HMA_HOME/src" fetch -q --depth 1 --filter=blob:none origin "$commit"
    git -C "$HMA_HOME/src" checkout -q "$commit"
  fi
  echo "$commit" >"$HMA_HOME/src/COMMIT"
fi
if [[ ! -x $HMA_HOME/venv/bin/gunicorn ]]; then
  say "HMA's packages"
  "${HMA_PYTHON:-python3}" -m venv "$HMA_HOME/venv"
  # What its image installs (`.[prod]`), at versions that Python 3.11, 3.12 and 3.13 all have.
  "$HMA_HOME/venv/bin/pip" install -q "$HMA_HOME/src/python-threatexchange" \
    faiss-cpu==1.15.1 pdqhash==0.2.8 pillow==13.0.0 numpy==2.4.6 Flask==3.1.3 Flask-SQLAlchemy==3.1.1 Flask-Migrate==4.1.0 \
    Flask-APScheduler==1.13.1 flask-openapi3==4.3.2 flask-openapi3-swagger==5.31.0 SQLAlchemy==2.1.9 psycopg2==2.9.13 pydantic==2.14.4 \
    python-dateutil==4.0.0 python-json-logger==4.2.0 requests==2.34.2 gunicorn==27.0.1
fi

if [[ "${1:-}" == --serve ]]; then
  shift
  exec "$python" scripts/bench/hma_server.py --home "$HMA_HOME" --fast "$@"
fi

own_build
scripts/fetch.sh

if [[ "${1:-}" == --conformance ]]; then
  work=$(mktemp -d)
  pids=()
  cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
  trap cleanup EXIT
  wait_for() { for _ in $(seq 300); do curl -fsS "$1" >/dev/null 2>&1 && return; sleep 0.2; done; cat "$work"/*.log >&2; die "$1 does not answer"; }
  failed=0
  say "HMA against its own API"
  "$python" scripts/bench/hma_server.py --home "$HMA_HOME" --fast >"$work/hma.log" 2>&1 &
  pids+=($!)
  wait_for http://127.0.0.1:5100/status
  "$python" scripts/conformance/hma.py http://127.0.0.1:5100 --server hma --content-port 5199 --settle 30 || failed=1
  say "Nightlight against HMA's API"
  # Fetching is off by default, and so are addresses on loopback: both are needed for the checks that fetch. Exchanges are asked as often as HMA asks.
  NIGHTLIGHT__OUTBOUND__URL_FETCH=true NIGHTLIGHT__OUTBOUND__ALLOW_NETWORKS='["127.0.0.0/8"]' NIGHTLIGHT__OUTBOUND__PORTS='[5199]' \
    NIGHTLIGHT__EXCHANGE__INTERVAL_S=1 \
    "$NIGHTLIGHT" --data-dir "$work/data" serve --listen 127.0.0.1:5180 >"$work/nightlight.log" 2>&1 &
  pids+=($!)
  wait_for http://127.0.0.1:5180/status
  "$python" scripts/conformance/hma.py "http://x:$(cat "$work/data/admin.key")@127.0.0.1:5180" --server nightlight --content-port 5199 || failed=1
  exit "$failed"
fi

say "Nightlight beside HMA"
"$python" scripts/bench/hma.py "$@"
