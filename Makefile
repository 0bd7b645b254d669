# Sets up its own environment in .venv and runs the project from it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint clean

help:
	@echo "make demo      classify a phantom study from end to end, into ./demo"
	@echo "make test      lint and test (minutes)"
	@echo "make test-all  the slow tests too"
	@echo "make clean     remove the environment and everything generated"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "LiverLesionAI needs Python 3.11 or newer; choose one with 'make PYTHON=python3.12 …'."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian or Ubuntu: apt-get install python3-venv."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: setup
	$(BIN)/liverlesionai demo --out demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Three tests at a time, each on one core: some wait for processes that they started.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist worksteal

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST) --hypothesis-profile free

clean:
	rm -rf $(VENV) demo runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
