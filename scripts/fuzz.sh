#!/usr/bin/env bash
# Fuzz targets, by default all, for SECONDS each, starting from their seeds and the corpus of earlier runs:
#     scripts/fuzz.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
targets=${*:2}
build=build/fuzz

if ! command -v g++ >/dev/null; then
    apt-get update -q
    apt-get install -qy --no-install-recommends g++
fi
source scripts/nightly.sh
export PATH=$PWD/build/tools/bin:$PATH
if [[ $(cargo-fuzz --version 2>/dev/null) != "cargo-fuzz 0.13.2" ]]; then
    nightly cargo install --quiet --locked --force --root build/tools --version 0.13.2 cargo-fuzz
fi

dependencies() {
    nightly cargo tree --locked --package flask-fastsession --edges normal --prefix none "$@" | sort -u
}

shipped=$(dependencies --no-default-features)
if ! diff <(echo "$shipped") <(dependencies --manifest-path fuzz/Cargo.toml); then
    echo "fuzz/Cargo.lock has other versions than Cargo.lock: what is fuzzed would not be what is shipped." >&2
    exit 1
fi

# The end of the log has "stat::number_of_executed_units: 12345".
stat() {
    sed -n "s/^stat::$1: *//p" "$build/$target.log"
}

nightly cargo fuzz build --target-dir "$build/target"
failed=0
printf '\n%-12s %14s %10s %9s\n' target executions per_second findings
for target in ${targets:-$(nightly cargo fuzz list)}; do
    corpus=$build/corpus/$target
    findings=$build/findings/$target
    rm -rf "$findings"
    mkdir -p "$corpus" "$findings"
    # A crash ends the run of its target, so there is at most one finding, and its input is in that folder.
    "$build/target/$(host)/release/$target" "$corpus" "fuzz/corpus/$target" -max_total_time="$seconds" -timeout=10 \
        -artifact_prefix="$findings/" -print_final_stats=1 &>"$build/$target.log" || failed=1
    printf '%-12s %14s %10s %9s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "$(find "$findings" -type f | wc -l)"
done
if ((failed)); then
    printf '\nWhat was found is in %s, how in %s. To repeat one: %s\n' \
        "$build/findings" "$build/*.log" "$build/target/$(host)/release/TARGET FINDING"
fi
exit "$failed"
