#!/usr/bin/env bash
# Opens a report in headless Chromium: it must render without a message on the console, in light and
# in dark, and be laid out within its width. A page that is broken on purpose must be found out.
# Usage: tests/report_renders.sh PROGRAM [FOLDER]    PROGRAM PATH writes a report; pictures stay in FOLDER
set -euo pipefail

program=$1
folder=${2:-$(mktemp -d)}
[ $# -ge 2 ] || trap 'rm -r "$folder"' EXIT
browser=
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" > /dev/null; then browser=$name; break; fi
done
if [ -z "$browser" ]; then
  echo "SKIPPED: no chromium found; on Debian: apt-get install chromium"
  exit 77
fi

# console PAGE PICTURE OPTION...: opens the page, writes the picture, prints what the console says.
console() {
  local page=$1 picture=$2 log=$folder/browser.log
  shift 2
  if ! timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars \
    --user-data-dir="$folder/profile" --disable-dev-shm-usage --enable-logging=stderr --v=0 \
    --screenshot="$picture" "$@" "file://$page" > "$log" 2>&1; then
    echo "the browser failed:"
    tail -n 20 "$log"
    return
  fi
  grep 'CONSOLE' "$log" || true
  [ -s "$picture" ] || echo "no picture of $page"
}

"$program" "$folder/report.html"
printf '<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="default-src %s"></head><body><img src="http://example.invalid/x.png"></body></html>' \
  "'none'" > "$folder/broken.html"
if [ -z "$(console "$folder/broken.html" "$folder/broken.png" --window-size=400,300)" ]; then
  echo "a broken page went unnoticed: this test would see nothing"
  exit 1
fi
failed=0
while read -r name width height options; do
  # shellcheck disable=SC2086
  said=$(console "$folder/report.html" "$folder/$name.png" --window-size="$width,$height" $options)
  [ -z "$said" ] && continue
  echo "$name: $said"
  failed=1
done << 'VIEWS'
light 1200 4000
dark 1200 4000 --force-dark-mode --blink-settings=preferredColorScheme=0
narrow 480 6000
VIEWS
# Whatever a class is called, it is text.
if grep -qE '<script|<img src=x|</svg></style>' "$folder/report.html"; then
  echo "a class name got out of its quotes"
  failed=1
fi
if grep -oE '(src|href)="[^"]{0,40}' "$folder/report.html" | grep -v '"data:'; then
  echo "the page refers to something outside of it"
  failed=1
fi
[ "$failed" -eq 0 ] && echo "renders without a message"
exit "$failed"
