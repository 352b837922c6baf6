#!/usr/bin/env bash
# The on-chain program: its own tests on this host, then a rebuild that must give the committed bytes.
# What cannot be had here is said and left out; what can be had must be right.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v cargo >/dev/null && command -v cc >/dev/null; then
    cargo test --quiet --manifest-path contracts/program/Cargo.toml
else
    echo "check_program: no cargo or no C compiler here, so the program's own tests are left out"
fi

status=0
if [ "$(id -u)" = 0 ]; then
    tools/build_program.sh --check --install || status=$?
else
    tools/build_program.sh --check || status=$?
fi
case $status in
    0) ;;
    3) echo "check_program: the toolchain cannot be had here, so the committed program is not rebuilt" ;;
    *) exit "$status" ;;
esac
