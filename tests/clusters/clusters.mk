# Jobs over Ray, Dask and Spark, whose workers and drivers are killed. Included by the Makefile.

.PHONY: test-engines engines-lock

ENGINE_ROWS ?= 20000
ENGINE_TESTS ?= test
ENGINES_PY = .venv-engines/bin/python
ENGINES_NEED = --editable '.[serve,ray,dask,spark]' pytest pytest-timeout

test-engines: .venv-engines/.ready ## map a table with Ray, Dask and Spark, two workers each, and kill workers and drivers: make test-engines ENGINE_ROWS=200000
	@command -v java >/dev/null || { echo "there is no java on the PATH, and Spark needs it: install Java 17 or newer" >&2; exit 1; }
	ENGINE_ROWS=$(ENGINE_ROWS) $(ENGINES_PY) -m pytest -c tests/clusters/pytest.ini tests/clusters -k "$(ENGINE_TESTS)"

.venv-engines/.ready: tests/clusters/requirements.txt tests/clusters/constraints.txt pyproject.toml
	$(call environment,engines,tests/clusters,$(ENGINES_NEED))

engines-lock: ## write the constraints of the engines' environment anew from the newest releases
	$(call locked,engines,tests/clusters,$(ENGINES_NEED))
