# The recipes of this project. `make` alone lists them.
#
#   PORT=8000      where `make demo` serves
#   PYTHON=...     the Python that .venv is made with (3.11 or later; found by itself)
#   ARGS=...       passed on to pytest: make test ARGS="-k finalize -x"

PORT ?= 8000
ARGS ?=
BIN := .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test check lint audit format conformance chaos bench docs clean frameworks frameworks-crewai environment model tools

help:  ## list the recipes
	@awk -F ':.*##  *' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' Makefile

demo: environment model  ## start the demo at http://127.0.0.1:8000 (PORT=8001 for another port)
	@$(BIN)/python manage.py migrate --verbosity 0
	@printf '\n'
	@$(BIN)/python manage.py demo_user
	@$(BIN)/python manage.py demo_model
	@printf '\n  The demo:  http://127.0.0.1:%s/\n  Stop it with Ctrl-C.\n\n' '$(PORT)'
	@$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

test: tools  ## run every test that can run here; what was skipped, and why, stands at the end
	@$(BIN)/python -m pytest $(ARGS)

check: lint audit  ## what CI runs: lint, types, layers, migrations, Django checks, audit, tests with coverage
	$(BIN)/python -m pytest --cov $(ARGS)

lint: tools  ## the part of check that takes seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo
	$(BIN)/python -m django makemigrations --check --dry-run --pythonpath . --settings tests.settings
	$(BIN)/python -m django check --deploy --fail-level WARNING --pythonpath . --settings tests.settings
	$(BIN)/python manage.py check --fail-level WARNING

audit: tools  ## ask whether a package that is installed here has a known vulnerability
	@$(BIN)/python scripts/audit

format: tools  ## rewrite the code the way lint wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: tools  ## replay the recorded conversations of the reference against our server
	@$(BIN)/python -m tests.conformance

chaos: tools  ## kill workers, take their databases away; CHAOS=long for an afternoon of it
	@$(BIN)/python -m pytest tests/chaos -p no:randomly $(ARGS)

bench: tools  ## measure, side by side with the reference where node is there
	@$(BIN)/python -m tests.bench.compare

docs: tools  ## build the documentation into site/
	@$(BIN)/python -m tests.docs.settings_page
	@$(BIN)/mkdocs build --strict --quiet
	@printf 'site/index.html\n'

clean:  ## remove what these recipes made, the demo's database apart
	rm -rf .venv .venv-frameworks .venv-crewai site dist .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

frameworks:  ## what every agent framework but CrewAI can do, tried in an environment of its own
	@VENV=.venv-frameworks scripts/venv requirements-frameworks.txt
	@REQUIRE_FRAMEWORKS=1 .venv-frameworks/bin/python -m pytest tests/frameworks \
	    tests/docs/test_agents.py $(ARGS)

# CrewAI takes a gigabyte and goes with nothing else: by hand, when it or its adapter has changed.
frameworks-crewai:  ## what CrewAI can do, tried in an environment of its own
	@VENV=.venv-crewai scripts/venv requirements-crewai.txt
	@CREWAI_DISABLE_TELEMETRY=true CREWAI_STORAGE_DIR=$$(mktemp -d) LITELLM_LOCAL_MODEL_COST_MAP=true \
	    .venv-crewai/bin/python -m pytest tests/frameworks -k crewai $(ARGS)

environment:
	@scripts/venv requirements.txt

model:
	@test -z "$$OPENAI_API_KEY$$ANTHROPIC_API_KEY$$GOOGLE_API_KEY" || scripts/venv requirements-model.txt || \
	    printf 'The demo will do without a model.\n'

tools:
	@scripts/venv requirements-dev.txt
	@! pkg-config --exists libmariadb 2>/dev/null || scripts/venv requirements-mariadb.txt || \
	    printf 'The tests that need MariaDB will be skipped.\n'
	@scripts/node-packages || printf 'The tests that need them will be skipped.\n'
