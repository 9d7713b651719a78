# One command per job. Needs python3 (3.11 or later) and make; everything else lands in .venv. `make e2e` also needs npm.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODEX := 0.171.0 0.120.0

.PHONY: install run test e2e lint types bench bench-quick clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

run: install
	$(BIN)/adapter serve --demo

test: install
	$(BIN)/python -m pytest $(ARGS)

e2e: install $(CODEX:%=.e2e/%/.installed)
	$(BIN)/python -m pytest tests/e2e $(ARGS)

.e2e/%/.installed:
	npm install --prefix .e2e/$* --silent --no-audit --no-fund @openai/codex@$*
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# Five interleaved rounds in about fifteen minutes, or a shorter look in two; both write to bench-results/.
bench: $(VENV)/.bench
	$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(VENV)/.bench
	$(BIN)/python -m tests.bench --quick $(ARGS)

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

clean:
	rm -rf $(VENV) .e2e build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
