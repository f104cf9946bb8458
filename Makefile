# Every target starts from a bare clone: it makes .venv with the locked packages first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
CATALOG ?= var/catalog
RUN_ARGS ?=
# More words for pytest, such as `make faults TEST_ARGS="-k F07"`.
TEST_ARGS ?=
# The tape of `make model`: three days to learn from, the fourth to trade.
MODEL_CATALOG ?= var/sample
MODEL_DAY := 2026-01-08

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --- environment -----------------------------------------------------------------------------------
$(VENV)/bin/python:
	@python="$$(scripts/find-python)"; "$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.PHONY: venv
venv: $(VENV)/.dev  ## create .venv with everything, for development

.PHONY: lock
lock: $(VENV)/.dev  ## recompile both lock files (hashes, no index address)
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.12 --extra build --extra postgres \
		--custom-compile-command 'make lock' pyproject.toml -o requirements.lock
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.12 --extra build --extra postgres --extra dev \
		-c requirements.lock --custom-compile-command 'make lock' pyproject.toml -o requirements-dev.lock

# --- run ---------------------------------------------------------------------------------------------
.PHONY: sample
sample: $(VENV)/.run  ## make the offline sample unless the catalog holds something already
	@# A sample that was interrupted leaves a mark, and the same command completes it.
	@if [ ! -e $(CATALOG)/manifest.json ] || [ -e $(CATALOG)/.sample-unfinished ]; then \
		$(PY) download_data.py sample --catalog $(CATALOG); fi

.PHONY: backtest
backtest: sample  ## run the OTE strategy over the catalog (makes the offline sample first)
	$(PY) backtest_node.py run --catalog $(CATALOG) $(RUN_ARGS)

.PHONY: model
model: $(VENV)/.run  ## offline sample, dataset, model, and a backtest of the day after with the model deciding
	$(PY) download_data.py sample --days 4 --catalog $(MODEL_CATALOG)
	$(PY) -m ml dataset --catalog $(MODEL_CATALOG) --end $(MODEL_DAY) --out var/datasets/sample
	$(PY) -m ml train var/datasets/sample.parquet --out var/models/sample --replace
	$(PY) backtest_node.py run --catalog $(MODEL_CATALOG) --start $(MODEL_DAY) --model var/models/sample

.PHONY: frontend
frontend: $(VENV)/.run  ## build the terminal's pages (ui/static) with the system's Node or one from PyPI
	@$(PY) hatch_build.py --fetch-node

# Words for the terminal, such as `make terminal TERMINAL_ARGS="--speed 300 --port 8790"`.
TERMINAL_ARGS ?=
.PHONY: terminal
terminal: frontend  ## play the last run in the browser (makes a backtest first if there is no run)
	@if [ -z "$$(ls var/runs 2>/dev/null)" ]; then $(MAKE) --no-print-directory backtest; fi
	$(PY) -m ui replay last $(TERMINAL_ARGS)

# Words for it, such as `make paper PAPER_ARGS="--speed 10 --secs 600"`.
PAPER_ARGS ?= --terminal
.PHONY: paper
paper: $(VENV)/.dev  ## trade on paper against the local exchange with the sample tape, offline, and watch it in the browser
	@# Without a network the pages cannot be built the first time: the node trades all the same.
	-@$(PY) hatch_build.py --fetch-node
	$(PY) -m tests.paper_demo $(PAPER_ARGS)

# --- check -------------------------------------------------------------------------------------------
.PHONY: test
test: $(VENV)/.dev  ## run the whole test suite
	$(PY) -m pytest -q -m "not slow and not soak and (not fault or quick)" -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: $(VENV)/.dev  ## run the tests that take minutes
	$(PY) -m pytest -q -m slow

# A row that fails is written down as well; the page is made in any case.
.PHONY: faults
faults: $(VENV)/.dev  ## run the fault matrix and write docs/fault-matrix.md
	SMCBOT_FAULTS_JSON=docs/faults.json $(PY) -m pytest -q -m "fault and not soak and not thorough" -n 2 --dist loadfile $(TEST_ARGS); \
		status=$$?; $(PY) -m tests.faults.page; exit $$status

# The whole product of points and kinds; the matrix has each point once, and those that decide on all kinds.
.PHONY: crashes
crashes: $(VENV)/.dev  ## kill a node at every point of its order life on every kind of account (half an hour)
	$(PY) -m pytest -q -m "fault and thorough" $(TEST_ARGS)

SOAK_ARGS ?=
.PHONY: soak
soak: $(VENV)/.dev  ## an hour of a live node at 20x on the local exchange: memory, a cut of ten minutes, books
	status=0; export SMCBOT_FAULTS_JSON=docs/faults.json; \
		$(PY) -m tests.soak $(SOAK_ARGS) || status=1; \
		$(PY) -m pytest -q -m "fault and soak" $(TEST_ARGS) || status=1; \
		$(PY) -m tests.faults.page; exit $$status

.PHONY: lint
lint: $(VENV)/.dev  ## ruff, format check, mypy --strict, import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(VENV)/.dev  ## format and fix what ruff can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: bench
bench: $(VENV)/.dev  ## measure the figures of docs/benchmarks.md
	$(PY) benchmarks/run.py

.PHONY: schema
schema: $(VENV)/.run  ## write the JSON schema of config.yaml for editors
	$(PY) -m runtime.settings_schema > docs/config.schema.json

.PHONY: clean
clean:  ## remove the environment and caches; catalogs and runs in var/ stay
	rm -rf $(VENV) var/numba var/bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
