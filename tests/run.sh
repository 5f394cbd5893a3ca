#!/usr/bin/env bash
# Every suite, one after the other: Rust (unit; stories in one process, split, and as five processes on PostgreSQL, Redis and RabbitMQ; several
# processes on one log; outages; kill), web (types, lint, unit), browser stories. PostgreSQL, Redis and RabbitMQ are private
# ones that the tests start, unless LOQUAT_TEST_POSTGRES and LOQUAT_TEST_REDIS name others.
# Says at the end how many tests of each kind ran. What it starts is ended by the tests themselves, by process id.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
jobs=$(nproc)

say() { printf '\n== %s\n' "$1"; }

tests/needs.sh cargo node chromium postgres redis rabbitmq strace

say 'web: install and build'
make --no-print-directory web

say 'contracts: lint, and the generated types are those of the contracts'
(cd proto && ../web/node_modules/@bufbuild/buf-linux-x64/bin/buf lint)
before=$(find web/src/api/gen -type f -exec sha256sum {} + | sort)
(cd web && npm run --silent proto)
after=$(find web/src/api/gen -type f -exec sha256sum {} + | sort)
[ "$before" = "$after" ] || { echo 'web/src/api/gen is out of date: run `make proto` and commit it' >&2; exit 1; }

say 'rust: format; build with lints, and test on SQLite, PostgreSQL, Redis and RabbitMQ'
cargo fmt --check
# One build for lints and tests. `cargo clippy` before it would go through every dependency a second time, which takes a quarter of all
# this; so clippy compiles the workspace, and any warning is an error. Every dependency is built once, with the features that tests need.
export RUSTC_WORKSPACE_WRAPPER=clippy-driver
cargo build --workspace --all-targets -j"$jobs" 2>&1 | tee "$log/build"
if grep -E '^warning: .* generated [0-9]+ warning' "$log/build"; then
  echo 'the lints found something: see the warnings above' >&2
  exit 1
fi
# The stories wait half of their time. Suites that are patient run beside them and take what is left; the others are about seconds, and
# run before the stories.
patient=(broker crash_points drill file_stores five model suites)
targets=$(cargo metadata --no-deps --format-version 1 | node -p 'JSON.parse(require("fs").readFileSync(0)).packages
  .flatMap((each) => each.targets).filter((each) => each.kind.includes("test")).map((each) => each.name).join("\n")')
others=$(grep -vxF "$(printf '%s\n' "${patient[@]}")" <<<"$targets")
# A group of its own, so that whoever ends this ends them as well; the tests end what they started when they are gone.
set -m
# shellcheck disable=SC2046 # Names of targets have no blanks.
nice -n 5 cargo test --workspace -j"$jobs" $(printf -- '--test %s ' "${patient[@]}") >"$log/patient" 2>&1 &
beside=$!
set +m
trap 'kill -- -"$beside" 2>/dev/null || true; rm -rf "$log"' EXIT
# shellcheck disable=SC2046,SC2086
cargo test --workspace -j"$jobs" --lib --bins $(printf -- '--test %s ' $others) 2>&1 | tee "$log/rust"
outcome=0
wait "$beside" || outcome=$?
say 'rust: what ran beside'
cat "$log/patient"
[ "$outcome" = 0 ] || exit "$outcome"
trap 'rm -rf "$log"' EXIT
cat "$log/patient" >>"$log/rust"
unset RUSTC_WORKSPACE_WRAPPER

say 'web: types, lint, unit tests'
(cd web && npm run --silent check && npm run --silent lint && NO_COLOR=1 npm run --silent test) 2>&1 | tee "$log/web"

say 'browser stories'
(cd web && CHROMIUM=${CHROMIUM:-/usr/bin/chromium} npm run --silent e2e) 2>&1 | tee "$log/browser"

# The suites' own summaries, added up. A suite that ran nothing is a failure: it would hide everything.
rust=$(awk '/^test result: ok/ { passed += $4 } END { print passed + 0 }' "$log/rust")
web=$(sed -n 's/^ *Tests *\([0-9]*\) passed.*/\1/p' "$log/web" | tail -1)
browser=$(sed -n 's/^.*pass \([0-9]*\)$/\1/p' "$log/browser" | tail -1)
say "ran: ${rust:-0} Rust tests, ${web:-0} web unit tests, ${browser:-0} browser stories"
for count in "${rust:-0}" "${web:-0}" "${browser:-0}"; do
  [ "$count" -gt 0 ] || { echo 'a suite ran no test' >&2; exit 1; }
done
echo "$((rust + web + browser)) passed, 0 failed"
