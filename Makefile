# The commands of the house. Needs make and Python 3.11 or newer; everything else goes into .venv.
PYTHON ?= python3
BIN    := .venv/bin
SAMPLE ?= samples/sieve

run: .venv/installed ## set up, and count what a bundled riscv64 program does
	$(BIN)/rvperf stat $(SAMPLE)

test: .venv/for-development ## set up, and run the whole test suite
	$(BIN)/python -m pytest -n auto $(ARGS)

bench: .venv/installed ## measure speed beside qemu-riscv64 (ARGS="--help" lists the options)
	$(BIN)/python bench/run.py $(ARGS)

bench-sampling: .venv/installed ## measure what sampling costs, and reports beside stock perf's
	$(BIN)/python bench/sampling.py $(ARGS)

bench-vpmu: .venv/installed ## print what switching vCPUs costs under each design and policy
	$(BIN)/python bench/vpmu.py $(ARGS)

invariants: .venv/for-development ## try 10,000 random schedules of vCPUs against the invariants
	RVPERF_SCHEDULES=10000 $(BIN)/python -m pytest -q tests/stack/test_invariants.py $(ARGS)

fuzz: .venv/for-development ## run 100,000 random instructions and 2,000 mutated programs
	$(BIN)/python -m tests.fuzz $(ARGS)

samples: ## rebuild the programs in samples/ and bench/, bit for bit (needs the pinned toolchain)
	$(MAKE) -B -C samples
	$(MAKE) -B -C bench

lint: .venv/for-development ## check the style
	$(BIN)/ruff check .

size: ## count the lines of each package
	@for package in isa rvperf/* tests bench samples; do \
	  find $$package \( -name '*.py' -o -name '*.[cSh]' \) -exec cat {} + 2>/dev/null | wc -l | \
	    awk -v name=$$package '{ printf "%7d %s\n", $$1, name }'; \
	done

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "needs Python 3.11 or newer; name one: make PYTHON=python3.x" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

# Editable, so only a change of pyproject.toml calls for installing again.
.venv/installed: .venv/created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m compileall -q rvperf isa
	@touch $@

.venv/for-development: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: run test bench bench-sampling bench-vpmu invariants fuzz samples lint size help
