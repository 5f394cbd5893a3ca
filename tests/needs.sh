#!/usr/bin/env bash
# Says what is missing on this machine, and installs with apt what only the tests need. Usage: needs.sh cargo|node|chromium …
set -euo pipefail

fail() { printf 'loquat: %s\n' "$1" >&2; exit 1; }

need_cargo() {
  command -v cargo >/dev/null || fail 'the Rust toolchain is missing: install rustup with a stable toolchain of 1.95 or newer'
  command -v cc >/dev/null || fail 'a C compiler is missing: install gcc'
}

need_node() {
  command -v npm >/dev/null || fail 'Node.js is missing: install Node.js 20.19 or newer with npm'
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js $(node --version) is too old: 20.19 or newer is needed"
}

# Packages must not start servers of their own while they are installed: a policy that forbids it, left as it was found.
quiet_apt() {
  local policy=/usr/sbin/policy-rc.d ours=''
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=yes
  fi
  local outcome=0
  { DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } || outcome=$?
  [ -z "$ours" ] || rm -f "$policy"
  return "$outcome"
}

need_chromium() {
  local browser=${CHROMIUM:-/usr/bin/chromium}
  [ -x "$browser" ] && return
  [ -z "${CHROMIUM:-}" ] || fail "CHROMIUM names $browser, which is not there"
  [ "$(id -u)" = 0 ] || fail 'Chromium is missing: install the package chromium, or name a browser in CHROMIUM'
  echo 'installing chromium with apt'
  quiet_apt chromium fonts-noto-color-emoji || fail 'chromium could not be installed with apt'
}

for need in "$@"; do "need_$need"; done
