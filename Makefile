# make run            create .venv, install, run the demo      make run ARGS="--row 10"    any other command
# make test           create .venv, install, run the quick tests
# make test-slow      the tests that take minutes               make lint                   ruff and mypy

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests run in this many processes, each computing on one thread.
TEST_JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS)

.PHONY: run test test-slow lint clean

run: $(VENV)/installed
	$(BIN)/python additional_experiments.py $(or $(ARGS),--demo)

test: $(VENV)/installed-dev
	$(PYTEST) $(ARGS)

test-slow: $(VENV)/installed-ray
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# On Linux the package index's torch brings several GB of CUDA libraries. Where a CPU build of this very version is
# wanted: make PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" run
$(VENV)/installed: requirements.txt | $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements.txt
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements-dev.txt
	touch $@

$(VENV)/installed-ray: requirements-ray.txt $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -r requirements-ray.txt
	touch $@

$(VENV):
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
