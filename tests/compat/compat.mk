# Other makers' clients against the embedded service. Included by the Makefile. A folder here is an environment, with the
# clients that can share it; `requirements.txt` says what is wanted in it, `constraints.txt` what that is, exactly.

.PHONY: compat compat-ci compat-lock

COMPAT_ENVIRONMENTS = $(patsubst tests/compat/%/requirements.txt,%,$(sort $(wildcard tests/compat/*/requirements.txt)))
COMPAT_FILES = $(sort $(wildcard tests/compat/*/client_*.py))
CLIENTS ?= $(patsubst client_%.py,%,$(notdir $(COMPAT_FILES)))
# What CI has the time for: one environment and node, which cost a minute to make; `make compat` has every one.
CI_CLIENTS = openai litellm pydantic_ai docs openai_node

compat_python = .venv-compat/$(1)/bin/python
compat_files = $(foreach client,$(CLIENTS),$(or $(wildcard tests/compat/*/client_$(client).py),$(error no client $(client): tests/compat has $(patsubst client_%.py,%,$(notdir $(COMPAT_FILES))))))
compat_run = $(call compat_python,$(1)) -m pytest -c tests/compat/pytest.ini $(filter tests/compat/$(1)/%,$(compat_files))

compat: ## run other makers' clients against the embedded service: make compat CLIENTS="litellm curator"
	@$(MAKE) --no-print-directory $(sort $(foreach file,$(compat_files),compat-$(word 3,$(subst /, ,$(file)))))

compat-ci: ## the part of `make compat` that CI runs
	@$(MAKE) --no-print-directory compat CLIENTS="$(CI_CLIENTS)"

$(COMPAT_ENVIRONMENTS:%=compat-%): compat-%: .venv-compat/%/.ready
	$(call compat_run,$*)

compat-node: export NODE_PATH = $(CURDIR)/.venv-compat/node/node_modules

.venv-compat/%/.ready: tests/compat/%/requirements.txt tests/compat/%/constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv-compat/$*
	$(call compat_python,$*) -m pip install --quiet --disable-pip-version-check --constraint tests/compat/$*/constraints.txt --requirement $< --editable '.[serve]' pytest pytest-timeout
	@touch $@

.venv-compat/node/.ready: .venv-compat/node/node_modules/.package-lock.json

.venv-compat/node/node_modules/.package-lock.json: tests/compat/node/package.json tests/compat/node/package-lock.json
	@command -v npm >/dev/null || { echo "npm is not on the PATH, and the npm package openai needs it: install Node.js 20 or newer" >&2; exit 1; }
	@mkdir -p .venv-compat/node
	cp $^ .venv-compat/node
	npm ci --prefix .venv-compat/node --no-audit --no-fund --loglevel=error

compat-lock: ## write the constraints of every client's environment anew from the newest releases
	rm -rf .venv-compat-lock
	@set -e; for each in $(COMPAT_ENVIRONMENTS); do \
		$(PYTHON) -m venv .venv-compat-lock/$$each; \
		.venv-compat-lock/$$each/bin/python -m pip install --quiet --disable-pip-version-check \
			--requirement tests/compat/$$each/requirements.txt --editable '.[serve]' pytest pytest-timeout; \
		{ head -n 1 tests/compat/openai_3/constraints.txt; .venv-compat-lock/$$each/bin/python -m pip freeze --exclude-editable; } > .venv-compat-lock/$$each.txt; \
		mv .venv-compat-lock/$$each.txt tests/compat/$$each/constraints.txt; \
	done
	cd tests/compat/node && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	rm -rf .venv-compat-lock
