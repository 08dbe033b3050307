# A release, up to where it would be published. Included by the Makefile, which sets PYTHON.

.PHONY: release release-lock

RELEASE_PY = .venv-release/bin/python
RELEASE ?=

release: .venv-release/.ready ## build, check and try a release with each Python here: make release RELEASE="--extra cli serve"
	$(RELEASE_PY) -m tools.release $(RELEASE)

.venv-release/.ready: tools/release/requirements.txt tools/release/constraints.txt
	$(PYTHON) -m venv .venv-release
	$(RELEASE_PY) -m pip install --quiet --disable-pip-version-check --constraint tools/release/constraints.txt --requirement $<
	@touch $@

release-lock: ## write the constraints of a release's own tools anew from the newest releases
	rm -rf .venv-release-lock
	$(PYTHON) -m venv .venv-release-lock
	.venv-release-lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement tools/release/requirements.txt
	{ head -n 1 tools/release/constraints.txt; .venv-release-lock/bin/python -m pip freeze; } > .venv-release-lock/constraints.txt
	mv .venv-release-lock/constraints.txt tools/release/constraints.txt
	rm -rf .venv-release-lock
