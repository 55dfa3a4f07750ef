# Two commands do everything: `make run` and `make test`. Both install into .venv first, once.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test check proofs identity identity-history crash lm-eval up down clean

run: .venv/installed
	$(BIN)/folio run universe

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

proofs: .venv/installed-proofs  # what takes minutes: every ZeRO stage, kills, the whole default recipe
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

identity: .venv/installed-dev  # every change of the matrix, and which stages it runs
	$(BIN)/python -m pytest -m 'not crash' tests/identity

identity-history: .venv/installed-dev  # 40 of this repository's commits, each undone and made again on a finished run, against fresh runs
	$(BIN)/python -m tests.identity.history --seed 20261202 --commits 40

crash: .venv/installed-dev  # kill -9 at every point of every stage, and what comes of it, as a table
	$(BIN)/python -m pytest -m crash tests/crash

lm-eval: .venv/installed-dev .venv/lm-eval/installed  # the field's own harness on a release; it can't share an environment with chardet 7
	FOLIO_LM_EVAL=.venv/lm-eval/bin/python $(BIN)/python -m pytest -m slow tests/model/release/test_lm_eval.py

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

up: .venv/installed
	$(BIN)/folio up

down: .venv/installed
	$(BIN)/folio down

# First a pip that knows html-clean as html_clean. Compiled once for all commands; by content, so an edit that leaves a file's size and time as
# they were is seen, too.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo 'Installing some 250 packages into .venv: about three minutes.'
	$(INSTALL) pip
	$(INSTALL) --editable .
	$(BIN)/python -m compileall -q --invalidation-mode checked-hash flows tasks data model
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) --editable '.[dev]'
	touch $@

.venv/installed-proofs: .venv/installed-dev
	$(INSTALL) --editable '.[dev,proofs]'
	touch $@

.venv/lm-eval/installed: .venv/installed
	$(PYTHON) -m venv .venv/lm-eval
	.venv/lm-eval/bin/python -m pip install --quiet --disable-pip-version-check 'lm-eval>=0.4.13,<0.5' 'transformers>=5.15,<=5.17' 'torch>=2.9,<2.16' accelerate
	touch $@

clean:
	rm -rf .venv .folio
