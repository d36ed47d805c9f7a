#!/usr/bin/env bash
# Sets everything up and runs everything that must pass: formatting, lints, all tests (the GPU path on Mesa's software Vulkan where there is
# no GPU), documentation tests, documentation build. Ends with the test runner's counts.
source "$(dirname "$0")/setup.sh"

require_rust
install_packages
if ! cargo nextest --version >/dev/null 2>&1; then
  say "installing cargo-nextest"
  cargo install --locked cargo-nextest --version 0.9.143
fi
say "ONNX Runtime and models (by version and SHA-256)"
scripts/fetch.sh
say "formatting"
cargo fmt --check
say "lints"
cargo clippy --locked --all-targets --features testing -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features testing
say "documentation tests"
cargo test --locked --doc --features testing
say "tests"
# This script installed Mesa, so an adapter that is missing is a failure here. Without this variable, on a machine without any adapter, tests
# of the device pass with the words "not tested".
export NIGHTLIGHT_REQUIRE_GPU=1
# The same for strace, where processes may watch others. Where they may not (some containers), the tests that need it say "NOT TESTED".
if strace -f -qq -o /dev/null true 2>/dev/null; then
  export NIGHTLIGHT_REQUIRE_STRACE=1
else
  say "strace does not work here: whether the binary phones home is NOT TESTED"
fi
cargo nextest run --locked --features testing
