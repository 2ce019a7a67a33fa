#!/usr/bin/env bash
# Makes TRANSCRIPT.md anew, what the tool shows of a file that is made here, and report.png, the page
# of `report` as a picture (if there is a browser). The file's random id is the one thing that
# differs from run to run: pages bear it. Usage:
#
#   tools/cli/transcript.sh      SPLITPOINT names the tool [cargo build]
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

awk 'BEGIN {
    print "user\tprofile"
    for (n = 0; n < 60000; n++) {
        profile = "likes " n % 97
        for (i = 0; i < n % 7; i++) profile = profile ", visits place " (n * 31 + i) % 1009
        print "user:" n "\t" profile
    }
}' > users.tsv
"$tool" create users.sp --hash-seed 42
"$tool" load users.sp users.tsv > load.txt
"$tool" create tiny.sp --hash-seed 42
"$tool" put tiny.sp apple green
"$tool" put tiny.sp pear yellow

show() { # a command and the beginning of what it prints
  local most=$1
  shift
  printf '```console\n$ splitpoint %s\n' "$*"
  { NO_COLOR=1 COLUMNS=100 "$tool" "$@" 2>&1 || true; } > printed
  head -n "$most" printed
  [ "$(wc -l < printed)" -le "$most" ] || printf '… (%d lines more)\n' $(($(wc -l < printed) - most))
  printf '```\n\n'
}

page=$("$tool" dump tiny.sp key apple --json | grep -o '"name": "page [0-9]*"' | tail -1 | tr -dc 0-9)
{
  printf '# What it shows\n\nMade by `tools/cli/transcript.sh`.\n\n'
  show 70 stat users.sp
  show 40 explain users.sp user:17
  show 40 explain users.sp nobody
  show 20 check users.sp
  show 60 dump tiny.sp page "$page" --hex
  show 20 corrupt users.sp --kind zero --seed 9 --yes --output damaged.sp
  show 20 check damaged.sp
  show 20 salvage damaged.sp saved.sp
  show 20 diff users.sp saved.sp --count
} > "$here/TRANSCRIPT.md"
echo "transcript: $here/TRANSCRIPT.md"

cd "$here/../.."
if SPLITPOINT=$tool bash tools/cli/report_screenshot.sh "$work/pictures" && [ -f "$work/pictures/report-desktop.png" ]; then
  cp "$work/pictures/report-desktop.png" "$here/report.png"
  echo "picture: $here/report.png"
fi
