#!/usr/bin/env bash
# Measure how much of the Rust and of the Python the quicker tests run, and fail if either falls below its floor.
#
# The instrumented extension is built into a copy of the package in build/coverage, so that nothing else uses it. Rust's own
# unit tests do not count: the number is for what is reached from Python. build/coverage/html shows each line.
set -euo pipefail
cd "$(dirname "$0")/.."

# In percent: of the lines of Rust, and of the lines and branches of Python.
rust_floor=96.5
python_floor=95.5

# Tests that need no browser and do not wait for servers to stop.
first=(tests/contract tests/changes tests/security/test_forgery.py)
second=(
    tests/cli/test_cli.py tests/security/test_{secrets,vectors}.py
    tests/server/test_{config,edges,races,records,sessions,stores,users}.py
)

build=$PWD/build/coverage
python=$PWD/.venv/bin/python
package=$build/python/flask_fastsession
data=$build/data

llvm() {
    local tool sysroot
    sysroot=$(rustc --print sysroot)
    tool=$(find "$sysroot/lib/rustlib" -path "*/bin/llvm-$1" -print -quit)
    if [[ -z $tool ]]; then
        echo "llvm-$1 is needed, of the version of rustc: rustup component add llvm-tools" >&2
        exit 1
    fi
    "$tool" "${@:2}"
}

build_extension() {
    local settings=(CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16)
    env "${settings[@]}" CARGO_TARGET_DIR="$build/target" PYO3_PYTHON="$python" \
        cargo rustc --locked --release --lib --crate-type cdylib -- -C instrument-coverage
    library=$(find "$build/target/release" -maxdepth 1 \( -name 'lib_native.so' -o -name 'lib_native.dylib' \))
}

copy_package() {
    rm -rf "$build/python" "$data" "$build/html"
    mkdir -p "$build/python" "$data"
    cp -r python/flask_fastsession "$package"
    rm -f "$package"/_native*.so
    cp "$library" "$package/_native$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"
}

# Also measure the processes that tests start, wherever they run.
configure() {
    cat >"$build/coverage.ini" <<END
[run]
branch = true
parallel = true
patch = subprocess, _exit
source_pkgs = flask_fastsession
data_file = $data/python

[paths]
package =
    $PWD/python/flask_fastsession
    $package

[report]
exclude_also =
    if t\.TYPE_CHECKING:
    @t\.overload
END
}

# Up to four processes at a time write Rust's counters; each merges its own into a file.
measured() {
    PYTHONPATH=$build/python LLVM_PROFILE_FILE=$data/%4m.profraw \
        "$python" -m coverage run --rcfile="$build/coverage.ini" "$@"
}

run_tests() {
    measured -m pytest -q -p no:cacheprovider "$@"
}

run_slices() {
    measured -m tests.differential.codec --cases 4000 --seed 1
    measured -m tests.differential.requests --cases 60 --seed 1
}

covered_rust() {
    llvm profdata merge -sparse "$data"/*.profraw -o "$data/rust.profdata"
    local what=("$library" "-instr-profile=$data/rust.profdata" -sources "$PWD/src")
    llvm cov show "${what[@]}" -format=html -output-dir="$build/html/rust" >&2
    llvm cov export "${what[@]}" -summary-only |
        "$python" -c 'import json, sys; print(round(json.load(sys.stdin)["data"][0]["totals"]["lines"]["percent"], 1))'
}

covered_python() {
    local options=(--rcfile="$build/coverage.ini")
    "$python" -m coverage combine --quiet "${options[@]}" "$data"
    "$python" -m coverage html --quiet "${options[@]}" --directory="$build/html/python"
    "$python" -m coverage report "${options[@]}" --precision=1 --format=total
}

judge() {
    printf '%-7s %5.1f %% of %s (floor: %s %%)\n' "$1" "$3" "$2" "$4"
    "$python" -c 'import sys; sys.exit(float(sys.argv[1]) < float(sys.argv[2]))' "$3" "$4" || failed+=" $1"
}

build_extension
copy_package
configure

# Run both halves in parallel; show the output of the second after that of the first.
run_tests "${second[@]}" >"$data/second.log" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null || true' EXIT
run_tests "${first[@]}" || failed_tests=yes
run_slices || failed_tests=yes
wait "$beside" || failed_tests=yes
cat "$data/second.log"
if [[ -n ${failed_tests:-} ]]; then
    echo "Tests failed; their coverage says nothing." >&2
    exit 1
fi

rust=$(covered_rust)
python_too=$(covered_python)
echo "Line by line: $build/html/rust/index.html, $build/html/python/index.html"
failed=
judge Rust lines "$rust" "$rust_floor"
judge Python "lines and branches" "$python_too" "$python_floor"
if [[ -n $failed ]]; then
    echo "Below the floor:$failed" >&2
    exit 1
fi
