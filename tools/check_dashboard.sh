#!/usr/bin/env bash
# Checks the dashboard, and that the built files which ship with the package are what its sources give.
# Without Node there is nothing to check with: that is told, and is an error only where NEED_NODE=1 says that it must be there.
set -euo pipefail
cd "$(dirname "$0")/../dashboard"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "check_dashboard: no node and npm here; the dashboard's sources are not checked (its built files are used as they are)" >&2
  [[ "${NEED_NODE:-}" != 1 ]]
  exit
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "check_dashboard: node is $(node --version); 20.19 or newer is needed, so the dashboard's sources are not checked" >&2
  [[ "${NEED_NODE:-}" != 1 ]]
  exit
fi

if grep -rnlE 'Math\.random' src ../gateway/static --include='*.ts' --include='*.tsx' --include='*.js'; then
  echo "check_dashboard: no made-up numbers: use crypto.getRandomValues for jitter" >&2
  exit 1
fi
if grep -nE '"resolved"|://' package-lock.json; then
  echo "check_dashboard: package-lock.json names a host; run: npm run lock" >&2
  exit 1
fi

npm ci --no-audit --no-fund
npm run --silent typecheck
npm run --silent lint
npm run --silent test

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
npm run --silent build -- --outDir "$built" --emptyOutDir
# Packed files are compared by what is in them: another zlib may pack the same bytes otherwise.
if ! diff -rq -x '*.gz' "$built" ../gateway/static; then
  echo "check_dashboard: gateway/static is not what dashboard/ gives; run: cd dashboard && npm ci && npm run build" >&2
  exit 1
fi
diff <(cd "$built" && find . -name '*.gz' | sort) <(cd ../gateway/static && find . -name '*.gz' | sort)
while IFS= read -r packed; do
  gzip -dc "$packed" | cmp - "${packed%.gz}"
done < <(find ../gateway/static -name '*.gz')

main=$(grep -oE 'assets/index-[A-Za-z0-9_-]+\.js' ../gateway/static/index.html)
size=$(stat -c %s "../gateway/static/$main.gz")
if (( size > 200000 )); then
  echo "check_dashboard: the main bundle has $size bytes packed; at most 200,000" >&2
  exit 1
fi
echo "check_dashboard: gateway/static is what the sources give; main bundle $size bytes packed"
