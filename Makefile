# llmos: `make demo` sets everything up and runs the main job, `make test` sets everything up and runs the tests.
# Both work in a fresh clone. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FOLDERS := models memory kernel syscalls apps

.PHONY: help setup demo test lint types unit docs bench clean

help:             ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(READY)   ## the environment in .venv and the sandbox's system package

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llmos needs Python 3.11 or later: make PYTHON=python3.12 …" >&2; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null || { echo "llama.cpp is compiled on installing: install a C++ compiler (apt-get install build-essential)" >&2; exit 1; }
	@sh tools/system-packages.sh
	$(PYTHON) -m venv $(VENV)
	@echo "Installing; the first time llama.cpp is compiled, which takes some minutes …"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup       ## three apps at once on the embedded model
	LLMOS_HOME=$(CURDIR)/.demo $(BIN)/llmos demo

test: setup lint types  ## ruff, mypy and all tests
	$(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The folders are checked as llmos.<folder> through a link, whatever the clone is called.
types: setup
	@mkdir -p build/types && ln -sfn ../.. build/types/llmos
	cd build && MYPYPATH=types ../$(BIN)/mypy --config-file ../pyproject.toml $(FOLDERS:%=-p llmos.%)

unit: setup       ## the tests that need no model and no other program: under 20 seconds
	$(BIN)/python -m pytest -q -n 2 -m "not model and not packaging and not programs and not long"

docs: setup       ## write docs/syscalls.md anew from the table
	$(BIN)/python -m llmos.syscalls.manual > docs/syscalls.md

bench: setup      ## 32 support questions: one after another against together
	$(BIN)/python benchmarks/together.py

clean:            ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .demo
