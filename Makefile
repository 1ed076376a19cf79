# Tokentide. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# Everything lives in .venv; uv comes from the package index like all the rest.
PYTHON ?= python3
VENV := .venv
UV := .tools/bin/uv
RUN := $(VENV)/bin
NATIVE := $(wildcard native/src/*.rs native/Cargo.* native/pyproject.toml native/python/tokentide_native/*)

.PHONY: help install demo test test-long check lint native types bench clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp keeps a second `make` from asking the package index again.
$(VENV)/.installed: pyproject.toml uv.lock $(NATIVE)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed (PYTHON=… names another)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V); PYTHON=… names another"; exit 1; }
	@echo "installing into $(VENV) (about 250 MB the first time: the ClickHouse engine is in it)"
	@test -x $(UV) || { $(PYTHON) -m venv .tools && .tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.8; }
	@$(UV) sync --quiet --locked --all-extras --no-install-package tokentide-native --python $(PYTHON)
	@sh native/install.sh "$(UV)" "$(PYTHON)"
	@touch $@

install: $(VENV)/.installed ## Install everything into .venv

demo: install ## Start broker, ClickHouse and a worker, send traffic, show live numbers
	@$(RUN)/tokentide demo

# One process more than cores, since tests of processes wait much; not more than four, each of which has a Kafka and a
# ClickHouse of its own. A process that has nothing left to do takes tests of another.
PROCESSES ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 3 ? cores + 1 : 4)))
PYTEST := $(RUN)/pytest -q -n $(PROCESSES) --dist worksteal --durations 30 --costs 10

test: install ## Run the tests (about 10 minutes on 2 cores); those on Apache Kafka need Java 17 and Maven
	@$(PYTEST) -m "not long"

test-long: install ## Run what takes long by nature: whole traces, workers killed, many schedules
	@TOKENTIDE_DELIVERY_SCHEDULES=$${TOKENTIDE_DELIVERY_SCHEDULES:-200} TOKENTIDE_FUZZ_RUNS=$${TOKENTIDE_FUZZ_RUNS:-5000} \
	  $(PYTEST) -m "long or many"

check: install lint native types test ## Lint, types, tests: before each change

lint: install
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .

native: ## Lint and test the native decoder's own code; needs cargo
	@cargo fmt --manifest-path native/Cargo.toml --check
	@cargo clippy --quiet --manifest-path native/Cargo.toml --all-targets --no-default-features -- --deny warnings
	@cargo clippy --quiet --manifest-path native/Cargo.toml -- --deny warnings
	@cargo test --quiet --manifest-path native/Cargo.toml --no-default-features

types: install
	@$(RUN)/mypy

bench: install ## Measure speed, latency and memory; results checked first
	@$(RUN)/python -m bench

clean: ## Remove what the build and the tests left
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
