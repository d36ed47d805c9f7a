# Sourced by bench-peers.sh: both servers, one load after the other, ROUNDS times.
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-10} connections=${CONNECTIONS:-8} bank_size=${BANK_SIZE:-1000000} files=${FILES:-48} seed=${SEED:-1}
work=$(mktemp -d)
pids=()
cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
trap cleanup EXIT

say "corpus: $files files, seed $seed; bank: $bank_size random hashes"
"$venv/bin/python" "$peers/make_corpus.py" "$work/corpus" "$files" "$seed"
"$venv/bin/python" "$peers/random_bank.py" "$bank_size" | "$nightlight" --data-dir "$work/data" bank import --bank RANDOM - >/dev/null

say "starting both servers"
(cd "$peers" && PYTHONDONTWRITEBYTECODE=1 BANK_SIZE=$bank_size exec "$OLDPWD/$venv/bin/uvicorn" baseline_server:app --port 9090 --workers 2 --no-access-log) >"$work/peer.log" 2>&1 &
pids+=($!)
NIGHTLIGHT__LOG__LEVEL=warn "$nightlight" --data-dir "$work/data" serve --listen 127.0.0.1:9091 >"$work/nightlight.log" 2>&1 &
pids+=($!)
for url in http://127.0.0.1:9091/readyz http://127.0.0.1:9090/docs; do
  for _ in $(seq 240); do curl -fsS "$url" >/dev/null 2>&1 && break; sleep 0.5; done
  curl -fsS "$url" >/dev/null || { cat "$work"/*.log >&2; die "$url does not answer"; }
done
key=$(cat "$work/data/admin.key")

say "checking that both give the same hashes and scores"
"$nightlight" hash "$work/corpus" 2>/dev/null | grep -v '"error"' >"$work/hashes.jsonl" || true
KEY=$key "$venv/bin/python" scripts/bench/score_check.py "$work/corpus" "$work/hashes.jsonl" http://127.0.0.1:9091/score http://127.0.0.1:9090/score

ours=() theirs=()
load() { HEADERS="X-API-Key: $key" bash "$peers/load.sh" "$1" "$work/corpus" "$2" "$connections"; }
load http://127.0.0.1:9091/score 3 >/dev/null; load http://127.0.0.1:9090/score 3 >/dev/null
for round in $(seq "$rounds"); do
  a=$(load http://127.0.0.1:9091/score "$seconds"); b=$(load http://127.0.0.1:9090/score "$seconds")
  printf 'round %s  nightlight %s\n         peer       %s\n' "$round" "$a" "$b"
  ours+=("$a") theirs+=("$b")
done
"$venv/bin/python" - "${#ours[@]}" "${ours[@]}" "${theirs[@]}" <<'PY'
import json, statistics, sys
count = int(sys.argv[1])
rows = [json.loads(text) for text in sys.argv[2:]]
ours, theirs = rows[:count], rows[count:]
errors = sum(row["non_2xx"] + row["socket_errors"] for row in rows)
middle = lambda rows, key: statistics.median(row[key] for row in rows)
ratios = sorted(a["rps"] / b["rps"] for a, b in zip(ours, theirs))
print(f"requests/s, median of {count}: nightlight {middle(ours, 'rps'):.1f}, peer {middle(theirs, 'rps'):.1f}")
print(f"p50 ms: {middle(ours, 'p50_ms'):.1f} and {middle(theirs, 'p50_ms'):.1f}; p99 ms: {middle(ours, 'p99_ms'):.1f} and {middle(theirs, 'p99_ms'):.1f}; errors: {errors}")
print(f"ratio: {statistics.median(ratios):.2f}x (per round: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
sys.exit(1 if errors else 0)
PY
