#!/usr/bin/env bash
# What the scripts share. Sourced, never run.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export TOP
cd "$TOP"

say() { printf -- '-----> %s\n' "$*"; }

die() {
  printf ' !     %s\n' "$@" >&2
  exit 1
}

need_root() { [ "$(id -u)" -eq 0 ] || die "$1 needs root: run it as root, or as sudo env \"PATH=\$PATH\" $1"; }

need_rust() {
  command -v cargo >/dev/null || die "cargo was not found: install a Rust toolchain (1.95 or later) and put it on PATH"
}

need_linux() {
  [ -e /proc/self/ns/user ] || die "this kernel has no user namespaces, without which dynos cannot be isolated"
  [ "$(cat /proc/sys/user/max_user_namespaces)" -gt 0 ] \
    || die "user namespaces are switched off here: raise the setting user.max_user_namespaces (sysctl)"
}

# Where cargo puts the release binary.
binary() {
  local target
  target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
  echo "$target/$(rustc -vV | sed -n 's/^host: //p')/release/dyno"
}

# Waits until the node that process $2 runs answers, or has ended.
await_node() {
  for _ in $(seq 60); do
    "$1" wait --timeout 1 2>/dev/null && return
    kill -0 "$2" 2>/dev/null || return 1
  done
  return 1
}

# Mebibytes free where the path's file system is.
need_disk() {
  local free
  free=$(df --output=avail -m "$1" | tail -n 1)
  [ "$free" -ge "$2" ] || die "$1 has $free MiB free and $2 MiB are needed: make room, then run this again"
}

# Installs the packages that the named lists hold and this machine lacks.
install_packages() {
  local missing=() package
  while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done < <(cat "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "these packages are missing: ${missing[*]}" "install them with your package manager"
  say "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install ${missing[*]}: is the network there? The whole output is in $log"
  fi
  rm -f "$log"
}
