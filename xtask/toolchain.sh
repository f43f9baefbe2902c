#!/bin/sh
# Makes sure of what building tare needs: a C linker with its library, and a cargo that is new enough.
# Installs Debian packages by name where they are missing; says in one sentence what it cannot do.
set -eu

needed=1.85

# Whether the first version is at least the second.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

missing() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
    done
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >/dev/null
}

# Package lists may be old, or not there at all: fetched only when an install fails without.
install() {
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "tare needs these packages to build, and root to install them: $packages" >&2
        exit 1
    fi
    echo "installing $packages"
    # shellcheck disable=SC2086 # a list of names
    apt install -y --no-install-recommends $packages 2>/dev/null ||
        { apt update && apt install -y --no-install-recommends $packages; }
}

cargo_version() {
    cargo --version 2>/dev/null | cut -d' ' -f2
}

packaged_version() {
    apt-cache policy cargo 2>/dev/null | sed -n 's/^ *Candidate: *//p'
}

install gcc libc6-dev

version=$(cargo_version || true)
if [ -z "$version" ] || ! at_least "$version" "$needed"; then
    [ -n "$(packaged_version)" ] || apt update || true
    packaged=$(packaged_version)
    if [ -z "$version" ] && [ -n "$packaged" ] && at_least "$packaged" "$needed"; then
        install cargo
    else
        echo "tare needs cargo $needed or newer${version:+ (found $version)}: install Rust with rustup, as www.rust-lang.org/tools/install says, and run make again" >&2
        exit 1
    fi
fi
