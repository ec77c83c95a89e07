# `make` lists the targets. Variables: ARGS is handed to the command; PYTHON is the interpreter .venv is made from;
# PROFILE is emulator or gateway, for `make up`.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
PROFILE ?=
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
COMPOSE_FILE = $(COMPOSE) --file deploy/compose.yaml

BIN := $(abspath $(VENV))/bin
SERVICES := broker data feed gateway-watchdog gateway-emulator
DISTRIBUTIONS := shared $(SERVICES:%=services/%)
PROJECTS := $(DISTRIBUTIONS:%=%/pyproject.toml)

# Wheels whose hashes are in the lock, and nothing else: no code of a package runs while it is installed.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL_LOCKED := $(INSTALL) --require-hashes --only-binary :all: --requirement
INSTALL_OURS := $(INSTALL) --no-deps --no-build-isolation $(DISTRIBUTIONS:%=--editable ./%)

CREATED := $(VENV)/.created
FOR_DEMO := $(VENV)/.installed-demo
FOR_DEV := $(VENV)/.installed-dev

# Compiled modules are what makes the second start quick.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:  # two installs into one .venv would tread on each other
.PHONY: help setup demo run test check lint types imports dependencies bench contracts lock images up down

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(FOR_DEV)  ## Install all that working on the code needs into .venv

demo: $(FOR_DEMO)  ## The whole system on this machine, without a Gateway or Redis (ARGS="--duration 20 --json")
	@$(BIN)/ibstream demo $(ARGS)

run: $(FOR_DEMO)  ## The services against the configured Gateway and Redis
	@$(BIN)/ibstream up $(ARGS)

test: $(FOR_DEV)  ## The tests, on all cores (ARGS="tests/unit -k name")
	@$(BIN)/python -m pytest --numprocesses auto --dist loadgroup $(ARGS)

check: lint types imports dependencies  ## Lint, format, types, import rules, undeclared dependencies

lint: $(FOR_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(FOR_DEV)
	@$(BIN)/mypy

imports: $(FOR_DEV)
	@$(BIN)/lint-imports --no-logo

dependencies: $(FOR_DEV)
	@for folder in $(DISTRIBUTIONS); do \
		echo "deptry $$folder"; (cd "$$folder" && $(BIN)/deptry src) || exit 1; \
	done

bench:  ## List the benchmarks; one is run with: .venv/bin/python benchmarks/NAME.py
	@for file in benchmarks/*.py; do \
		[ -e "$$file" ] || { echo "There are no benchmarks yet."; break; }; \
		printf '%-34s %s\n' "$$file" "$$(sed -n '1s/^"""\([^"]*\).*/\1/p' "$$file")"; \
	done

contracts: $(FOR_DEMO)  ## Write the AsyncAPI document and the JSON Schemas of all streams to contracts/
	@$(BIN)/python -m ibstream.contracts contracts

lock: $(FOR_DEV)  ## Renew requirements/*.txt from the pyproject.toml files (ARGS=--keep: versions that still fit stay)
	@$(BIN)/python requirements/lock.py $(ARGS)

images:  ## Build the Docker image of every service
	@for service in $(SERVICES); do \
		docker build --file deploy/Dockerfile --build-arg SERVICE="$$service" --tag "ibstream/$$service" $(ARGS) . \
			|| exit 1; \
	done

up:  ## Start everything with docker compose (PROFILE=emulator or PROFILE=gateway adds a Gateway)
	@$(COMPOSE_FILE) $(patsubst %,--env-file %,$(wildcard deploy/$(PROFILE).env)) $(PROFILE:%=--profile %) \
		up --detach --build $(ARGS)

down:  ## Stop what `make up` started; the data stays
	@$(COMPOSE_FILE) --profile '*' down $(ARGS)

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ibstream needs Python 3.11 or later. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "Python's venv module does not work here. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(FOR_DEMO): requirements/demo.txt $(PROJECTS) | $(CREATED)
	@echo "Installing into $(VENV); once, about half a minute."
	@$(INSTALL_LOCKED) requirements/demo.txt
	@$(INSTALL_OURS)
	@touch $@

$(FOR_DEV): requirements/dev.txt $(PROJECTS) | $(CREATED)
	@echo "Installing into $(VENV); once, about a minute."
	@$(INSTALL_LOCKED) requirements/dev.txt
	@$(INSTALL_OURS)
	@touch $(FOR_DEMO) $@
