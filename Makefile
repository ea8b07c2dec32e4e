# `make` lists the targets. Nothing here needs more than Python 3.11+ and the package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file of tests stays in one process; as many processes as there are cores.
TESTS := $(BIN)/pytest -q -n auto --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help run test demo tunnel tunnel-down check lint conformance clients interop golden bench docs format clean

##@ Use
run: $(VENV)/.run ## start on the LAN door: http://127.0.0.1:8084/mcp
	@grep -qs '^ *MCP_TRANSPORT *=' .env || export MCP_TRANSPORT=$${MCP_TRANSPORT:-http}; exec $(BIN)/brain serve --connect

demo: $(VENV)/.run ## three people, one Access simulator, and what each may use
	@$(BIN)/brain demo

tunnel: $(VENV)/.run ## a public URL, once it is proven closed to strangers; OPTIONS="--owner a@b.c --hostname H"
	@exec $(BIN)/brain tunnel up $(OPTIONS)

tunnel-down: $(VENV)/.run ## take everything away at Cloudflare, and prove that the name no longer answers
	@$(BIN)/brain tunnel down $(OPTIONS)

##@ Work on it
test: $(VENV)/.dev ## all tests
	@$(TESTS)

check: lint test ## format, lint, types, import rings, tests: what CI runs

lint: $(VENV)/.dev ## the same without the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

conformance: $(VENV)/.dev ## the official MCP conformance suite, at both doors (needs npm)
	@$(BIN)/python -m tests.conformance

clients: $(VENV)/.dev ## real clients at every way in (needs npm)
	@$(BIN)/python -m tests.clients

interop: $(VENV)/.dev ## real clients that log in to the inner OAuth server (needs npm)
	@$(BIN)/python -m tests.interop

golden: $(VENV)/.dev ## write the golden texts of the tests anew; read the diff
	@GOLDEN=1 $(BIN)/pytest -q tests

bench: $(VENV)/.dev ## the benchmark table
	@$(BIN)/python -m bench

docs: $(VENV)/.dev ## write the files that are made from tables
	@$(BIN)/brain --env-file /dev/null config --example > deploy/app.env.example
	@$(BIN)/brain --env-file /dev/null tunnel config --example > cloudflared/config.yml
	@$(BIN)/python -m tests.oauth.coverage
	@$(BIN)/python -m app.oauth.openapi > app/oauth/openapi.json

format: $(VENV)/.dev ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

##@ Help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which: make PYTHON=python3.12 …" >&2; exit 2; }
	@echo "Installing into $(VENV) (once) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "Installing what the tests need (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
