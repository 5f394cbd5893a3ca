# Everything a person does with Loquat. `make run` and `make test` need no other step before them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO_JOBS ?= $(shell nproc)
WEB_INSTALLED := web/node_modules/.package-lock.json
WEB_BUILT := web/dist/index.html
WEB_SOURCES := $(shell find web/src web/index.html web/public web/vite.config.ts -type f 2>/dev/null)

.PHONY: run test check fmt lint web proto bench drill soak clean

## Builds the web app and the server, and serves on http://localhost:8080 until Ctrl-C. Data is kept in ./data.
run: $(WEB_BUILT)
	@tests/needs.sh cargo
	cargo build -j$(CARGO_JOBS) --workspace
	@exec target/debug/loquat serve

## Runs every suite, and installs with apt (as root) what they need.
test:
	tests/run.sh

## What a change must pass before it is looked at: types, lints, formats.
check: lint
	cargo fmt --check
	cd web && npm run check

lint: $(WEB_INSTALLED)
	cargo clippy --workspace --all-targets -j$(CARGO_JOBS) -- -D warnings
	cd web && npm run lint
	cd proto && ../web/node_modules/@bufbuild/buf-linux-x64/bin/buf lint

fmt: $(WEB_INSTALLED)
	cargo fmt
	cd web && npm run format

web: $(WEB_BUILT)

## Generates the web client's types from the contracts. The server's are made by its build.
proto: $(WEB_INSTALLED)
	cd web && npm run proto

## Measures a release build beside floors of the same run, one core for the server and one for the generator: table, chart and
## raw lines go to target/bench. Takes about three quarters of an hour; `make bench GOALS=1,3` takes some goals only.
bench: $(WEB_BUILT)
	@tests/needs.sh cargo postgres redis
	cargo build --release -j$(CARGO_JOBS) --workspace
	target/release/loquat-bench goals $(if $(GOALS),--goals $(GOALS))

## Breaks servers of every shape under load, ROUNDS times each, and counts what was lost. SEED=… repeats a run.
ROUNDS ?= 20
SEED ?=
drill: $(WEB_BUILT)
	@tests/needs.sh cargo postgres redis
	cargo build -j$(CARGO_JOBS) --workspace
	target/debug/loquat-drill --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

## Half the load that a release build takes, for SOAK_SECONDS, with a check and a reading of memory every minute.
SOAK_SECONDS ?= 7200
SOAK_SHAPE ?= embedded
soak: $(WEB_BUILT)
	@tests/needs.sh cargo postgres redis
	cargo build --release -j$(CARGO_JOBS) --workspace
	target/release/loquat-drill --shape $(SOAK_SHAPE) --soak $(SOAK_SECONDS)

clean:
	rm -rf target web/dist web/node_modules

$(WEB_INSTALLED): web/package.json web/package-lock.json
	@tests/needs.sh node
	cd web && npm ci --no-audit --no-fund
	@touch $@

$(WEB_BUILT): $(WEB_INSTALLED) $(WEB_SOURCES)
	cd web && npm run build
	@touch $@
