#!/usr/bin/env bash
# Build a free-threaded CPython once, from Debian's source package of python3.14, and test and measure this package on it.
# Everything stays in build/free-threaded. The first run takes half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=$PWD/build/free-threaded
PYTHON=$BUILD/python/bin/python3.14t
VENV=$BUILD/venv
unset CONDA_PREFIX PYTHONHOME PYTHONPATH

section() {
    printf '\n=== %s ===\n\n' "$*"
}

# apt with its own sources and indexes; the system's stay unchanged.
private() {
    "$1" -q -o Dir::Etc::SourceList="$BUILD/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$BUILD/apt/lists" -o Dir::Cache="$BUILD/apt" -o APT::Sandbox::User=root "${@:2}"
}

# Debian's unstable suite, or else testing, from this machine's mirror. apt verifies signatures and checksums.
download_source() {
    local mirror suite
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 -E '/debian/?$')
    for suite in sid testing; do
        echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$BUILD/apt/sources.list"
        private apt-get update
        private apt-get source --download-only python3.14 && return
        rm -f python3.14_*
    done
    echo "The mirror has no source package of python3.14: have apt use another one, or try again later." >&2
    return 1
}

# Leave out Debian's patches: they move folders for Debian's own packages.
build_python() {
    rm -rf "$BUILD/source" "$BUILD/apt" "$BUILD/python"
    mkdir -p "$BUILD/source" "$BUILD"/apt/{lists,archives}/partial
    cd "$BUILD/source"
    download_source
    dpkg-source --skip-patches --extract python3.14_*.dsc cpython
    cd cpython
    ./configure --quiet --disable-gil --with-ensurepip=no --prefix="$BUILD/python"
    nice -n 10 make --silent -j2
    make --silent install >/dev/null
    rm -rf "$BUILD/source" "$BUILD/apt"
}

packages=(dpkg-dev gcc libc6-dev libffi-dev libssl-dev make xz-utils zlib1g-dev)
if ! dpkg-query --show "${packages[@]}" >/dev/null 2>&1; then
    section "Install ${packages[*]}"
    apt-get update -q
    apt-get install -qy --no-install-recommends "${packages[@]}"
fi

if [[ ! -x $PYTHON ]]; then
    section "Build a free-threaded CPython"
    (build_python)
fi

section "Build the extension for it"
[[ -x $VENV/bin/python ]] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements/build.txt -r requirements/test.txt
rm -rf "$BUILD/wheel"
CARGO_TARGET_DIR=$BUILD/target PYO3_PYTHON=$VENV/bin/python \
    "$VENV/bin/maturin" build --release --locked --interpreter "$VENV/bin/python" --out "$BUILD/wheel"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$BUILD"/wheel/*.whl

section "Tests, and threads under load"
"$VENV/bin/python" -m scripts.free_threaded "$@"
