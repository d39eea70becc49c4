# `make` alone lists what there is.

PORT ?= 8080
STORE ?= sqlite:///./session3-demo.db
PYTEST_ARGS ?=
# Tests that run beside each other; their processes must agree on the order of sets, which is another in each run.
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
ifndef PYTHONHASHSEED
export PYTHONHASHSEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
endif
# The interpreter: the newest of python3.13 to python3.10 and python3 that works here, unless one is named.
export PYTHON ?=
export VENV ?= .venv
# Where the benchmark keeps session3 as it is on PyPI.
export UPSTREAM_VENV ?= .venv-upstream
# Debian packages that tests use; they are installed where we may (root), else the tests that need them are skipped.
TEST_PACKAGES ?= chromium exfat-fuse exfatprogs libmariadb-dev mariadb-server openssl pgbouncer pkg-config postgresql \
	python3-gdbm redis-server strace

BIN = $(VENV)/bin
BOOTSTRAP = @scripts/bootstrap.sh

.DEFAULT_GOAL := help
.PHONY: help demo test faults bench bench-quick check format dist clean

help:  ## Show this list
	@echo "make TARGET [PORT=8080] [STORE=URL] [PYTHON=python3.12] [VENV=.venv] [PYTEST_ARGS='-k shelve']"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo:  ## Serve the demo at http://127.0.0.1:8080, or at another PORT, on another STORE
	$(BOOTSTRAP) venv quixote
	@$(BIN)/python examples/quixote_app.py --port $(PORT) --store '$(STORE)'

test:  ## Run the tests, with PYTEST_ARGS
	$(BOOTSTRAP) packages $(TEST_PACKAGES)
	$(BOOTSTRAP) venv dev
	@echo PYTHONHASHSEED=$$PYTHONHASHSEED
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(PYTEST_ARGS)

faults:  ## Kill, fill, flip, race: the long form of the fault tests, as a table in docs/faults.md
	$(BOOTSTRAP) packages $(TEST_PACKAGES)
	$(BOOTSTRAP) venv dev
	@$(BIN)/python -m tests.faults --markdown docs/faults.md

bench:  ## Measure speed beside bare drivers and other libraries, into docs/benchmarks.md
	$(BOOTSTRAP) packages $(TEST_PACKAGES)
	$(BOOTSTRAP) venv dev
	$(BOOTSTRAP) venv bench
	$(BOOTSTRAP) upstream
	@$(BIN)/python -m benchmarks --markdown docs/benchmarks.md

bench-quick:  ## The same with fewer rounds, on the terminal only
	$(BOOTSTRAP) packages $(TEST_PACKAGES)
	$(BOOTSTRAP) venv dev
	$(BOOTSTRAP) venv bench
	$(BOOTSTRAP) upstream
	@$(BIN)/python -m benchmarks --quick

check:  ## Lint, formatting, types
	$(BOOTSTRAP) venv dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m mypy

format:  ## Sort the imports and format the code
	$(BOOTSTRAP) venv dev
	@$(BIN)/ruff check --fix-only --select I .
	@$(BIN)/ruff format .

dist:  ## Build the source archive and the wheel in dist/
	$(BOOTSTRAP) venv dev
	@$(BIN)/python -m build

clean:  ## Remove what make has built, the virtual environments too
	@for venv in "$(VENV)" "$(UPSTREAM_VENV)"; do if [ -f "$$venv/pyvenv.cfg" ]; then rm -rf "$$venv"; fi; done
	@rm -rf build dist *.egg-info .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find session3 tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
