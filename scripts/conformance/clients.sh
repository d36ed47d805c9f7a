#!/usr/bin/env bash
# Whether programs can be made from /openapi.json: a Python and a TypeScript client are generated, compiled and run against a server on loopback, and schemathesis sends it what
# the document allows and what it does not: every answer has to be a documented one. Nothing that is generated stays.
# usage: scripts/conformance/clients.sh [--only python|typescript|schemathesis] [--examples N, default 20 an operation] [NIGHTLIGHT, default target/debug/nightlight, which it builds]
# Needs python3, and node and npm for TypeScript; installs what it runs, by version, into a temporary folder. Exit status: 0 all passed.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
only=all
examples=20
while [[ "${1:-}" == --* ]]; do
  case "$1" in
    --only) only=$2; shift 2 ;;
    --examples) examples=$2; shift 2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done
nightlight=${1:-}
if [[ -z "$nightlight" ]]; then
  cargo build --locked --bin nightlight
  nightlight=${CARGO_TARGET_DIR:-target}/debug/nightlight
fi
nightlight=$(realpath "$nightlight")

work=$(mktemp -d)
server=
finish() {
  [[ -z "$server" ]] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; }
  rm -rf "$work"
}
trap finish EXIT
say() { printf '\n== %s\n' "$*"; }
wanted() { [[ "$only" == all || "$only" == "$1" ]]; }

say "a server without models on loopback"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf '[models]\nimage = []\nconversation = []\n[engine]\nbackend = "cpu"\n' > "$work/nightlight.toml"
"$nightlight" --config "$work/nightlight.toml" --data-dir "$work/data" serve --listen "127.0.0.1:$port" > "$work/server.log" 2>&1 &
server=$!
url=http://127.0.0.1:$port
for _ in $(seq 120); do
  curl -fsS "$url/livez" > /dev/null 2>&1 && break
  kill -0 "$server" 2> /dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.5
done
curl -fsS "$url/openapi.json" -o "$work/openapi.json"
export NIGHTLIGHT_URL=$url NIGHTLIGHT_KEY_FILE=$work/data/admin.key NIGHTLIGHT_SAMPLES=$root/scripts/samples

if wanted python || wanted schemathesis; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r scripts/conformance/clients/requirements.txt
fi

if wanted python; then
  say "Python: openapi-python-client"
  (cd "$work" && PATH=$work/venv/bin:$PATH openapi-python-client generate --path openapi.json --output-path nightlight_client --meta none > python.log 2>&1) || { cat "$work/python.log" >&2; exit 1; }
  # A text as the raw body is beyond this generator (JSON has texts too); whatever else it leaves out is a fault of the document.
  if [[ $(grep -c '^WARNING' "$work/python.log") != $(grep -c '^Unsupported content type text/plain$' "$work/python.log") ]]; then
    cat "$work/python.log" >&2
    exit 1
  fi
  "$work/venv/bin/python" -m compileall -q "$work/nightlight_client"
  PYTHONPATH=$work "$work/venv/bin/python" scripts/conformance/clients/client.py
fi

if wanted typescript; then
  say "TypeScript: openapi-typescript and openapi-fetch"
  mkdir "$work/typescript"
  cp scripts/conformance/clients/{client.ts,package.json,tsconfig.json} "$work/typescript/"
  cd "$work/typescript"
  npm install --silent --no-audit --no-fund
  npx openapi-typescript ../openapi.json --output api.ts > /dev/null
  npx tsc --project .
  node built/client.js
  cd "$root"
fi

if wanted schemathesis; then
  say "schemathesis, $examples examples an operation"
  cd "$work"
  key=$(cat data/admin.key)
  # A bank with an item, so that more than 404s are tried (hooks.py).
  curl -fsS -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{"name":"DEMO"}' "$url/banks" > /dev/null
  curl -fsS -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{"items":[{"signals":[{"signal_type":"md5","signal":"9dd4e461268c8034f5c8564e155c67a6"}]}]}' \
    "$url/banks/DEMO/items" > /dev/null
  SCHEMATHESIS_HOOKS=$root/scripts/conformance/clients/hooks.py venv/bin/schemathesis run openapi.json --url "$url" \
    --header "Authorization: Bearer $key" --checks status_code_conformance,content_type_conformance,not_a_server_error \
    --max-examples "$examples" --seed 12 --workers 1 --no-color
  cd "$root"
fi
say "all passed"
