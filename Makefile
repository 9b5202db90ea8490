# One verb per task; each installs what it needs. CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: install demo test test-unit test-long check format cases bench audit-deps ui clean

install: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "FileFlux needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	@echo "installing the hub and the agent into $(VENV)"
	@$(PIP) install -e '.[hub]'
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	@echo "installing the hub, the agent and the tools for tests into $(VENV)"
	@$(PIP) install -e '.[dev]'
	@touch $@ $(STAMP)

demo: install
	@$(BIN)/fileflux demo $(ARGS)

test: $(DEV_STAMP)
	@scripts/test-needs.sh
	$(BIN)/pytest -n 2 --dist loadfile -m 'not long' $(ARGS)

test-unit: $(DEV_STAMP)
	$(BIN)/pytest -n 2 -m unit $(ARGS)

test-long: $(DEV_STAMP)
	@scripts/test-needs.sh
	$(BIN)/pytest $(ARGS)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/mypy --platform win32
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cases: $(DEV_STAMP)
	@$(BIN)/python scripts/cases.py

bench: $(DEV_STAMP)
	$(BIN)/python scripts/bench/end_to_end.py
	$(BIN)/python scripts/bench/loop.py
	$(BIN)/python scripts/bench/relay.py
	$(BIN)/python scripts/bench/tls.py
	$(BIN)/python scripts/bench/transports.py
	$(BIN)/python scripts/bench/websocket.py

audit-deps: $(DEV_STAMP)
	$(PIP) install pip-audit
	$(BIN)/pip-audit --skip-editable

ui:
	@echo "the user interface is not built yet: / shows a plain page"

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
