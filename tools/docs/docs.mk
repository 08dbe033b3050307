# The documentation site, built from docs/ without a network. Included by the Makefile, which sets PYTHON, PY and READY.

.PHONY: docs docs-serve docs-lock

DOCS_PY = .venv-docs/bin/python
DOCS_ADDRESS ?= 127.0.0.1:8000

docs: .venv-docs/.ready $(READY) ## build the documentation into site/; a warning, such as a broken link, is an error
	$(DOCS_PY) -m zensical build --strict --clean
	$(PY) -m tools.site site

docs-serve: .venv-docs/.ready ## show the documentation while you write: make docs-serve DOCS_ADDRESS=127.0.0.1:9000
	$(DOCS_PY) -m zensical serve --dev-addr $(DOCS_ADDRESS)

.venv-docs/.ready: tools/docs/requirements.txt tools/docs/constraints.txt
	$(PYTHON) -m venv .venv-docs
	$(DOCS_PY) -m pip install --quiet --disable-pip-version-check --constraint tools/docs/constraints.txt --requirement $<
	@touch $@

docs-lock: ## write the constraints of the site's environment anew from the newest releases
	rm -rf .venv-docs-lock
	$(PYTHON) -m venv .venv-docs-lock
	.venv-docs-lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement tools/docs/requirements.txt
	{ head -n 1 tools/docs/constraints.txt; .venv-docs-lock/bin/python -m pip freeze; } > .venv-docs-lock/constraints.txt
	mv .venv-docs-lock/constraints.txt tools/docs/constraints.txt
	rm -rf .venv-docs-lock
