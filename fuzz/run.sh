#!/usr/bin/env bash
# Fuzzes every target in turn, for so many minutes each, and prints executions and coverage.
# Usage: bash fuzz/run.sh MINUTES [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
minutes=${1:?how many minutes for each target}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(page log load ops crash image)
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is needed: cargo install cargo-fuzz" >&2
    exit 1
fi
# Coverage needs flags that only nightly has, or a stable compiler that is told to be one.
if rustup run nightly rustc --version >/dev/null 2>&1; then
    fuzz=(cargo +nightly fuzz)
else
    echo "no nightly toolchain: RUSTC_BOOTSTRAP=1 on $(rustc --version)"
    export RUSTC_BOOTSTRAP=1
    fuzz=(cargo fuzz)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
for target in "${targets[@]}"; do
    limits=(-timeout=25 -rss_limit_mb=2048 -malloc_limit_mb=256)
    case $target in
    page) limits+=(-max_len=4097) ;;
    log) limits+=(-max_len=20000) ;;
    ops | load) limits+=(-max_len=600) ;;
    crash) limits+=(-max_len=400) ;;
    image) limits+=(-max_len=65536 -len_control=0 -malloc_limit_mb=64) ;;
    esac
    # What is found new goes to a folder of its own; the committed corpus is only read.
    mkdir -p "artifacts/corpus/$target" "corpus/$target"
    "${fuzz[@]}" build "$target" >"$log" 2>&1 || { cat "$log"; exit 1; }
    status=ok
    "${fuzz[@]}" run "$target" "artifacts/corpus/$target" "corpus/$target" -- \
        -max_total_time=$((minutes * 60)) -print_final_stats=1 "${limits[@]}" >"$log" 2>&1 || status=FAILED
    runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    coverage=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)
    echo "fuzz: $target: ${runs:-?} executions, ${coverage:-no coverage}, $minutes min, $status"
    if [ "$status" != ok ]; then
        tail -n 40 "$log"
        failed=1
    fi
done
exit $failed
