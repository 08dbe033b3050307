# A release, up to where it would be published. Included by the Makefile, which sets PYTHON.

.PHONY: release release-lock

RELEASE_PY = .venv-release/bin/python
RELEASE ?=

release: .venv-release/.ready ## build, check and try a release with each Python here: make release RELEASE="--extra cli serve"
	$(RELEASE_PY) -m tools.release $(RELEASE)

.venv-release/.ready: tools/release/requirements.txt tools/release/constraints.txt
	$(call environment,release,tools/release)

release-lock: ## write the constraints of a release's own tools anew from the newest releases
	$(call locked,release,tools/release)
