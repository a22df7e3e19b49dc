#!/usr/bin/env bash
# Leave out one check of the guard at a time; the change matrix must fail without it.
# Usage: [ABI=abi3] scripts/mutants.sh PYTHON [OPTION...], with the options of python -m tests.changes.mutants.
# ABI=abi3 is for the checks that take the place of version tags in a build for the stable ABI.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
shift
# Build into a copy of the package, so that no build that can leave out checks remains in the tree.
package=build/mutants${ABI:+-$ABI}
rm -rf "$package"
mkdir -p "$package"
cp -r python/flask_fastsession "$package"
rm -f "$package"/flask_fastsession/_native*.so
cargo build --release --locked --features "mutants${ABI:+,$ABI}" --target-dir "target/mutants${ABI:+-$ABI}"
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
cp "target/mutants${ABI:+-$ABI}/release/lib_native.so" "$package/flask_fastsession/_native$suffix"
PYTHONPATH=$package exec "$python" -m tests.changes.mutants "$@"
