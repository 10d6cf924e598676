# The loops of a developer. CI runs .ci/run.
PYTEST = .venv/bin/pytest

help:  # what there is
	@grep -E '^[a-z]+:.*#' Makefile | sed 's/:.*#/ —/'

fast:  # what needs no server; style, types and walls are `check`
	$(PYTEST) tests/unit -q

suite:  # one suite: make suite S=tests/workflows
	$(PYTEST) $(S)

durations:  # measure how long each test file takes, for the order of later runs
	$(PYTEST) --record-durations

screenshot:  # the README's picture of the dashboard, taken anew
	.venv/bin/python -m tests.browser.screenshot

check:  # style, types, walls
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	.venv/bin/lint-imports

all:  # everything, as CI does
	.ci/run

.PHONY: help fast suite durations screenshot check all
