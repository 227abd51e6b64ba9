# Needs Python 3.11 (or newer), a C compiler, make and git; everything else goes into .venv on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready

.PHONY: practice test check bench soak clean help
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

practice: $(READY)  ## a simulated arm teaches itself to open a door from images (further settings: ARGS="experiment=push seed=2")
	$(BIN)/gcrl practice $(ARGS)

test: $(READY)  ## every check and every test (two files at a time)
	@$(MAKE) --no-print-directory -j 2 check .venv/ready-exports
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)  ## style, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready-bench  ## the speed comparisons with other packages, printed, written to results/ and tabulated in docs/speed.md
	@set -e; for file in benchmarks/*_speed.py; do echo "== $$file"; PYTHONPATH=. $(BIN)/python $$file --out results/$$(basename $$file .py).json; done
	$(BIN)/python -m benchmarks.speed_page

soak: $(READY)  ## twenty random kill -9, each resumed and compared (long)
	$(BIN)/python -m pytest -m soak --timeout 7200

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# The packages that read our exports. Two come without what they depend on: that is a renderer to be compiled, and another simulator.
.venv/ready-exports: $(READY)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,exports]' \
	  && $(BIN)/python -m pip install --quiet --no-deps robomimic==0.3.0 ogbench==1.2.2 && touch $@ \
	  || echo "robomimic or OGBench cannot be installed here: the tests that need them are skipped"

# d3rlpy comes without what it depends on, since it asks for gymnasium 1.0.0 and gymnasium-robotics for 1.2.0; the rest is in the extra.
.venv/ready-bench: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python -m pip install --quiet --no-deps d3rlpy==2.8.1
	touch $@

clean:  ## remove the environment and everything generated, runs excepted
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
