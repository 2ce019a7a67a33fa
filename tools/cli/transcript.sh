#!/bin/sh
# Makes TRANSCRIPT.md: what `stat`, `explain`, `check` and `dump --hex` show, of a file that is made
# for it. Hash seeds are random, so the numbers differ from run to run. Usage:
#   cargo build --release -p splitpoint-cli && sh tools/cli/transcript.sh target/release/splitpoint
set -eu
tool=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"

awk 'BEGIN {
    print "user\tprofile"
    for (n = 0; n < 60000; n++) {
        profile = "likes " n % 97
        for (i = 0; i < n % 7; i++) profile = profile ", visits place " (n * 31 + i) % 1009
        print "user:" n "\t" profile
    }
}' > users.tsv
"$tool" load users.sp users.tsv > /dev/null
"$tool" create tiny.sp
"$tool" put tiny.sp apple green
"$tool" put tiny.sp pear yellow
page=$("$tool" dump tiny.sp key apple --json | awk '/"name": "page [0-9]+"/ { last = $3 } END {
    gsub(/[^0-9]/, "", last); print last }')

show() {
    printf '```console\n$ splitpoint %s\n' "$*"
    "$tool" "$@" || true
    printf '```\n\n'
}

{
    printf '# What it shows\n\nMade by `tools/cli/transcript.sh`.\n\n'
    show stat users.sp
    show explain users.sp user:17
    show explain users.sp nobody
    show check users.sp
    show dump tiny.sp page "$page" --hex
} > "$here/TRANSCRIPT.md"
