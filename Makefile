# make run                  create .venv, install what is needed, run the demo
# make run ARGS="--row 10"  the same with flags of additional_experiments.py
# make run TORCH=cpu        PyTorch without CUDA: on Linux several GB less
# make test                 create .venv, install, run the quick tests
# make test-slow            the tests that take minutes
# make lint                 ruff and mypy
# make clean                delete .venv, so that the next one installs anew
# make help                 this list

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests run in this many processes, each computing on one thread.
TEST_JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS)

# A terminal sees what pip fetches and how far it is; in a log that would be thousands of lines.
PIP = quiet=; [ -t 1 ] || quiet=--quiet; $(BIN)/python -m pip install $$quiet
TORCH_INDEX := https://download.pytorch.org/whl
NVIDIA_DRIVER ?= /proc/driver/nvidia/version
WANTS_NO_CUDA = [ -z "$(TORCH)" ] && [ "$$(uname -s)" = Linux ] && [ ! -e $(NVIDIA_DRIVER) ] && \
	! command -v nvidia-smi > /dev/null
ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH): give TORCH=cpu, or leave it out for the package index's own build)
endif

.PHONY: run test test-slow lint clean help

run: $(VENV)/installed
	$(BIN)/python additional_experiments.py $(or $(ARGS),--demo)

test: $(VENV)/installed-dev
	$(PYTEST) $(ARGS)

test-slow: $(VENV)/installed-ray
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# The index is the machine's own, as pip is configured; PIP_ARGS adds to its command. TORCH=cpu takes PyTorch alone from
# PyTorch's index, which has builds of this very version without CUDA, and all else from the machine's.
$(VENV)/installed: requirements.txt | $(VENV)
	@echo "installing what requirements.txt lists into $(VENV): PyTorch and some others,"
	@echo "about 1.4 GB on disk, several GB more if PyTorch brings CUDA libraries"
	@if $(WANTS_NO_CUDA); then \
		echo "no NVIDIA driver is seen here: make $(or $(MAKECMDGOALS),run) TORCH=cpu saves the several GB"; \
		echo "of CUDA libraries that PyTorch's usual build brings; Ctrl-C stops this one"; \
	fi
ifeq ($(TORCH),cpu)
	$(PIP) $(PIP_ARGS) --no-deps --index-url $(TORCH_INDEX)/cpu $(shell grep '^torch==' requirements.txt)
endif
	$(PIP) $(PIP_ARGS) -r requirements.txt
	@touch $@
	@echo "installed: $(VENV) has $$(du -sh $(VENV) | cut -f1)"

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo "installing what the tests need, requirements-dev.txt, into $(VENV)"
	$(PIP) $(PIP_ARGS) -r requirements-dev.txt
	@touch $@

$(VENV)/installed-ray: requirements-ray.txt $(VENV)/installed-dev
	@echo "installing Ray, requirements-ray.txt, into $(VENV)"
	$(PIP) $(PIP_ARGS) -r requirements-ray.txt
	@touch $@

$(VENV):
	@echo "creating $(VENV)"
	$(PYTHON) -m venv $(VENV)

help:
	@sed -n 's/^# make/make/p' Makefile

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
