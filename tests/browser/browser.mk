# The page of `overlay serve`, and the documentation, in a real browser. Included by the Makefile, which sets PY and READY.

.PHONY: test-browser test-site

CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
SCREENSHOTS ?= browser-output

test-browser: $(READY) ## look at the server's page in a real Chromium, while ten batches run; screenshots into browser-output/
	@test -x "$(CHROMIUM)" || { echo "there is no Chromium on the PATH: install the package chromium, or name the program: make test-browser CHROMIUM=/path/to/chromium" >&2; exit 1; }
	CHROMIUM="$(CHROMIUM)" SCREENSHOTS="$(abspath $(SCREENSHOTS))" PYTHONPATH=tests $(PY) -m pytest -c tests/browser/pytest.ini tests/browser/test_page.py

test-site: docs ## look at the documentation in a real Chromium, light, dark and narrow, and search it; screenshots into browser-output/
	@test -x "$(CHROMIUM)" || { echo "there is no Chromium on the PATH: install the package chromium, or name the program: make test-site CHROMIUM=/path/to/chromium" >&2; exit 1; }
	CHROMIUM="$(CHROMIUM)" SCREENSHOTS="$(abspath $(SCREENSHOTS))" PYTHONPATH=tests $(PY) -m pytest -c tests/browser/pytest.ini tests/browser/test_site.py
