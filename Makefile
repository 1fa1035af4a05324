# Everything a developer, an operator or CI types. Each target first makes the environment it
# needs, `.venv`, from requirements.lock, with python3 and its venv module as the only assumption
# and pip as the user has configured it. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check -qq
# Two processes, each with modules of its own: most of the tests' time is compiling, on one core.
PYTEST := $(RUN) -m pytest -n $(or $(WORKERS),2) --dist loadscope

# The first stamp is the locked packages, the second the project itself. Its name holds the folder,
# so that a tree that was moved is installed again.
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready-$(shell printf %s '$(CURDIR)' | cksum | cut -d' ' -f1)

# .venv is meant, whatever environment is active in the user's shell.
unexport PYTHONPATH VIRTUAL_ENV PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help run up down status test test-e2e test-all lint format bench lock audit clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter of a new environment, LOPT_HOME=DIR where runs write,"
	@echo "WORKERS=8 how many processes test side by side (2), ARGS='-k name' what else to tell pytest."

run: $(READY) ## the whole cycle: data, ensemble, meta-training, evaluation, registry
	@$(RUN) -m flows.full_cycle --conf conf/quick.yaml $(ARGS)

up: $(READY) ## start both servers, the deployments and a worker; prints where they are
	@$(RUN) -m tasks.servers up

down: $(READY) ## end them; what was recorded stays
	@$(RUN) -m tasks.servers down

status: $(READY) ## say how they do
	@$(RUN) -m tasks.servers status

test: $(READY) ## lint, types, import contracts and the tests; pytest's summary comes last
	@$(call lint_then,$(PYTEST) $(ARGS))

test-e2e: $(READY) ## the tests with real servers and a real browser (Chromium)
	@$(RUN) -m pytest -m e2e tests/e2e $(ARGS)

test-all: $(READY) ## the same with the slow and the end-to-end tests
	@$(call lint_then,$(PYTEST) -m "" $(ARGS))

lint: $(READY) ## ruff (lint and format), mypy --strict on lopt, import contracts
	@failed=; \
	$(RUN) -m ruff check || failed=1; \
	$(RUN) -m ruff format --check || failed=1; \
	$(RUN) -m mypy || failed=1; \
	$(RUN) -c 'from importlinter.cli import lint_imports_command as run; run()' --no-logo || failed=1; \
	test -z "$$failed"

format: $(READY) ## let ruff mend what it can
	@$(RUN) -m ruff check --fix-only --quiet
	@$(RUN) -m ruff format

bench: $(READY) ## the benchmarks, with their competitors in the same run
	@$(RUN) -m pytest benchmarks -o addopts="--import-mode=importlib --benchmark-quiet -q" $(ARGS)

lock: $(READY) ## make requirements.lock again (UPGRADE=1 takes the newest versions)
	@index=$${PIP_INDEX_URL:-$$($(PIP) config get global.index-url 2>/dev/null)}; \
	$(RUN) -m uv pip compile pyproject.toml --output-file requirements.lock --quiet --universal \
	  --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-package pip --group pipeline --group team --group dev \
	  $(if $(UPGRADE),--upgrade) $${index:+--default-index "$$index"}

audit: $(READY) ## known vulnerabilities of the locked packages, where the index has a list of them
	@$(RUN) .ci/audit.py

clean: ## remove the environment and all caches, but nothing that a run has made
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache .benchmarks .coverage
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	@echo "Kept $(or $(LOPT_HOME),.lopt): data sets, runs and the registry. Remove it by hand."

# All findings in one go: a failed lint does not keep the tests from running, but is not forgotten.
define lint_then
	$(MAKE) --no-print-directory lint; lint=$$?; $(1); tests=$$?; \
	test $$lint -eq 0 || echo "The lint above failed as well." >&2; \
	test $$lint -eq 0 -a $$tests -eq 0
endef

$(READY): $(LOCKED) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lopt needs Python 3.11 or later, and $(PYTHON) is `$(PYTHON) --version 2>&1`." \
	    "Choose another: make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(RUN) && $(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the locked packages into $(VENV) (one to three minutes)"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@touch $@
