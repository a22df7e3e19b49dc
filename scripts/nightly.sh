# Sourced by scripts that need nightly Rust: rustup installs a dated nightly into build/.

export RUSTUP_HOME=$PWD/build/rustup
toolchain=nightly-2026-05-20

if ! command -v rustup >/dev/null; then
    echo "rustup is needed to install $toolchain: https://rustup.rs" >&2
    exit 1
fi
rustup toolchain list | grep -q "^$toolchain" ||
    rustup toolchain install "$toolchain" --profile minimal --component miri --component rust-src --no-self-update

nightly() {
    rustup run "$toolchain" "$@"
}

host() {
    nightly rustc -vV | sed -n 's/^host: //p'
}
