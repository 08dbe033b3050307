# From an upstream document to Python. Included by the Makefile, which sets PY to the interpreter and READY to the file that marks a complete environment.

.PHONY: spec local upstream generate check-generated spec-matrix

spec: $(READY) ## update openapi.yaml from an upstream document: make spec UPSTREAM=openapi.json (a path or an https URL)
	@test -n "$(UPSTREAM)" || { echo "usage: make spec UPSTREAM=<path or https URL>" >&2; exit 2; }
	@$(PY) -m tools.spec "$(UPSTREAM)" --local openapi.local.yaml --bodies overlay/requests/schemas.json || { code=$$?; test $$code -eq 10 || exit $$code; }

local: $(READY) ## put the additions of openapi.local.yaml into openapi.yaml
	@$(PY) -m tools.spec openapi.yaml --local openapi.local.yaml || { code=$$?; test $$code -eq 10 || exit $$code; }

# Where OpenAI publishes its document; any other can be named.
ADDRESS ?= https://app.stainless.com/api/spec/documented/openai/openapi.documented.yml

upstream: $(READY) ## fetch the published document and commit what it changes to a branch spec/DATE: make upstream ADDRESS=...
	@$(PY) -m tools.follow "$(ADDRESS)"

generate: $(READY) ## write generated/ from openapi.yaml
	@$(PY) -m tools.generate

check-generated: $(READY) ## fail if generated/ does not match openapi.yaml
	@$(PY) -m tools.generate --check

spec-matrix: $(READY) ## run the whole update for each document in a folder: make spec-matrix DIR=upstream
	@test -n "$(DIR)" || { echo "usage: make spec-matrix DIR=<folder of upstream documents>" >&2; exit 2; }
	@$(PY) -m tools.spec_matrix "$(DIR)"
