#!/usr/bin/env bash
# Build the part of a release that one Linux machine can build into dist/: the sdist, and wheels for this machine's
# architecture (for both with --all) and two C libraries, linked by zig so that they run on older systems. Each CPython from
# 3.11 on, including the free-threaded one, has its own wheel; the wheel for the stable ABI serves all others. Check all
# wheels, and install and use those for this machine in an empty environment of each Python found.
#     scripts/wheel.sh [--all]
set -euo pipefail
cd "$(dirname "$0")/.."

# The same as in .github/workflows/release.yml.
rust=1.95.0
interpreters=(python3.11 python3.12 python3.13 python3.14 python3.14t)
platforms=(
    "x86_64-unknown-linux-gnu manylinux_2_17"
    "aarch64-unknown-linux-gnu manylinux_2_17"
    "x86_64-unknown-linux-musl musllinux_1_2"
    "aarch64-unknown-linux-musl musllinux_1_2"
)
pythons=(python3.10 python3.11 python3.12 python3.13 python3.14 python3.14t)

build=$PWD/build/wheel
bin=$build/venv/bin
export RUSTUP_HOME=$PWD/build/rustup RUSTUP_TOOLCHAIN=$rust CARGO_TARGET_DIR=$build/target
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset CONDA_PREFIX PYTHONHOME PYTHONPATH VIRTUAL_ENV PYO3_PYTHON

section() {
    printf '\n=== %s ===\n\n' "$*"
}

fail() {
    echo "$*" >&2
    exit 1
}

# Install all targets into build/, so that the machine's own Rust does not change.
install_rust() {
    local targets=("${platforms[@]%% *}")
    if command -v rustup >/dev/null &&
        rustup toolchain install "$rust" --profile minimal --no-self-update "${targets[@]/#/--target=}"; then
        return
    fi
    unset RUSTUP_HOME
    # Its name may differ here.
    [[ $(rustc --version) == "rustc $rust "* ]] || export RUSTUP_TOOLCHAIN=stable
    [[ $(rustc --version) == "rustc $rust "* ]] || fail "Rust $rust can neither be installed by rustup nor is it here."
    echo "Rust $rust cannot be installed by rustup: this machine's own one builds what it has targets for." >&2
}

install_tools() {
    "${PYTHON:-python3}" -m venv --clear "$build/venv"
    "$bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r requirements/wheel.txt
}

build_wheels() {
    local target=$1 platform=$2 started=$SECONDS
    if [[ ! -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
        not_built+=("$target")
        return
    fi
    # maturin asks the first Python on PATH for zig.
    local command=(env PATH="$bin:$PATH" maturin build --quiet --zig --release --locked --target "$target"
        --compatibility "$platform" --out dist)
    "${command[@]}" --interpreter "${interpreters[@]}"
    "${command[@]}" --features abi3 --interpreter python3.10
    echo "$target: $((SECONDS - started)) s"
}

# auditwheel checks only manylinux: for musl it would look for libc.so on this machine, where that name is glibc's.
check_libraries() {
    local wheel=$1 verdict
    case $wheel in
        *manylinux*)
            verdict=$("$bin/auditwheel" show "$wheel" | xargs | sed -n 's/.* following platform tag: \(\w*\)\. .*/\1/p')
            [[ -n $verdict && $wheel == *"$verdict"* ]] || fail "$wheel: auditwheel says '$verdict'" ;;
        *musllinux*)
            verdict=$(libraries "$wheel")
            [[ $verdict == libc.so ]] || fail "$wheel: needs $verdict" ;;
        *) fail "$wheel: neither manylinux nor musllinux" ;;
    esac
    echo "${wheel##*/}: $verdict"
}

libraries() {
    rm -rf "$build/content"
    "$bin/python" -m zipfile -e "$1" "$build/content"
    readelf --dynamic "$build"/content/flask_fastsession/_native*.so | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | xargs
}

# From PATH, from pyenv, or built by scripts/free_threaded.sh.
find_python() {
    local candidate free_threaded
    free_threaded=$([[ $1 != *t ]] || echo 1)
    for candidate in "$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/"$1" "$PWD/build/free-threaded/python/bin/$1"; do
        if "$candidate" - "$free_threaded" <<<"$IS_USABLE" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

IS_USABLE='
import ensurepip, sys, sysconfig, venv
sys.exit(bool(sysconfig.get_config_var("Py_GIL_DISABLED")) != bool(sys.argv[1]))
'

# The tags of the wheel that a Python must get.
tags_for() {
    local version=cp3${1#python3.}
    case $1 in
        python3.10) echo cp310-abi3 ;;
        *) echo "${version%t}-$version" ;;
    esac
}

# The kind of guard in the build with these tags.
guard_of() {
    case $1 in
        *-abi3 | *t) echo look-ups ;;
        *) echo tags ;;
    esac
}

# Install the dependencies first, so that pip chooses from dist/ alone.
make_empty() {
    rm -rf "$build/empty"
    "$1" -m venv "$build/empty"
    "$build/empty/bin/python" -m pip install --quiet -c requirements/build.txt Flask itsdangerous
}

install_wheel() {
    "$build/empty/bin/python" -m pip --quiet install --force-reinstall --no-deps --no-index --only-binary :all: "$@"
}

# Read from the metadata file that names the wheel's tags.
installed_tags() {
    sed -n 's/^Tag: \(cp[^-]*-[^-]*\)-.*/\1/p' "$build"/empty/lib/python*/site-packages/flask_fastsession-*.dist-info/WHEEL |
        sort -u
}

# First the wheel that pip chooses, then the one for the stable ABI, which serves any Python with a GIL.
use_wheels() {
    local tags
    make_empty "$2"
    install_wheel --find-links dist flask-fastsession
    tags=$(installed_tags)
    [[ $tags == "$(tags_for "$1")" ]] || fail "$1: pip chose the wheel for $tags instead of $(tags_for "$1")"
    "$build/empty/bin/python" -I scripts/smoke.py --guard "$(guard_of "$tags")"
    if [[ $tags != *-abi3 && $tags != *t ]]; then
        install_wheel dist/*-abi3-manylinux*_"$(uname -m)".whl
        "$build/empty/bin/python" -I scripts/smoke.py --guard look-ups
    fi
}

case ${1-} in
    --all) ;;
    "") mapfile -t platforms < <(printf '%s\n' "${platforms[@]}" | grep "^$(uname -m)-") ;;
    *) fail "usage: scripts/wheel.sh [--all]" ;;
esac

section "Tools"
install_rust
install_tools

section "Build"
rm -rf dist
not_built=()
# The date of all files, in seconds since 1970: the date of the last commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
# Panic messages name source files. For other crates that would be a path on the build machine.
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
export SOURCE_DATE_EPOCH RUSTFLAGS
"$bin/maturin" sdist --out dist
for platform in "${platforms[@]}"; do
    # shellcheck disable=SC2086 # Two words.
    build_wheels $platform
done

section "Check"
for wheel in dist/*.whl; do
    check_libraries "$wheel"
done
"$bin/twine" check --strict dist/*

section "pip's choice for each Python and platform"
"$bin/python" scripts/pip_choice.py dist

section "Use in an empty environment"
used=0
missing=()
for name in "${pythons[@]}"; do
    if python=$(find_python "$name"); then
        use_wheels "$name" "$python"
        used=$((used + 1))
    else
        missing+=("$name")
    fi
done

section "Done in $SECONDS s: used on $used Pythons"
(cd dist && sha256sum -- * && du --bytes -- *)
((${#missing[@]} == 0)) || echo "NOT USED on ${missing[*]}: found neither on PATH nor in pyenv." >&2
((${#not_built[@]} == 0)) || echo "NOT BUILT for ${not_built[*]}: this Rust has no such target." >&2
((used)) || fail "The wheels were used on no Python at all."
