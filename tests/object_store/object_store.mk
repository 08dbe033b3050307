# Ledgers in the S3 server of another maker; drivers are killed, paused, and race. Included by the Makefile.

.PHONY: test-object-store object-store-lock

KILLS ?= 30
OBJECT_STORE_PY = .venv-object-store/bin/python
OBJECT_STORE_NEEDS = --editable '.[serve,tables,object-store]' pytest pytest-timeout

test-object-store: .venv-object-store/.ready ## keep ledgers in an S3 server that fails, and kill, pause and race drivers: make test-object-store KILLS=500
	KILLS=$(KILLS) $(OBJECT_STORE_PY) -m pytest -s -c tests/object_store/pytest.ini tests/object_store

.venv-object-store/.ready: tests/object_store/requirements.txt tests/object_store/constraints.txt pyproject.toml
	$(call environment,object-store,tests/object_store,$(OBJECT_STORE_NEEDS))

object-store-lock: ## write the constraints of that environment anew from the newest releases
	$(call locked,object-store,tests/object_store,$(OBJECT_STORE_NEEDS))
