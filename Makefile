# Everything that a contributor runs. `make up` and `make test` need Rust, gcc and make; what the others need stands
# beside them. Nothing here writes outside the target folder and ~/.cache/taffrail.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One profile for all that runs, so that one build serves tests, clients, images and measurements.
PROFILE := ci
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET_DIR)/$(PROFILE)/taffrail
IMAGE ?= taffrail:dev
TOOLS := $(HOME)/.cache/taffrail/tools
export PATH := $(TOOLS)/bin:$(PATH)

# Where a test bed for kind has to be made first, KIND_UP names the program that makes it and prints what to export.
WITH_KIND := if [ -n "$${KIND_UP:-}" ]; then eval "$$($$KIND_UP)"; fi

.PHONY: help
help: ## What there is to make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: up
up: build ## A cluster on this machine from examples/demo.yaml, for Kafka clients on localhost:9092
	@exec $(BINARY) dev -f examples/demo.yaml

.PHONY: build
build: ## The taffrail binary
	cargo build --profile $(PROFILE) --package taffrail

.PHONY: test
test: ## Unit, property and process tests
	cargo test --profile $(PROFILE)

.PHONY: verify
verify: $(TOOLS)/bin/promtool ## All static checks; writes nothing. Needs helm; installs cargo-deny and promtool on first use
	cargo fmt --all --check
	cargo clippy --profile $(PROFILE) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --profile $(PROFILE) --workspace --no-deps --document-private-items
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --quiet --root $(TOOLS)
	cargo deny --log-level error check bans licenses sources
	@echo "cargo deny: advisories left out, their database is not part of this check"
	$(WITH_KIND); helm lint --strict charts/taffrail-operator
	$(WITH_KIND); cargo run --quiet --profile $(PROFILE) --package xtask -- chart
	cargo run --quiet --profile $(PROFILE) --package xtask -- tidy

# From Debian's package, without installing the server that it is part of.
$(TOOLS)/bin/promtool:
	mkdir -p $(TOOLS)/bin
	folder=$$(mktemp -d) && cd $$folder && { apt-get download --quiet=2 prometheus || \
		{ apt-get update --quiet=2 && apt-get download --quiet=2 prometheus; }; } && \
		dpkg-deb --extract prometheus_*.deb . && cp usr/bin/promtool $@ && rm -r $$folder

.PHONY: fix
fix: ## Formats and regenerates what is generated
	cargo fmt --all
	cargo run --quiet --profile $(PROFILE) --package xtask -- codegen protocol
	cargo run --quiet --profile $(PROFILE) --package xtask -- codegen crds
	cargo run --quiet --profile $(PROFILE) --package xtask -- codegen dashboards

.PHONY: oracle
oracle: ## Wire bytes against an independent implementation
	cargo test --profile $(PROFILE) --package oracle

SEEDS ?= 100
FIRST ?= 1
.PHONY: sim
sim: ## Whole brokers under faults in one deterministic process: make sim SEEDS=1000 FIRST=1
	cargo run --quiet --profile $(PROFILE) --package sim -- $(SEEDS) $(FIRST)

.PHONY: sim-test
sim-test: ## Tests of the simulation: fixed seeds, and the proof that its checker sees
	cargo test --profile $(PROFILE) --package sim --features sabotage

.PHONY: compat
compat: build ## Real clients against the real binary. Needs Java, Maven, Python and kcat
	TAFFRAIL_BIN=$(abspath $(BINARY)) cargo test --profile $(PROFILE) --package compat -- --test-threads=1

MINUTES ?= 60
.PHONY: chaos
chaos: build ## Real processes under faults of processes, networks and disks: make chaos MINUTES=60 SEED=1 KEEP=folder
	cargo build --profile $(PROFILE) --package chaos
	TAFFRAIL_BIN=$(abspath $(BINARY)) MINUTES=$(MINUTES) $(if $(SEED),SEED=$(SEED)) $(TARGET_DIR)/$(PROFILE)/chaos

.PHONY: chaos-test
chaos-test: build ## The same for three minutes, with a seed that stays. Needs iproute2 and nftables, root or user namespaces
	TAFFRAIL_BIN=$(abspath $(BINARY)) cargo test --profile $(PROFILE) --package chaos -- --nocapture

.PHONY: e2e
e2e: build ## The operator on a kind cluster: make e2e ONLY='part of a name|of another' KEEP=1 FULL=1. Needs docker, kind, kubectl, helm and kcat
	cargo test --profile $(PROFILE) --package kind-e2e --test rules
	$(WITH_KIND); TAFFRAIL_BIN=$(abspath $(BINARY)) $(if $(FULL),TAFFRAIL_E2E_SUBSET=full) $(if $(KEEP),TAFFRAIL_E2E_KEEP=1) \
		cargo test --profile $(PROFILE) --package kind-e2e --test scenarios -- '$(ONLY)'

.PHONY: bench
bench: ## Side by side with Apache Kafka, built as releases are; KAFKA_PEER names a program that runs it
	cargo build --profile dist --package taffrail
	TAFFRAIL_BIN=$(abspath $(TARGET_DIR)/dist/taffrail) \
		cargo run --profile $(PROFILE) --package bench -- $(ROWS)

.PHONY: image
image: build ## The container image, from the binary that was built here
	mkdir -p $(TARGET_DIR)/image && cp Dockerfile $(TARGET_DIR)/image/ && strip -o $(TARGET_DIR)/image/taffrail $(BINARY)
	$(WITH_KIND); DOCKER_BUILDKIT=0 docker build --tag $(IMAGE) $(TARGET_DIR)/image

.PHONY: book
book: ## The book, as HTML. Installs mdbook on first use
	command -v mdbook >/dev/null || cargo install mdbook --locked --quiet --root $(TOOLS)
	mdbook build docs/book --dest-dir $(abspath $(TARGET_DIR))/book
