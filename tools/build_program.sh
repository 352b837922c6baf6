#!/usr/bin/env bash
# Builds contracts/program into contracts/etp_settlement.so, byte for byte the same wherever it is built.
#
#   tools/build_program.sh             build, write the .so and its SHA-256
#   tools/build_program.sh --check     build aside, compare with the committed SHA-256, change nothing
#   ... --install                      get what is missing first (Debian packages as root, the linker with cargo)
#
# Status: 0 done, 1 it failed or differs, 2 wrong usage, 3 the toolchain is not here and cannot be had.
#
# Why these tools: Debian's rustc-web shares its LLVM as a library, which the linker needs for its code generation;
# core is built from rust-web-src, since no binary of it exists for this target. Why these versions: other ones
# give a program that works as well, but other bytes.
set -euo pipefail
shopt -s inherit_errexit

RUST_VERSION=1.96.0
LLVM_LIBRARY=libLLVM.so.22.1
LINKER_VERSION=0.2.6
PACKAGES=(rustc-web cargo-web rust-web-src)
TARGET=bpfel-unknown-none

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/contracts/program
output=$root/contracts/etp_settlement.so
tools=${ETP_PROGRAM_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/etp-program-tools}
linker=$tools/bin/sbpf-linker

missing() {
    echo "build_program: $1" >&2
    exit 3
}

# The one rustc on the PATH that has the version; rustup's, which may come first, is another.
find_rustc() {
    local candidate
    while read -r candidate; do
        if [ "$("$candidate" --version 2>/dev/null | cut -d ' ' -f 2)" = "$RUST_VERSION" ]; then
            echo "$candidate"
            return
        fi
    done < <(type -ap rustc)
}

find_llvm() {
    { ldconfig -p 2>/dev/null || PATH=$PATH:/sbin:/usr/sbin ldconfig -p; } |
        awk -v name="$LLVM_LIBRARY" '$1 == name { print $NF; exit }'
}

have_linker() {
    local version
    version=$("$linker" --version 2>/dev/null) && [ "${version%%$'\n'*}" = "sbpf-linker $LINKER_VERSION" ]
}

locate() {
    rustc=$(find_rustc)
    llvm=$(find_llvm)
    [ -n "$rustc" ] || return 1
    sysroot=$("$rustc" --print sysroot)
    cargo=$(dirname "$rustc")/cargo
    [ -n "$llvm" ] && [ -x "$cargo" ] && [ -e "$sysroot/lib/rustlib/src/rust/library/core" ]
}

install_tools() {
    if ! locate; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || missing "installing ${PACKAGES[*]} takes apt-get and root"
        apt-get install -y --no-install-recommends "${PACKAGES[@]}" || missing "apt-get has no ${PACKAGES[*]}"
        locate || missing "${PACKAGES[*]} came without Rust $RUST_VERSION and $LLVM_LIBRARY"
    fi
    if ! have_linker; then
        mkdir -p "$tools/llvm"
        ln -sf "$llvm" "$tools/llvm/libLLVM.so"
        RUSTC=$rustc RUSTFLAGS="-L native=$tools/llvm" "$cargo" install sbpf-linker --version "=$LINKER_VERSION" \
            --root "$tools" --no-default-features --features bpf-linker/llvm-22 ||
            missing "cargo could not install sbpf-linker $LINKER_VERSION"
    fi
}

# Every crate that is linked has to be named in Cargo.toml with its one version: no lock file is kept.
require_pinned() {
    local name version stray=0
    while read -r name version _; do
        [ "$name" = etp-settlement ] && continue
        if ! grep -Eq "^$name = .*\"=${version#v}\"" Cargo.toml; then
            echo "build_program: $name ${version#v} is not pinned in contracts/program/Cargo.toml" >&2
            stray=1
        fi
    done < <(RUSTC=$rustc "$cargo" tree --quiet --edges normal --target "$TARGET" --prefix none --format '{p}' | sort -u)
    return "$stray"
}

# Builds a copy in the directory $1, so that neither lock file nor target appear in the tree; prints the .so's path.
build_in() (
    mkdir -p "$1"
    cp -R "$program/Cargo.toml" "$program/src" "$1"
    cd "$1"
    # Paths of this machine that would end up in messages of panics.
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    flags=(
        -C linker="$linker" -C panic=abort -C relocation-model=static -C target-cpu=v2
        -C link-arg=--arch=v0 -C link-arg=--disable-math-builtins
        # The chain's machine reads and writes unaligned; without saying so each word is moved byte by byte.
        -C link-arg=--cpu-features=+allows-misaligned-mem-access
        -C link-arg=--llvm-args=-bpf-stack-size=4096
        --remap-path-prefix="$cargo_home=cargo" --remap-path-prefix="$sysroot=rust" --remap-path-prefix="$1=program"
    )
    export RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$1/target CARGO_ENCODED_RUSTFLAGS
    CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${flags[@]}")
    CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'}
    "$cargo" build --quiet --release --lib --target "$TARGET" -Z build-std=core >&2
    require_pinned
    echo "$1/target/$TARGET/release/libetp_settlement.so"
)

install=no check=no
for argument in "$@"; do
    case $argument in
    --install) install=yes ;;
    --check) check=yes ;;
    *)
        echo "usage: tools/build_program.sh [--install] [--check]" >&2
        exit 2
        ;;
    esac
done

[ $install = no ] || install_tools
locate || missing "Rust $RUST_VERSION with $LLVM_LIBRARY and its sources is not here (packages ${PACKAGES[*]}; --install gets them)"
have_linker || missing "sbpf-linker $LINKER_VERSION is not in $tools/bin (--install gets it)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built=$(build_in "$work")
if [ $check = yes ]; then
    read -r expected _ <"$output.sha256"
    read -r actual _ < <(sha256sum "$built")
    read -r committed _ < <(sha256sum "$output")
    [ "$expected" = "$actual" ] && [ "$expected" = "$committed" ] || {
        echo "build_program: SHA-256 built $actual, .so here $committed, written down $expected: they have to be equal" >&2
        exit 1
    }
    echo "etp_settlement.so is what contracts/program builds: $expected"
else
    cp "$built" "$output"
    chmod 644 "$output"
    (cd "$(dirname "$output")" && sha256sum "$(basename "$output")" >"$output.sha256")
    cat "$output.sha256"
fi
