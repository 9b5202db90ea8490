# One verb per task; each installs what it needs. CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
UI := fileflux/web/static/index.html
UI_SOURCES := $(shell find ui -type f -not -path 'ui/node_modules/*' -not -name '*.test.ts')
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: install demo test test-unit test-long check format cases bench bench-parts bench-load audit-deps ui clean

install: $(STAMP) $(UI)

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

# A hub without the interface serves everything else, and says at / how to build it.
$(UI): $(UI_SOURCES) scripts/ui.sh | $(STAMP)
	@scripts/ui.sh build || echo "going on without the user interface"

demo: install
	@$(BIN)/fileflux demo $(ARGS)

test: $(DEV_STAMP) $(UI)
	@scripts/test-needs.sh
	@scripts/ui.sh test || [ $$? -eq 3 -a "$$CI" != true ]
	@$(BIN)/python -m compileall -q fileflux agent/flux_agent # otherwise each of some hundred processes does it, where Python may not keep it
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
	$(BIN)/bandit -q -c pyproject.toml -r fileflux agent/flux_agent
	$(BIN)/python scripts/check_sizes.py
	@scripts/ui.sh check || [ $$? -eq 3 -a "$$CI" != true ]

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cases: $(DEV_STAMP)
	@$(BIN)/python scripts/cases.py

bench: $(DEV_STAMP)
	$(BIN)/python scripts/bench/table.py $(ARGS)

bench-parts: $(DEV_STAMP)
	$(BIN)/python scripts/bench/ceiling.py
	$(BIN)/python scripts/bench/pieces.py
	$(BIN)/python scripts/bench/loop.py
	$(BIN)/python scripts/bench/relay.py
	$(BIN)/python scripts/bench/tls.py
	$(BIN)/python scripts/bench/transports.py
	$(BIN)/python scripts/bench/websocket.py

bench-load: $(DEV_STAMP)
	$(BIN)/python scripts/bench/load.py $(ARGS)
	$(BIN)/python scripts/bench/plan.py

audit-deps: $(DEV_STAMP)
	@scripts/audit-deps

ui: $(STAMP)
	@scripts/ui.sh build

clean:
	rm -rf $(VENV) build dist fileflux/web/static ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
