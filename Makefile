PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each imports all there is and trains small models; a third takes as long on two cores.
TEST_PROCESSES ?= 2

# In the order of the files: xdist would begin with those of many tests, and end with few long ones on one processor.
BY_FILE := --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-retrieval claims claims-more claims-seeds test test-all test-lowest conformance newcomer coverage dist docs lint format clean

# Pre-train, fine-tune, evaluate and answer questions on the embedded data set; the result is in runs/demo.
demo: $(INSTALLED)
	$(BIN)/python -m examples.demo.question_answering --output runs/demo

# Retrieval and multiple choice on the embedded data set; the result is in runs/demo_retrieval/summary.json.
demo-retrieval: $(INSTALLED)
	$(BIN)/python -m examples.demo.retrieval --output runs/demo_retrieval

# The paper's claims on the embedded data set, into docs/claims.md: points 1 to 4, in at most 100 minutes on two cores,
# and after them 5 to 7, in as many. What was done before a stop is not done again. CLAIMS=--plan, CLAIMS=--quick.
claims: $(INSTALLED)
	$(BIN)/python -m benchmarks.claims --points 1,2,3,4 $(CLAIMS)

claims-more: $(INSTALLED)
	$(BIN)/python -m benchmarks.claims --points 5,6,7 $(CLAIMS)

# Retrieval with more seeds, in another 100 minutes, which narrows what three of them cannot decide.
claims-seeds: $(INSTALLED)
	$(BIN)/python -m benchmarks.claims --further-seeds $(CLAIMS)

# Tests in processes of their own, one for each: a worker that had run some of them beside all others was lost later on,
# in another test, twice of two runs. They load ONNX Runtime, OpenVINO or LanceDB; the cause is not known. Those of the
# app start a server.
APART := tests/export tests/examples/app tests/retrieval/test_video_index.py tests/retrieval/test_index_processes.py
PAGES := tests/docs/test_snippets.py tests/docs/test_page_commands.py tests/docs/test_notebooks.py
TOGETHER := $(APART:%=--ignore=%) $(PAGES:%=--ignore=%)

# Lint, type-check, and the tests but for the long ones. Coverage is test-all's: measured, tests take 1.4 times as long.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(BY_FILE) $(TOGETHER)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(words $(APART)) $(BY_FILE) $(APART)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(words $(PAGES)) $(BY_FILE) $(PAGES)

# All of that and the long tests too, with what some tests skip where it is missing; torchcodec needs FFmpeg's libraries,
# and the app's tests Chromium and its driver.
test-all: lint
	$(BIN)/python -m pip install --editable ".[dev,torchcodec,cluster,mteb,app]" deepspeed selenium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(BY_FILE) -m "" --cov --cov-report= $(TOGETHER)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(words $(APART)) $(BY_FILE) -m "" --cov --cov-append --cov-report= $(APART)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(words $(PAGES)) $(BY_FILE) -m "" --cov --cov-append --cov-report= $(PAGES)
	$(MAKE) --no-print-directory coverage

# The quick tests with the oldest dependencies that pyproject.toml allows; needs a package index and 8 GB.
test-lowest: $(INSTALLED)
	$(BIN)/python tests/lowest_versions.py -n $(TEST_PROCESSES) $(BY_FILE)

# transformers' own tests on our classes, at the lowest and the newest version; needs a package index.
conformance: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tests/conformance/run.py

# What a newcomer does, from an empty environment on; needs a package index and 15 GB. NEWCOMER=all: the pages too.
newcomer: $(INSTALLED)
	$(BIN)/python tests/newcomer.py $(NEWCOMER)

# The source distribution and the wheel made from it, in dist/, checked as an index checks them; needs a package index.
dist: $(INSTALLED)
	$(BIN)/python -m pip install build twine
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# The pages of docs/ and of the docstrings, in site/; a warning is an error. Needs a package index.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Of the latest tests, held for each package.
coverage:
	$(BIN)/python -m coverage report --include="clipbert_hf/*" --fail-under=90
	$(BIN)/python -m coverage report --include="clipbert_command_line/*" --fail-under=90
	$(BIN)/python -m coverage report --include="datasets_scripts/*" --fail-under=90

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Of all that is installed little is imported, and that is compiled then: once, also where images for containers set this
# variable, with which each process would compile anew, nine seconds of it.
unexport PYTHONDONTWRITEBYTECODE
$(INSTALLED): pyproject.toml tests/requirements-media.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --editable ".[dev]"
	$(BIN)/python -m pip install --no-compile --no-deps --requirement tests/requirements-media.txt
	touch $@

clean:
	rm -rf $(VENV) .conformance .lowest .newcomer runs build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
