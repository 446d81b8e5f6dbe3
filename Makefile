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
.PHONY: help demo test check lint format conformance chaos bench docs clean environment tools

help:  ## list the recipes
	@awk -F ':.*##  *' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: environment  ## start the demo at http://127.0.0.1:8000 (PORT=8001 for another port)
	@$(BIN)/python manage.py migrate --verbosity 0
	@printf '\n'
	@$(BIN)/python manage.py demo_user
	@printf '\n  The demo:  http://127.0.0.1:%s/\n  Stop it with Ctrl-C.\n\n' '$(PORT)'
	@$(BIN)/python manage.py runserver 127.0.0.1:$(PORT)

test: tools  ## run every test that can run here; what was skipped, and why, stands at the end
	@$(BIN)/python -m pytest $(ARGS)

check: lint  ## what CI runs: lint, types, layers, migrations, Django checks, tests with coverage
	$(BIN)/python -m pytest --cov $(ARGS)

lint: tools  ## the part of check that takes seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports --no-logo
	$(BIN)/python -m django makemigrations --check --dry-run --pythonpath . --settings tests.settings
	$(BIN)/python -m django check --deploy --fail-level WARNING --pythonpath . --settings tests.settings
	$(BIN)/python manage.py check --fail-level WARNING

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
	rm -rf .venv site dist .coverage htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

environment:
	@scripts/venv requirements.txt

tools:
	@scripts/venv requirements-dev.txt
	@! pkg-config --exists libmariadb 2>/dev/null || scripts/venv requirements-mariadb.txt || \
	    printf 'The tests that need MariaDB will be skipped.\n'
	@scripts/node-packages || printf 'The tests that need them will be skipped.\n'
