#!/usr/bin/env bash
# Install Debian's Chromium and its driver, which the tests of web pages need.
set -euo pipefail

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    command -v apt-get >/dev/null || { echo "There is no apt-get here. Install chromium and chromedriver by hand." >&2; exit 1; }
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium chromium-driver
fi
chromedriver --version
