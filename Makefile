# Two commands do everything on a fresh machine: make demo, make test. What is slower: make test-slow, make test-all.
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-slow test-all bench lint env frameworks clean

demo: env
	$(BIN)/python scripts/run.py

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: frameworks
	$(BIN)/python -m pytest -n 2 -m slow

# Both, the campaigns, and property tests on new random examples, ten times as many; a find becomes a fixed @example.
test-all: lint frameworks
	RANDOM_SEARCH=1 $(BIN)/python -m pytest -n 2 -m "slow or not slow"

# Side by side with other tools, in one run each: hours. ONLY="hvp-mlp trace" and SIZE=small are shorter.
bench: env
	$(BIN)/python -m pip install --quiet --no-deps -c benchmarks/constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SIZE),--size $(SIZE))

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

$(READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
