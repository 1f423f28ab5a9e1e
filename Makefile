# Needs only python3 (3.11 to 3.14) and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.peers
CLUSTER := $(VENV)/.cluster
TRAIN := $(VENV)/.train
# the oldest that httpx of its time goes with, the last of each major version, and the present ones
SDKS := openai-1.40.0 openai-1.109.1 openai-2.54.0 openai-3.54.0 anthropic-0.40.0 anthropic-0.69.0 anthropic-1.17.0 anthropic-2.12.0
# llama.cpp's server, built already, and what writes its files; platformdirs is all that our own modules ask for there
OTHER := xllamacpp==2026.10.11549 gguf==0.19.0 platformdirs
OTHER_STAMP := $(VENV)/other-server/.installed
SDK_STAMPS := $(SDKS:%=$(VENV)/sdks/%/.installed)

# one more than there are cores, for tests of the live fabric wait much of their time; four at most, for memory
WORKERS = $(shell $(BIN)/python -c 'import os; print(min((os.cpu_count() or 1) + 1, 4))')

.PHONY: run test soak check peers cluster train sdks other-server bench clean docs

run: $(STAMP)  ## simulate the default day and write its report
	$(BIN)/aether run

test: $(STAMP)  ## every test but the long ones
	$(BIN)/python -m pytest -m "not soak" -n $(WORKERS) --dist loadfile

soak: $(STAMP)  ## the long ones
	$(BIN)/python -m pytest -m soak

check: $(STAMP)  ## style, types, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: $(PEERS)  ## install what the bench times beside us and Hypatia's reader; their tests are skipped without

cluster: $(CLUSTER)  ## install Ray: the soak test of a study on a cluster is skipped without

train: $(TRAIN)  ## install PyTorch (its wheels for Linux may bring gigabytes): the soak test of a torch.distributed job is skipped without

sdks: $(SDK_STAMPS)  ## install the vendors' SDKs in several versions, each in a folder: the soak test of them is skipped without

other-server: $(OTHER_STAMP)  ## install llama.cpp's server in an environment of its own: the soak test of it is skipped without

bench: $(PEERS)  ## time the hot paths beside what else does the same
	$(BIN)/aether bench

docs: $(PEERS)  ## write the generated pages anew
	$(BIN)/python tools/pages.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else "Aether needs Python 3.11 to 3.14, this is %d.%d; name one with make PYTHON=..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

$(PEERS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $@

$(CLUSTER): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster]'
	touch $@

# SDKs of 2024 hand httpx an argument that it has no longer since 0.28
$(VENV)/sdks/%/.installed: $(STAMP)
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(@D) \
	  "$(firstword $(subst -, ,$*))==$(lastword $(subst -, ,$*))" $(if $(filter openai-1.4% anthropic-0.40%,$*),'httpx<0.28')
	touch $@

$(OTHER_STAMP): $(STAMP)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: $(OTHER)
	touch $@

$(TRAIN): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	touch $@

clean:
	rm -rf $(VENV) aether-results
