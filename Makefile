# Needs Python 3.11 to 3.13 and make; everything else is installed into .venv, pinned and checked by hash.
.DEFAULT_GOAL := help
.PHONY: help demo ui api mongodb check test test-long fuzz drill screenshots docs lint style types imports lock clean

PYTHON ?=
WORKERS ?= logical
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
COMPILE := pip compile --universal --python-version 3.11 --no-emit-index-url --no-strip-extras --generate-hashes --quiet

export DO_NOT_TRACK := true

help: ## print the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

demo: export DAGSTER_HOME := $(CURDIR)/dagster_home
demo: $(READY) ## a year of real grocery data, from raw files to a published prediction
	@$(BIN)/serving-assets demo

ui: export DAGSTER_HOME := $(CURDIR)/dagster_home
ui: export PYTHONWARNINGS := ignore:Function `dev_command` is superseded
ui: $(READY) ## the Dagster UI on 127.0.0.1:3000, with everything the demo ran
	@$(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port 3000

api: $(READY) ## the prediction API on 127.0.0.1:8000; /docs shows it, serving-assets api --help its options
	@$(BIN)/serving-assets api

mongodb: ## a MongoDB for development on 127.0.0.1:27017, in memory; needs Java and Maven
	@scripts/mongodb-server

check: $(READY) ## before every push: lint, and the tests that need no built workspace and no server
	@$(MAKE) --no-print-directory --jobs 3 quick-tests lint

.PHONY: quick-tests  # of no use by itself, so that help leaves it out
quick-tests: $(READY)
	@$(PYTEST) -m "not long and not workspace" $(TESTS)

test: $(READY) ## the tests but for the long ones; WORKERS=4 to use other than one process per core, TESTS=tests/unit for some of them
	@$(PYTEST) -m "not long" $(TESTS)

test-long: $(READY) ## the tests that take longer: the demo, kills, erasures, the store's suite against MongoDB
	@$(PYTEST) -m long $(TESTS)

fuzz: $(READY) ## 20,000 requests to the API, most of them wrong; some minutes
	@$(BIN)/python -m benchmarks.fuzz

drill: $(READY) ## twelve faults, one after the other, in a live copy of the demo; DRILL=--help for its options
	@$(BIN)/python -m drill $(DRILL)

screenshots: $(READY) ## the pictures of the README, from a demo of its own in a headless Chromium; some minutes
	@$(BIN)/python -m scripts.screenshots

docs: $(READY) ## the documentation as one site, site/index.html; a broken link or reference fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: style types imports ## these three

style: $(READY) ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

imports: $(READY) ## which module may import which: import-linter
	@$(BIN)/lint-imports --no-logo

lock: ## write the requirements*.lock files anew; UPGRADE=--upgrade to move to the newest versions
	@set -e; python=$$(scripts/find-python $(PYTHON)); uv=$$(mktemp -d); trap 'rm -rf "$$uv"' EXIT; \
	$$python -m venv "$$uv"; "$$uv/bin/pip" install --disable-pip-version-check --quiet uv; \
	echo "requirements.lock"; \
	"$$uv/bin/uv" $(COMPILE) $(UPGRADE) --extra demo --extra otel -o requirements.lock pyproject.toml; \
	echo "requirements-dev.lock"; \
	"$$uv/bin/uv" $(COMPILE) $(UPGRADE) --extra demo --extra dev --extra otel -c requirements.lock -o requirements-dev.lock pyproject.toml; \
	echo "requirements-build.lock"; \
	"$$uv/bin/python" -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'])" \
	| "$$uv/bin/uv" $(COMPILE) $(UPGRADE) -c requirements-dev.lock -o requirements-build.lock -

clean: ## delete what demo, ui, test and lint made; .venv stays
	@rm -rf data dist site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find dagster_home -mindepth 1 ! -name dagster.yaml -delete
	@find serving_assets tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements-dev.lock requirements-build.lock
	@set -e; if ! scripts/find-python $(BIN)/python >/dev/null 2>&1; then \
		python=$$(scripts/find-python $(PYTHON)); \
		echo "1/3 Making .venv with $$python"; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo "2/3 Installing the packages that requirements-dev.lock pins (once; takes some minutes)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.lock
	@echo "3/3 Installing serving-assets itself"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
