#!/usr/bin/env bash
# Builds into dist/ what one Linux machine can build of a release: the sdist, and wheels for two architectures and two C
# libraries, for every CPython and for free-threaded ones, linked by zig so that they run on older systems. All are checked;
# those for this machine are installed into an empty environment of each Python that is found, and used there.
set -euo pipefail
cd "$(dirname "$0")/.."

# Those of .github/workflows/release.yml.
rust=1.95.0
interpreters=(python3.10 python3.14t)
platforms=(
    "x86_64-unknown-linux-gnu manylinux_2_17"
    "aarch64-unknown-linux-gnu manylinux_2_17"
    "x86_64-unknown-linux-musl musllinux_1_2"
    "aarch64-unknown-linux-musl musllinux_1_2"
)
pythons=(python3.10 python3.11 python3.12 python3.13 python3.14 python3.14t)

build=$PWD/build/wheel
bin=$build/venv/bin
# Each version of a tool is installed but once, and where this Rust is, no other one is.
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

install_tools() {
    command -v rustup >/dev/null || fail "rustup is needed to install Rust $rust: https://rustup.rs"
    local targets=("${platforms[@]%% *}")
    rustup toolchain install "$rust" --profile minimal --no-self-update "${targets[@]/#/--target=}"
    "${PYTHON:-python3}" -m venv --clear "$build/venv"
    "$bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r requirements/wheel.txt
}

build_wheels() {
    local target=$1 platform=$2 started=$SECONDS
    # maturin asks the Python that comes first for zig.
    PATH=$bin:$PATH maturin build --quiet --zig --release --locked --features abi3 --target "$target" --compatibility "$platform" \
        --interpreter "${interpreters[@]}" --out dist
    echo "$target: $((SECONDS - started)) s"
}

# The policy for manylinux is auditwheel's. It would look for musl's libc.so on this machine, where that name is glibc's.
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

use_wheel() {
    local wheel=$1 python=$2
    rm -rf "$build/empty"
    "$python" -m venv "$build/empty"
    "$build/empty/bin/python" -m pip install --quiet -c requirements/build.txt "$wheel"
    "$build/empty/bin/python" -I scripts/smoke.py
}

section "Tools"
install_tools

section "Build"
rm -rf dist
# The date of all files, in seconds since 1970: that of the last commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
# Panics name the file they come from, those of other crates by its path on the machine that built them.
RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
export SOURCE_DATE_EPOCH RUSTFLAGS
"$bin/maturin" sdist --out dist
for platform in "${platforms[@]}"; do
    # shellcheck disable=SC2086 # It is two words.
    build_wheels $platform
done

section "Check"
for wheel in dist/*.whl; do
    check_libraries "$wheel"
done
"$bin/twine" check --strict dist/*

section "Use in an empty environment"
used=0
missing=()
for name in "${pythons[@]}"; do
    if python=$(find_python "$name"); then
        abi=$([[ $name == *t ]] && echo cp314t || echo abi3)
        use_wheel dist/*-"$abi"-manylinux*_"$(uname -m)".whl "$python"
        used=$((used + 1))
    else
        missing+=("$name")
    fi
done

section "Done in $SECONDS s: used on $used Pythons"
(cd dist && sha256sum -- * && du --bytes -- *)
((${#missing[@]} == 0)) || echo "NOT USED on ${missing[*]}: found neither on PATH nor in pyenv." >&2
((used)) || fail "The wheels were used on no Python at all."
