#!/usr/bin/env bash
# Build the wheel from this tree, and with pip from the sdist in another folder, and compare the two byte by byte. Only the
# folder, which maturin names in the SBOM, may differ. Install pip's wheel into an empty environment, and use it.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/build/reproducible
python=$out/venv/bin/python
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT

rm -rf "$out"
"${PYTHON:-python3}" -m venv "$out/venv"
"$python" -m pip install --quiet --disable-pip-version-check -r requirements/build.txt

# The date of all files, in seconds since 1970: the date of the last commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# Panic messages name source files. For other crates that would be a path on the build machine.
export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

echo "Build the sdist"
"$out/venv/bin/maturin" sdist --out "$out/sdist"
sdist=$(echo "$out"/sdist/*.tar.gz)

echo "Build the wheel here"
CARGO_TARGET_DIR=$out/target "$out/venv/bin/maturin" build --quiet --release --locked --compatibility off \
    --interpreter "$python" --out "$out/here"

echo "Build the wheel from the sdist, elsewhere"
# Newer versions of pip read the second variable, older ones the first.
export PIP_CONSTRAINT=$PWD/requirements/build.txt PIP_BUILD_CONSTRAINT=$PWD/requirements/build.txt
CARGO_TARGET_DIR=$elsewhere/target MATURIN_PEP517_ARGS=--locked \
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$out/sdist" "$sdist"

echo "Use it in an empty environment"
"${PYTHON:-python3}" -m venv "$elsewhere/venv"
"$elsewhere/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$out"/sdist/*.whl
(cd "$elsewhere" && venv/bin/python) <<'PYTHON'
from flask import Flask
from flask import session
from flask_fastsession import FastSessionInterface

app = Flask("app")
app.secret_key = "key"
app.session_interface = interface = FastSessionInterface()


@app.get("/")
def count():
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


client = app.test_client()
assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
assert interface.stats()["open"] == {"native": 3, "declined": {}}, interface.stats()
PYTHON

echo "Compare"
for built in here sdist; do
    "$python" -m zipfile -e "$out/$built"/*.whl "$out/$built/content"
    sed -i 's|path+file://[^#]*#|path+file://#|g' "$out/$built"/content/*.dist-info/sboms/*.json
    # The hash of the SBOM as it was.
    sed -i '/\/sboms\//d' "$out/$built"/content/*.dist-info/RECORD
    "$python" -m zipfile -l "$out/$built"/*.whl | grep -v '/sboms/\|/RECORD' >"$out/$built/content/dates-and-sizes"
done
diff -r "$out/here/content" "$out/sdist/content"
sha256sum "$out"/here/content/flask_fastsession/_native*.so "$out"/sdist/content/flask_fastsession/_native*.so
echo "Equal."
