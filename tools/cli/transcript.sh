#!/usr/bin/env bash
# Makes the transcript and the picture of tools/cli/README.md anew: what `stat`, `dump page --hex` and
# `explain` print for a file that is made here, the same in each run, and the page of `report` as a
# picture (if there is a browser). Usage:
#
#   tools/cli/transcript.sh            writes tools/cli/transcript.txt and tools/cli/report.png
#
# SPLITPOINT names the tool [cargo run].
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tools/cli

tool=${SPLITPOINT:-}
if [ -z "$tool" ]; then
  cargo build --quiet --release -p splitpoint-cli
  tool=${CARGO_TARGET_DIR:-target}/release/splitpoint
fi
tool=$(realpath "$tool")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

{
  printf 'user\tcity\tvisits\n'
  for i in $(seq 1 5000); do printf 'user%05d\tcity %d\t%d\n' "$i" $((i * 7919 % 211)) $((i * i % 997)); done
} > users.tsv

# The file's random id is the one thing that differs from run to run: pages bear it.
"$tool" create users.sp --hash-seed 42
"$tool" load users.sp users.tsv > /dev/null

run() { # shows a command and what it prints, long ones by their beginning
  local most=$1
  shift
  printf '$ splitpoint %s\n' "$*"
  { NO_COLOR=1 COLUMNS=100 "$tool" "$@" 2>&1 || true; } > printed
  head -n "$most" printed
  [ "$(wc -l < printed)" -le "$most" ] || printf '… (%d lines more)\n' $(($(wc -l < printed) - most))
  printf '\n'
}

has() { "$tool" "$@" --help > /dev/null 2>&1; }
page=$("$tool" dump users.sp key user00042 --json | grep -o '"name": "page [0-9]*"' | tail -1 | tr -dc 0-9)
{
  run 60 stat users.sp
  if "$tool" dump --help | grep -q -- --hex; then
    run 40 dump users.sp page "$page" --hex
  else
    run 40 dump users.sp page "$page"
  fi
  if has explain; then run 40 explain users.sp user00042; else run 40 dump users.sp key user00042; fi
  run 20 corrupt users.sp --kind zero --seed 9 --yes --output damaged.sp
  run 20 check damaged.sp
  run 20 salvage damaged.sp saved.sp
  run 20 diff users.sp saved.sp --count
} > "$here/transcript.txt"
echo "transcript: $here/transcript.txt"

cd "$here/../.."
if SPLITPOINT=$tool bash tools/cli/report_screenshot.sh "$work/pictures" && [ -f "$work/pictures/report-desktop.png" ]; then
  cp "$work/pictures/report-desktop.png" "$here/report.png"
  echo "transcript: $here/report.png"
fi
