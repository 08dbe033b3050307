# Every command you need. `make` alone lists them.

PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
READY = $(VENV)/.ready
.DEFAULT_GOAL := help

# Recipes for an environment of its own: $(call environment,NAME,FOLDER,WHAT) makes .venv-NAME of the requirements and
# constraints in FOLDER, and WHAT; $(call locked,NAME,FOLDER,WHAT) writes those constraints anew from the newest releases.
QUIET_PIP = -m pip install --quiet --disable-pip-version-check
define environment
$(PYTHON) -m venv .venv-$(1)
.venv-$(1)/bin/python $(QUIET_PIP) --constraint $(2)/constraints.txt --requirement $(2)/requirements.txt $(3)
@touch .venv-$(1)/.ready
endef
define locked
rm -rf .venv-$(1)-lock
$(PYTHON) -m venv .venv-$(1)-lock
.venv-$(1)-lock/bin/python $(QUIET_PIP) --requirement $(2)/requirements.txt $(3)
{ head -n 1 $(2)/constraints.txt; .venv-$(1)-lock/bin/python -m pip freeze --exclude-editable; } > .venv-$(1)-lock/constraints.txt
mv .venv-$(1)-lock/constraints.txt $(2)/constraints.txt
rm -rf .venv-$(1)-lock
endef

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## run thousands of requests against the embedded service, start to end
	$(PY) examples/demo.py

test: $(READY) ## run the tests
	$(PY) -m pytest --numprocesses 3 --dist worksteal

check: $(READY) ## everything CI checks: lint, types, layers, generated code, tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pyright --pythonpath $(PY)
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m tools.public_names --check
	$(PY) -m tools.commands --check
	PYTHONPATH=tests $(PY) -m support.typed_blocks
	$(MAKE) --no-print-directory check-generated
	$(MAKE) --no-print-directory test

format: $(READY) ## format the code, fix what the linter can, write the tables of public names and the page of commands
	$(PY) -m tools.public_names
	$(PY) -m tools.commands
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

fault-table: $(READY) ## write what becomes of each operation under each fault: tests/promises/fault_table.md
	PYTHONPATH=tests $(PY) -m support.fault_table

benchmark: $(READY) ## measure speed and memory against peers in the same run
	$(PY) -m benchmarks

benchmark-upstream: $(READY) ## measure how fast `overlay serve --upstream` forwards lines, against loops of aiohttp and httpx
	$(PY) -m benchmarks.forwarding

build: $(READY) ## build the wheel and the source distribution into dist/
	$(PY) -m build --outdir dist

lock: ## rewrite constraints.txt from the newest releases
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	{ head -n 1 constraints.txt; .venv-lock/bin/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf .venv-lock

clean: ## remove everything that these commands created, including .venv
	rm -rf $(VENV) .venv-* dist build site demo-output browser-output .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

include tools/spec.mk tools/docs/docs.mk tools/release/release.mk tests/soak/soak.mk tests/compat/compat.mk tests/browser/browser.mk tests/clusters/clusters.mk tests/object_store/object_store.mk

.PHONY: help setup demo test check format fault-table benchmark benchmark-upstream build lock clean
