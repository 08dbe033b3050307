# Kill workers of durable jobs. Included by the Makefile, which sets PY to the interpreter and READY to the file that marks a complete environment.

.PHONY: soak soak-upstream test-dialects

KILLS ?= 100
LANES ?= 24
JOBS ?= 50
TEAM ?= 5
ROWS ?= 30000

soak: $(READY) ## many jobs at once; a table, killed half way; then kill jobs with SIGKILL at every step and at random moments: make soak KILLS=2000 TEAM=20
	@PYTHONPATH=tests $(PY) -m soak.many --jobs $(JOBS)
	@PYTHONPATH=tests $(PY) -m soak.tables --rows $(ROWS)
	@PYTHONPATH=tests $(PY) -m soak --kills $(KILLS) --lanes $(LANES) --team $(TEAM)

soak-upstream: $(READY) ## batches at a server that is in trouble of ten kinds, restarted, killed: 0 lines lost, failed, or there twice
	@PYTHONPATH=tests $(PY) -m soak.upstream

test-dialects: $(READY) ## a job at each service's dialect, blocking, asyncio and by the command, killed five times
	@PYTHONPATH=tests $(PY) -m soak.dialects

CUTS ?= 200

test-power-cut: $(READY) ## cut the power of overlay serve, replayed from what strace saw, and fill its disk: make test-power-cut CUTS=1000
	@command -v strace >/dev/null || { echo "there is no strace on the PATH: install the package strace" >&2; exit 1; }
	@PYTHONPATH=tests $(PY) -m soak.power_cut --cuts $(CUTS)
	@PYTHONPATH=tests $(PY) -m soak.no_room
