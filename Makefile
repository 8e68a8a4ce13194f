# Everything that is done with this repository by name. Nothing is written outside the clone:
# environments lie in .venv-core and .venv, caches and temporary files in .cache.

.DEFAULT_GOAL := help
.PHONY: help demo model test quick check rtl rtl-pnr boards mutants cpus wheels clients images setup fmt bench docs lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
# Where CPU-only builds of torch are looked for besides pip's own indexes. PyPI's Linux build brings
# some 3 GB of CUDA libraries; for those: make setup TORCH_INDEX=https://download.pytorch.org/whl/cu130
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

PACKAGES := stream export train hwckpt server
UNITS := train/config train/loss train/text export/test_post_training.py \
	server/adapters server/protocol server/test_options.py
SOURCES := $(shell find $(PACKAGES) models -type f -not -path '*/__pycache__/*')
CACHE := $(CURDIR)/.cache
# lhotse makes a folder in $HOME when it is imported.
AT_HOME := HOME='$(CACHE)/home'
$(shell mkdir -p .cache/tmp .cache/home)

export TMPDIR := $(CACHE)/tmp
export XDG_CACHE_HOME := $(CACHE)
export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NUMBA_CACHE_DIR := $(CACHE)/numba
export MPLCONFIGDIR := $(CACHE)/matplotlib
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
# uv trusts the certificates that the system trusts, as pip does.
export UV_SYSTEM_CERTS := true
export ORT_DISABLE_TELEMETRY := 1
# pip asks `rustc --version` for its user agent, and rustup's shim then makes a folder in $HOME.
export RUSTUP_HOME := $(CACHE)/rustup
unexport PYTHONPATH

CORE := .venv-core/bin/python
DEV := .venv/bin/python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv-core/installed ## serve the bundled model and watch a recording being transcribed
	PYTHONSAFEPATH=1 $(CORE) -m server.demo

model: .venv/installed ## train the bundled model again from $RILL_DATA, with its figures and card, into runs/
	$(DEV) -m train.recipe recipes/en-commands --output runs/en-commands

test: .venv/installed .venv-core/installed ## run all tests (golden vectors: $RILL_GOLDEN, speech: $RILL_DATA)
	$(AT_HOME) $(DEV) -m pytest -q tests

quick: .venv/installed ## the unit tests of all packages that need no network and are not slow, side by side
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs=2 --output-sync=target \
		quick-stream quick-hwckpt quick-units

quick-units: .venv/installed # of train, export and server, without what starts processes or trains
	$(DEV) -m pytest -q -m 'not slow' $(addprefix tests/,$(UNITS))

quick-%: .venv/installed # of any folder of tests
	$(DEV) -m pytest -q -m 'not slow' tests/$*

check: .venv/installed ## formatting, linting, strict typing, layering, stale docs: what CI runs
	$(DEV) -m ruff format --check .
	$(DEV) -m ruff check .
	$(DEV) -m mypy --strict
	$(DEV) -m pytest -q tests/test_layering.py
	$(DEV) -m tests.generate_docs --check

rtl: .venv/installed ## simulate the gateware in rtl/ (Debian: verilator, iverilog, yosys; without them tests skip)
	RILL_RTL=1 $(DEV) -m pytest -q -rA tests/rtl

rtl-pnr: .venv/installed .cache/pnr/installed ## place and route the gateware for some chips, what is not done yet: hours (ROW=ecp5-25)
	$(DEV) -m tests.rtl.chips.place_and_route $(if $(ROW),--row '$(ROW)')

boards: .venv/installed ## the C reference under qemu: same tokens as the engine? (MANIFEST=dev.jsonl: of 50 more, too)
	$(DEV) -m tests.export.hardware.speech $(if $(MANIFEST),--manifest $(MANIFEST))

mutants: .venv/installed ## change the C reference and the gateware at every place, one at a time: do the vectors notice?
	$(DEV) -m tests.export.hardware.mutants $(MUTANTS)
	$(DEV) -m tests.rtl.mutation.mutants $(MUTANTS)

cpus: .venv/installed ## same tokens without VNNI, without AVX and on ARM? (CPUS=all: on more)
	$(DEV) -m tests.portability cpus $(CPUS)

wheels: .venv/installed ## same tokens on every Python to be had, with oldest and newest packages?
	$(DEV) -m tests.portability wheels $(WHEELS)

clients: .venv/installed .cache/clients/installed ## the programs of docs/voice-agents.md, with the SDKs they are for
	RILL_CLIENTS='$(CACHE)/clients/bin/python' $(DEV) -m pytest -q tests/documentation/test_recipes.py

images: .venv/installed ## run the steps of the container files without an engine: minutes, gigabytes, the network
	RILL_IMAGES=1 $(DEV) -m pytest -q tests/deploy/test_images.py

setup: .venv-core/installed .venv/installed ## make both environments, run nothing

fmt: .venv/installed ## format the sources and repair what ruff can
	$(DEV) -m ruff check --fix .
	$(DEV) -m ruff format .

bench: .venv/installed ## run the benchmarks in tests/benchmarks
	$(DEV) -m pytest tests/benchmarks -o python_files='bench_*.py'

docs: .venv/installed ## write the generated pages again
	$(DEV) -m tests.generate_docs

clean: ## remove environments and caches (not runs/, which holds training)
	rm -rf .venv-core .venv .cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. Each is made from nothing when its lock or pyproject.toml changes; a make that was
# interrupted leaves no stamp, so the next one starts again.

# PyAV is an extra; with it, what phones and browsers record can be transcribed, too.
.venv-core/locked: requirements/core.txt pyproject.toml
	$(call new-environment,.venv-core)
	$(CORE) -m pip install -q -r requirements/core.txt $$(grep '^av==' requirements/dev.txt)
	@touch $@

# A real install, wheel and bundled model included. The demo imports that, not the sources beside it:
# with PYTHONSAFEPATH, `python -m` leaves the current folder out of the path.
.venv-core/installed: .venv-core/locked $(SOURCES)
	$(CORE) -m pip install -q --no-deps --force-reinstall .
	@touch $@

.venv/installed: requirements/dev.txt pyproject.toml
	$(call new-environment,.venv)
	$(call install-torch,$(DEV))
	$(DEV) -m pip install -q -r requirements/dev.txt
	$(DEV) -m pip install -q --no-deps -e .
	@touch $@

.cache/pnr/installed: requirements/pnr.txt
	$(call new-environment,.cache/pnr)
	.cache/pnr/bin/python -m pip install -q -r requirements/pnr.txt
	@touch $@

.cache/clients/installed: requirements/clients.txt
	$(call new-environment,.cache/clients)
	.cache/clients/bin/python -m pip install -q -r requirements/clients.txt
	@touch $@

define new-environment
@$(PYTHON) -c 'import sys; sys.exit("%s is Python %d.%d; Rill needs 3.11 or newer: make PYTHON=python3.12 ..." \
	% (sys.executable, *sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
@echo "Installing into $(1) (once; again when its lock changes)"
@rm -rf $(1)
@$(PYTHON) -m venv $(1)
endef

# torch by itself and first: an index that cannot be reached is asked once and passed over, and pip
# takes the CPU build wherever it finds one (2.13.0+cpu is newer than 2.13.0), else PyPI's.
define install-torch
$(1) -m pip install -q --no-deps --retries 0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	$$(grep '^torch==' requirements/dev.txt)
endef

# New versions: resolve pyproject.toml in an empty environment and write down what came. The builds of
# torch differ by machine, so its local version and its CUDA packages stay out of the lock.

lock: ## choose the newest versions that pyproject.toml allows and write requirements/*.txt
	$(call write-lock,core,.)
	$(call write-lock,dev,.[dev])

define write-lock
rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
$(if $(filter dev,$(1)),.cache/lock/bin/python -m pip install -q --no-deps --retries 0 \
	--extra-index-url $(TORCH_INDEX) $$(grep -o 'torch==[0-9.]*' pyproject.toml))
.cache/lock/bin/python -m pip install -q '$(2)'
{ echo "# Made by: make lock   (rill-asr$(subst .,,$(2)), Python 3.11, Linux)"; \
	.cache/lock/bin/python -m pip freeze --exclude rill-asr \
	| sed -E -e 's/\+[a-z0-9]+$$//' -e "s/^uvloop==.*/&; sys_platform != 'win32'/" \
	| grep -v -i -E '^(nvidia|cuda|triton)'; } > requirements/$(1).txt
rm -rf .cache/lock
endef
