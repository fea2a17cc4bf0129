# Needs Python >= 3.11 with pip and venv, and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
WITHOUT_KERNELS := $(addprefix tests/test_, compilation.py forecaster.py nn.py)
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "tsrnn needs Python 3.11 or newer; '$(PYTHON) --version' says:" \
		"$$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test lint slow bench bench-env wheel constraints clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY)  ## backtest LSTM and GRU against the baselines on weekly CO2
	$(BIN)/tsrnn backtest configs/quickstart.yaml

test: $(READY)  ## all tests but the slow ones, then the wheel in a clean environment
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0
	TSRNN_NATIVE=0 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(WITHOUT_KERNELS)
	$(BIN)/python tests/smoke_wheel.py

lint: $(READY)  ## style, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

slow: $(READY)  ## the tests marked slow
	XLA_FLAGS= $(BIN)/python -m pytest -m slow

bench: $(READY)  ## every benchmark, quick settings
	@set -e; for script in benchmarks/[!_]*.py; do \
		echo "$$script --quick"; $(BIN)/python "$$script" --quick; \
	done

bench-env: .venv-bench/.installed  ## .venv-bench: tsrnn beside the peers it is compared with

wheel: $(READY)  ## dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation

constraints:  ## resolve the newest versions afresh into constraints.txt
	@$(CHECK_PYTHON)
	rm -rf .venv-resolve
	$(PYTHON) -m venv .venv-resolve
	.venv-resolve/bin/python -m pip install --quiet '.[dev,mlflow,baselines,dask,ray]'
	.venv-resolve/bin/python -m pip list --format=freeze \
		--exclude tsrnn --exclude pip --exclude setuptools > constraints.txt
	rm -rf .venv-resolve

clean:  ## remove environments, caches and build products
	rm -rf .venv .venv-bench .venv-resolve dist build tsrnn/native/*.so .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv puts in place: without it the environment is half made.
.venv/.installed: WHAT = --editable '.[dev]'
# With torch named, pip does not replace a build for CPUs that is there by the newest one for GPUs.
.venv-bench/.installed: WHAT = --editable . neuralforecast darts torch==2.13.0
.venv/.installed .venv-bench/.installed: pyproject.toml constraints.txt hatch_build.py $(wildcard tsrnn/native/*.cpp tsrnn/native/*.h)
	@$(CHECK_PYTHON)
	@test -x $(@D)/bin/pip || $(PYTHON) -m venv $(@D)
	@echo "Installing into $(@D): once, some minutes"
	@$(@D)/bin/python -m pip install --quiet --constraint constraints.txt $(WHAT)
	@touch $@
