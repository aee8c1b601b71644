# Needs only Python 3.11+ and make. Everything is installed into .venv by tools/setup.sh.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test slow mutants check bench reliability docs

setup: .venv/.installed
.venv/.installed: pyproject.toml constraints.txt
	sh tools/setup.sh $(PYTHON)

demo: setup
	$(BIN)/sendvae demo $(ARGS)

# Compiled once, and not by each of the many processes that tests start, where PYTHONDONTWRITEBYTECODE is set.
test: setup
	$(BIN)/python -m compileall -q src && $(BIN)/python -m pytest -n 2 $(ARGS)

slow: setup
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

mutants: setup
	$(BIN)/python -m tools.mutants $(ARGS)

check: setup docs
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyrefly check && $(BIN)/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

reliability: setup
	$(BIN)/python -m tools.reliability $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks $(ARGS) && $(BIN)/python -m benchmarks.table
