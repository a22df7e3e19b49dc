#!/usr/bin/env bash
# Install Debian's redis-server, memcached, PostgreSQL and MariaDB. The tests of server-side sessions start them on their
# own ports.
# The services in the packages are neither started nor enabled.
set -euo pipefail

# Of MariaDB only the programs: its package mariadb-server is the service, and my_print_defaults one of its clients.
declare -A package_of=(
    [redis-server]=redis-server [redis-cli]=redis-tools [memcached]=memcached [initdb]=postgresql
    [mariadbd]=mariadb-server-core [my_print_defaults]=mariadb-client-core
)
policy=/usr/sbin/policy-rc.d

# Debian has PostgreSQL's programs in a folder of each version's own, and mariadbd where only root's shell looks.
look_everywhere() {
    for folder in /usr/sbin /usr/lib/postgresql/*/bin; do PATH="$PATH:$folder"; done
}

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

# Debian's maintainer scripts ask policy-rc.d whether they may start a service; 101 forbids it.
forbid_starts() {
    [[ ! -e $policy ]] || return 0
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

# The new services must not start with the machine, either.
enable_none() {
    command -v systemctl >/dev/null || return 0
    for service in redis-server memcached postgresql; do
        [[ " ${packages[*]} " != *" $service "* ]] || as_root systemctl disable --quiet "$service"
    done
}

look_everywhere
mapfile -t packages < <(missing)
if ((${#packages[@]})); then
    command -v apt-get >/dev/null || fail "There is no apt-get here."
    ((EUID == 0)) || command -v sudo >/dev/null || fail "Neither root nor sudo."
    forbid_starts
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
    enable_none
    look_everywhere
fi

redis-server --version
memcached --version
postgres --version
mariadbd --version
