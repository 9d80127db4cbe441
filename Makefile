# `make demo` and `make test` do all the set-up: they need Python 3.11 or later, and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SEGY ?=
SPREAD := --numprocesses auto --dist worksteal

# OpenMP threads that spin at barriers take the cores from whoever shares them: let them sleep.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0

.PHONY: demo test test-all check bench clean

demo: $(INSTALLED)  ## Raw SEG-Y to prediction; SEGY=path does it with your own file
	$(BIN)/python notebooks/demo $(if $(SEGY),--segy "$(SEGY)")

test: $(INSTALLED)  ## All but the slow tests
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"

test-all: $(INSTALLED)  ## All tests, and each half installed alone
	$(BIN)/python -m pytest $(SPREAD)
	.ci/halves $(PYTHON)

check: $(INSTALLED)  ## Style, types and the walls between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## Ratios measured in one run; NAME=... runs one of them
	$(BIN)/python benchmarks/run.py $(NAME) $(ARGS)

clean:
	rm -rf $(VENV) demo

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is older than 3.11: name another one, e.g. make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	@touch $@
