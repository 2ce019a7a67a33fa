#!/usr/bin/env bash
# Everything that must hold before a change lands. Continuous integration runs this and no more.
# Fuzzing and the long campaigns have scripts of their own; see CONTRIBUTING.md.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step cargo fmt
cargo fmt --all -- --check
step cargo clippy
cargo clippy --all-targets -- -D warnings
cargo clippy -p splitpoint -- -D warnings
cargo clippy --all-targets --features splitpoint/mutants -- -D warnings
cargo clippy -p splitpoint-torture --all-targets -- -D warnings
cargo clippy -p splitpoint-cli --all-targets --features parquet -- -D warnings
step cargo test
cargo test --release
# Inputs in Parquet and Arrow: the other tests of the tool are the same with the feature.
cargo test --release -p splitpoint-cli --features parquet --test cli columnar
step a report in a real browser
bash tools/cli/report_screenshot.sh
step cargo doc
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p splitpoint --all-features
for target in x86_64-pc-windows-gnu aarch64-apple-darwin; do
    step "cargo check for $target"
    if rustup target list --installed 2>/dev/null | grep -qx "$target" ||
        timeout 120 rustup target add "$target" >/dev/null 2>&1; then
        cargo check --target "$target"
    else
        echo "skipped: the target $target cannot be had here"
    fi
done
printf '\nall checks passed\n'
