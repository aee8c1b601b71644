# Needs only Python 3.11+ and make. Everything is installed into .venv from pyproject.toml.
PYTHON ?= python3
BIN := .venv/bin
# trackio asks for a Pillow older than the tested one, of which it uses nothing: it is installed beside what it needs.
FOR_TRACKIO := brotli gradio-client httpx orjson python-multipart starlette 'uvicorn[standard]'

.PHONY: setup demo test slow mutants check bench

setup: .venv/.installed
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' $(FOR_TRACKIO)
	$(BIN)/pip install --quiet --no-deps 'trackio==0.43.0'
	touch $@

demo: setup
	$(BIN)/sendvae demo $(ARGS)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

slow: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow $(ARGS)

mutants: setup
	$(BIN)/python tools/mutants.py $(ARGS)

check: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyrefly check && $(BIN)/lint-imports

bench: setup
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done
