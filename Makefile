# The whole interface of this repository: `make help`.
SHELL := /bin/bash -eu -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up invoke demo test lint types openapi openapi-check validate build check bench lock
# An outer environment must not leak in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

UV = $(if $(shell command -v uv),uv,.boot/bin/uv)
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.13
PYTHON := .venv/bin/python
INSTALLED := .venv/installed
SAM := .venv-sam/bin/sam
ARCHITECTURE ?= $(subst aarch64,arm64,$(shell uname -m))

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Each environment is made from a lock with hashes. `.venv/layer` and `.venv/runtime` hold what a deployed function
# finds beside its own code: the layer's dependencies, what AWS's image brings by itself, and what it alone requires.
$(INSTALLED): requirements-dev.txt requirements-runtime.txt layers/common/requirements.txt functions/migrate/requirements.txt
	@local/bootstrap .venv
	@$(UV) pip sync --quiet --python $(PYTHON) --require-hashes requirements-dev.txt
	@echo "$(CURDIR)/layers/common" > .venv/lib/python3.13/site-packages/moonlit.pth  # The layer's package, for local/.
	@rm -rf .venv/layer .venv/runtime .venv/functions
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes --target .venv/layer -r layers/common/requirements.txt
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes --target .venv/runtime -r requirements-runtime.txt
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes --target .venv/functions/migrate -r functions/migrate/requirements.txt
	@touch $@

.venv-sam/installed: requirements-sam.txt
	@local/bootstrap .venv-sam
	@$(UV) pip sync --quiet --python .venv-sam/bin/python --require-hashes requirements-sam.txt
	@touch $@

up: $(INSTALLED)  ## Start everything on this machine; NOW, CLINIC, PORT, {INTAKEQ,ATHENA}_{ACCOUNT,BASE_URL} choose what.
	@exec $(PYTHON) -m local.up

demo: $(INSTALLED)  ## Tell the main job on a stack of its own, with proof; NOW, CLINIC, and those of the EHRs as above.
	@exec $(PYTHON) -m local.demo

invoke: override export PAYLOAD := $(value PAYLOAD)
invoke: $(INSTALLED)  ## Call a function of the running stack: make invoke FUNCTION=sync_cron PAYLOAD='{}'
	@exec $(PYTHON) -m local.invoke

test: $(INSTALLED)  ## Run every test; ARGS goes to pytest, such as ARGS="tests/unit -k slots".
	@exec $(PYTHON) -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(INSTALLED)  ## Check style, formatting and the direction of imports.
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --quiet --check
	@.venv/bin/lint-imports --no-logo > .venv/imports.txt || { cat .venv/imports.txt; exit 1; }

types: $(INSTALLED)  ## Check types, strictly.
	@.venv/bin/mypy layers/common/moonlit local functions tests bench

openapi: $(INSTALLED)  ## Write the OpenAPI document anew; openapi-check compares.
	@$(PYTHON) -m local.openapi
openapi-check: $(INSTALLED)
	@$(PYTHON) -m local.openapi --check

validate: .venv-sam/installed  ## Check template.yaml as AWS would.
	@SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-west-2 $(SAM) validate --lint

build: $(INSTALLED) .venv-sam/installed  ## Build what is deployed; ARCHITECTURE=x86_64 or arm64 (this machine's, unless said).
	@PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-west-2 $(SAM) build $(SAM_ARGS) \
	  --parameter-overrides Architecture=$(ARCHITECTURE) > .venv-sam/build.log 2>&1 || { cat .venv-sam/build.log; exit 1; }

check: lint types openapi-check validate test  ## Everything that CI runs.

bench: $(INSTALLED)  ## Measure against the bars, about six minutes: a table and bench/results/; ONLY="booking nights" chooses.
	@exec $(PYTHON) -m bench $(ONLY)

lock:  ## Compile the requirements, development first: the layer has to agree with it.
	@$(COMPILE) $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt layers/common/requirements.in -o layers/common/requirements.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt requirements-runtime.in -o requirements-runtime.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt functions/migrate/requirements.in -o functions/migrate/requirements.txt
	@$(COMPILE) $(UPGRADE) requirements-sam.in -o requirements-sam.txt
