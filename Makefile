# `make demo` and `make test` set up what they need; nothing must be installed but Python, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements-dev.txt)

# Without compiled bytecode every command starts three to four times slower.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/ready ## make .venv with everything that the other targets use

$(VENV)/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet 'uv==$(UV_VERSION)'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@touch $@

demo: setup ## the whole life: train, release, experiment, adopt, promote, roll back, reproduce
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh build/demo

test: setup ## lint, then run every test; real tools, no account, no server
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup ## check and format-check the template's own code
	@$(BIN)/ruff check --quiet --config pyproject.toml hooks tests benchmarks
	@$(BIN)/ruff format --quiet --check --config pyproject.toml . || \
		{ echo 'not formatted: $(BIN)/ruff format --config pyproject.toml .' >&2; exit 1; }

bench: setup ## measure what the README promises, side by side with the alternative
	@$(BIN)/python benchmarks/run.py

lock: setup ## pin the newest versions that requirements-dev.in allows, and note which names they take
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements-dev.txt requirements-dev.in
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@$(BIN)/python tests/taken_names.py

clean: ## remove .venv and everything that was generated
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
