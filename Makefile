# `make demo` and `make test` set up what they need. Python, git and make must be there; for the tests `make system`, too.
PYTHON ?= python3
VENV := .venv
TOOL := {{cookiecutter.project_slug}}/packages/modelbook
BIN := $(VENV)/bin
# Tools of the system that tests start, and Debian's packages that have them. All else comes with `make setup`.
TOOLS := rsync ssh-keygen
PACKAGES := rsync openssh-client
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements-dev.txt)

# Without compiled bytecode every command starts three to four times slower.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup system tools demo test test-fast lint bench lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/ready ## make .venv with everything that the other targets use

$(VENV)/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet 'uv==$(UV_VERSION)'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@# The tool, as a project has it. (Not by uv: it would read the project's pyproject.toml, which is a template.)
	@$(BIN)/python -m pip install --quiet --no-deps --editable '$(TOOL)'
	@touch $@

system: ## as root on Debian or Ubuntu: install the tools of the system that tests start, if they are missing
	@for tool in $(TOOLS); do command -v $$tool >/dev/null || missing=yes; done; \
		test -z "$$missing" || { apt-get update -qq && apt-get install -y -qq $(PACKAGES) >/dev/null; }

# Looked for first: the tests take a quarter of an hour.
tools:
	@for tool in $(TOOLS); do command -v $$tool >/dev/null || { \
		echo "The tests start $$tool, which is not installed. Type, as root: make system" >&2; \
		echo "(it runs: apt-get install $(PACKAGES); elsewhere: brew install rsync, or as your system has it)" >&2; \
		exit 1; }; done

demo: setup ## the whole life: train, release, experiment, adopt, promote, roll back, reproduce
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh build/demo

test: tools setup ## lint, then run every test; real tools, no account, no server
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n 3 --dist worksteal

test-fast: setup ## seconds: the tests of the tool that start no real one (no git, no DVC, no other Python)
	@$(BIN)/python -m pytest -q tests/unit -m 'not real' -n 2 --dist worksteal

lint: setup ## check and format-check the template's own code, and the types of the tool
	@$(BIN)/ruff check --quiet --config pyproject.toml hooks tests benchmarks
	@$(BIN)/ruff format --quiet --check --config pyproject.toml . || \
		{ echo 'not formatted: $(BIN)/ruff format --config pyproject.toml .' >&2; exit 1; }
	@# Caches stand elsewhere: who generates a project would get them, too.
	@cd '$(TOOL)' && '$(CURDIR)/$(BIN)/ruff' check --quiet --config pyproject.toml --cache-dir '$(CURDIR)/build/ruff' .
	@cd '$(TOOL)' && '$(CURDIR)/$(BIN)/mypy' --no-error-summary --cache-dir '$(CURDIR)/build/mypy'

bench: setup ## measure what the README promises, side by side with the alternative
	@$(BIN)/python benchmarks/run.py

lock: setup ## pin the newest versions that requirements-dev.in allows, and note which names they take
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements-dev.txt requirements-dev.in
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@$(BIN)/python tests/taken_names.py

clean: ## remove .venv and everything that was generated
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis
