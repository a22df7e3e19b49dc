#!/usr/bin/env bash
# Debian's redis-server and memcached, which the tests of server-side sessions start by themselves on ports of their own.
# The services that come with the packages are neither started nor enabled.
set -euo pipefail

declare -A package_of=([redis-server]=redis-server [redis-cli]=redis-tools [memcached]=memcached)
policy=/usr/sbin/policy-rc.d

missing() {
    for program in "${!package_of[@]}"; do
        command -v "$program" >/dev/null || echo "${package_of[$program]}"
    done
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

fail() {
    echo "$1 Install these by hand: ${packages[*]}" >&2
    exit 1
}

# Maintainer scripts of Debian ask policy-rc.d whether a service may be started; 101 forbids it.
forbid_starts() {
    [[ ! -e $policy ]] || return 0
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

# Nor are the new services to start with the machine.
enable_none() {
    command -v systemctl >/dev/null || return 0
    for service in redis-server memcached; do
        [[ " ${packages[*]} " != *" $service "* ]] || as_root systemctl disable --quiet "$service"
    done
}

mapfile -t packages < <(missing)
if ((${#packages[@]})); then
    command -v apt-get >/dev/null || fail "There is no apt-get here."
    ((EUID == 0)) || command -v sudo >/dev/null || fail "Neither root nor sudo."
    forbid_starts
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
    enable_none
fi

redis-server --version
memcached --version
