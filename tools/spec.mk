# From an upstream document to Python. Included by the Makefile, which sets PY to the interpreter and READY to the mark of the environment.

.PHONY: spec generate check-generated spec-matrix

spec: $(READY) ## bring a new upstream document over: make spec UPSTREAM=openapi.json (a path or an https URL)
	@test -n "$(UPSTREAM)" || { echo "usage: make spec UPSTREAM=<path or https URL>" >&2; exit 2; }
	@$(PY) -m tools.spec "$(UPSTREAM)" || { code=$$?; test $$code -eq 1 || exit $$code; }

generate: $(READY) ## write generated/ from openapi.yaml
	@$(PY) -m tools.generate

check-generated: $(READY) ## fail when generated/ is not what openapi.yaml gives
	@$(PY) -m tools.generate --check

spec-matrix: $(READY) ## the whole way for every document of a folder: make spec-matrix DIR=upstream
	@test -n "$(DIR)" || { echo "usage: make spec-matrix DIR=<folder of upstream documents>" >&2; exit 2; }
	@$(PY) -m tools.spec_matrix "$(DIR)"
