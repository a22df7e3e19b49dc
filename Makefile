# Everything is built into this clone. You need Python >= 3.10 with venv, a Rust toolchain, a C compiler and make.

# The interpreter for the virtual environment. Another one recreates it.
PYTHON ?= python3
PORT ?= 5000
CASES ?= 200000
ABI3_CASES ?= 10000
SEED ?=
FUZZ_SECONDS ?= 60
OPERATIONS ?= 1000000
ROUNDS ?= 1000
# Many tests wait for servers, so four processes are worth it on two cores. A file's tests share what it sets up, and
# tests/conftest.py says which files come first.
TOGETHER := -n 4 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
OLDEST := $(VENV)/oldest
ABI3 := build/abi3
RUST := $(wildcard src/*.rs src/*/*.rs src/*/*/*.rs) build.rs Cargo.toml Cargo.lock pyproject.toml
DEMO_TOOLS := $(VENV)/demo.installed $(VENV)/bench.installed
ALL_TOOLS := $(DEMO_TOOLS) $(VENV)/test.installed $(VENV)/lint.installed $(VENV)/docs.installed

# Build for this interpreter and install here, whatever environment is active in the calling shell.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# Without compiled modules each of the many processes that tests start would compile them anew.
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

# rust-toolchain.toml names stable. If rustup has only other toolchains, use its default instead of downloading one.
ifneq ($(shell command -v rustup 2>/dev/null),)
ifeq ($(shell cd / && rustup toolchain list | grep ^stable),)
export RUSTUP_TOOLCHAIN ?= $(shell cd / && rustup default | cut -d' ' -f1)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve quick coverage test test-abi3 test-oldest test-fuzz lint check differential docs wheel servers clean
.PHONY: changes mutants interleavings histories thieves prove fuzz miri stress matrix session-suites free-threaded audit reproducible trust
.PHONY: bench bench-timing bench-codec bench-signing bench-encryption bench-revocations bench-request bench-server bench-growth bench-serve bench-quick bench-check bench-overrides bench-policies bench-baseline

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/extension $(DEMO_TOOLS) ## Log in and out of an app over HTTP, and show its cookies and their cost
	$(BIN)/python -m examples.demo

serve: $(VENV)/extension $(DEMO_TOOLS) ## Serve the same app on 127.0.0.1:5000 (PORT=...) until stopped
	@$(BIN)/python -m examples.serve --port $(PORT)

servers: ## Install the programs that tests start: servers of Redis, memcached, PostgreSQL and MariaDB, chromium (Debian)
	scripts/servers.sh
	scripts/chromium.sh

test: $(VENV)/extension $(ALL_TOOLS) ## Run all tests, Rust and Python (after make servers)
	cargo test --locked --no-default-features --lib
	cargo test --locked --no-default-features --doc
	$(BIN)/python -m pytest $(TOGETHER)

quick: $(VENV)/extension $(DEMO_TOOLS) $(VENV)/test.installed ## Run tests that need no servers, in a minute: unit tests, contract, docs, known answers, slices of the rest
	cargo test --locked --no-default-features --lib --quiet
	$(BIN)/python -m pytest -q $(TOGETHER) tests/contract tests/project/test_docs.py tests/security/test_vectors.py
	$(BIN)/python -m tests.differential.codec --cases 1000
	$(BIN)/python -m tests.differential.requests --cases 20
	$(BIN)/python -m tests.changes --cases 120

coverage: $(VENV)/extension $(ALL_TOOLS) $(VENV)/coverage.installed ## Measure the coverage of Rust and Python, and fail below a floor (after make servers)
	scripts/coverage.sh

lint: $(VENV)/extension $(ALL_TOOLS) ## Run rustfmt, clippy, ruff, mypy, Pyright and stubtest
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets --no-default-features --target-dir target -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist tests/project/stubtest.txt flask_fastsession._native
	$(BIN)/zizmor --offline --quiet .github

test-oldest: $(VENV)/extension $(OLDEST)/installed ## Run the contract suite with the oldest Flask, and Redis stores with the oldest redis-py
	PYTHONPATH=python $(OLDEST)/bin/python -m pytest $(TOGETHER) tests/contract
	PYTHONPATH=python $(OLDEST)/bin/python -m pytest -n 4 tests/server/test_stores.py -k redis

test-abi3: $(ABI3)/extension $(ALL_TOOLS) ## Run the comparisons with stock, some in part, on a build for the stable ABI
	PYTHONPATH=$(ABI3) $(BIN)/python scripts/smoke.py --folder $(ABI3) --guard look-ups
	PYTHONPATH=$(ABI3) $(BIN)/python -m pytest -q $(TOGETHER) tests/contract tests/changes
	PYTHONPATH=$(ABI3) $(BIN)/python -m tests.differential.codec --cases $(ABI3_CASES)
	PYTHONPATH=$(ABI3) $(BIN)/python -m tests.differential.requests --cases $$(($(ABI3_CASES) / 100))

test-fuzz: ## Run a slice of the fuzz targets, without a fuzzer
	cargo test --locked --manifest-path fuzz/Cargo.toml --no-default-features --lib --target-dir target

check: test test-abi3 test-oldest test-fuzz lint docs ## Run what CI runs

differential: $(VENV)/extension $(ALL_TOOLS) ## Compare CASES=200000 cases and a tenth as many requests with stock (SEED=... repeats)
	$(BIN)/python -m tests.differential.codec --cases $(CASES) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.differential.requests --cases $$(($(CASES) / 100)) $(if $(SEED),--seed $(SEED))

changes: $(VENV)/extension $(ALL_TOOLS) ## Compare with stock while classes, instances, config and modules change (SEED=... repeats)
	$(BIN)/python -m tests.changes $(if $(SEED),--seed $(SEED))

mutants: $(VENV)/extension $(ALL_TOOLS) ## Leave out one check of the guard at a time; make changes must fail without it
	scripts/mutants.sh $(BIN)/python $(if $(SEED),--seed $(SEED))
	ABI=abi3 scripts/mutants.sh $(BIN)/python $(if $(SEED),--seed $(SEED)) look.mro look.found

prove: $(VENV)/extension $(ALL_TOOLS) ## Compare with stock in full: 5,000,000 cases of the codec, 200,000 requests, all changes, all mutants; all interleavings, 1,000,000 operations and 1,000 thieves of server-side sessions; 100,000 encrypted sessions; 1,000 rounds of revocation on each store
	$(BIN)/python -m tests.encryption.random_sessions --sessions 100000 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.differential.codec --cases 5000000 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.differential.requests --cases 20000 $(if $(SEED),--seed $(SEED))
	$(MAKE) --no-print-directory changes mutants interleavings histories thieves
	$(BIN)/python -m tests.revocations.workers --rounds 1000

interleavings: $(ALL_TOOLS) ## Try all orders that the commands of two and three requests to a session on the server can have
	$(BIN)/python -m tests.server.interleavings --whole --size 2
	$(BIN)/python -m tests.server.interleavings --whole --store rows --store sqlite

histories: $(VENV)/extension $(ALL_TOOLS) ## Check OPERATIONS=1000000 random operations on sessions on the server against a model (SEED=... repeats)
	$(BIN)/python -m tests.server.histories --operations $(OPERATIONS) $(if $(SEED),--seed $(SEED))

thieves: $(VENV)/extension $(ALL_TOOLS) ## Revoke sessions ROUNDS=1000 times whose thief keeps moving them, on each store (after make servers)
	$(BIN)/python -m tests.server.thieves --rounds $(ROUNDS)

bench: bench-codec bench-signing bench-encryption bench-revocations bench-request bench-server bench-growth bench-serve ## Run all benchmarks, in half an hour on an idle machine

bench-codec: $(VENV)/extension $(DEMO_TOOLS) ## Compare dumps and loads with stock and tuned Python
	$(BIN)/python -m benches.bench_codec

bench-signing: $(VENV)/extension $(DEMO_TOOLS) ## Compare signers and serializers with itsdangerous's
	$(BIN)/python -m benches.bench_signing

bench-encryption: $(VENV)/extension $(ALL_TOOLS) ## Compare encrypted cookies with signed ones and with Fernet
	$(BIN)/python -m benches.bench_encryption

bench-revocations: $(VENV)/extension $(DEMO_TOOLS) ## Compare sessions that can be revoked with others
	$(BIN)/python -m benches.bench_revocations

bench-request: $(VENV)/extension $(DEMO_TOOLS) ## Measure the cost of sessions per request, and draw docs/request.svg
	$(BIN)/python -m benches.bench_request --results docs/request.json --chart docs/request.svg

bench-server: $(VENV)/extension $(ALL_TOOLS) ## Compare server-side sessions with Flask-Session, and draw docs/server.svg (after make servers)
	$(BIN)/python -m benches.bench_server --results docs/server.json --chart docs/server.svg

bench-growth: $(VENV)/extension $(DEMO_TOOLS) ## Measure large sessions, memory over 1,000,000 requests, import time and wheel size
	$(BIN)/python -m benches.bench_growth

bench-serve: $(VENV)/extension $(DEMO_TOOLS) ## Measure requests per second under gunicorn (needs wrk)
	$(BIN)/python -m benches.bench_serve

bench-quick: $(VENV)/extension $(DEMO_TOOLS) ## Measure codec and requests quickly, less exactly
	$(BIN)/python -m benches.bench_codec --rounds 40
	$(BIN)/python -m benches.bench_request --rounds 40

bench-check: $(VENV)/extension $(DEMO_TOOLS) ## Count instructions, and fail if they rose by 5 % (needs valgrind)
	$(BIN)/python -m benches.instructions

bench-overrides: $(VENV)/extension $(DEMO_TOOLS) ## Count instructions if an app overrides a step, compared with stock (needs valgrind)
	$(BIN)/python -m benches.instructions --overrides

bench-policies: $(VENV)/extension $(DEMO_TOOLS) ## Count instructions of requests with options beyond Flask's (needs valgrind)
	$(BIN)/python -m benches.instructions --policies

bench-baseline: $(VENV)/extension $(DEMO_TOOLS) ## Write the current counts as the baseline of bench-check
	$(BIN)/python -m benches.instructions --write

bench-timing: $(VENV)/extension $(DEMO_TOOLS) ## Check that the time of a refusal does not reveal how much of a signature is right
	$(BIN)/python -m benches.bench_timing

fuzz: ## Fuzz each target for FUZZ_SECONDS=60 (needs rustup; installs its own nightly)
	scripts/fuzz.sh $(FUZZ_SECONDS)

miri: ## Run the unit tests of the modules without Python under Miri and AddressSanitizer (needs rustup)
	scripts/miri.sh

stress: $(VENV)/extension $(ALL_TOOLS) ## Run the tests of faults and load in full: threads, forks, greenlets, leaks
	FAULTS=whole $(BIN)/python -m pytest tests/faults tests/server

matrix: $(VENV)/build.installed ## Run our suite and those of other projects on each available CPython, and write docs/matrix.md
	$(BIN)/python -m scripts.matrix

session-suites: $(VENV)/extension $(ALL_TOOLS) ## Run the suites of Flask-Session and Flask-KVSession, and write docs/session_suites.md (needs git)
	$(BIN)/python -m tests.upstream.session_suites

free-threaded: ## Build a free-threaded CPython from Debian's source, and test and measure on it
	scripts/free_threaded.sh

audit: ## Check the crates against deny.toml: licences, sources, known vulnerabilities
	scripts/audit.sh

docs: $(VENV)/extension $(VENV)/docs.installed ## Build the pages of docs/ into build/docs
	$(BIN)/sphinx-build -W --keep-going -q -d build/doctrees -b html docs build/docs
	@echo "file://$(CURDIR)/build/docs/index.html"

wheel: ## Build wheels and the sdist into dist/, and try them on each Python here (ALL=1: for x86-64 and ARM)
	scripts/wheel.sh $(if $(ALL),--all)

reproducible: ## Build the wheel here and from the sdist in another folder, and compare the two
	scripts/reproducible.sh

# Run all parts even if one fails: some take hours.
TRUST := prove fuzz miri stress matrix free-threaded bench-timing audit reproducible

trust: ## Run all long checks of SECURITY.md, in hours, and list failures at the end
	@failed=; \
	for part in $(TRUST); do \
		printf '\n=== make %s ===\n\n' "$$part"; \
		$(MAKE) --no-print-directory "$$part" || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then printf '\n=== Failed:%s ===\n' "$$failed"; exit 1; fi; \
	printf '\n=== All passed: %s ===\n' "$(TRUST)"

clean: ## Remove all build products
	rm -rf $(VENV) target build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/flask_fastsession/_native*.so
	find python tests examples benches -name __pycache__ -prune -exec rm -rf {} +

# Files that record the state of the virtual environment.

$(VENV)/made-by-$(notdir $(PYTHON)):
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/%.installed: requirements/%.txt requirements/constraints.txt $(VENV)/made-by-$(notdir $(PYTHON))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# One after the other, with --jobs as well.
$(VENV)/demo.installed: | $(VENV)/build.installed
$(VENV)/bench.installed: | $(VENV)/demo.installed
$(VENV)/test.installed: | $(VENV)/bench.installed
$(VENV)/lint.installed: | $(VENV)/test.installed
$(VENV)/docs.installed: | $(VENV)/lint.installed

$(OLDEST)/installed: requirements/oldest.txt requirements/constraints.txt $(VENV)/build.installed
	$(BIN)/python -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/extension: $(VENV)/build.installed $(RUST)
	rm -f python/flask_fastsession/_native*.so
	$(BIN)/maturin develop --release --locked
	@touch $@

# Do not replace the other build: unpack the whole package into its own folder.
$(ABI3)/extension: $(VENV)/build.installed $(RUST) $(wildcard python/flask_fastsession/*.py python/flask_fastsession/*/*.py python/flask_fastsession/inspector/*)
	rm -rf $(ABI3)
	$(BIN)/maturin build --release --locked --features abi3 --interpreter $(BIN)/python --compatibility off --out $(ABI3)
	$(BIN)/python -m zipfile -e $(ABI3)/*.whl $(ABI3)
	@touch $@
