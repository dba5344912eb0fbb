# compose-runner: `make` alone lists what there is. Every target sets up what it needs by itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export SAM_CLI_TELEMETRY := 0
# uv leaves byte code to the first import, which keeps it: without it, every process compiles NiMARE anew for seconds
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# the newest suitable Python of this machine: on PATH, or kept by pyenv
PYTHON ?= $(shell for v in 3.13 3.12 3.11; do \
	for p in python$$v "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$v*/bin/python3; do \
	  if "$$p" -c 'import venv, ssl, sqlite3' 2>/dev/null; then command -v "$$p"; exit; fi; done; done)

.PHONY: help setup pins demo test test-fast coverage lint format generate docs man bench pictures viewer clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything, kernels compiled

$(READY): pyproject.toml requirements/development.txt scripts/setup.sh scripts/environment.sh
	@scripts/setup.sh "$(PYTHON)" $(VENV)
	@touch $@

# UPGRADE=1 takes the newest versions, UPGRADE=name those of one package
UPGRADE ?=
pins: $(READY) ## write requirements/: versions with their hashes, from pyproject.toml; UPGRADE=1 or a name
	@scripts/pins.sh $(VENV)/bin/uv $(UPGRADE)

demo: $(READY) ## run a real meta-analysis of pain and show where its report is
	@$(PY) scripts/demo.py

test: $(READY) ## every test; TESTS=tests/unit for some
	$(PY) -m pytest --numprocesses auto --dist loadfile $(TESTS)

test-fast: $(READY) ## unit tests, in half a minute
	$(PY) -m pytest --numprocesses auto --dist loadfile -m "not slow" tests/unit

coverage: $(READY) ## every test, and the branches that they take, with a floor
	$(PY) -m pytest --numprocesses auto --dist loadfile --cov --cov-report=term:skip-covered

lint: $(READY) ## ruff, mypy, import-linter, deptry, vulture
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry compose_runner functions task
	$(VENV)/bin/vulture

format: $(READY) ## let ruff put the code in order
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

generate: $(READY) ## write openapi.json, NiMARE's signatures and the tutorial's notebook again
	$(PY) -m compose_runner.service.openapi > openapi.json
	$(VENV)/bin/sphinx_gallery_py2jupyter examples/plot_pain.py
	$(PY) -m compose_runner.specification.generate

docs: $(READY) ## build the documentation site into docs/_build/html, warnings are errors
	@rm -rf docs/_reference  # pages of modules that are gone would fail the build
	$(PY) -m sphinx --fail-on-warning --keep-going --jobs auto --builder html docs docs/_build/html

man: $(READY) ## build the manual pages compose-runner(1) and compose-run(1) into docs/_build/man
	$(PY) -m sphinx --quiet --jobs auto --builder man --define plot_gallery=0 docs docs/_build/man

bench: $(READY) ## measure against the runner in production, write docs/benchmarks.md
	@$(PY) -m benchmarks

viewer: $(READY) ## fetch the report's viewer again and check it (needs npm)
	@$(PY) scripts/viewer.py

pictures: $(READY) ## make the README's pictures again (needs chromium)
	@$(PY) scripts/pictures.py

clean: ## remove everything that can be made again, but for results
	rm -rf $(VENV) .venv-* .make .aws-sam dist build docs/_build docs/_reference docs/examples .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +

-include deploy.mk
