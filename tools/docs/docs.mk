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
	$(call environment,docs,tools/docs)

docs-lock: ## write the constraints of the site's environment anew from the newest releases
	$(call locked,docs,tools/docs)
