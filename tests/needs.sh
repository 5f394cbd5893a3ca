#!/usr/bin/env bash
# Says what is missing on this machine, and installs with apt what only the tests need. Usage: needs.sh cargo|node|chromium|postgres|redis|rabbitmq|strace …
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

# PostgreSQL's server programs, wherever Debian or PATH has them. The tests run private servers on them.
has_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}

need_postgres() {
  if [ -n "${LOQUAT_TEST_POSTGRES:-}" ] && command -v psql >/dev/null; then return; fi
  has_postgres && command -v psql >/dev/null && return
  [ "$(id -u)" = 0 ] || fail 'PostgreSQL is missing: install the package postgresql, or install psql and name a server in LOQUAT_TEST_POSTGRES (a postgres:// URL that may create databases)'
  echo 'installing postgresql with apt'
  # The package would make a cluster of its own; the tests do not want it. The setting is put back afterwards.
  quiet_apt postgresql-common || fail 'postgresql-common could not be installed with apt'
  local settings=/etc/postgresql-common/createcluster.conf outcome=0
  cp -p "$settings" "$settings.loquat"
  printf 'create_main_cluster = false\n' >>"$settings"
  quiet_apt postgresql postgresql-client || outcome=$?
  mv "$settings.loquat" "$settings"
  [ "$outcome" = 0 ] || fail 'postgresql could not be installed with apt'
}

need_redis() {
  [ -z "${LOQUAT_TEST_REDIS:-}" ] || return 0
  command -v redis-server >/dev/null && return
  [ "$(id -u)" = 0 ] || fail 'Redis is missing: install the package redis-server, or name a server in LOQUAT_TEST_REDIS (a redis:// URL)'
  echo 'installing redis-server with apt'
  quiet_apt redis-server || fail 'redis-server could not be installed with apt'
}

# Private servers on it need no service of the system, and none is started.
need_rabbitmq() {
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null && return
  [ "$(id -u)" = 0 ] || fail 'RabbitMQ is missing: install the package rabbitmq-server'
  echo 'installing rabbitmq-server with apt'
  quiet_apt rabbitmq-server || fail 'rabbitmq-server could not be installed with apt'
}

need_strace() {
  command -v strace >/dev/null && return
  [ "$(id -u)" = 0 ] || fail 'strace is missing: install the package strace'
  echo 'installing strace with apt'
  quiet_apt strace || fail 'strace could not be installed with apt'
}

for need in "$@"; do "need_$need"; done
