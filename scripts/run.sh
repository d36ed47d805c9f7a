#!/usr/bin/env bash
# Sets everything up and serves on 127.0.0.1:8080.
# usage: scripts/run.sh [serve options]     set up, build, serve (Ctrl-C drains and stops)
#        scripts/run.sh --demo              score the sample attachments against the running server (starts one for the time if none runs)
source "$(dirname "$0")/setup.sh"

demo=false
if [[ "${1:-}" == --demo ]]; then demo=true; shift; fi
data="${NIGHTLIGHT_DATA_DIR:-.nightlight/data}"
listen="${NIGHTLIGHT__SERVER__LISTEN:-127.0.0.1:8080}"

require_rust
install_packages
say "ONNX Runtime and models (by version and SHA-256)"
scripts/fetch.sh
say "building the release binary (a few minutes the first time)"
cargo build --release --locked --bin nightlight --target-dir target # where the program finds this checkout's models
nightlight=target/release/nightlight

if ! $demo; then
  say "the command line is $PWD/$nightlight"
  exec "$nightlight" serve "$@"
fi

if curl -fsS "http://$listen/livez" >/dev/null 2>&1; then
  say "using the server on $listen"
else
  say "no server on $listen: starting one for the demo"
  log=$(mktemp)
  NIGHTLIGHT_DATA_DIR="$data" "$nightlight" serve >"$log" 2>&1 &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT
  for _ in $(seq 120); do
    curl -fsS "http://$listen/readyz" >/dev/null 2>&1 && break
    kill -0 "$server" 2>/dev/null || { cat "$log" >&2; die "the server stopped"; }
    sleep 0.5
  done
  curl -fsS --max-time 5 "http://$listen/readyz" >/dev/null || { cat "$log" >&2; die "the server did not become ready"; }
fi
[[ -f "$data/admin.key" ]] || die "no $data/admin.key: set NIGHTLIGHT_DATA_DIR to the data folder of the server on $listen"
NIGHTLIGHT="$nightlight" DATA_DIR="$data" URL="http://$listen" python3 scripts/demo.py scripts/samples
