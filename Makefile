# The environment is built once, in .venv, and again when pyproject.toml or constraints.txt change.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3))
BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
DEMO := out/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast verify lint docs bench

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME)  ## judge a small model on rendered faces; the last line is the report's path
	@$(BIN)/facebench run phantom-eigenfaces phantom-smoke --out $(DEMO)
	@echo "$(CURDIR)/$(DEMO)/report.html"

# one test process for each core, at most four, each with one thread
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

# pytest's own output goes to stdout, so that its closing line can be the last one printed
test: $(DEV)  ## run every test but those of `make verify`
	@$(PYTEST) -m "not verify" 2>&1

test-fast: $(DEV)  ## run the tests that take seconds
	@$(PYTEST) -m "not verify and not slow" 2>&1

verify: $(DEV)  ## run every test, browser tests too, fuzz for 30 minutes and study coverage in full; hours
	@$(PYTEST) 2>&1
	@$(BIN)/python -m benchmarks.fuzz --minutes 30
	@$(BIN)/python -m benchmarks.coverage_study --runs 2000 --anew --jobs $$($(BIN)/python -c 'import os; print(os.cpu_count())')
	@$(BIN)/python -m pytest -k recorded_study tests/metrics/test_coverage.py 2>&1

lint: $(DEV)  ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(DEV)  ## build the documentation site in out/docs; any warning fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "$(CURDIR)/out/docs/index.html"

bench: $(DEV)  ## measure speed; ARGS="--model FILE --data DIR" adds the embedding stage
	@$(BIN)/python benchmarks/run.py $(ARGS)

$(RUNTIME): pyproject.toml constraints.txt | .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(RUNTIME) $@

.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "FaceBench needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
