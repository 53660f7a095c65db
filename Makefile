# Two commands do everything on a fresh machine: make demo, make test. What is slower: make test-slow, make test-all.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-slow test-all bench docs lint env frameworks clean

demo: env
	$(BIN)/python scripts/run.py

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: frameworks $(VENV)/.docs
	$(BIN)/python -m pytest -n 2 -m slow

# Both, the campaigns, and property tests on new random examples, ten times as many; a find becomes a fixed @example.
test-all: lint frameworks $(VENV)/.docs
	RANDOM_SEARCH=1 $(BIN)/python -m pytest -n 2 -m "slow or not slow"

# Side by side with other tools, in one run each: hours. ONLY="hvp-mlp trace" and SIZE=small are shorter.
bench: env
	$(BIN)/python -m pip install --quiet --no-deps -c benchmarks/constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SIZE),--size $(SIZE))

# The site, from docs/ and the docstrings, into build/site: open build/site/index.html. Any warning ends it.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env: $(READY)

# Hugging Face's peft and datasets, Lightning and PyTorch Geometric: their tests are slow ones.
frameworks: $(VENV)/.frameworks

$(VENV)/.frameworks: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[frameworks]"
	touch $@

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
