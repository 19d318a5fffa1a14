# make demo   train on the embedded digits, extract four patches, show what they buy, serve them
# make test   lint, types and every test but those that take minutes
# make soak   those: crashes, traffic and memory over thousands of changes
# make house  how the source is cut and what of it runs, in figures: scripts/house.py
# make box-test  the Docker image and docker-compose.yml for real; skipped without an engine
# Both make .venv and install what they need. On a Linux box without a GPU, spare yourself the
# CUDA build of torch with TORCH_INDEX=<the index of CPU wheels named on pytorch.org>.

PYTHON ?= python3.11
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A process a core, each with one torch thread; a file's tests share what they train.
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test soak box-test lint types house test-quick docs clean

help:
	@sed -n 's/^# //p' Makefile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.torch: $(BIN)/python constraints.txt
ifneq ($(TORCH_INDEX),)
	$(PIP) install --index-url $(TORCH_INDEX) -c constraints.txt torch torchvision
endif
	@touch $@

$(VENV)/.base: $(VENV)/.torch pyproject.toml clients/python/pyproject.toml constraints.txt
	@echo "installing rwsstore into $(VENV) ..."
	$(PIP) install -c constraints.txt -e clients/python -e '.[plots,service,remote]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base pyproject.toml constraints.txt
	@echo "installing what the tests need into $(VENV) ..."
	$(PIP) install -c constraints.txt -e clients/python -e '.[dev]'
	$(PIP) install -c constraints.txt --no-deps imagecorruptions-imaug
	@touch $@

demo: $(VENV)/.base
	$(BIN)/rws demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

house: $(VENV)/.dev
	$(BIN)/python scripts/house.py

test: lint types
	$(PYTEST) -m 'not soak'

soak: $(VENV)/.dev
	$(BIN)/pytest -m soak

box-test: $(VENV)/.dev
	PYTHON=$(BIN)/python scripts/box-test

docs: $(VENV)/.base
	$(BIN)/python -c 'from rwsstore.cli.main import reference; print(reference(), end="")' > docs/use/cli.md
	$(BIN)/python -m rwsstore_service.describe openapi > docs/openapi.json
	$(BIN)/python -m rwsstore_service.describe settings > docs/operate/settings.md

test-quick: $(VENV)/.dev
	$(PYTEST) -m 'not slow and not soak'

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
