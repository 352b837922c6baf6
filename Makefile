PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# Compiled modules are kept, whatever the machine says: a daemon starts in half the time, and the tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports sim campaign bench soak mutants evidence settle-torture program program-check dashboard dashboard-check diagrams docs fmt lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything that is needed

$(STAMP): requirements/dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dask: requirements/dask.lock $(STAMP) # beside the rest, as requirements/dask.in says: for the tests of a cluster
	@rm -rf .venv/dask
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target .venv/dask -r requirements/dask.lock
	@touch $@

.venv/.instead: requirements/instead.lock $(STAMP) # what is measured beside us
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/instead.lock
	@touch $@

demo: setup ## watch batteries sell two recorded days to competing buyers
	$(BIN)/etp demo

test: setup .venv/.dask ## run the tests, with the coverage gate of the pure modules
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term:skip-covered

lint: setup ## check style, formatting and texts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tools.check_text

types: setup ## check types
	$(BIN)/mypy

imports: setup ## check that arrows go one way and pure modules are pure
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.check_pure

soak: setup ## trade for an hour under kills and cuts, and check everything (MINUTES=3: less of it)
	$(BIN)/python -m benches.soak --minutes $(or $(MINUTES),60)

sim: setup ## play 500 seeded markets in which everything goes wrong, and check everything (part of CI: in less than 5 minutes)
	$(BIN)/etp sim --runs 500 --minutes 4.8 --require runs=500,auctions=30000,faults=50000,crashes=2000

campaign: setup ## the same for as long as one likes (MINUTES=60, SEED=1000000)
	$(BIN)/etp sim --seed $(or $(SEED),1000000) --minutes $(or $(MINUTES),60)

mutants: setup ## plant bugs one after the other, and see each found by the simulator within a minute (JOBS=2; PAGE=1: write docs/mutants.md)
	$(BIN)/python -m tools.mutants $(if $(JOBS),--jobs $(JOBS)) $(if $(PAGE),--page)

evidence: setup ## make docs/evidence.md anew: all experiments at full scale, about forty minutes on two cores
	$(BIN)/etp lab report --scale full --seed 2 --fresh --out docs

settle-torture: setup ## settle 10,000 trades through hostile RPCs and crashes
	$(BIN)/python -m tests.contracts.hostile.torture --trades 10000

program: ## build the on-chain program anew (users need not: the built one is here)
	tools/build_program.sh

program-check: ## test the program on this host, rebuild it aside, and compare
	tools/check_program.sh

dashboard: ## build the web dashboard anew (users need not: the built one is here; needs Node)
	npm --prefix dashboard ci --no-audit --no-fund
	npm --prefix dashboard run build

dashboard-check: ## check the dashboard's sources, build it aside, and compare
	tools/check_dashboard.sh

bench: setup .venv/.instead ## measure, and fail where a limit is exceeded
	$(BIN)/python -m benches

diagrams: setup ## draw docs/states.md from etp/state.py
	$(BIN)/python -m tools.diagrams

docs: diagrams ## draw the tables of docs/ from the code, and build the site
	$(BIN)/python -m tools.protocol_tables
	$(BIN)/python -m tools.gateway_reference
	$(BIN)/python -m tools.mutant_tables
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## refresh the hashed locks (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade requirements/run.in -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements/run.lock requirements/dev.in -o requirements/dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements/dev.lock requirements/instead.in -o requirements/instead.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade requirements/dask.in -o requirements/dask.lock

clean: ## remove what was made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage runs site dist
