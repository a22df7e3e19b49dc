#!/usr/bin/env bash
# Check the dependencies against deny.toml: licences, sources, banned crates and known vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
root=build/cargo-deny-$version
deny=$root/bin/cargo-deny

if [[ ! -x $deny ]]; then
    cargo install cargo-deny --version "$version" --locked --quiet --root "$root" --target-dir build/cargo-deny-target
    rm -rf build/cargo-deny-target
fi

"$deny" --locked check bans licenses sources
# Last, because the list of vulnerabilities comes from another host than the crates.
"$deny" --locked check advisories
