# Everything is built into this clone. What is needed: Python >= 3.10 with venv, a Rust toolchain, a C compiler, make.

# The interpreter that the virtual environment is made with; another one makes it anew.
PYTHON ?= python3
PORT ?= 5000
CASES ?= 200000
ABI3_CASES ?= 10000
SEED ?=
FUZZ_SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
OLDEST := $(VENV)/oldest
ABI3 := build/abi3
RUST := $(wildcard src/*.rs src/*/*.rs) Cargo.toml Cargo.lock pyproject.toml
DEMO_TOOLS := $(VENV)/demo.installed $(VENV)/bench.installed
ALL_TOOLS := $(DEMO_TOOLS) $(VENV)/test.installed $(VENV)/lint.installed $(VENV)/docs.installed

# pyo3 is to build for this interpreter, and maturin to install here, whatever else is active in the calling shell.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH

# rust-toolchain.toml names stable. Where rustup has other toolchains only, its default is taken, and nothing downloaded.
ifneq ($(shell command -v rustup 2>/dev/null),)
ifeq ($(shell cd / && rustup toolchain list | grep ^stable),)
export RUSTUP_TOOLCHAIN ?= $(shell cd / && rustup default | cut -d' ' -f1)
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo serve quick coverage test test-abi3 test-oldest lint check differential docs wheel servers clean
.PHONY: changes mutants prove fuzz miri stress matrix free-threaded audit reproducible trust
.PHONY: bench bench-timing bench-codec bench-signing bench-request bench-server bench-growth bench-serve bench-quick bench-check bench-overrides bench-baseline

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/extension $(DEMO_TOOLS) ## Log in and out of an app over HTTP, look at its cookies and what they cost
	$(BIN)/python -m examples.demo

serve: $(VENV)/extension $(DEMO_TOOLS) ## Serve that app on 127.0.0.1:5000 (PORT=...) until stopped
	@$(BIN)/python -m examples.serve --port $(PORT)

servers: ## Install what tests start by themselves: redis-server, memcached, chromium (Debian)
	scripts/servers.sh
	scripts/chromium.sh

test: $(VENV)/extension $(ALL_TOOLS) ## Run all tests, Rust and Python (after make servers)
	cargo test --locked --no-default-features --lib
	cargo test --locked --no-default-features --doc
	$(BIN)/python -m pytest

quick: $(VENV)/extension $(DEMO_TOOLS) $(VENV)/test.installed ## Run in two minutes what needs no servers: contract, docs, known answers, slices of the rest
	cargo test --locked --no-default-features --lib --quiet
	$(BIN)/python -m pytest -q tests/contract tests/project tests/security/test_vectors.py
	$(BIN)/python -m tests.differential.codec --cases 2000
	$(BIN)/python -m tests.differential.requests --cases 30
	$(BIN)/python -m tests.changes --cases 160

coverage: $(VENV)/extension $(ALL_TOOLS) $(VENV)/coverage.installed ## Measure what quicker tests cover of Rust and Python, down to a floor (after make servers)
	scripts/coverage.sh

lint: $(VENV)/extension $(ALL_TOOLS) ## Run rustfmt, clippy, ruff, mypy and stubtest
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets --no-default-features --target-dir target -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml flask_fastsession._native
	$(BIN)/zizmor --offline --quiet .github

test-oldest: $(VENV)/extension $(OLDEST)/installed ## Run the contract suite with the oldest Flask, and Redis stores with the oldest redis-py
	PYTHONPATH=python $(OLDEST)/bin/python -m pytest tests/contract
	PYTHONPATH=python $(OLDEST)/bin/python -m pytest tests/server/test_stores.py -k redis

test-abi3: $(ABI3)/extension $(ALL_TOOLS) ## Run what compares with stock, or slices of it, on a build for the stable ABI
	PYTHONPATH=$(ABI3) $(BIN)/python scripts/smoke.py --folder $(ABI3) --guard look-ups
	PYTHONPATH=$(ABI3) $(BIN)/python -m pytest -q tests/contract tests/changes
	PYTHONPATH=$(ABI3) $(BIN)/python -m tests.differential.codec --cases $(ABI3_CASES)
	PYTHONPATH=$(ABI3) $(BIN)/python -m tests.differential.requests --cases $$(($(ABI3_CASES) / 100))

check: test test-abi3 test-oldest lint ## Run what CI runs

differential: $(VENV)/extension $(ALL_TOOLS) ## Compare CASES=200000 cases and a tenth as many requests with stock (SEED=... repeats)
	$(BIN)/python -m tests.differential.codec --cases $(CASES) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.differential.requests --cases $$(($(CASES) / 100)) $(if $(SEED),--seed $(SEED))

changes: $(VENV)/extension $(ALL_TOOLS) ## Compare with stock across changes to classes, instances, config and modules (SEED=... repeats)
	$(BIN)/python -m tests.changes $(if $(SEED),--seed $(SEED))

mutants: $(VENV)/extension $(ALL_TOOLS) ## Leave out one check at a time; the same comparison has to fail without it
	scripts/mutants.sh $(BIN)/python $(if $(SEED),--seed $(SEED))

prove: $(VENV)/extension $(ALL_TOOLS) ## Compare with stock in full: 5,000,000 cases of the codec, 200,000 requests, all changes, all mutants
	$(BIN)/python -m tests.differential.codec --cases 5000000 $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.differential.requests --cases 20000 $(if $(SEED),--seed $(SEED))
	$(MAKE) --no-print-directory changes mutants

bench: bench-codec bench-signing bench-request bench-server bench-growth bench-serve ## Measure all, in ten minutes of a machine that does nothing else

bench-codec: $(VENV)/extension $(DEMO_TOOLS) ## Measure dumps and loads beside stock and tuned Python
	$(BIN)/python -m benches.bench_codec

bench-signing: $(VENV)/extension $(DEMO_TOOLS) ## Measure signers and serializers beside itsdangerous's
	$(BIN)/python -m benches.bench_signing

bench-request: $(VENV)/extension $(DEMO_TOOLS) ## Measure what sessions cost a request, and draw docs/request.svg
	$(BIN)/python -m benches.bench_request --results docs/request.json --chart docs/request.svg

bench-server: $(VENV)/extension $(ALL_TOOLS) ## Measure server-side sessions beside Flask-Session, and draw docs/server.svg (after make servers)
	$(BIN)/python -m benches.bench_server --results docs/server.json --chart docs/server.svg

bench-growth: $(VENV)/extension $(DEMO_TOOLS) ## Measure large sessions, memory over 1,000,000 requests, import and wheel
	$(BIN)/python -m benches.bench_growth

bench-serve: $(VENV)/extension $(DEMO_TOOLS) ## Measure requests per second under gunicorn (needs wrk)
	$(BIN)/python -m benches.bench_serve

bench-quick: $(VENV)/extension $(DEMO_TOOLS) ## Measure codec and requests in seconds, less exactly
	$(BIN)/python -m benches.bench_codec --rounds 40
	$(BIN)/python -m benches.bench_request --rounds 40

bench-check: $(VENV)/extension $(DEMO_TOOLS) ## Count instructions, and fail where they rose by 5 % (needs valgrind)
	$(BIN)/python -m benches.instructions

bench-overrides: $(VENV)/extension $(DEMO_TOOLS) ## Count instructions where an app overrides a step, beside stock (needs valgrind)
	$(BIN)/python -m benches.instructions --overrides

bench-baseline: $(VENV)/extension $(DEMO_TOOLS) ## Make what is counted now the baseline of bench-check
	$(BIN)/python -m benches.instructions --write

bench-timing: $(VENV)/extension $(DEMO_TOOLS) ## Time a million refusals: does it tell how much of a signature is right?
	$(BIN)/python -m benches.bench_timing

fuzz: ## Fuzz each target for FUZZ_SECONDS=60 (needs rustup; brings a nightly of its own)
	scripts/fuzz.sh $(FUZZ_SECONDS)

miri: ## Run the tests of the rooms that know no Python under Miri and AddressSanitizer (needs rustup)
	scripts/miri.sh

stress: $(VENV)/extension $(ALL_TOOLS) ## Run the tests of faults and load in full: threads, forks, greenlets, leaks
	FAULTS=whole $(BIN)/python -m pytest tests/faults tests/server

matrix: $(VENV)/build.installed ## Run our suite and those of others on each CPython that can be had, and write docs/matrix.md
	$(BIN)/python -m scripts.matrix

free-threaded: ## Build a free-threaded CPython from Debian's source, and test and measure on it
	scripts/free_threaded.sh

audit: ## Hold the crates to deny.toml: licences, sources, known vulnerabilities
	scripts/audit.sh

docs: $(VENV)/extension $(VENV)/docs.installed ## Build the pages of docs/ into build/docs
	$(BIN)/sphinx-build -W --keep-going -q -d build/doctrees -b html docs build/docs
	@echo "file://$(CURDIR)/build/docs/index.html"

wheel: ## Build wheels and the sdist into dist/, check them, and use them on each Python here (ALL=1: for x86-64 and ARM)
	scripts/wheel.sh $(if $(ALL),--all)

reproducible: ## Build the wheel here and from the sdist elsewhere, and compare them
	scripts/reproducible.sh

# All parts are run, whatever fails: some take hours.
TRUST := prove fuzz miri stress matrix free-threaded bench-timing audit reproducible

trust: ## Run all that SECURITY.md rests on, in hours, and say at the end what failed
	@failed=; \
	for part in $(TRUST); do \
		printf '\n=== make %s ===\n\n' "$$part"; \
		$(MAKE) --no-print-directory "$$part" || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then printf '\n=== Failed:%s ===\n' "$$failed"; exit 1; fi; \
	printf '\n=== All passed: %s ===\n' "$(TRUST)"

clean: ## Remove all that was built
	rm -rf $(VENV) target build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/flask_fastsession/_native*.so
	find python tests examples benches -name __pycache__ -prune -exec rm -rf {} +

# Files that say how far the virtual environment is.

$(VENV)/made-by-$(notdir $(PYTHON)):
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/%.installed: requirements/%.txt requirements/constraints.txt $(VENV)/made-by-$(notdir $(PYTHON))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(OLDEST)/installed: requirements/oldest.txt requirements/constraints.txt $(VENV)/build.installed
	$(BIN)/python -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/extension: $(VENV)/build.installed $(RUST)
	rm -f python/flask_fastsession/_native*.so
	$(BIN)/maturin develop --release --locked
	@touch $@

# Beside the other build, and not in its place: the whole package is unpacked into a folder of its own.
$(ABI3)/extension: $(VENV)/build.installed $(RUST) $(wildcard python/flask_fastsession/*.py python/flask_fastsession/*/*.py)
	rm -rf $(ABI3)
	$(BIN)/maturin build --release --locked --features abi3 --interpreter $(BIN)/python --compatibility off --out $(ABI3)
	$(BIN)/python -m zipfile -e $(ABI3)/*.whl $(ABI3)
	@touch $@
