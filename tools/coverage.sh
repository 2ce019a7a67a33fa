#!/usr/bin/env bash
# Branch coverage of src/page, src/log and src/pager by a bounded set of tests: a table, and with the
# argument `uncovered` each way of a branch that was never taken. Needs a nightly toolchain with
# llvm-tools, cargo-llvm-cov and Python 3. About ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

export SPLITPOINT_STATES=${SPLITPOINT_STATES:-40000}
export SPLITPOINT_OPERATIONS=${SPLITPOINT_OPERATIONS:-60000}
export SPLITPOINT_RECORDS=${SPLITPOINT_RECORDS:-200000}
export SPLITPOINT_DAMAGES=${SPLITPOINT_DAMAGES:-30}
export SPLITPOINT_FUZZ=${SPLITPOINT_FUZZ:-60}

tests=()
for name in bulk corpus crash errors hostile look model regressions residence threads values; do
    tests+=(--test "$name")
done
report=${CARGO_TARGET_DIR:-target}/coverage.json
cargo +nightly llvm-cov --branch --json --output-path "$report" \
    -p splitpoint --lib "${tests[@]}" 1>&2
python3 tools/coverage.py "$report" "$@"
