# The whole interface of this repository: `make help`.
SHELL := /bin/bash -eu -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lock up invoke
# An outer environment must not leak in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

UV = $(if $(shell command -v uv),uv,.boot/bin/uv)
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.13
PYTHON := .venv/bin/python
INSTALLED := .venv/installed
SAM := .venv-sam/bin/sam

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

up: $(INSTALLED)  ## Start everything on this machine; NOW, CLINIC, INTAKEQ_ACCOUNT, INTAKEQ_BASE_URL, PORT choose what.
	@exec $(PYTHON) -m local.up

invoke: $(INSTALLED)  ## Call a function of the running stack: make invoke FUNCTION=sync_cron PAYLOAD='{}'
	@exec $(PYTHON) -m local.invoke

lock:  ## Compile the requirements, development first: the layer has to agree with it.
	@$(COMPILE) $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt layers/common/requirements.in -o layers/common/requirements.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt requirements-runtime.in -o requirements-runtime.txt
	@$(COMPILE) $(UPGRADE) -c requirements-dev.txt functions/migrate/requirements.in -o functions/migrate/requirements.txt
	@$(COMPILE) $(UPGRADE) requirements-sam.in -o requirements-sam.txt
