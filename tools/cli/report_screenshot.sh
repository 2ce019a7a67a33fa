#!/usr/bin/env bash
# Looks at the page of `splitpoint report` in a real browser, at the width of a desktop and of a phone,
# in the light and in the dark: charts must be drawn, nothing may be wider than the screen, and nothing
# may be asked of the network. Usage:
#
#   tools/cli/report_screenshot.sh [FOLDER]     pictures go to FOLDER [a temporary one]
#
# SPLITPOINT names the tool [cargo run], CHROMIUM the browser. Without a browser it says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/../.."

browser=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome chrome; do
  [ -n "$browser" ] || browser=$(command -v "$name" || true)
done
if [ -z "$browser" ] || ! command -v python3 >/dev/null; then
  echo "report_screenshot: skipped: no browser (chromium, google-chrome; CHROMIUM names another), or no python3"
  exit 0
fi

tool=${SPLITPOINT:-}
if [ -z "$tool" ]; then
  cargo build --quiet --release -p splitpoint-cli
  tool=${CARGO_TARGET_DIR:-target}/release/splitpoint
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pictures=${1:-$work}
mkdir -p "$pictures"

# A file with everything in it: overflow, large records, a resize under way, free pages, a log.
python3 - > "$work/in.pairs" <<'PY'
import random, struct, sys
numbers = random.Random(1)
for i in range(24_000):
    key = b"user:%06d" % i
    size = numbers.choice([30, 60, 90, 120, 300]) if i % 150 else 9_000
    sys.stdout.buffer.write(struct.pack("<II", len(key), size) + key + b"v" * size)
PY
"$tool" load "$work/users.sp" "$work/in.pairs" > /dev/null
"$tool" report "$work/users.sp" -o "$work/sound.html"
"$tool" corrupt "$work/users.sp" --kind zero --seed 3 --yes --output "$work/damaged.sp" > /dev/null
"$tool" report "$work/damaged.sp" -o "$work/damaged.html"

# The page measures itself in the browser and writes what it found into its title.
probe='<script>addEventListener("load", () => {
  const charts = [...document.querySelectorAll("svg")];
  const drawn = charts.filter(c => c.getBoundingClientRect().width > 100 && c.getBoundingClientRect().height > 8
    && [...c.querySelectorAll("rect")].some(r => r.getBoundingClientRect().width > 0 && getComputedStyle(r).fill !== "none"
      && getComputedStyle(r).fill !== "rgb(0, 0, 0)"));
  const asked = performance.getEntriesByType("resource").length;
  const wide = document.documentElement.scrollWidth > innerWidth;
  document.title = `charts=${charts.length} drawn=${drawn.length} asked=${asked} wide=${wide} width=${innerWidth}`;
});</script>'
failed=0
look() { # page, name, width, height, further flags
  local page=$1 name=$2 width=$3 height=$4
  shift 4
  local flags=(--headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile"
    --window-size="$width,$height" --force-device-scale-factor=1 "$@")
  # A window is never narrower than 500: the phone is a frame of its width in one.
  local target="$work/probe.html"
  { cat "$page"; echo "$probe"; } > "$work/framed.html"
  cat > "$target" <<HTML
<!DOCTYPE html><style>body{margin:0}iframe{border:0;width:${width}px;height:${height}px}</style>
<iframe id="f" src="framed.html"></iframe>
<script>addEventListener("load", () => setTimeout(() => {
  document.title = document.getElementById("f").contentDocument.title; }, 300));</script>
HTML
  flags+=(--allow-file-access-from-files)
  local found
  found=$("$browser" "${flags[@]}" --virtual-time-budget=3000 --dump-dom "file://$target" 2>/dev/null |
    grep -o '<title>[^<]*' | head -1 | cut -c8-)
  "$browser" "${flags[@]}" --virtual-time-budget=3000 --screenshot="$pictures/$name.png" "file://$target" \
    >/dev/null 2>&1
  echo "report_screenshot: $name: $found"
  case "$found" in
    "charts=6 drawn=6 asked=0 wide=false width=$width") ;;
    *) echo "report_screenshot: $name: expected 6 charts drawn, nothing asked, no wider than $width"; failed=1 ;;
  esac
  # A picture of one colour is small.
  local size
  size=$(wc -c < "$pictures/$name.png")
  [ "$size" -gt 15000 ] || { echo "report_screenshot: $name: $size bytes of picture: empty?"; failed=1; }
}
look "$work/sound.html" report-desktop 1200 1500
look "$work/sound.html" report-dark 1200 1500 --blink-settings=preferredColorScheme=0
look "$work/sound.html" report-phone 390 2050
look "$work/damaged.html" report-damaged 1200 1750
[ "$failed" = 0 ] && echo "report_screenshot: passed; pictures in $pictures"
exit "$failed"
