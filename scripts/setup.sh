# Sourced by run.sh and test.sh: what both need before anything can be built. Idempotent; says what it does; stops at the first error.
set -euo pipefail
# A relative path is meant from where the caller stands.
[[ -z "${NIGHTLIGHT_DATA_DIR:-}" ]] || export NIGHTLIGHT_DATA_DIR="$(realpath -m -- "$NIGHTLIGHT_DATA_DIR")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Debian packages: the Vulkan loader and Mesa's software driver (the GPU path without a GPU), Python for scripts/fetch.sh, curl for the
# demo, a C compiler for SQLite, strace for the test that nothing phones home.
packages=(strace libvulkan1 mesa-vulkan-drivers python3 python3-venv python3-pip curl ca-certificates gcc libc6-dev)

install_packages() {
  local missing=() package
  for package in "${packages[@]}" "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "these packages are missing and this is no Debian: ${missing[*]}. Install them and run this again."
  local root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "run as root once, or: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

require_rust() {
  command -v cargo >/dev/null || die "no Rust toolchain: install rustc and cargo $(grep -m1 rust-version Cargo.toml | cut -d'"' -f2) or newer (https://rustup.rs), then run this again"
}

# Builds, and prints the path of the one program wanted: built KIND NAME ARGUMENTS-OF-CARGO-BUILD…, KIND being bin or bench. A build makes several programs
# (build scripts, and the server beside a bench), in whatever order, and below CARGO_TARGET_DIR when that is set: so cargo is asked which is which.
built() {
  local kind=$1 name=$2 program
  shift 2
  program=$(cargo build --locked --message-format=json-render-diagnostics "$@" | python3 -c '
import json, sys
for message in map(json.loads, sys.stdin):
    target = message.get("target", {})
    if message.get("executable") and target.get("kind") == [sys.argv[1]] and target.get("name") == sys.argv[2]:
        print(message["executable"])' "$kind" "$name") || die "the build of $name failed"
  [[ -x "$program" ]] || die "cargo built no $kind $name"
  printf '%s\n' "$program"
}

# Mesa prints an error at every adapter query when this is unset.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
